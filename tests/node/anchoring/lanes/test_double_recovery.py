"""Both clusters of a lane fork and are recovered, in any order: what one was told by a branch that the other
dropped wedges nothing.

The invariant: once everything that can be brought was brought, each message of a branch that lives has one
outcome, heard once (its own, or EXPIRED where the place is closed), nothing was handled twice, nothing waits,
and the next message of every lane is delivered.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.anchoring.lanes import destination as lane_destination
from node.anchoring.lanes import source as lane_source
from node.anchoring.lanes.messages import Closing, Gap, Lane, Mode, Result, decode_leaf
from node.anchoring.lanes.progress import progress_with
from node.anchoring.lanes.records import InLane, OutLane, Peer
from node.anchoring.lanes.recovery import heard_of
from node.anchoring.lanes.refusals import LaneRefused, Refusal
from node.anchoring.lanes.rules import SEQUENCES_PER_INCARNATION
from node.anchoring.lanes.state import in_key, load, out_key, peer_key
from node.anchoring.lanes.tracing import pending
from tests.node.anchoring.lanes.islands import PORT, Federation, Island, fork, freeze, recover
from tests.node.anchoring.lanes.test_deep_fork import DEEP, bring, run_dry, talk
from tests.node.anchoring.lanes.test_recovery import carry_all


@dataclass
class Base:
    """Where a recovery began: its branch, and how long that one's log to the other cluster was."""

    branch: Island
    size: int


@dataclass
class World:
    """Two clusters, the branch of each that the other follows, and another that may be recovered."""

    followed: list[Island]
    aside: list[Island | None] = field(default_factory=lambda: [None, None])
    bases: list[list[Base]] = field(default_factory=lambda: [[], []])

    def fork(self, *sides: int) -> None:
        for side in sides:
            if self.aside[side] is None:
                self.aside[side] = fork(self.followed[side])

    def recover(self, side: int, on_aside: bool) -> None:
        """Side `side` goes on in its next incarnation, on the other branch if there is one."""
        other = self.aside[side]
        if on_aside and other is not None:
            self.aside[side] = self.followed[side]
            self.followed[side] = other
        chosen, peer = self.followed[side], self.followed[1 - side]
        chosen.incarnation = len(self.bases[side]) + 1
        chosen.seal()
        self.bases[side].append(Base(chosen, chosen.outbox.log(peer.cluster_id).size))
        for here in (1 - side, side):
            self._catch_up(here)

    def _catch_up(self, side: int) -> None:
        """The followed branch of a side applies every recovery of the other that it has not applied."""
        here, there = self.followed[side], self.followed[1 - side]
        peer = load(here.root, peer_key(there.cluster_id), Peer.from_value)
        known = 0 if peer is None else peer.incarnation
        for number, base in enumerate(self.bases[1 - side][known:], known + 1):
            freeze(here, there.cluster_id)
            said = base.branch.outbox.leaves.get(here.cluster_id, [])[: base.size]
            heard = heard_of(here.root, there.cluster_id)
            followed = here.anchored[there.cluster_id][0].outbox.leaves.get(here.cluster_id, [])
            taken = followed[: 0 if heard is None else heard.size]
            common = 0
            while common < min(len(said), len(taken)) and said[common] == taken[common]:
                common += 1
            incarnation, base.branch.incarnation = base.branch.incarnation, number
            recover(here, base.branch, common)
            base.branch.incarnation = incarnation
        here.anchored[there.cluster_id] = (there, there.height)

    def check(self) -> None:
        """The invariant, once nothing is left to bring."""
        one, two = self.followed
        run_dry(one, two)
        for mode in Mode:
            for source, to in ((one, two), (two, one)):
                source.send(to, b"after", mode, 600_000)
        run_dry(one, two)
        for source, to in ((one, two), (two, one)):
            assert len(to.handled) == len(set(to.handled))
            hashes = [told.message_hash for told in source.told]
            assert len(hashes) == len(set(hashes))
            assert {sent.hash for sent in source.sent.values()} <= set(hashes)
            for mode in Mode:
                assert pending(source.root, Lane(source.cluster_id, to.cluster_id, PORT, mode)) == ()
                self._check_last(source, to, mode)
            progress = progress_with(to.root, to.cluster_id, source.cluster_id)
            assert progress.count + progress.besides <= source.outbox.log(to.cluster_id).size

    def _check_last(self, source: Island, to: Island, mode: Mode) -> None:
        """The last message of a lane was delivered. The first of a branch may have expired, where only the
        dropped branch had used the lane: nobody asks for closings of a lane that he does not know."""
        lane = Lane(source.cluster_id, to.cluster_id, PORT, mode)
        last = load(source.root, out_key(lane), OutLane.from_value)
        assert last is not None
        (told,) = (t for t in source.told if (t.lane, t.sequence) == (lane, last.sent))
        if last.sent == 1 and told.answer == lane_source.CLOSED_ANSWER:
            source.send(to, b"after that", mode, 600_000)
            run_dry(source, to)
            self._check_last(source, to, mode)
        else:
            assert (told.result, told.answer) == (Result.OK, b"done")


