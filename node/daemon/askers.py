"""From which heights peers ask for the chain: where those stand who have no seat, and so say it nowhere else.

Validators tell their certified height with each status; an observer that is behind, or an empty node that
joins, only asks. Pruning heeds both (forgetting.py).
"""

from collections import OrderedDict
from dataclasses import dataclass

ASKERS_MAX = 256
"""Peers remembered; who asked longest ago makes room."""
LATELY_MS = 30_000
"""Who has asked nothing for so long has come to the end, or went elsewhere."""


@dataclass(slots=True)
class _Asker:
    lowest: int
    since_ms: int
    asked_ms: int


class Askers:
    """The lowest height that each peer asked for lately; times are elapsed milliseconds."""

    def __init__(self) -> None:
        self._askers: OrderedDict[bytes, _Asker] = OrderedDict()

    def note(self, peer: bytes, from_height: int, now_ms: int) -> None:
        """A peer asks for the chain from this height on: it may ask for what it asked before once more."""
        asker = self._askers.get(peer)
        if asker is None or now_ms - asker.since_ms >= LATELY_MS:
            self._askers[peer] = _Asker(from_height, now_ms, now_ms)
            if len(self._askers) > ASKERS_MAX:
                self._askers.popitem(last=False)
        else:
            asker.lowest, asker.asked_ms = min(asker.lowest, from_height), now_ms
        self._askers.move_to_end(peer)

    def heights(self, now_ms: int) -> list[int]:
        """The height that each of those who asked lately has, and no more."""
        return [a.lowest - 1 for a in self._askers.values() if now_ms - a.asked_ms < LATELY_MS]

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound)."""
        return (("sync_askers", len(self._askers), ASKERS_MAX),)
