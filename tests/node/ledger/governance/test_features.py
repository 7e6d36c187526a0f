"""Features: the rules change at an epoch's border, for all at once, and who does not know them stops."""

from collections.abc import Sequence

import pytest

from consensus import CodecError, Epoch, encode
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.execution import BlockToExecute, Ledger
from node.ledger.features import (
    FEATURES,
    FEATURES_KEY,
    FEATURES_MAX,
    REVOCABLE_APPROVALS,
    Enabled,
    UpgradeNeeded,
    decode_features,
    encode_features,
    in_force,
    names_known,
)
from node.ledger.governance import app as governance
from node.ledger.governance.changes import CHANGES_MAX, EnableFeature, Reweigh, changes_of
from node.ledger.governance.door import require_known
from node.ledger.governance.proposals import Proposal, proposal_key
from node.ledger.state import Space
from tests.node.ledger.parliament import Parliament, operator, was_executed
from tests.node.ledger.world import Store, block_id

LATER = "something-of-a-later-release"


class Running(Parliament):
    """A cluster as software sees it that knows these features."""

    def __init__(self, known: Sequence[str] = (REVOCABLE_APPROVALS,)) -> None:
        super().__init__()
        self.ledger = Ledger(
            self.genesis.params, self.store, self.beginning.tip, known_features=known, name=self.genesis.name
        )
        self.blocks: list[BlockToExecute] = []

    def block(self, *transactions: object, after_ms: int = 1_000) -> BlockToExecute:
        made = super().block(*transactions, after_ms=after_ms)  # type: ignore[arg-type]  # handed through
        self.blocks.append(made)
        return made

    def enable(self, *names: str) -> None:
        proposal_id = self.propose(operator(0), *map(EnableFeature, names))
        assert was_executed(self.approve(proposal_id, 1, 2))

    def enabled(self) -> tuple[Enabled, ...]:
        return decode_features(self.store.get(Space.STATE, FEATURES_KEY))


@pytest.fixture
def world() -> Running:
    return Running()


def test_a_feature_ends_the_epoch_and_is_in_force_from_the_next_one_on(world: Running) -> None:
    before = world.ledger.roster
    assert not world.ledger.features
    world.enable(REVOCABLE_APPROVALS)
    header = world.ledger.tip.header
    assert header.epoch == 0
    assert header.next_validators_hash == world.ledger.roster.validator_set().hash()
    assert world.ledger.roster.validators == before.validators
    assert world.ledger.epoch == 1
    assert world.enabled() == (Enabled(REVOCABLE_APPROVALS, Epoch(1)),)
    assert world.ledger.features == (REVOCABLE_APPROVALS,)


def test_what_is_enabled_is_not_in_force_in_the_rest_of_its_own_block(world: Running) -> None:
    waiting = world.propose(operator(3), Reweigh("v3", 2))
    proposal_id = world.propose(operator(0), EnableFeature(REVOCABLE_APPROVALS))
    world.approve(proposal_id, 1)
    last = world.sign(operator(2), "approve", (proposal_id,), app="governance")
    early = world.sign(operator(3), "revoke", (waiting,), app="governance")
    receipts = world.run(last, early).receipts
    assert was_executed(receipts[0])
    assert receipts[1].status == Code.UNKNOWN_METHOD
    assert world.call(operator(3), "revoke", waiting).status == Code.OK


def test_a_method_that_is_not_in_force_is_refused_in_the_words_of_software_that_never_heard_of_it(
    world: Running,
) -> None:
    proposal_id = world.propose(operator(0), Reweigh("v3", 2))
    receipt = world.call(operator(0), "revoke", proposal_id)
    assert receipt.status == Code.UNKNOWN_METHOD
    assert receipt.result == (
        "governance has no method 'revoke', but propose, approve, withdraw, ready, execute"
    )


def test_software_of_every_release_comes_to_the_same_header_at_the_border(world: Running) -> None:
    world.enable(REVOCABLE_APPROVALS, LATER)
    border = world.ledger.tip
    older = Running(known=())
    for block in world.blocks:
        older.flush(older.ledger.execute(block))
    assert older.ledger.tip.header_hash == border.header_hash
    height = border.height + 1
    beyond = BlockToExecute(height, block_id(height), Epoch(1), older.now_ms + 1, ())
    with pytest.raises(
        UpgradeNeeded, match=rf"above height {border.height} with {REVOCABLE_APPROVALS}, {LATER}"
    ):
        older.ledger.begin(beyond)
    assert older.ledger.tip.header_hash == border.header_hash


def test_a_start_with_older_software_stops_and_one_with_newer_goes_on(world: Running) -> None:
    newer = Running(known=(REVOCABLE_APPROVALS, LATER))
    newer.enable(LATER)
    newer.execute()
    for known, stops in (((REVOCABLE_APPROVALS,), True), ((LATER,), False)):
        again = Ledger(newer.genesis.params, newer.store, newer.ledger.tip, known_features=known)
        if stops:
            with pytest.raises(UpgradeNeeded, match=LATER) as caught:
                again.require_known_features()
            assert caught.value.names == (LATER,)
        else:
            again.require_known_features()


