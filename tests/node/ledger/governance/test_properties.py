"""Whatever operators do in whatever order: a proposal is executed at most once, exactly when it should be.

The judge beside the ledger is a few lines over sets and sums. It believes receipts about what was taken, and
nothing about what took effect.
"""

from dataclasses import dataclass, field, replace
from fractions import Fraction

from hypothesis import event, given, settings
from hypothesis import strategies as st

from consensus import Digest
from node.ledger.codes import Code
from node.ledger.governance.changes import (
    AddValidator,
    Change,
    RemoveValidator,
    Reweigh,
    RotateKeys,
    moves_too_much,
)
from node.ledger.governance.proposals import PROPOSAL_LIFETIME_MS, READY_LIFETIME_MS
from node.ledger.receipts import Receipt
from node.ledger.roster import Roster, ValidatorRecord
from node.ledger.transactions import Transaction
from tests.node.ledger.parliament import Parliament, consensus, operator, record
from tests.node.ledger.world import ALICE, key_of

NUMBERS = st.sampled_from([0, 0, 1, 1, 2, 3])
"""Who acts and who is meant: mostly validators of the beginning, of which there are one to three."""
NEWCOMERS = st.sampled_from([3, 4, 4])
WEIGHTS = st.integers(1, 4)
CHANGES = st.one_of(
    st.builds(lambda n, w: AddValidator(record(n, w)), NEWCOMERS, WEIGHTS),
    st.builds(lambda n: RemoveValidator(f"v{n}"), NUMBERS),
    st.builds(lambda n, w: Reweigh(f"v{n}", w), NUMBERS, WEIGHTS),
    st.builds(
        lambda n, m: RotateKeys(f"v{n}", None, None, key_of(f"operator {m}").public_key), NUMBERS, NUMBERS
    ),
    st.builds(
        lambda n, m: RotateKeys(f"v{n}", key_of(f"consensus {m}").public_key, None, None), NUMBERS, NEWCOMERS
    ),
)
PROPOSE = st.tuples(st.just("propose"), NUMBERS, st.lists(CHANGES, min_size=1, max_size=2), st.booleans())
ABOUT_ONE = st.tuples(
    st.sampled_from(["approve", "approve", "approve", "approve", "withdraw", "execute"]),
    NUMBERS,
    st.sampled_from([0, 0, 0, 1, 1, 2]),
)
READY = st.tuples(st.just("ready"), NEWCOMERS, st.sampled_from([0, 0, 1, 2]))
LATER = st.tuples(
    st.just("later"), st.sampled_from([1, READY_LIFETIME_MS, PROPOSAL_LIFETIME_MS - 5_000, 10_000])
)
BLOCKS = st.lists(st.one_of(PROPOSE, ABOUT_ONE, ABOUT_ONE, ABOUT_ONE, READY), min_size=1, max_size=4)
STEPS = st.lists(st.one_of(BLOCKS, BLOCKS, BLOCKS, LATER), min_size=8, max_size=25)


@dataclass
class Opinion:
    """What the judge knows of one proposal."""

    changes: list[Change]
    sweeping: bool
    expires_at_ms: int
    approvals: set[bytes]
    ready_until_ms: dict[bytes, int] = field(default_factory=dict)
    is_over: bool = False


