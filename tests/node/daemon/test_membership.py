"""The roster's keys are accepted from its epoch on, and who left is kept while the process runs."""

from collections.abc import Iterable
from dataclasses import replace

from consensus import Epoch, PublicKey
from node.daemon.membership import KEPT_MAX, Membership, founders_of, renamed
from node.ledger.roster import Roster
from p2p import PeerAddress, PeerId
from tests.node.ledger.world import make_genesis

OWN, PEER, ALLOWED = (PeerId(bytes((number,)) * 32) for number in (1, 2, 3))
NEWCOMER, LATER = PeerId(b"\x04" * 32), PeerId(b"\x05" * 32)
ADDRESS = PeerAddress(PEER, "peer", "127.0.0.1", 27_610)


class Pins:
    """What a network is told to accept."""

    def __init__(self) -> None:
        self.told: list[tuple[tuple[PeerAddress, ...], frozenset[PeerId]]] = []
        self.linked: set[PeerId] = set()

    def update_members(self, peers: Iterable[PeerAddress], allowed: Iterable[PeerId] = ()) -> None:
        self.told.append((tuple(peers), frozenset(allowed)))


def membership() -> tuple[Membership, Pins]:
    pins = Pins()
    members = Membership(
        pins, (ADDRESS,), frozenset((ALLOWED,)), OWN, is_linked=lambda peer: peer in pins.linked
    )
    return members, pins


def test_known_keys_change_nothing_and_we_are_not_told_to_ourselves() -> None:
    members, pins = membership()
    assert members.enter((OWN, PEER, ALLOWED)) == (PEER, ALLOWED)
    assert pins.told == []


def test_a_newcomer_is_accepted_and_who_left_stays_accepted() -> None:
    members, pins = membership()
    assert members.enter((OWN, PEER, NEWCOMER)) == (PEER, NEWCOMER)
    assert pins.told == [((ADDRESS,), frozenset((ALLOWED, NEWCOMER)))]
    assert members.enter((OWN, PEER, LATER)) == (PEER, LATER)
    assert pins.told[-1] == ((ADDRESS,), frozenset((ALLOWED, NEWCOMER, LATER)))
    assert members.enter((OWN, NEWCOMER)) == (NEWCOMER,)
    assert len(pins.told) == 2


def test_an_observer_that_became_a_validator_stays_when_the_operator_clears_the_list() -> None:
    pins = Pins()
    members = Membership(pins, (ADDRESS,), frozenset((ALLOWED, NEWCOMER)), OWN, (ALLOWED, NEWCOMER))
    members.enter((OWN, PEER, NEWCOMER))
    members.allow(())
    assert pins.told == [((ADDRESS,), frozenset((NEWCOMER,)))], "the observer goes, the validator stays"


def test_what_is_kept_is_bounded() -> None:
    members, pins = membership()
    for number in range(KEPT_MAX + 8):
        members.enter((number.to_bytes(32, "big"),))
    assert len(pins.told[-1][1]) == KEPT_MAX + 1


def test_a_rotated_key_is_neither_let_in_nor_listed_once_its_link_is_closed() -> None:
    members, pins = membership()
    pins.linked = {ALLOWED, PEER}
    members.enter((OWN, PEER, ALLOWED), ("own", "peer", "allowed"))
    members.enter((OWN, PEER, NEWCOMER), ("own", "peer", "allowed"))
    assert pins.told[-1] == ((ADDRESS,), frozenset((ALLOWED, NEWCOMER))), "it has to hear of its new epoch"
    pins.linked = {PEER}
    assert members.review()
    assert pins.told[-1] == ((ADDRESS,), frozenset((NEWCOMER,)))
    assert not members.review()
    members.allow((ALLOWED, LATER))
    assert pins.told[-1] == ((ADDRESS,), frozenset((NEWCOMER, LATER))), "not by an old list either"


def test_a_rotated_key_goes_as_soon_as_the_new_one_is_linked() -> None:
    members, pins = membership()
    members.enter((OWN, PEER, ALLOWED), ("own", "peer", "allowed"))
    pins.linked = {ALLOWED}
    members.enter((OWN, PEER, NEWCOMER), ("own", "peer", "allowed"))
    pins.linked = {ALLOWED, NEWCOMER}
    assert members.review()
    assert pins.told[-1] == ((ADDRESS,), frozenset((NEWCOMER,)))


def test_whom_we_dial_is_dialled_under_its_new_key() -> None:
    members, pins = membership()
    members.enter((OWN, PEER, ALLOWED), ("own", "peer", "allowed"))
    members.enter((OWN, NEWCOMER, ALLOWED), ("own", "peer", "allowed"))
    moved = PeerAddress(NEWCOMER, "peer", "127.0.0.1", 27_610)
    assert pins.told[-1] == ((moved,), frozenset((ALLOWED,)))
    members.enter((OWN, PEER, ALLOWED), ("own", "peer", "allowed"))
    assert pins.told[-1] == ((ADDRESS,), frozenset((ALLOWED,))), "and back, when governance takes it back"


def test_our_own_rotated_key_stays_until_this_process_ends() -> None:
    members, pins = membership()
    members.enter((OWN, PEER, ALLOWED), ("own", "peer", "allowed"))
    assert members.enter((NEWCOMER, PEER, ALLOWED), ("own", "peer", "allowed")) == (NEWCOMER, PEER, ALLOWED)
    assert pins.told[-1] == ((ADDRESS,), frozenset((ALLOWED, NEWCOMER)))


def test_who_swapped_keys_with_another_is_nobody_less() -> None:
    members, pins = membership()
    members.enter((OWN, PEER, ALLOWED), ("own", "peer", "allowed"))
    members.enter((OWN, ALLOWED, PEER), ("own", "peer", "allowed"))
    assert pins.told == []


def test_a_start_in_a_later_epoch_accepts_of_the_genesis_keys_only_those_that_are_still_listed() -> None:
    genesis = make_genesis(None)
    records = genesis.roster().validators
    keys = [PeerId(bytes(record.node_key)) for record in records]
    assert founders_of(genesis, None) == (frozenset(keys), {})
    fresh = PublicKey(bytes(LATER))
    stored = Roster(Epoch(3), (records[0], replace(records[1], node_key=fresh), *records[3:]))
    kept, rotated = founders_of(genesis, stored)
    assert kept == frozenset((keys[0], *keys[3:])), "one was rotated, one has left"
    assert rotated == {keys[1]: LATER}
    there = PeerAddress(keys[1], "second", "h", 1)
    assert renamed((there, ADDRESS), rotated, OWN) == (replace(there, peer_id=LATER), ADDRESS)
    assert renamed((there, ADDRESS), rotated, LATER) == (ADDRESS,), "nobody dials himself"
