"""Governance: who may change the cluster, when it takes effect, and everything that is refused (F13, C4)."""

from dataclasses import replace

import pytest

from consensus import Epoch, LocalError, PublicKey, Value
from node.ledger.codes import Code
from node.ledger.execution import BlockToExecute
from node.ledger.governance.changes import (
    AddValidator,
    RemoveMember,
    RemoveValidator,
    Reweigh,
    RotateKeys,
    SetMember,
    SetPolicy,
)
from node.ledger.governance.history import RECENT_KEY, RECENT_MAX
from node.ledger.governance.proposals import (
    OPEN_KEY,
    OPEN_MAX,
    OPEN_PER_OPERATOR_MAX,
    PROPOSAL_LIFETIME_MS,
    READY_LIFETIME_MS,
    decode_open,
)
from node.ledger.members import ORGANISATIONS_KEY, Member, find_member, organisations_of
from node.ledger.policy import Policy
from node.ledger.roster import ROSTER_KEY, Roster
from node.ledger.state import Space
from tests.node.ledger.parliament import (
    Parliament,
    consensus,
    joining,
    operator,
    record,
    was_executed,
)
from tests.node.ledger.world import ALICE, BOB, STRANGER, block_id, key_of


@pytest.fixture
def world() -> Parliament:
    return Parliament()


# --- taking effect ---------------------------------------------------------------------------------


def test_more_than_two_thirds_of_the_weight_change_the_validators_and_end_the_epoch(
    world: Parliament,
) -> None:
    proposal_id = world.propose(operator(0), Reweigh("v3", 2))
    assert not was_executed(world.approve(proposal_id, 1))
    before = world.ledger.tip.header
    assert before.next_validators_hash is None
    execution = world.run(world.sign(operator(2), "approve", (proposal_id,), app="governance"))
    assert was_executed(execution.receipts[0])
    assert execution.next_roster is not None
    assert execution.next_roster.epoch == 1
    assert [v.weight for v in execution.next_roster.validators] == [1, 1, 1, 2]
    assert execution.header.next_validators_hash == execution.next_roster.validator_set().hash()
    assert execution.header.validators_hash == before.validators_hash
    assert execution.header.epoch == 0
    assert world.ledger.epoch == 1
    assert world.ledger.roster == execution.next_roster
    assert world.store.get(Space.STATE, ROSTER_KEY) == execution.next_roster.encode()
    after = world.run()
    assert after.header.epoch == 1
    assert after.next_roster is None
    assert after.header.validators_hash == execution.header.next_validators_hash
    assert after.header.next_validators_hash is None


def test_weight_counts_and_not_heads() -> None:
    world = Parliament(5, 1, 1, 1)
    proposal_id = world.propose(operator(1), Reweigh("v1", 2))
    assert not was_executed(world.approve(proposal_id, 2, 3))
    assert was_executed(world.approve(proposal_id, 0))


def test_exactly_two_thirds_are_not_enough() -> None:
    world = Parliament(1, 1, 1)
    proposal_id = world.propose(operator(0), Reweigh("v0", 2))
    assert not was_executed(world.approve(proposal_id, 1))
    assert was_executed(world.approve(proposal_id, 2))


def test_the_only_operator_decides_alone() -> None:
    world = Parliament(1)
    world.propose(operator(0), Reweigh("v0", 7))
    assert world.epoch == 1


def test_blocks_of_the_ended_epoch_yield_no_header(world: Parliament) -> None:
    world.approve(world.propose(operator(0), Reweigh("v3", 2)), 1, 2)
    assert world.ledger.skips(Epoch(0))
    assert not world.ledger.skips(Epoch(1))
    height = world.ledger.tip.height + 1
    with pytest.raises(LocalError, match="of epoch 0, expected 1"):
        world.ledger.begin(BlockToExecute(height, block_id(height), 0, world.now_ms + 1, ()))


def test_the_rest_of_the_reconfiguring_block_is_executed(world: Parliament) -> None:
    proposal_id = world.propose(operator(0), RemoveValidator("v3"))
    world.approve(proposal_id, 1)
    execution = world.run(
        world.sign(operator(2), "approve", (proposal_id,), app="governance"), world.put(ALICE, "acme/late")
    )
    assert [receipt.status for receipt in execution.receipts] == [Code.OK, Code.OK]
    assert execution.next_roster is not None


