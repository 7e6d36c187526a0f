"""Who calls: how many connections an address may hold, and how many requests it may make in a second.

Loopback is left alone unless the node is told otherwise: what runs on this machine is its owner's, and so
is a proxy in front of the door, which has to limit its own clients. A share of the connections is kept for
it: addresses that fill the door keep nobody on this machine from asking `isthmus why`. An IPv6 address counts
by its /64.
"""

import ipaddress
from collections import Counter
from functools import lru_cache

from node.api.faults import ApiFault, Fault, fault
from node.api.gauges import Gauges
from node.api.limits import ApiLimits
from p2p import Allowances, address_group

FORGERY_WAIT_MS = 60_000
"""How long forgeries may keep an address waiting at most."""
_LOOPBACK_SHARE = 16
"""One connection of so many is loopback's alone."""


class Visitors:
    """The addresses of one door's callers."""

    def __init__(self, limits: ApiLimits, gauges: Gauges) -> None:
        self._limits = limits
        self._gauges = gauges
        self._connections: Counter[str] = Counter()
        self._requests = Allowances[str](
            limits.requests_per_second, limits.requests_burst, limits.addresses_max
        )

    @property
    def from_elsewhere_max(self) -> int:
        """Connections that all addresses but loopback may hold together."""
        return self._limits.connections_max - self._limits.connections_max // _LOOPBACK_SHARE

    def enter(self, host: str) -> bool:
        """Whether one more connection from `host` may be opened; `leave` must follow if so."""
        if self._is_free(host):
            return True
        address = address_group(host)
        if self._connections[address] >= self._limits.connections_per_address:
            self._gauges.refuse("address")
            return False
        if self._connections.total() >= self.from_elsewhere_max:
            self._gauges.refuse("connections")
            return False
        self._connections[address] += 1
        return True

    def leave(self, host: str) -> None:
        """A connection that was let in is over."""
        if self._is_free(host):
            return
        address = address_group(host)
        self._connections[address] -= 1
        if not self._connections[address]:
            del self._connections[address]

    def refusal(self, host: str, now_ms: int) -> ApiFault | None:
        """Why a request from `host` is not answered now; its connection is closed with the answer."""
        if self._is_free(host):
            return None
        wait_ms = self._requests.take(address_group(host), now_ms)
        self._gauges.addresses = len(self._requests)
        if not wait_ms:
            return None
        self._gauges.refuse("rate")
        most, burst = self._limits.requests_per_second, self._limits.requests_burst
        return fault(
            Fault.RATE_LIMITED,
            f"This address may make {most} requests a second, and {burst} at once after a pause.",
            retry_after_ms=wait_ms,
        )

    def charge(self, host: str, forged: int, now_ms: int) -> None:
        """An address brought so many transactions whose signature is not their sender's: each costs as much
        of its allowance as a request, for it cost us a signature check."""
        if not self._is_free(host):
            self._requests.charge(address_group(host), now_ms, forged, FORGERY_WAIT_MS)

    def _is_free(self, host: str) -> bool:
        return not self._limits.limits_loopback and _is_loopback(host)


@lru_cache(maxsize=256)
def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
