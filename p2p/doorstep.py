"""Who may begin a handshake: strangers are bounded in number and in how often, before they cost anything.

A handshake costs about 5 ms of CPU, the one thing that somebody without a key can make us spend. So it is
rationed: each address has its own allowance, and addresses that no pinned key has come from lately share
one more. They share a part of the places to wait in, too, or four of them that say nothing would fill all.
A flood from many addresses therefore keeps no peer out that was here before, and we dial peers ourselves,
too. An address that comes too often is closed at once and not scored: it is not an identity.

Pinned keys may be hostile as well, and have what they are let in for: places to wait in are shared out evenly
among addresses once they are all taken, whoever holds most gives its oldest up; and one key makes few
addresses known, so that it cannot push out those that other keys came from.
"""

import ipaddress
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from p2p.allowances import Allowances
from p2p.config import P2PConfig
from p2p.identity import PeerId

_ALL_STRANGERS = "strangers"


@dataclass(eq=False, slots=True)
class _Place:
    """One connection that has not finished its handshake."""

    source: str
    is_stranger: bool
    give_up: Callable[[], None]


class KnownAddresses:
    """From where pinned keys have come: a few addresses a key, the newest; of other clusters' keys the oldest
    go first when the table is full, of members' last."""

    def __init__(self, addresses_max: int, per_key: int) -> None:
        self.addresses_max = addresses_max
        self._per_key = per_key
        self._seen: OrderedDict[tuple[PeerId, str], bool] = OrderedDict()
        self._of_key: dict[PeerId, deque[str]] = {}
        self._keys_at: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._seen)

    def __contains__(self, source: str) -> bool:
        return source in self._keys_at

    def add(self, source: str, key: PeerId, *, is_member: bool) -> None:
        """This key has proven itself from there."""
        if (key, source) in self._seen:
            self._remove(key, source)
        elif len(self._of_key.get(key, ())) >= self._per_key:
            self._remove(key, self._of_key[key][0])
        elif len(self._seen) >= self.addresses_max:
            of_others = (entry for entry, member in self._seen.items() if not member)
            self._remove(*next(of_others, next(iter(self._seen))))
        self._seen[key, source] = is_member
        self._of_key.setdefault(key, deque()).append(source)
        self._keys_at[source] += 1

    def forget(self, key: PeerId) -> None:
        """The key is pinned no more: where it came from is as strange as anywhere."""
        for source in tuple(self._of_key.get(key, ())):
            self._remove(key, source)

    def _remove(self, key: PeerId, source: str) -> None:
        del self._seen[key, source]
        self._of_key[key].remove(source)
        if not self._of_key[key]:
            del self._of_key[key]
        self._keys_at[source] -= 1
        if not self._keys_at[source]:
            del self._keys_at[source]


class Doorstep:
    """The inbound connections of one node that have not finished their handshake."""

    def __init__(self, config: P2PConfig) -> None:
        self._pending_max = config.pending_max
        self._pending_per_address = config.pending_per_address
        self._strangers_max = config.pending_strangers
        self._held: dict[str, deque[_Place]] = {}
        self._pending = self._strangers = 0
        self._of_address = Allowances[str](
            config.handshakes_per_second, config.handshakes_burst, config.addresses_max
        )
        self._of_strangers = Allowances[str](config.strangers_per_second, config.strangers_burst, 1)
        self.known = KnownAddresses(config.addresses_max, config.addresses_per_key)
        """Told by whoever authenticates keys."""
        self._crowded = self._displaced = 0

    @property
    def pending(self) -> int:
        """Connections that have not finished the handshake."""
        return self._pending

    def counters(self) -> dict[str, int]:
        """Connections closed at once: because too many had not finished the handshake, and because their
        address, or all strangers together, came too often; and those closed for others that came."""
        hurried = self._of_address.refused + self._of_strangers.refused
        return {
            "refused_connections": self._crowded,
            "hurried_connections": hurried,
            "displaced_connections": self._displaced,
        }

    def limits(self) -> dict[str, tuple[int, int]]:
        """Everything bounded in here: name -> (current size, bound)."""
        return {
            "pending_connections": (self.pending, self._pending_max),
            "pending_strangers": (self._strangers, self._strangers_max),
            "handshake_addresses": (len(self._of_address), self._of_address.keys_max),
            "known_addresses": (len(self.known), self.known.addresses_max),
        }

    def lets_in(self, source: str, now_ms: int) -> bool:
        """Whether a connection from `source` may begin its handshake; another one may have to end for it."""
        held, is_stranger = len(self._held.get(source, ())), source not in self.known
        is_crowded, rival = held >= self._pending_per_address, None
        if self._pending >= self._pending_max or (is_stranger and self._strangers >= self._strangers_max):
            rival = self._greediest(strangers_only=is_stranger)
            is_crowded = is_crowded or rival is None or len(rival) <= held + 1
        if is_crowded:
            self._crowded += 1
            return False
        if self._of_address.take(source, now_ms):
            return False
        if is_stranger and self._of_strangers.take(_ALL_STRANGERS, now_ms):
            return False
        if rival:
            self._displaced += 1
            oldest = rival[0]
            self._release(oldest)
            oldest.give_up()
        return True

    @contextmanager
    def waiting(self, source: str | None, give_up: Callable[[], None]) -> Iterator[None]:
        """Counts an inbound connection while it is not admitted; None is a connection of our own making.
        `give_up` is called when another one gets its place."""
        if source is None:
            yield
            return
        place = _Place(source, source not in self.known, give_up)
        self._held.setdefault(source, deque()).append(place)
        self._pending += 1
        self._strangers += place.is_stranger
        try:
            yield
        finally:
            self._release(place)

    def _release(self, place: _Place) -> None:
        """Once: whose place was given away holds none when it ends."""
        places = self._held.get(place.source)
        if places is None or place not in places:
            return
        places.remove(place)
        if not places:
            del self._held[place.source]
        self._pending -= 1
        self._strangers -= place.is_stranger

    def _greediest(self, *, strangers_only: bool) -> deque[_Place] | None:
        """The places of the address that holds most."""
        rivals = (places for places in self._held.values() if places[0].is_stranger or not strangers_only)
        return max(rivals, key=len, default=None)


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
