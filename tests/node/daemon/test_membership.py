"""The roster's keys are accepted from its epoch on, and who left is kept while the process runs."""

from collections.abc import Iterable

from node.daemon.membership import KEPT_MAX, Membership
from p2p import PeerAddress, PeerId

OWN, PEER, ALLOWED = (PeerId(bytes((number,)) * 32) for number in (1, 2, 3))
NEWCOMER, LATER = PeerId(b"\x04" * 32), PeerId(b"\x05" * 32)
ADDRESS = PeerAddress(PEER, "peer", "127.0.0.1", 27_610)


class Pins:
    """What a network is told to accept."""

    def __init__(self) -> None:
        self.told: list[tuple[tuple[PeerAddress, ...], frozenset[PeerId]]] = []

    def update_members(self, peers: Iterable[PeerAddress], allowed: Iterable[PeerId] = ()) -> None:
        self.told.append((tuple(peers), frozenset(allowed)))


def membership() -> tuple[Membership, Pins]:
    pins = Pins()
    return Membership(pins, (ADDRESS,), frozenset((ALLOWED,)), OWN), pins


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
