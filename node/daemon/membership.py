"""Whose links this node accepts, and to whom it broadcasts: the roster of the epoch, beside what its operator
configured (C4, C18).

Who joins was connected as an observer before, and stays connected. Who left is kept for as long as this
process runs: it may not have heard yet that its epoch is over, and it serves history. A node key that its
validator gave up for another one (a rotation) is kept only while its link is open and the new one has none:
the node that still runs under it has to learn that it is a new epoch. Then it is neither let in nor listed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from node.genesis import Genesis
from node.ledger.roster import Roster
from p2p import PeerAddress, PeerId

KEPT_MAX = 512
"""Node keys accepted beyond those of configuration and genesis, the newest: four full rosters. As many
rotated ones are remembered."""

_log = structlog.get_logger("isthmus")


class Pins(Protocol):
    """The network, as membership sees it."""

    def update_members(self, peers: Iterable[PeerAddress], allowed: Iterable[PeerId] = ()) -> None:
        """Accept exactly these from now on, and dial the first."""


class Membership:
    """The pinned keys: `peers` and `allowed` come from configuration and genesis, and stay until a key among
    them is rotated."""

    def __init__(
        self,
        network: Pins,
        peers: Sequence[PeerAddress],
        allowed: frozenset[PeerId],
        own: PeerId,
        configured: Iterable[PeerId] = (),
        is_linked: Callable[[PeerId], bool] = lambda _peer: False,
    ) -> None:
        """`configured` are those of `allowed` that the operator may take back (`allow`); `is_linked` says
        whether a peer's link is open."""
        self._network = network
        self._is_linked = is_linked
        self._peers = tuple(peers)
        self._own = own
        self._founders = frozenset(allowed - frozenset(configured))
        self._allowed = allowed
        self._kept: dict[PeerId, None] = {}
        self._members: tuple[PeerId, ...] = ()
        self._names: dict[str, PeerId] = {}
        self._leaving: dict[PeerId, PeerId] = {}  # a rotated key, and what it was rotated to
        self._rotated: dict[PeerId, None] = {}
        self._count_pinned()

    def allow(self, keys: Iterable[PeerId]) -> None:
        """The operator's list is another: accept exactly these beside peers, genesis and roster. Who joined
        as an observer and is a validator now stays, on the list or not."""
        wanted = (key for key in keys if key not in self._reserved and key not in self._rotated)
        self._allowed = self._founders | frozenset(wanted)
        self._count_pinned()
        for peer in self._pinned:
            self._kept.pop(peer, None)
        self._kept |= {peer: None for peer in self._members if peer not in self._pinned}
        self._pin()

    def enter(self, validators: tuple[bytes, ...], names: Sequence[str] = ()) -> tuple[PeerId, ...]:
        """An epoch begins with these validators' node keys, and their names in the same order: accept them;
        answers with all but ourselves."""
        members = self._members = tuple(PeerId(key) for key in validators)
        self._note_rotations(dict(zip(names, members, strict=False)))
        unknown = [peer for peer in members if peer not in self._pinned]
        newcomers = [peer for peer in unknown if peer not in self._kept]
        for peer in unknown:
            self._kept.pop(peer, None)
            self._kept[peer] = None
        while len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        if not self.review() and newcomers:
            self._pin()
        return tuple(peer for peer in members if peer != self._own)

    def review(self) -> bool:
        """Give up rotated keys that no link needs any more; whether there were any."""
        gone = [
            (old, new)
            for old, new in self._leaving.items()
            if self._is_linked(new) or not self._is_linked(old)
        ]
        for old, new in gone:
            del self._leaving[old]
            self._kept.pop(old, None)
            self._rotated[old] = None
            self._peers = renamed(self._peers, {old: new}, self._own)
            _log.info("rotated_key_given_up", old=old.hex()[:12], new=new.hex()[:12])
        while len(self._rotated) > KEPT_MAX:
            del self._rotated[next(iter(self._rotated))]
        if gone:
            self._founders -= self._rotated.keys()
            self._allowed -= self._rotated.keys()
            self._count_pinned()
            self._pin()
        return bool(gone)

    def _note_rotations(self, names: dict[str, PeerId]) -> None:
        before, self._names = self._names, names
        members = set(self._members)
        for name, key in names.items():
            old = before.get(name, key)
            if old not in members and old != self._own:
                for earlier, later in self._leaving.items():
                    if later == old:  # rotated again while the link under its first key is open
                        self._leaving[earlier] = key
                self._leaving[old] = key
        for key in self._members:  # governance may take a rotation back
            self._leaving.pop(key, None)
            self._rotated.pop(key, None)

    def _count_pinned(self) -> None:
        self._reserved = {self._own, *(address.peer_id for address in self._peers)}
        self._pinned = {*self._reserved, *self._allowed}

    def _pin(self) -> None:
        self._network.update_members(self._peers, {*self._allowed, *self._kept} - self._reserved)


def renamed(peers: Sequence[PeerAddress], keys: dict[PeerId, PeerId], own: PeerId) -> tuple[PeerAddress, ...]:
    """The peers to dial, under the keys that `keys` says theirs were rotated to; none of them twice."""
    found: dict[PeerId, PeerAddress] = {}
    for peer in peers:
        key = keys.get(peer.peer_id, peer.peer_id)
        if key != own or peer.peer_id == own:
            found.setdefault(key, peer if key == peer.peer_id else replace(peer, peer_id=key))
    return tuple(found.values())


def founders_of(genesis: Genesis, roster: Roster | None) -> tuple[frozenset[PeerId], dict[PeerId, PeerId]]:
    """What the genesis' node keys are in the newest epoch that is stored: those to accept still, and what the
    rotated ones were rotated to. A founder that left is let in by configuration, like anybody who left."""
    keys = {validator.name: PeerId(validator.node_key) for validator in genesis.validators}
    if roster is None:
        return frozenset(keys.values()), {}
    now = {record.name: PeerId(bytes(record.node_key)) for record in roster.validators}
    listed = frozenset(now.values())
    rotated = {key: now[name] for name, key in keys.items() if name in now and key not in listed}
    return frozenset(keys.values()) & listed, rotated
