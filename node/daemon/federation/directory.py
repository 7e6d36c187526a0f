"""Who is a node of another cluster, and where it is dialled.

Keys come from the newest roster that the cluster's anchored state proved (before the first, from the genesis
body with which our operators admitted it), and from the addresses that they wrote down; an address of this
node's configuration says where such a key is found, never whose it is. Of each cluster f + 1 nodes are
dialled, beginning at a different one on every validator of ours; the others are accepted when they dial.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from node.ledger.federation.records import Address
from p2p import ForeignPeer, PeerAddress, PeerId


@dataclass(frozen=True, slots=True)
class ConfiguredAddress:
    """Where the operator of this node says that a node of another cluster is found."""

    cluster_id: bytes
    node_key: bytes
    host: str
    port: int


def foreign_peers(
    cluster_id: bytes,
    name: str,
    node_keys: Sequence[bytes],
    written: Sequence[Address],
    configured: Iterable[ConfiguredAddress],
    *,
    first_dialled: int | None,
) -> tuple[ForeignPeer, ...]:
    """The nodes of one cluster in the order of their keys; dialled are f + 1 of those with an address, from
    `first_dialled` on, or none. Configuration overrides the address that operators wrote down."""
    places = {bytes(address.node_key): (address.host, address.port) for address in written}
    known = {*node_keys, *places}
    for entry in configured:
        if entry.cluster_id == cluster_id and entry.node_key in known:
            places[entry.node_key] = (entry.host, entry.port)
    dialled = frozenset(_window(sorted(places), first_dialled, len(known) // 3 + 1))
    found = []
    for position, key in enumerate(sorted(known)):
        address = None
        if key in dialled:
            address = PeerAddress(PeerId(key), f"{name}/{position}", *places[key])
        found.append(ForeignPeer(PeerId(key), cluster_id, address))
    return tuple(found)


def _window(keys: Sequence[bytes], first: int | None, count: int) -> tuple[bytes, ...]:
    """`count` of `keys`, going round from position `first`."""
    if first is None or not keys:
        return ()
    return tuple(keys[(first + step) % len(keys)] for step in range(min(count, len(keys))))
