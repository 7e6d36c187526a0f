"""A node key that is rotated more than once, or back, while links under older keys are open or not."""

import pytest

from node.daemon.membership import Membership
from p2p import PeerId
from tests.node.daemon.test_membership import ADDRESS, ALLOWED, LATER, NEWCOMER, OWN, PEER, Pins

NAMES = ("own", "peer")


def keys_after(linked: set[PeerId], *rotated_to: PeerId) -> tuple[list[PeerId], frozenset[PeerId]]:
    """Who is dialled and who else is let in, after the peer's key became each of these in turn while `linked`
    were open, and they closed."""
    pins = Pins()
    members = Membership(
        pins, (ADDRESS,), frozenset((ALLOWED,)), OWN, is_linked=lambda peer: peer in pins.linked
    )
    pins.linked = linked
    for key in (PEER, *rotated_to):
        members.enter((OWN, key), NAMES)
    pins.linked = set()
    members.review()
    peers, allowed = pins.told[-1]
    return [peer.peer_id for peer in peers], allowed


@pytest.mark.parametrize("linked", [set(), {PEER}, {NEWCOMER}, {PEER, NEWCOMER}])
def test_a_key_that_was_rotated_twice_is_dialled_under_the_newest(linked: set[PeerId]) -> None:
    dialled, allowed = keys_after(linked, NEWCOMER, LATER)
    assert dialled == [LATER]
    assert not {PEER, NEWCOMER} & allowed


@pytest.mark.parametrize("linked", [set(), {PEER}, {NEWCOMER}, {PEER, NEWCOMER}])
def test_a_key_that_was_rotated_back_is_dialled_under_the_first(linked: set[PeerId]) -> None:
    dialled, allowed = keys_after(linked, NEWCOMER, PEER)
    assert dialled == [PEER]
    assert NEWCOMER not in allowed
