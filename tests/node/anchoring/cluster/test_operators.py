"""Operators: a client learns of new admin keys from the roster that it can prove, and from no other."""

from dataclasses import replace

import pytest

from consensus import Epoch, SignatureCache, encode
from node.anchoring.client.lightclient import recover, renew_operators, retire
from node.anchoring.client.state import ClientState
from node.anchoring.cluster import operators
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.refusals import Code, Refused
from node.ledger.roster import ROSTER_BYTES_MAX, ROSTER_KEY, ROSTER_VERSION, Roster, ValidatorRecord
from tests.node.anchoring.chains import Chain, Keys, Tree, key, keys
from tests.node.anchoring.client.test_lightclient import active

NEW = keys("new/operator")


def roster(validators: Keys, epoch: int, admins: Keys = NEW) -> bytes:
    """As the ledger writes it."""
    records = tuple(
        ValidatorRecord(f"node-{i}", "port", v.public_key, key("node", i).public_key, v.weight, o.public_key)
        for i, (v, o) in enumerate(zip(validators.members, admins.members, strict=True))
    )
    return Roster(Epoch(epoch), records).encode()


def anchored(leaf: bytes) -> tuple[ClientState, Tree]:
    """A client in epoch 1 whose tip's state holds this roster."""
    tree = Tree({ROSTER_KEY: leaf, b"records/a": b"1"})
    chain = Chain().grow(2, next_set=keys("harbour", first=1)).grow(2, state_root=tree.root)
    return active(chain, 4), tree


def refused(state: ClientState, leaf: bytes, tree: Tree) -> Code:
    with pytest.raises(Refused) as caught:
        renew_operators(state, leaf, tree.prove(ROSTER_KEY))
    return caught.value.code


def test_the_roster_is_read_here_as_the_ledger_writes_it() -> None:
    assert (operators.ROSTER_KEY, operators.ROSTER_VERSION) == (ROSTER_KEY, ROSTER_VERSION)
    assert operators.ROSTER_BYTES_MAX == ROSTER_BYTES_MAX
    signers, admins = operators.read_roster(roster(keys("harbour"), 3))
    assert (signers, admins) == (keys("harbour").set(3), NEW.set(3))


def test_a_proven_roster_of_the_clients_own_set_renews_the_operators_and_nothing_else() -> None:
    leaf = roster(keys("harbour", first=1), 1)
    state, tree = anchored(leaf)
    renewed = renew_operators(state, leaf, tree.prove(ROSTER_KEY))
    assert renewed == replace(state, operators=NEW.set(0))
    assert ClientState.decode(renewed.encode()) == renewed


@pytest.mark.parametrize(
    "leaf",
    [
        roster(keys("harbour", first=1), 2),
        roster(keys("harbour", first=2), 1),
        roster(keys("harbour", (1, 1, 1, 2), first=1), 1),
        encode((1, 1, ())),
        encode((2, 1, ())),
        b"\xc1",
    ],
)
def test_a_roster_of_another_epoch_set_or_shape_is_refused_although_it_is_proven(leaf: bytes) -> None:
    state, tree = anchored(leaf)
    assert refused(state, leaf, tree) is Code.ROSTER_MISMATCH


def test_a_roster_that_the_anchored_state_does_not_hold_is_refused() -> None:
    leaf = roster(keys("harbour", first=1), 1)
    state, tree = anchored(leaf)
    forged = roster(keys("harbour", first=1), 1, keys("thief"))
    assert refused(state, forged, tree) is Code.ROSTER_MISMATCH
    assert refused(state, forged, Tree({ROSTER_KEY: forged})) is Code.ROSTER_MISMATCH
    with pytest.raises(Refused):
        renew_operators(state, leaf, tree.prove(b"records/a"))


def test_a_frozen_client_learns_of_no_operators_from_those_it_convicted() -> None:
    leaf = roster(keys("harbour", first=1), 1)
    state, tree = anchored(leaf)
    assert refused(replace(state, status=ClientStatus.FROZEN), leaf, tree) is Code.CLIENT_FROZEN
    assert refused(retire(state), leaf, tree) is Code.CLIENT_RETIRED


def test_a_roster_from_before_a_recovery_is_refused_although_its_epoch_and_set_are_those_of_now() -> None:
    """The base ended its epoch: the roster in its state is of the next one, and of the set that follows."""
    following = keys("harbour", first=1)
    leaf = roster(following, 1, keys("thief"))
    tree = Tree({ROSTER_KEY: leaf})
    chain = Chain().grow(3).grow(1, next_set=following, state_root=tree.root)
    admins = keys("harbour/operator", first=10)
    recovery = chain.recovery(4, following, admins, (0, 1, 2))
    state = recover(active(chain, 4), recovery, chain.now_ms, SignatureCache())
    assert (state.epoch, state.validators) == (1, following.set(1))
    assert refused(state, leaf, tree) is Code.ROSTER_MISMATCH
    assert state.operators == admins.set(1)
