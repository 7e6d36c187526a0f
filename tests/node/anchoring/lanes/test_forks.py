"""A cluster that forks and recovers again and again, under couriers that do anything in any order."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from consensus import Digest
from node.anchoring.lanes.messages import Mode
from node.anchoring.lanes.recovery import resume, unresolved
from node.anchoring.lanes.refusals import LaneRefused
from tests.node.anchoring.lanes.islands import Federation, Island, fork, freeze
from tests.node.anchoring.lanes.test_recovery import carry_all

MODES = st.sampled_from(Mode)
PAYLOADS = st.sampled_from((b"plain", b"fails", b"denied", b"waits"))


class Forks(RuleBasedStateMachine):
    """`here` is honest. `there` runs on one branch, or, while it is forked, on two; `here` follows the
    second until it sees evidence, and then goes on with the first in its next incarnation."""

    def __init__(self) -> None:
        super().__init__()
        self.here, self.chosen = Federation("AB").islands
        self.followed = self.chosen
        self.common = 0
        self.told_by_dropped: set[Digest] = set()

    @property
    def is_forked(self) -> bool:
        return self.followed is not self.chosen

    def send(self, source: Island, to: Island, payload: bytes, mode: Mode, hurry_ms: int) -> None:
        try:
            source.send(to, payload, mode, hurry_ms)
        except LaneRefused:
            return

    def bring(self, at: Island, source: Island, data: st.DataObject) -> None:
        source.seal()
        at.anchor(source)
        size = source.outbox.log(at.cluster_id).size
        if not size:
            return
        index = data.draw(st.integers(max(0, size - 12), size - 1))
        try:
            at.take(source, source.arrival_for(at.cluster_id, index, source.height))
        except LaneRefused:
            return

    @rule(payload=PAYLOADS, mode=MODES, hurry_ms=st.sampled_from((1, 2_000, 60_000)))
    def here_sends(self, payload: bytes, mode: Mode, hurry_ms: int) -> None:
        self.send(self.here, self.followed, payload, mode, hurry_ms)

    @rule(payload=PAYLOADS, mode=MODES, on_both=st.booleans())
    def there_sends(self, payload: bytes, mode: Mode, on_both: bool) -> None:
        """On the followed branch, or the same words on both."""
        self.send(self.followed, self.here, payload, mode, 60_000)
        if on_both and self.is_forked:
            self.send(self.chosen, self.here, payload, mode, 60_000)

    @rule(data=st.data())
    def bring_here(self, data: st.DataObject) -> None:
        self.bring(self.here, self.followed, data)

    @rule(data=st.data())
    def bring_there(self, data: st.DataObject) -> None:
        self.bring(self.followed, self.here, data)

    @rule()
    def carry_both_ways(self) -> None:
        carry_all(self.followed, self.here)
        carry_all(self.here, self.followed)

    @rule(step_ms=st.sampled_from((1, 1_000, 3_000)))
    def time_passes(self, step_ms: int) -> None:
        for island in (self.here, self.chosen, self.followed):
            island.time_ms += step_ms

    @precondition(lambda self: not self.is_forked)
    @rule()
    def there_forks(self) -> None:
        self.chosen.seal()
        self.common = self.chosen.outbox.log(self.here.cluster_id).size
        self.followed = fork(self.chosen)

    @precondition(lambda self: self.is_forked)
    @rule(payload=PAYLOADS, mode=MODES)
    def the_other_branch_sends(self, payload: bytes, mode: Mode) -> None:
        self.send(self.chosen, self.here, payload, mode, 60_000)

    @precondition(lambda self: self.is_forked)
    @rule(data=st.data())
    def bring_to_the_other_branch(self, data: st.DataObject) -> None:
        self.bring(self.chosen, self.here, data)

    @precondition(lambda self: self.is_forked)
    @rule(understated=st.integers(0, 3))
    def freeze_and_recover(self, understated: int) -> None:
        """The proven prefix may be shorter than what both branches share; never longer."""
        here, chosen = self.here, self.chosen
        freeze(here, chosen.cluster_id)
        waiting = unresolved(here.root, here.cluster_id, chosen.cluster_id)
        assert len(waiting) == sum(here.held(b"/c/").values())
        chosen.incarnation += 1
        chosen.seal()
        common = max(0, self.common - understated)
        here.transact(lambda s: resume(s, here.cluster_id, chosen.cluster_id, chosen.incarnation, common))
        here.frozen.clear()
        here.anchor(chosen)
        self.followed = chosen

    @invariant()
    def nothing_runs_twice(self) -> None:
        for island in (self.here, self.chosen, self.followed):
            assert len(island.handled) == len(set(island.handled))
            hashes = [told.message_hash for told in island.told]
            assert len(hashes) == len(set(hashes))
            for told in island.told:
                assert island.sent[told.lane, told.sequence].hash == told.message_hash
        assert len({answer.message_hash for answer in self.here.answers()}) == len(list(self.here.answers()))

    def teardown(self) -> None:
        """After the last recovery everything comes to rest, and no message of a living branch is lost."""
        if self.is_forked:
            self.freeze_and_recover(0)
        for island in (self.here, self.chosen):
            island.time_ms += 120_000
        while carry_all(self.chosen, self.here) or carry_all(self.here, self.chosen):
            pass
        self.nothing_runs_twice()
        for island in (self.here, self.chosen):
            assert not island.held(b"/c/"), "a message got no outcome"
        told = {told.message_hash for told in self.chosen.told}
        assert told == {message.hash for message in self.chosen.sent.values()}
        told = {told.message_hash for told in self.here.told}
        assert told == {message.hash for message in self.here.sent.values()}


def test_forks_and_recoveries_neither_repeat_nor_lose_a_message() -> None:
    run_state_machine_as_test(
        Forks, settings=settings(max_examples=40, stateful_step_count=50, deadline=None)
    )
