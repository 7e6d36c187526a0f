"""Lanes under everything that networks and couriers do: each message has exactly one outcome."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from node.anchoring.lanes.messages import Mode
from node.anchoring.lanes.refusals import Refusal
from tests.node.anchoring.lanes.islands import Federation

PAYLOADS = (b"plain", b"fails", b"answers", b"denied", b"waits", b"reenters", b"")
HURRIES_MS = (1, 500, 1_000, 5_000, 60_000)


class Couriers(RuleBasedStateMachine):
    """Blocks, anchors and couriers in any order, with loss, repetition and old proofs."""

    names = "AB"

    def __init__(self) -> None:
        super().__init__()
        self.world = Federation(self.names)

    pairs = st.tuples(st.integers(0, 2), st.integers(0, 2))

    def pick(self, pair: tuple[int, int]) -> tuple[int, int]:
        count = len(self.names)
        first, second = pair[0] % count, pair[1] % count
        return first, (second + 1) % count if first == second else second

    @rule(
        pair=pairs,
        payload=st.sampled_from(PAYLOADS),
        mode=st.sampled_from(Mode),
        hurry=st.sampled_from(HURRIES_MS),
        times=st.integers(1, 3),
    )
    def send(self, pair: tuple[int, int], payload: bytes, mode: Mode, hurry: int, times: int) -> None:
        source, to = self.pick(pair)
        for _ in range(times):
            self.world.try_send(self.world.islands[source], self.world.islands[to], payload, mode, hurry)

    @rule(which=st.integers(0, 2), step_ms=st.sampled_from((0, 1, 499, 1_000)))
    def end_block(self, which: int, step_ms: int) -> None:
        island = self.world.islands[which % len(self.names)]
        island.seal()
        island.time_ms += step_ms

    @rule(pair=pairs)
    def anchor(self, pair: tuple[int, int]) -> None:
        at, other = self.pick(pair)
        self.world.islands[at].anchor(self.world.islands[other])

    @rule(pair=pairs, data=st.data())
    def bring_anything(self, pair: tuple[int, int], data: st.DataObject) -> None:
        """Any leaf ever said, first or again, proven against any height ever published."""
        at, other = (self.world.islands[index] for index in self.pick(pair))
        heights = [h for h, shown in other.published.items() if at.cluster_id in shown.logs]
        if heights:
            height = data.draw(st.sampled_from(heights))
            index = data.draw(st.integers(0, other.published[height].logs[at.cluster_id].size - 1))
            self.world.try_take(at, other, index, height)

    @rule(pair=pairs, skip=st.integers(0, 3))
    def bring_in_order(self, pair: tuple[int, int], skip: int) -> None:
        """What a courier does: everything under the anchored root, oldest first, some of it lost."""
        at, other = (self.world.islands[index] for index in self.pick(pair))
        view = at.view_of(other)
        log = other.published[view.height].logs.get(at.cluster_id)
        for index in range(log.size if log else 0):
            if not skip or index % (skip + 2):
                self.world.try_take(at, other, index, view.height)

    @invariant()
    def everything_holds(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        """When couriers work again, everything comes to rest: nothing is lost, nothing waits."""
        for island in self.world.islands:
            island.time_ms += 120_000
        self.world.settle()
        self.world.check()
        for island in self.world.islands:
            assert not island.held(b"/c/"), "a message got no outcome"
            assert len(island.told) == len(island.sent)


class ThreeCouriers(Couriers):
    """The same with a third island."""

    names = "ABC"


SETTINGS = settings(max_examples=25, stateful_step_count=40, deadline=None)


def test_two_islands_have_one_outcome_for_every_message() -> None:
    run_state_machine_as_test(Couriers, settings=SETTINGS)


def test_three_islands_have_one_outcome_for_every_message() -> None:
    run_state_machine_as_test(ThreeCouriers, settings=SETTINGS)


def test_a_quiet_run_meets_no_refusal_but_repetition() -> None:
    world = Federation()
    here, there = world.islands
    for number in range(5):
        here.send(there, b"plain %d" % number, Mode.UNORDERED)
        here.send(there, b"plain %d" % number)
    world.settle()
    world.check()
    assert set(world.refused) <= {Refusal.ALREADY_RECEIVED, Refusal.ALREADY_ACKNOWLEDGED}
    assert len(there.handled) == len(here.told) == 10