class Judge:
    """Follows receipts in their order; every verdict is its own."""

    def __init__(self, world: Parliament) -> None:
        self.world = world
        self.validators = list(world.genesis.validators)
        self.opinions: dict[bytes, Opinion] = {}

    def applied(self, opinion: Opinion) -> list[ValidatorRecord] | None:
        """The validators that the changes make of the current ones, None when they cannot."""
        left = {v.name: v for v in self.validators}
        for change in opinion.changes:
            if isinstance(change, AddValidator):
                if change.record.name in left:
                    return None
                left[change.record.name] = change.record
                continue
            assert isinstance(change, RemoveValidator | Reweigh | RotateKeys)
            if change.name not in left:
                return None
            old = left[change.name]
            if isinstance(change, RemoveValidator):
                del left[change.name]
            elif isinstance(change, Reweigh):
                left[change.name] = replace(old, weight=change.weight)
            else:
                left[change.name] = replace(
                    old,
                    consensus_key=change.consensus_key or old.consensus_key,
                    operator_key=change.operator_key or old.operator_key,
                )
        new = list(left.values())
        keys = [key for v in new for key in v.keys]
        if not new or len(set(keys)) != len(keys) or new == self.validators:
            return None
        return new if opinion.sweeping or self._overlap(new) >= Fraction(2, 3) else None

    def _overlap(self, new: list[ValidatorRecord]) -> Fraction:
        old_total, new_total = sum(v.weight for v in self.validators), sum(v.weight for v in new)
        shares = {v.keys: Fraction(v.weight, old_total) for v in self.validators}
        return sum(
            (min(shares.get(v.keys, Fraction(0)), Fraction(v.weight, new_total)) for v in new),
            Fraction(0),
        )

    def may_refuse(self, opinion: Opinion, operator_key: bytes, now_ms: int) -> bool:
        """Whether there is a reason to take no approval of this key: it is none of an operator, it approved
        already, the proposal is over, or the approval would complete what does not fit any more."""
        operators = {v.operator_key for v in self.validators}
        if operator_key not in operators or operator_key in opinion.approvals:
            return True
        completed = replace(opinion, approvals={*opinion.approvals, operator_key})
        unfit = self.is_due(completed, now_ms) and self.applied(opinion) is None
        return opinion.is_over or now_ms >= opinion.expires_at_ms or unfit

    def is_due(self, opinion: Opinion, now_ms: int) -> bool:
        """Whether more than two thirds approve and everybody who joins is ready."""
        weight = sum(v.weight for v in self.validators if v.operator_key in opinion.approvals)
        known = {v.consensus_key for v in self.validators}
        brought = [c.record.consensus_key for c in opinion.changes if isinstance(c, AddValidator)]
        brought += [c.consensus_key for c in opinion.changes if isinstance(c, RotateKeys) and c.consensus_key]
        ready = all(key in known or now_ms < opinion.ready_until_ms.get(key, 0) for key in brought)
        return ready and Fraction(weight, sum(v.weight for v in self.validators)) > Fraction(2, 3)


def aim(known: list[Digest], place: int) -> Digest:
    """A proposal that was there before the block, mostly the newest."""
    return known[-1 - place % len(known)]


def transaction_of(world: Parliament, action: tuple, known: list[Digest]) -> Transaction:  # type: ignore[type-arg]  # drawn
    if action[0] == "propose":
        _, number, changes, sweeping = action
        return world.signed_propose(operator(number), *changes, sweeping=sweeping)
    method, number, place = action
    proposal_id = aim(known, place) if known else Digest(bytes(32))
    if method == "ready":
        return world.sign(ALICE, "ready", world.proof(proposal_id, consensus(number)), app="governance")
    return world.sign(operator(number), method, (proposal_id,), app="governance")


@settings(max_examples=150, deadline=None)
@given(st.lists(WEIGHTS, min_size=1, max_size=3), STEPS)
def test_a_proposal_is_executed_at_most_once_and_exactly_when_it_is_due(
    weights: list[int],
    steps: list,  # type: ignore[type-arg]  # drawn
) -> None:
    world = Parliament(*weights)
    judge = Judge(world)
    known: list[Digest] = []
    for step in steps:
        if type(step) is tuple:
            world.skip(step[1])
            continue
        transactions = [transaction_of(world, action, known) for action in step]
        before = world.ledger.tip.header
        execution = world.run(*transactions)
        now_ms, ended = execution.header.time_ms, False
        for action, transaction, receipt in zip(step, transactions, execution.receipts, strict=True):
            ended |= follow(judge, known, action, transaction, receipt, now_ms, ended)
        assert (execution.next_roster is not None) == ended
        for proposal_id, opinion in judge.opinions.items():
            is_open = not opinion.is_over and now_ms < opinion.expires_at_ms
            assert not is_open or world.stored(Digest(proposal_id)) is not None
        assert execution.header.epoch == before.epoch + (before.next_validators_hash is not None)
        roster = world.ledger.roster
        assert list(roster.validators) == judge.validators
        assert roster.epoch == execution.header.epoch + ended
        if ended:
            assert execution.header.next_validators_hash == roster.validator_set().hash()
        assert Roster.decode(roster.encode()) == roster