def take_closing(here: Island, there: Island) -> None:
    """The closing that is the last leaf the other cluster said."""
    there.seal()
    here.anchor(there)
    last = there.outbox.log(here.cluster_id).size - 1
    assert isinstance(here.take(there, there.arrival_for(here.cluster_id, last, there.height)), Closing)


def closed_by_a_dropped_branch(mode: Mode, after: int = 3, shared: int = 0) -> World:
    """The source forks, and is recovered on the branch that the destination had not followed: so deep was the
    other that it had forgotten what it answered. The source believes the closing, and sends `after` more.
    The destination forks, too, when it has taken `shared` messages of the source's dropped branch."""
    source, to = Federation("AB").islands
    talk(source, to, 5, mode)
    world = World([source, to])
    world.fork(0)
    talk(world.followed[0], to, shared, mode)
    world.fork(1)
    talk(world.followed[0], to, DEEP - shared, mode)
    aside = world.aside[0]
    assert aside is not None
    for number in range(3):
        aside.send(to, b"chosen %d" % number, mode, 60_000)
    world.recover(0, on_aside=True)
    take_closing(world.followed[0], to)
    for number in range(after):
        world.followed[0].send(to, b"above %d" % number, mode, 60_000)
    return world


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("is_dry", [False, True])
@pytest.mark.parametrize("shared", [0, 20, 310])
def test_a_lane_that_a_dropped_branch_of_its_destination_closed_goes_on(
    mode: Mode, is_dry: bool, shared: int
) -> None:
    """Of `shared` messages the branch that lives has answers to others in the places of what waits: it has
    opened these places again, or has forgotten the first of them and closes the lane itself."""
    world = closed_by_a_dropped_branch(mode, shared=shared)
    if is_dry:
        run_dry(*world.followed)
    world.recover(1, on_aside=True)
    world.check()


def test_what_waits_in_a_place_that_only_a_dropped_branch_closed_is_not_expired_by_an_older_answer() -> None:
    """The answer there is of another message, whose receipt the branch that lives has opened again."""
    world = closed_by_a_dropped_branch(Mode.UNORDERED, after=0, shared=20)
    source = world.followed[0]
    world.recover(1, on_aside=True)
    to = world.followed[1]
    told = len(source.told)
    carry_all(source, to)
    assert len(source.told) == told
    world.check()
    assert not [each for each in source.told if each.answer == lane_source.CLOSED_ANSWER]


def test_a_gap_is_said_with_the_closing_that_makes_it_and_believed_only_after_a_recovery() -> None:
    world = closed_by_a_dropped_branch(Mode.ORDERED)
    source, to = world.followed
    said = source.outbox.leaves[to.cluster_id] + [leaf for _, leaf in source.root.said]
    gaps = [(index, leaf) for index, leaf in enumerate(map(decode_leaf, said)) if isinstance(leaf, Gap)]
    ((index, gap),) = gaps
    lane = Lane(source.cluster_id, to.cluster_id, PORT, Mode.ORDERED)
    known = load(to.root, in_key(lane), InLane.from_value)
    assert known is not None
    assert (gap.first, gap.last) == (9, known.closed)
    source.seal()
    to.anchor(source)
    with pytest.raises(LaneRefused) as refused:
        to.take(source, source.arrival_for(to.cluster_id, index, source.height))
    assert refused.value.refusal is Refusal.ALREADY_RECEIVED