def test_a_second_change_in_one_block_waits_and_anybody_known_completes_it_later(world: Parliament) -> None:
    first = world.propose(operator(0), Reweigh("v2", 2))
    second = world.propose(operator(1), Reweigh("v1", 2))
    for proposal_id in (first, second):
        world.approve(proposal_id, 2)
    execution = world.run(
        world.sign(operator(3), "approve", (first,), app="governance"),
        world.sign(operator(3), "approve", (second,), app="governance"),
        world.sign(ALICE, "execute", (second,), app="governance"),
    )
    assert [was_executed(receipt) for receipt in execution.receipts] == [True, False, False]
    assert execution.receipts[2].status == Code.NOT_DUE
    assert execution.next_roster is not None
    assert [v.weight for v in execution.next_roster.validators] == [1, 1, 2, 1]
    assert was_executed(world.call(ALICE, "execute", second))
    assert [v.weight for v in world.ledger.roster.validators] == [1, 2, 2, 1]
    assert world.epoch == 2


def test_approvals_are_weighed_by_the_roster_of_the_execution() -> None:
    world = Parliament(1, 1, 1, 1, 1, 1)
    waiting = world.propose(operator(0), Reweigh("v1", 3))
    world.approve(waiting, 4, 5)
    world.approve(world.propose(operator(0), RemoveValidator("v5")), 1, 2, 3, 4)
    world.approve(world.propose(operator(0), RemoveValidator("v4")), 1, 2, 3)
    assert world.names == ["v0", "v1", "v2", "v3"]
    assert not was_executed(world.approve(waiting, 1)), "two approvers left with their validators"
    assert world.call(operator(4), "approve", waiting).status == Code.UNKNOWN_SENDER
    assert was_executed(world.approve(waiting, 2))


def test_an_approver_whose_key_was_rotated_counts_no_more(world: Parliament) -> None:
    waiting = world.propose(operator(3), Reweigh("v1", 2))
    world.approve(waiting, 2)
    new = key_of("new operator 3")
    world.approve(world.propose(operator(0), RotateKeys("v3", None, None, new.public_key)), 1, 2)
    assert not was_executed(world.approve(waiting, 1))
    assert was_executed(world.call(new, "approve", waiting))


# --- joining ---------------------------------------------------------------------------------------


def test_a_joining_validator_counts_once_it_has_proved_that_it_is_synced(world: Parliament) -> None:
    proposal_id = world.propose(operator(0), joining(4))
    assert not was_executed(world.approve(proposal_id, 1, 2, 3))
    assert was_executed(world.ready(proposal_id, 4))
    assert world.names == ["v0", "v1", "v2", "v3", "v4"]
    assert world.ledger.roster.validators[4] == record(4)


def test_the_proof_may_come_before_the_approvals_and_from_any_member(world: Parliament) -> None:
    proposal_id = world.propose(operator(0), joining(4))
    assert not was_executed(world.call(ALICE, "ready", *world.proof(proposal_id, consensus(4))))
    assert not was_executed(world.approve(proposal_id, 1))
    assert was_executed(world.approve(proposal_id, 2))


def test_every_joiner_must_be_ready(world: Parliament) -> None:
    proposal_id = world.propose(operator(0), joining(4), joining(5))
    world.approve(proposal_id, 1, 2)
    assert not was_executed(world.ready(proposal_id, 4))
    assert was_executed(world.ready(proposal_id, 5))


def test_a_rotated_consensus_key_must_be_ready_too(world: Parliament) -> None:
    new = key_of("new consensus 2")
    proposal_id = world.propose(operator(0), RotateKeys("v2", new.public_key, None, None))
    assert not was_executed(world.approve(proposal_id, 1, 2))
    assert was_executed(world.call(ALICE, "ready", *world.proof(proposal_id, new)))
    assert world.ledger.roster.validators[2].consensus_key == new.public_key


def test_a_proof_grows_old_and_may_be_renewed(world: Parliament) -> None:
    proposal_id = world.propose(operator(0), joining(4))
    world.ready(proposal_id, 4)
    world.skip(READY_LIFETIME_MS)
    assert not was_executed(world.approve(proposal_id, 1, 2))
    assert was_executed(world.ready(proposal_id, 4))


