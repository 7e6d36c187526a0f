"""Packets that are really lost between two nodes in namespaces of their own: dropped where they arrive.

Where they arrive, not where they leave: a sender is told of a packet that its own system drops, and TCP then
does not take it for lost. At random, each for itself, by the kernel's generator, which takes no seed.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import trio

from bench.namespaces import NamespaceError, Namespaces

LOST_PERCENT = 5
_LOAD = ("nft", "-f", "-")
_CHECK = ("nft", "--check", "-f", "-")
_LIST = ("nft", "-j", "list", "chain", "ip", "loss", "arrivals")
_TELL = ("nft", "-j", "list", "tables")
_DELETE = ("nft", "delete", "table", "ip", "loss")


@dataclass(frozen=True, slots=True)
class Lost:
    """Packets of one link, both ways together: those dropped, of those that were sent."""

    lost: int
    sent: int


class PacketLoss:
    """One link that can lose packets; a single loss at a time."""

    def __init__(self, namespaces: Namespaces, one: int, other: int) -> None:
        """Between these two nodes."""
        self._namespaces = namespaces
        self._ways = ((one, other), (other, one))
        self.lost: Lost | None = None
        """Of the last loss that ended."""

    def check(self) -> None:
        """Whether this kernel could, and its tool would tell what was lost. Raises NamespaceError."""
        for here, there in self._ways:
            self._namespaces.run(here, _CHECK, self._rules(there))
            self._namespaces.run(here, _TELL)  # an nft without JSON had been found at the end of the run

    async def last(self) -> None:
        """Lose packets until cancelled, then no more. Raises NamespaceError."""
        try:
            await _whole(self._begin)
            await trio.sleep_forever()
        finally:
            await _whole(self._end)

    def _begin(self) -> None:
        for here, there in self._ways:
            self._namespaces.run(here, _LOAD, self._rules(there))

    def _end(self) -> None:
        both = [_counted(self._namespaces.run(here, _LIST)) for here, _ in self._ways]
        for here, _ in self._ways:
            self._namespaces.run(here, _DELETE)
        self.lost = Lost(sum(way.lost for way in both), sum(way.sent for way in both))

    def _rules(self, there: int) -> str:
        """For `nft -f`, at the one whom `there` sends to. The first rule only counts."""
        sender = f"ip saddr {self._namespaces.host(there)}"
        return "\n".join(
            (
                "table ip loss {",
                " chain arrivals {",
                "  type filter hook input priority 0",
                f"  {sender} counter",
                f"  {sender} numgen random mod 100 < {LOST_PERCENT} counter drop",
                " }",
                "}\n",
            )
        )


async def _whole(step: Callable[[], None]) -> None:
    """Carry out what must not be done by half; every command in it is bounded in time."""
    with trio.CancelScope(shield=True):
        await trio.to_thread.run_sync(step)


def _counted(listed: str) -> Lost:
    """What nft says of the two rules, in its JSON (libnftables-json(5)). Raises NamespaceError."""
    try:
        entries: list[dict[str, Any]] = json.loads(listed)["nftables"]
        rules = [entry["rule"]["expr"] for entry in entries if "rule" in entry]
        sent, lost = (int(part["counter"]["packets"]) for rule in rules for part in rule if "counter" in part)
    except (ValueError, KeyError, TypeError) as error:
        raise NamespaceError(f"nft does not count as we know it: {listed[:200]}") from error
    return Lost(lost, sent)