def follow(
    judge: Judge,
    known: list[Digest],
    action: tuple,  # type: ignore[type-arg]  # drawn
    transaction: Transaction,
    receipt: Receipt,
    now_ms: int,
    ended: bool,
) -> bool:
    """Judge one receipt; True when its proposal changed the validators."""
    method, number = action[0], action[1]
    key = operator(number).public_key
    if method == "propose":
        opinion = Opinion(action[2], action[3], now_ms + PROPOSAL_LIFETIME_MS, {key})
        fits = judge.applied(opinion) is not None
        is_operator = any(v.operator_key == key for v in judge.validators)
        if not receipt.ok:
            assert not (is_operator and fits) or receipt.status == Code.TOO_MANY_PROPOSALS
            return False
        assert is_operator
        assert fits
        assert type(receipt.result) is tuple
        assert type(receipt.result[0]) is bytes
        known.append(Digest(receipt.result[0]))
        judge.opinions[receipt.result[0]] = opinion
        return conclude(judge, opinion, receipt, now_ms, ended)
    if not receipt.ok:
        if method == "approve" and transaction.args[0] in judge.opinions:
            assert judge.may_refuse(judge.opinions[transaction.args[0]], key, now_ms)
        return False
    assert type(receipt.result) is (bytes if method == "withdraw" else tuple)
    proposal_id = receipt.result if type(receipt.result) is bytes else receipt.result[0]
    assert type(proposal_id) is bytes
    opinion = judge.opinions[proposal_id]
    assert not opinion.is_over
    assert now_ms < opinion.expires_at_ms
    if method == "withdraw":
        opinion.is_over = True
        return False
    if method == "approve":
        assert key not in opinion.approvals & {v.operator_key for v in judge.validators}
        assert any(v.operator_key == key for v in judge.validators)
        opinion.approvals.add(key)
    elif method == "ready":
        opinion.ready_until_ms[consensus(number).public_key] = now_ms + READY_LIFETIME_MS
    return conclude(judge, opinion, receipt, now_ms, ended)


def conclude(judge: Judge, opinion: Opinion, receipt: Receipt, now_ms: int, ended: bool) -> bool:
    """Executed iff due, fitting, and the first of its block."""
    assert type(receipt.result) is tuple
    executed = receipt.result[1] == 1
    new = judge.applied(opinion)
    assert executed == (judge.is_due(opinion, now_ms) and not ended)
    event(f"executed: {executed}, the epoch had ended in this block: {ended}")
    if executed:
        assert new is not None
        judge.validators = new
        opinion.is_over = True
    return executed


@given(
    st.lists(WEIGHTS, min_size=1, max_size=6), st.lists(WEIGHTS, min_size=1, max_size=6), st.integers(0, 6)
)
def test_the_share_that_moves_is_measured_without_fractions(
    old: list[int], new: list[int], shift: int
) -> None:
    before = Parliament(*old).genesis.roster()
    after = Roster(before.epoch, tuple(record(i + shift, weight) for i, weight in enumerate(new)))
    shares = {f"v{i}": Fraction(weight, sum(old)) for i, weight in enumerate(old)}
    kept = sum(
        (min(shares.get(v.name, Fraction(0)), Fraction(v.weight, sum(new))) for v in after.validators),
        Fraction(0),
    )
    assert moves_too_much(before, after) == (1 - kept > Fraction(1, 3))