def test_a_copy_of_a_proof_renews_nothing(world: Parliament) -> None:
    proposal_id = world.propose(operator(0), joining(4))
    proof = world.proof(proposal_id, consensus(4))
    assert world.call(ALICE, "ready", *proof).ok
    world.run()
    assert world.call(BOB, "ready", *proof).status == Code.NOT_SYNCED
    assert world.ready(proposal_id, 4).ok


@pytest.mark.parametrize("behind", [0, 1, 20])
def test_a_proof_may_be_some_heights_behind(world: Parliament, behind: int) -> None:
    proposal_id = world.propose(operator(0), joining(4))
    for _ in range(behind):
        world.run()
    assert world.ready(proposal_id, 4, behind).ok


def test_a_proof_too_far_behind_is_refused(world: Parliament) -> None:
    proposal_id = world.propose(operator(0), joining(4))
    for _ in range(RECENT_MAX):
        world.run()
    assert world.ready(proposal_id, 4, RECENT_MAX).status == Code.NOT_SYNCED
    assert world.ready(proposal_id, 4, RECENT_MAX - 1).ok


def test_a_proof_of_another_header_or_of_a_height_to_come_is_refused(world: Parliament) -> None:
    proposal_id = world.propose(operator(0), joining(4))
    _, key, height, header_hash, signature = world.proof(proposal_id, consensus(4))
    assert isinstance(height, int)
    for wrong in ((height, bytes(32)), (height + 50, header_hash), (height - 1, header_hash)):
        receipt = world.call(ALICE, "ready", proposal_id, key, *wrong, signature)
        assert receipt.status == Code.NOT_SYNCED


def test_a_proof_must_be_signed_by_the_joining_key_for_this_proposal(world: Parliament) -> None:
    proposal_id = world.propose(operator(0), joining(4))
    other_id = world.propose(operator(0), joining(5))
    _, key, height, header_hash, _ = world.proof(proposal_id, consensus(4))
    for bad in (world.proof(proposal_id, consensus(5))[4], world.proof(other_id, consensus(4))[4]):
        receipt = world.call(ALICE, "ready", proposal_id, key, height, header_hash, bad)
        assert receipt.status in (Code.BAD_PROOF, Code.NOT_SYNCED)
        assert not receipt.ok
    fresh = world.proof(proposal_id, consensus(4))
    assert world.call(ALICE, "ready", *fresh[:4], bytes(64)).status == Code.BAD_PROOF


def test_a_key_that_does_not_join_proves_nothing(world: Parliament) -> None:
    proposal_id = world.propose(operator(0), joining(4))
    for number in (0, 5):
        assert world.ready(proposal_id, number).status == Code.NOT_JOINING


def test_recent_headers_are_kept_only_while_somebody_may_join(world: Parliament) -> None:
    def kept() -> bool:
        return world.store.get(Space.STATE, RECENT_KEY) is not None

    world.propose(operator(0), Reweigh("v1", 2))
    world.run()
    assert not kept()
    proposal_id = world.propose(operator(0), joining(4))
    assert kept()
    assert world.call(operator(0), "withdraw", proposal_id).ok
    world.run()
    assert not kept()
    world.propose(operator(0), joining(4))
    world.skip(PROPOSAL_LIFETIME_MS)
    assert not kept()


# --- refusals --------------------------------------------------------------------------------------


def test_only_operators_propose_and_approve(world: Parliament) -> None:
    assert world.refused(ALICE, Reweigh("v1", 2)) == Code.NOT_OPERATOR
    assert world.refused(STRANGER, Reweigh("v1", 2)) == Code.UNKNOWN_SENDER
    assert world.refused(operator(9), Reweigh("v1", 2)) == Code.UNKNOWN_SENDER
    assert world.refused(consensus(0), Reweigh("v1", 2)) == Code.UNKNOWN_SENDER
    proposal_id = world.propose(operator(0), Reweigh("v1", 2))
    assert world.call(ALICE, "approve", proposal_id).status == Code.NOT_OPERATOR
    assert world.call(STRANGER, "approve", proposal_id).status == Code.UNKNOWN_SENDER