def test_a_feature_is_enabled_once(world: Running) -> None:
    assert world.refused(operator(0), *[EnableFeature(REVOCABLE_APPROVALS)] * 2) == Code.NO_CHANGE
    waiting = world.propose(operator(1), EnableFeature(REVOCABLE_APPROVALS))
    world.enable(REVOCABLE_APPROVALS)
    assert world.refused(operator(0), EnableFeature(REVOCABLE_APPROVALS)) == Code.NO_CHANGE
    assert world.approve(waiting, 0).status == Code.OK
    assert world.approve(waiting, 2).status == Code.NO_CHANGE


def test_features_and_validators_change_at_one_border(world: Running) -> None:
    proposal_id = world.propose(operator(0), Reweigh("v3", 2), EnableFeature(REVOCABLE_APPROVALS))
    world.approve(proposal_id, 1, 2)
    assert world.ledger.roster.total_weight == 5
    assert world.ledger.features == (REVOCABLE_APPROVALS,)


def test_a_cluster_enables_a_bounded_number_of_features() -> None:
    names = [f"feature-{number}" for number in range(FEATURES_MAX)]
    world = Running(known=names)
    for start in range(0, FEATURES_MAX, CHANGES_MAX):
        world.enable(*names[start : start + CHANGES_MAX])
    assert len(world.enabled()) == FEATURES_MAX
    assert world.refused(operator(0), EnableFeature("one-more")) == Code.FEATURES_FULL


def test_an_approval_is_taken_back_and_counts_no_more(world: Running) -> None:
    world.enable(REVOCABLE_APPROVALS)
    proposal_id = world.propose(operator(0), Reweigh("v3", 2))
    world.approve(proposal_id, 1)
    receipt = world.call(operator(1), "revoke", proposal_id)
    assert receipt.result == (proposal_id, 0, 1, 4, 0)
    stored = world.store.get(Space.STATE, proposal_key(proposal_id))
    assert stored is not None
    assert Proposal.decode(stored).approvals == (operator(0).public_key,)
    assert not was_executed(world.approve(proposal_id, 2))
    assert was_executed(world.approve(proposal_id, 1))


def test_who_did_not_approve_has_nothing_to_take_back(world: Running) -> None:
    world.enable(REVOCABLE_APPROVALS)
    proposal_id = world.propose(operator(0), Reweigh("v3", 2))
    assert world.call(operator(1), "revoke", proposal_id).status == Code.NOT_APPROVED
    assert world.call(operator(1), "revoke", bytes(32)).status == Code.PROPOSAL_UNKNOWN
    world.approve(proposal_id, 1, 2)
    assert world.call(operator(0), "revoke", proposal_id).status == Code.PROPOSAL_EXECUTED


def test_a_node_takes_in_nothing_that_enables_what_it_does_not_know(world: Running) -> None:
    def get(key: bytes) -> bytes | None:
        return world.store.get(Space.STATE, key)

    proposed = (
        ((EnableFeature(LATER).to_value(),), 0),
        ((EnableFeature(REVOCABLE_APPROVALS).to_value(),), 0),
    )
    with pytest.raises(RejectedTransaction) as caught:
        require_known("propose", proposed[0], get, names_known())
    assert (caught.value.code, caught.value.detail) == (Code.FEATURE_UNKNOWN, LATER)
    require_known("propose", proposed[1], get, names_known())
    proposal_id = world.propose(operator(0), EnableFeature(LATER))
    with pytest.raises(RejectedTransaction, match=LATER):
        require_known("approve", (proposal_id,), get, names_known())
    require_known("approve", (proposal_id,), get, (LATER,))
    require_known("approve", (bytes(32),), get, ())
    require_known("withdraw", (proposal_id,), get, ())


def test_the_leaf_survives_its_encoding_and_refuses_what_is_none() -> None:
    enabled = (Enabled("one", Epoch(1)), Enabled("two", Epoch(3)))
    leaf = encode_features(enabled)
    assert leaf == encode((1, (("one", 1), ("two", 3))))
    assert decode_features(leaf) == enabled
    assert decode_features(None) == ()
    assert [in_force(enabled, epoch) for epoch in range(4)] == [(), ("one",), ("one",), ("one", "two")]
    for wrong in ((2, ()), (1, (("one",),)), (1, (("One", 1),)), (1, (("one", -1),)), (1,)):
        with pytest.raises(CodecError):
            decode_features(encode(wrong))


def test_every_feature_has_a_name_of_its_own_and_gates_something() -> None:
    names = [feature.name for feature in FEATURES]
    assert len(set(names)) == len(names)
    assert {feature for feature, _ in governance.FEATURED.values()} == set(names)


@pytest.mark.parametrize("change", [(16,), (16, ""), (16, "Upper"), (16, b"x"), (16, "a", "b"), (17, "a")])
def test_a_change_that_is_none_is_refused(change: tuple[object, ...]) -> None:
    with pytest.raises(CodecError):
        changes_of((change,))  # type: ignore[arg-type]  # the point of the test


def test_a_store_without_the_leaf_has_no_features() -> None:
    assert decode_features(Store().get(Space.STATE, FEATURES_KEY)) == ()
