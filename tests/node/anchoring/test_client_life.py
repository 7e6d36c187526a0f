"""A client's whole life in random order: what is held only grows, only a fork freezes, frozen means inert."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consensus import SignatureCache
from node.anchoring.client.lightclient import (
    STALE_AFTER_MS,
    Corroboration,
    Update,
    admit,
    freeze,
    recover,
    register,
    tick,
    update,
)
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.forks.evidence import ForkEvidence, ForkKind, Statement
from node.anchoring.forks.finding import find_fork
from node.anchoring.forks.recovery import RecoveredBy
from node.anchoring.refusals import Code, Refused
from tests.node.anchoring.chains import Chain, keys, leaf_of

APPROVED = Corroboration(is_approved=True)


class Life(RuleBasedStateMachine):
    """One cluster with up to two branches, and the client that another cluster holds of it."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = Chain().grow(2)
        self.other: Chain | None = None
        self.cut = 0
        self.numbers = iter(range(4, 10_000, 4))
        self.state = admit(register(self.chain.identity), APPROVED)
        self.branch = self.chain
        self.held = [self.state.last.point]
        self.now_ms = self.chain.now_ms

    # --- the cluster ---------------------------------------------------------------------------------

    @rule(count=st.integers(1, 4), is_end=st.booleans(), is_other=st.booleans())
    def grow(self, count: int, is_end: bool, is_other: bool) -> None:
        branch = self.other if is_other and self.other is not None else self.chain
        following = keys("harbour", first=next(self.numbers)) if is_end else None
        branch.grow(count, salt="b" if branch is self.other else "", next_set=following)
        self.now_ms = max(self.now_ms, branch.now_ms)

    @precondition(lambda self: self.other is None)
    @rule(back=st.integers(1, 3))
    def fork(self, back: int) -> None:
        lowest = self.held[0].height
        self.cut = max(lowest, self.chain.height - back)
        if self.cut < self.chain.height:
            self.other = self.chain.fork(self.cut).grow(1, salt="b")

    # --- what is submitted ---------------------------------------------------------------------------

    def submitted(self, proposed: Update) -> Code | None:
        before = self.state
        try:
            self.state = update(before, proposed, self.now_ms, SignatureCache(), corroboration=APPROVED)
        except Refused as refused:
            assert self.state is before
            return refused.code
        self.held.append(self.state.last.point)
        return None

    @rule(data=st.data(), is_other=st.booleans())
    def submit_update(self, data: st.DataObject, is_other: bool) -> None:
        branch = self.other if is_other and self.other is not None else self.chain
        height = data.draw(st.integers(0, branch.height))
        since = self.state.last.height
        if height <= since:
            return
        if since > branch.height or branch.headers[since].hash != self.state.last.header_hash:
            top = branch.fork(branch.height).grow(max(0, since + 1 - branch.height))
            assert self.submitted(top.update(since, top.height)) is not None
            return
        code = self.submitted(branch.update(since, height))
        assert (code is Code.CLIENT_FROZEN) == (self.state.status is ClientStatus.FROZEN)
        assert code in (None, Code.CLIENT_FROZEN)

    @rule(cut=st.integers(0, 2))
    def submit_garbage(self, cut: int) -> None:
        since = self.state.last.height
        if since >= self.chain.height or self.chain.headers[since].hash != self.state.last.header_hash:
            return
        good = self.chain.update(since, self.chain.height)
        weak = self.chain.certified(self.chain.height, range(cut))
        assert self.submitted(replace(good, certified=weak)) is not None

    @rule(data=st.data())
    def submit_false_evidence(self, data: st.DataObject) -> None:
        height = data.draw(st.integers(1, self.chain.height))
        one = Statement(self.chain.certified(height))
        links = self.chain.links(until=self.chain.headers[height].epoch)
        twice = ForkEvidence(ForkKind.TWO_HEADERS, height, links, one, one)
        assert self.accuse(twice) is Code.NO_CONFLICT

    def accuse(self, evidence: ForkEvidence) -> Code | None:
        """Submit evidence; the code of its refusal."""
        try:
            self.state, verdict = freeze(self.state, evidence, SignatureCache())
        except Refused as refused:
            return refused.code
        assert 3 * verdict.weight > verdict.total_weight
        return None

    @precondition(lambda self: self.other is not None)
    @rule()
    def submit_evidence(self) -> None:
        assert self.other is not None
        evidence = find_fork(self.chain.branch(), self.other.branch(), leaf_of(self.chain, self.other))
        assert evidence is not None
        is_over = evidence.epoch < self.state.epoch + (self.state.last.next_validators_hash is not None)
        assert self.accuse(evidence) is (Code.PAST_EPOCH if is_over else None)

    @rule(hours=st.integers(1, 40))
    def wait(self, hours: int) -> None:
        self.now_ms += hours * 3_600_000
        self.state = tick(self.state, self.now_ms)

    @precondition(lambda self: self.state.status is ClientStatus.FROZEN)
    @rule(is_other=st.booleans())
    def recover(self, is_other: bool) -> None:
        assert self.other is not None
        base = self.other if is_other else self.chain
        new, operators = keys("new", first=next(self.numbers)), keys("new/operator", first=next(self.numbers))
        base.accusations = (self.state.accused, self.state.convicted)
        made = base.recovery(base.height, new, operators, (0, 1, 2), RecoveredBy.OPERATORS, with_links=True)
        self.state = recover(self.state, made, self.now_ms, SignatureCache())
        self.chain = base.recovered(base.height, new, operators)
        self.other = None
        self.held = [self.state.last.point]
        assert not self.state.accused

    # --- what always holds ---------------------------------------------------------------------------

    @invariant()
    def what_is_held_is_one_history(self) -> None:
        branches = [branch for branch in (self.chain, self.other) if branch is not None]
        assert any(
            all(
                point.height <= branch.height and branch.headers[point.height].hash == point.header_hash
                for point in self.held
            )
            for branch in branches
        )

    @invariant()
    def the_state_is_a_function_of_its_bytes(self) -> None:
        assert ClientState.decode(self.state.encode()) == self.state

    @invariant()
    def only_a_fork_freezes_and_only_silence_makes_stale(self) -> None:
        if self.state.status is ClientStatus.FROZEN:
            assert self.other is not None
            assert self.state.accused
        if self.state.status is ClientStatus.STALE:
            assert self.now_ms - self.state.last.time_ms > STALE_AFTER_MS


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
