"""Who may begin a handshake: strangers are bounded in number and in how often, before they cost anything.

A handshake costs about 5 ms of CPU, the one thing that somebody without a key can make us spend. So it is
rationed: each address has its own allowance, and addresses that no pinned key has come from lately share
one more. They share a part of the places to wait in, too, or four of them that say nothing would fill all.
A flood from many addresses therefore keeps no peer out that was here before, and we dial peers ourselves,
too. An address that comes too often is closed at once and not scored: it is not an identity.
"""

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from p2p.allowances import Allowances
from p2p.config import P2PConfig

_ALL_STRANGERS = "strangers"


class Doorstep:
    """The inbound connections of one node that have not finished their handshake."""

    def __init__(self, config: P2PConfig) -> None:
        self._pending_max = config.pending_max
        self._pending_per_address = config.pending_per_address
        self._strangers_max = config.pending_strangers
        self._pending: Counter[str] = Counter()
        self._strangers = 0
        self._of_address = Allowances[str](
            config.handshakes_per_second, config.handshakes_burst, config.addresses_max
        )
        self._of_strangers = Allowances[str](config.strangers_per_second, config.strangers_burst, 1)
        self._known_max = config.addresses_max
        self._known: OrderedDict[str, None] = OrderedDict()
        self._crowded = 0

    @property
    def pending(self) -> int:
        """Connections that have not finished the handshake."""
        return self._pending.total()

    def counters(self) -> dict[str, int]:
        """Connections closed at once: because too many had not finished the handshake, and because their
        address, or all strangers together, came too often."""
        hurried = self._of_address.refused + self._of_strangers.refused
        return {"refused_connections": self._crowded, "hurried_connections": hurried}

    def limits(self) -> dict[str, tuple[int, int]]:
        """Everything bounded in here: name -> (current size, bound)."""
        return {
            "pending_connections": (self.pending, self._pending_max),
            "pending_strangers": (self._strangers, self._strangers_max),
            "handshake_addresses": (len(self._of_address), self._of_address.keys_max),
            "known_addresses": (len(self._known), self._known_max),
        }

    def lets_in(self, source: str, now_ms: int) -> bool:
        """Whether a connection from `source` may begin its handshake."""
        crowded = self.pending >= self._pending_max or self._pending[source] >= self._pending_per_address
        if crowded or (source not in self._known and self._strangers >= self._strangers_max):
            self._crowded += 1
            return False
        if self._of_address.take(source, now_ms):
            return False
        return source in self._known or not self._of_strangers.take(_ALL_STRANGERS, now_ms)

    @contextmanager
    def waiting(self, source: str | None) -> Iterator[None]:
        """Counts an inbound connection while it is not admitted; None is a connection of our own making."""
        if source is None:
            yield
            return
        is_stranger = source not in self._known
        self._pending[source] += 1
        self._strangers += is_stranger
        try:
            yield
        finally:
            self._strangers -= is_stranger
            self._pending[source] -= 1
            if not self._pending[source]:
                del self._pending[source]

    def know(self, source: str) -> None:
        """A pinned key has proven itself from there."""
        self._known[source] = None
        self._known.move_to_end(source)
        if len(self._known) > self._known_max:
            self._known.popitem(last=False)


def address_group(host: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Network((address.packed[:8] + bytes(8), 64)))
    return host