def test_an_operator_who_is_no_member_may_do_nothing_else(world: Parliament) -> None:
    assert world.run(world.put(operator(0), "acme/a")).receipts[0].status == Code.UNKNOWN_SENDER


def test_nobody_approves_twice(world: Parliament) -> None:
    proposal_id = world.propose(operator(0), Reweigh("v1", 2))
    assert world.approve(proposal_id, 0).status == Code.ALREADY_APPROVED
    world.approve(proposal_id, 1)
    assert world.approve(proposal_id, 1).status == Code.ALREADY_APPROVED


def test_what_was_executed_is_over(world: Parliament) -> None:
    proposal_id = world.propose(operator(0), Reweigh("v1", 2))
    world.approve(proposal_id, 1, 2)
    assert world.approve(proposal_id, 3).status == Code.PROPOSAL_EXECUTED
    assert world.call(operator(0), "withdraw", proposal_id).status == Code.PROPOSAL_EXECUTED
    assert world.call(operator(0), "execute", proposal_id).status == Code.PROPOSAL_EXECUTED
    stored = world.stored(proposal_id)
    assert stored is not None
    assert stored.executed_height is not None
    assert decode_open(world.store.get(Space.STATE, OPEN_KEY)) == ()


def test_an_unknown_proposal_is_refused(world: Parliament) -> None:
    for method in ("approve", "withdraw", "execute"):
        assert world.call(operator(0), method, bytes(32)).status == Code.PROPOSAL_UNKNOWN


def test_a_proposal_expires_and_is_forgotten_with_the_next_one(world: Parliament) -> None:
    proposal_id = world.propose(operator(0), Reweigh("v1", 2))
    world.approve(proposal_id, 1)
    world.skip(PROPOSAL_LIFETIME_MS)
    assert world.approve(proposal_id, 2).status == Code.PROPOSAL_EXPIRED
    assert world.stored(proposal_id) is not None
    world.propose(operator(0), Reweigh("v1", 2))
    assert world.stored(proposal_id) is None
    assert world.approve(proposal_id, 2).status == Code.PROPOSAL_UNKNOWN


def test_only_the_proposer_withdraws(world: Parliament) -> None:
    proposal_id = world.propose(operator(0), Reweigh("v1", 2))
    assert world.call(operator(1), "withdraw", proposal_id).status == Code.NOT_PROPOSER
    assert world.call(operator(0), "withdraw", proposal_id).ok
    assert world.approve(proposal_id, 1).status == Code.PROPOSAL_UNKNOWN


def test_open_proposals_are_bounded_for_each_operator_and_for_all() -> None:
    world = Parliament(*[1] * 10)
    for number in range(8):
        for _ in range(OPEN_PER_OPERATOR_MAX):
            world.propose(operator(number), Reweigh("v1", 2))
        assert world.refused(operator(number), Reweigh("v1", 2)) == Code.TOO_MANY_PROPOSALS
    assert len(decode_open(world.store.get(Space.STATE, OPEN_KEY))) == OPEN_MAX
    assert world.refused(operator(9), Reweigh("v1", 2)) == Code.TOO_MANY_PROPOSALS
    world.skip(PROPOSAL_LIFETIME_MS)
    world.propose(operator(9), Reweigh("v1", 2))
    assert len(decode_open(world.store.get(Space.STATE, OPEN_KEY))) == 1


def test_unknown_methods_and_arguments_of_the_wrong_form_are_refused(world: Parliament) -> None:
    assert world.call(operator(0), "decree").status == Code.UNKNOWN_METHOD
    proposals: list[tuple[Value, ...]] = [
        (),
        ((),),
        ((), 0),
        (((9, "v1"),), 0),
        (((3, "v1", 0),), 0),
        (((3, "v1", 2),), 2),
        (((4, "v1", None, None, None),), 0),
        (((1, replace(record(4), operator_key=PublicKey(b"\xff" * 32)).to_value()),), 0),
        (((3, "v1", 2),) * 17, 0),
    ]
    for args in proposals:
        assert world.call(operator(0), "propose", *args).status == Code.INVALID_ARGUMENTS, args
    approvals: list[tuple[Value, ...]] = [(bytes(31),), ("text",), ()]
    for args in approvals:
        assert world.call(operator(0), "approve", *args).status == Code.INVALID_ARGUMENTS
    assert world.call(operator(0), "ready", bytes(32)).status == Code.INVALID_ARGUMENTS


