"""Whose links this node accepts, and to whom it broadcasts: the roster of the epoch, beside what its operator
configured (C4, C18).

Who joins was connected as an observer before, and stays connected. Who left is kept for as long as this
process runs: it may not have heard yet that its epoch is over, and it serves history.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from p2p import PeerAddress, PeerId

KEPT_MAX = 512
"""Node keys accepted beyond those of configuration and genesis, the newest: four full rosters."""


class Pins(Protocol):
    """The network, as membership sees it."""

    def update_members(self, peers: Iterable[PeerAddress], allowed: Iterable[PeerId] = ()) -> None:
        """Accept exactly these from now on, and dial the first."""


class Membership:
    """The pinned keys: `peers` and `allowed` come from configuration and genesis, and stay."""

    def __init__(
        self,
        network: Pins,
        peers: Sequence[PeerAddress],
        allowed: frozenset[PeerId],
        own: PeerId,
        configured: Iterable[PeerId] = (),
    ) -> None:
        """`configured` are those of `allowed` that the operator may take back (`allow`)."""
        self._network = network
        self._peers = tuple(peers)
        dialled = {address.peer_id for address in peers}
        self._founders = frozenset(allowed - frozenset(configured))
        self._reserved = {own, *dialled}
        self._allowed = allowed
        self._own = own
        self._pinned = {own, *allowed, *dialled}
        self._kept: dict[PeerId, None] = {}
        self._members: tuple[PeerId, ...] = ()

    def allow(self, keys: Iterable[PeerId]) -> None:
        """The operator's list is another: accept exactly these beside peers, genesis and roster. Who joined
        as an observer and is a validator now stays, on the list or not."""
        self._allowed = self._founders | frozenset(key for key in keys if key not in self._reserved)
        self._pinned = {*self._reserved, *self._allowed}
        for peer in self._pinned:
            self._kept.pop(peer, None)
        self._kept |= {peer: None for peer in self._members if peer not in self._pinned}
        self._network.update_members(self._peers, {*self._allowed, *self._kept})

    def enter(self, validators: tuple[bytes, ...]) -> tuple[PeerId, ...]:
        """An epoch begins with these validators' node keys: accept them; answers with all but ourselves."""
        members = self._members = tuple(PeerId(key) for key in validators)
        unknown = [peer for peer in members if peer not in self._pinned]
        newcomers = [peer for peer in unknown if peer not in self._kept]
        for peer in unknown:
            self._kept.pop(peer, None)
            self._kept[peer] = None
        while len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        if newcomers:
            self._network.update_members(self._peers, {*self._allowed, *self._kept})
        return tuple(peer for peer in members if peer != self._own)