@pytest.mark.parametrize(
    ("recovered", "first", "last", "refusal"),
    [
        ((), 1, 5, Refusal.UNKNOWN_INCARNATION),
        ((0,), 1, 5, Refusal.UNKNOWN_INCARNATION),
        ((1,), 1, 5, Refusal.UNKNOWN_INCARNATION),
        ((0, 1), 3, 5, Refusal.SEQUENCE_GAP),
        ((0, 1), 1, 2**62, Refusal.UNKNOWN_SEQUENCE),
        ((0, 1), 1, 1, Refusal.ALREADY_RECEIVED),
    ],
)
def test_a_gap_that_may_not_be_is_refused(
    recovered: tuple[int, ...], first: int, last: int, refusal: Refusal
) -> None:
    source, to = Federation("AB").islands
    talk(source, to, 1, Mode.ORDERED)
    world = World([source, to])
    for side in recovered:
        world.recover(side, on_aside=False)
    lane = Lane(source.cluster_id, to.cluster_id, PORT, Mode.ORDERED)
    source.root.say(to.cluster_id, Gap.make(lane, first, last).encoded)
    source.seal()
    to.anchor(source)
    with pytest.raises(LaneRefused) as refused:
        to.take(source, source.arrival_for(to.cluster_id, 1, source.height))
    assert refused.value.refusal is refusal


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("up_to", [1, 7, 500, 2 * SEQUENCES_PER_INCARNATION])
@pytest.mark.parametrize("opened", [0, 1_000])
def test_what_a_branch_lied_about_closing_is_gone_with_it(mode: Mode, up_to: int, opened: int) -> None:
    source, to = Federation("AB").islands
    talk(source, to, 2, mode)
    world = World([source, to])
    world.recover(0, on_aside=False)
    world.fork(1)
    for number in range(4):
        source.send(to, b"open %d" % number, mode, 60_000)
    lane = Lane(source.cluster_id, to.cluster_id, PORT, mode)
    to.root.say(source.cluster_id, Closing.make(lane, up_to, opened).encoded)
    if up_to <= 2:
        with pytest.raises(LaneRefused):
            take_closing(source, to)
    else:
        take_closing(source, to)
        to.root.say(source.cluster_id, Closing.make(lane, up_to + 1, opened).encoded)
        with pytest.raises(LaneRefused) as refused:
            take_closing(source, to)
        assert refused.value.refusal in (Refusal.UNKNOWN_INCARNATION, Refusal.UNKNOWN_SEQUENCE)
    source.send(to, b"above", mode, 60_000)
    world.recover(1, on_aside=True)
    world.check()
    assert [told.result for told in source.told] == [Result.OK] * 9


@pytest.mark.parametrize("mode", Mode)
def test_a_gap_that_a_branch_lied_about_is_closed_for_the_branch_that_lives(mode: Mode) -> None:
    source, to = Federation("AB").islands
    talk(source, to, 2, mode)
    world = World([source, to])
    world.recover(0, on_aside=False)
    world.recover(1, on_aside=False)
    world.fork(0)
    aside = world.aside[0]
    assert aside is not None
    liar, lane = source, Lane(source.cluster_id, to.cluster_id, PORT, mode)
    liar.root.say(to.cluster_id, Gap.make(lane, 3, 2 * SEQUENCES_PER_INCARNATION).encoded)
    assert len(carry_all(to, liar)) == 1
    aside.send(to, b"never taken", mode, 60_000)
    world.recover(0, on_aside=True)
    world.recover(1, on_aside=False)
    world.check()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 1), st.booleans(), st.sampled_from(Mode)),
        st.tuples(st.just("carry"), st.integers(0, 1), st.booleans(), st.just(Mode.ORDERED)),
        st.tuples(st.just("fork"), st.integers(0, 2), st.booleans(), st.just(Mode.ORDERED)),
        st.tuples(st.just("recover"), st.integers(0, 1), st.booleans(), st.just(Mode.ORDERED)),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
@example(
    [
        ("fork", 0, False, Mode.ORDERED),
        ("send", 0, False, Mode.ORDERED),
        ("carry", 1, False, Mode.ORDERED),
        ("carry", 0, False, Mode.ORDERED),
        ("send", 0, False, Mode.ORDERED),
        ("carry", 1, False, Mode.ORDERED),
        ("recover", 0, True, Mode.ORDERED),
    ]
)
def test_whatever_forks_and_recovers_in_whatever_order_every_message_ends_and_every_lane_goes_on(
    steps: list[tuple[str, int, bool, Mode]],
) -> None:
    """Receipts and results are forgotten at once, so that each fork is a deep one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lane_destination, "TAIL", 0)
        patch.setattr(lane_source, "TAIL", 0)
        world = World(list(Federation("AB").islands))
        for word, side, flag, mode in steps:
            if word == "fork":
                world.fork(*((0, 1) if side == 2 else (side,)))
            elif word == "recover":
                world.recover(side, flag)
            elif word == "send":
                aside = world.aside[side] if flag else None
                (aside or world.followed[side]).send(world.followed[1 - side], b"plain", mode, 600_000)
            else:
                bring(world.followed[side], world.followed[1 - side])
        world.check()