# --- sets that agreement cannot use ----------------------------------------------------------------


def test_a_set_that_agreement_cannot_use_is_refused(world: Parliament) -> None:
    everybody = [RemoveValidator(f"v{number}") for number in range(4)]
    assert world.refused(operator(0), *everybody, sweeping=True) == Code.SET_REFUSED
    same_name = replace(record(4), name="v0")
    same_key = replace(record(4), consensus_key=record(0).consensus_key)
    crossed = replace(record(4), node_key=record(0).operator_key)
    twice_itself = replace(record(4), node_key=record(4).consensus_key)
    for bad in (same_name, same_key, crossed, twice_itself):
        assert world.refused(operator(0), AddValidator(bad), sweeping=True) == Code.SET_REFUSED


def test_who_is_named_must_exist(world: Parliament) -> None:
    for change in (RemoveValidator("v9"), Reweigh("v9", 2), RotateKeys("v9", ALICE.public_key, None, None)):
        assert world.refused(operator(0), change) == Code.VALIDATOR_UNKNOWN


def test_a_change_that_changes_nothing_is_refused(world: Parliament) -> None:
    assert world.refused(operator(0), Reweigh("v1", 1)) == Code.NO_CHANGE
    assert world.refused(operator(0), Reweigh("v1", 2), Reweigh("v1", 1)) == Code.NO_CHANGE


def test_a_members_key_cannot_become_a_validators_nor_the_reverse(world: Parliament) -> None:
    new = record(4)
    for mixed in (replace(new, consensus_key=ALICE.public_key), replace(new, node_key=ALICE.public_key)):
        assert world.refused(operator(0), AddValidator(mixed)) == Code.KEY_IN_USE
    member = Member(consensus(0).public_key, "acme", ("client",), "spy")
    assert world.refused(operator(0), SetMember(member)) == Code.KEY_IN_USE
    assert world.refused(
        operator(0), joining(4), SetMember(replace(member, public_key=consensus(4).public_key))
    ) == (Code.KEY_IN_USE)


def test_more_than_a_third_of_the_power_moves_only_when_the_proposal_says_so(world: Parliament) -> None:
    assert world.refused(operator(0), Reweigh("v3", 7)) == Code.CHANGE_TOO_LARGE
    three = [joining(number) for number in (4, 5, 6)]
    assert world.refused(operator(0), *three) == Code.CHANGE_TOO_LARGE
    proposal_id = world.propose(operator(0), *three, sweeping=True)
    world.approve(proposal_id, 1, 2)
    for number in (4, 5):
        assert not was_executed(world.ready(proposal_id, number))
    assert was_executed(world.ready(proposal_id, 6))
    back = [RemoveValidator(f"v{number}") for number in (4, 5, 6)]
    assert world.refused(operator(0), *back) == Code.CHANGE_TOO_LARGE
    proposal_id = world.propose(operator(0), *back, sweeping=True)
    assert was_executed(world.approve(proposal_id, 1, 2, 3, 4))
    assert world.names == ["v0", "v1", "v2", "v3"]
    assert world.epoch == 2


def test_new_node_or_operator_keys_move_power_as_new_consensus_keys_do(world: Parliament) -> None:
    """Links, or governance itself, must not hang on keys that nobody holds: one mistake would end both."""
    fresh = [key_of(f"fresh {number}").public_key for number in range(8)]
    nodes = [RotateKeys(f"v{number}", None, fresh[number], None) for number in range(4)]
    operators = [RotateKeys(f"v{number}", None, None, fresh[4 + number]) for number in range(4)]
    assert world.refused(operator(0), *nodes) == Code.CHANGE_TOO_LARGE
    assert world.refused(operator(0), *operators) == Code.CHANGE_TOO_LARGE
    assert world.refused(operator(0), nodes[0], operators[1]) == Code.CHANGE_TOO_LARGE
    assert was_executed(world.approve(world.propose(operator(0), nodes[0]), 1, 2))
    assert was_executed(world.approve(world.propose(operator(0), *operators, sweeping=True), 1, 2))


def test_an_unfit_set_is_refused_again_at_execution(world: Parliament) -> None:
    waiting = world.propose(operator(3), Reweigh("v3", 2))
    world.approve(waiting, 1)
    world.approve(world.propose(operator(0), RemoveValidator("v3")), 1, 2)
    assert world.call(operator(0), "approve", waiting).ok
    assert world.call(operator(2), "approve", waiting).status == Code.VALIDATOR_UNKNOWN
    stored = world.stored(waiting)
    assert stored is not None
    assert stored.executed_height is None


# --- members and policies --------------------------------------------------------------------------


def test_members_join_change_and_leave_without_a_new_epoch(world: Parliament) -> None:
    carol = key_of("carol")
    member = Member(carol.public_key, "crates", ("client",), "carol")
    assert was_executed(world.approve(world.propose(operator(0), SetMember(member)), 1, 2))
    assert find_member(world.store, carol.public_key) == member
    assert world.epoch == 0
    assert organisations_of(world.store.get(Space.STATE, ORGANISATIONS_KEY)) == {
        "acme": 2,
        "bolts": 1,
        "crates": 1,
    }
    assert world.run(world.put(carol, "crates/a")).receipts[0].ok
    moved = replace(member, organisation="acme")
    leaving = RemoveMember(BOB.public_key)
    assert was_executed(world.approve(world.propose(operator(0), SetMember(moved), leaving), 1, 2))
    assert organisations_of(world.store.get(Space.STATE, ORGANISATIONS_KEY)) == {"acme": 3}
    assert world.run(world.put(BOB, "bolts/a")).receipts[0].status == Code.UNKNOWN_SENDER
    assert world.refused(operator(0), leaving) == Code.MEMBER_UNKNOWN


def test_a_member_may_act_in_the_block_that_admits_it(world: Parliament) -> None:
    carol = key_of("carol")
    proposal_id = world.propose(
        operator(0), SetMember(Member(carol.public_key, "crates", ("client",), "carol"))
    )
    world.approve(proposal_id, 1)
    execution = world.run(
        world.put(carol, "crates/early"),
        world.sign(operator(2), "approve", (proposal_id,), app="governance"),
        world.put(carol, "crates/late"),
    )
    assert [r.status for r in execution.receipts] == [Code.UNKNOWN_SENDER, Code.OK, Code.OK]
    assert execution.next_roster is None


def test_members_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Parliament()
    monkeypatch.setattr("node.ledger.governance.outcome.MEMBERS_MAX", 3)
    member = Member(key_of("carol").public_key, "crates", ("client",), "carol")
    assert world.refused(operator(0), SetMember(member)) == Code.TOO_MANY_MEMBERS
    world.propose(operator(0), SetMember(member), RemoveMember(BOB.public_key))


def test_a_policy_changes_at_once_and_only_of_methods_that_exist(world: Parliament) -> None:
    closed = SetPolicy("records", "put", Policy("FORBIDDEN"))
    proposal_id = world.propose(operator(0), closed)
    world.approve(proposal_id, 1)
    execution = world.run(
        world.put(ALICE, "acme/before"),
        world.sign(operator(2), "approve", (proposal_id,), app="governance"),
        world.put(ALICE, "acme/after"),
    )
    assert [r.status for r in execution.receipts] == [Code.OK, Code.OK, Code.FORBIDDEN]
    assert world.refused(operator(0), SetPolicy("recorsd", "put", Policy("ANY"))) == Code.UNKNOWN_APP
    assert world.refused(operator(0), SetPolicy("records", "putt", Policy("ANY"))) == Code.UNKNOWN_METHOD
    assert world.refused(operator(0), SetPolicy("governance", "propose", Policy("ANY"))) == Code.UNKNOWN_APP


def test_a_ledger_over_another_roster_than_its_header_refuses_to_say_who_validates(world: Parliament) -> None:
    world.approve(world.propose(operator(0), Reweigh("v3", 2)), 1, 2)
    old = Roster(Epoch(1), world.genesis.roster().validators)
    world.store.spaces[Space.STATE][ROSTER_KEY] = old.encode()
    world.ledger._roster = None
    with pytest.raises(LocalError, match="is not that of"):
        _ = world.ledger.roster
