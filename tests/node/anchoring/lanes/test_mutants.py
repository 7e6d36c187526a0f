"""The tester is tested: with one rule of lanes broken, the same runs that pass as shipped are caught."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from node.anchoring.lanes import destination as lane_destination
from node.anchoring.lanes import progress as lane_progress
from node.anchoring.lanes import recovery as lane_recovery
from node.anchoring.lanes import source as lane_source
from node.anchoring.lanes.messages import Acknowledgement, Lane, Message, Mode, Result
from node.anchoring.lanes.records import SETTLED_MAX, TAIL, Commitment, InLane, OutLane, Peer, PeerStatus
from node.anchoring.lanes.refusals import LaneRefused, Refusal
from node.anchoring.lanes.rules import Arrival, HandlerFailed
from node.anchoring.lanes.state import LaneState, WriteSet, commitment_key, in_key, load, out_key, receipt_key
from node.anchoring.lanes.views import AnchoredView
from tests.node.anchoring.lanes.islands import PORT, Broken, Federation, Island, fork, freeze, recover
from tests.node.anchoring.lanes.test_deep_fork import DEEP, deep, run_dry, talk
from tests.node.anchoring.lanes.test_lanes import HURRIES_MS, PAYLOADS
from tests.node.anchoring.lanes.test_recovery import carry_all

SEEDS = range(25)
Habit = Callable[[Island], None]
Run = Callable[[], None]


def idle(island: Island) -> None:
    """What an honest island does beside its lanes: nothing."""


def weather(habit: Habit = idle) -> None:
    """Random runs of two islands in which anything is brought at any time; raises Broken."""
    for seed in SEEDS:
        one_run(random.Random(seed), habit)


def one_run(chance: random.Random, habit: Habit) -> None:
    world = Federation()
    for _ in range(60):
        at, other = chance.sample(world.islands, 2)
        match chance.randrange(6):
            case 0 | 1:
                world.try_send(
                    at, other, chance.choice(PAYLOADS), chance.choice(list(Mode)), chance.choice(HURRIES_MS)
                )
            case 2:
                at.seal()
                at.time_ms += chance.choice((0, 1, 499, 1_000))
                habit(at)
            case 3:
                at.anchor(other)
            case _:
                heights = [h for h, shown in other.published.items() if at.cluster_id in shown.logs]
                if heights:
                    height = chance.choice(heights)
                    size = other.published[height].logs[at.cluster_id].size
                    world.try_take(at, other, chance.randrange(size), height)
        world.check()
    for island in world.islands:
        island.time_ms += 120_000
        habit(island)
    world.settle()
    world.check()


def forked_answers() -> None:
    """A cluster forks, is answered on one branch, and recovers on the other with another message."""
    here, chosen = Federation("AB").islands
    dropped = fork(chosen)
    dropped.send(here, b"plain")
    carry_all(here, dropped)
    chosen.send(here, b"fails")
    freeze(here, chosen.cluster_id)
    carry_all(chosen, here)
    for told in chosen.told:
        if chosen.sent[told.lane, told.sequence].hash != told.message_hash:
            raise Broken("I5: told of another message")


def the_same_again() -> None:
    """A cluster forks, and says on the recovered branch what was handled on the dropped one."""
    here, chosen = Federation("AB").islands
    dropped = fork(chosen)
    dropped.send(here, b"plain")
    carry_all(here, dropped)
    chosen.send(here, b"plain")
    freeze(here, chosen.cluster_id)
    chosen.incarnation = 1
    chosen.seal()
    recover(here, chosen, 0)
    carry_all(here, chosen)
    if len(here.handled) != len(set(here.handled)):
        raise Broken("I5: a message was handled twice")


def deeply_forked() -> None:
    """A cluster recovers on a branch that lost what we answered and forgot; lanes say what to bring."""
    here, chosen, _ = deep(Mode.ORDERED)
    run_dry(here, chosen)
    if chosen.held(b"/c/"):
        raise Broken("a lane is wedged")
    if len(here.handled) != len(set(here.handled)):
        raise Broken("I5: a message was handled twice")


def in_both_branches() -> None:
    """What both branches said was answered, forgotten, and is brought once more after the recovery."""
    here, chosen = Federation("AB").islands
    chosen.send(here, b"plain", lasting_ms=600_000)
    dropped = fork(chosen)
    talk(dropped, here, DEEP, Mode.ORDERED)
    freeze(here, chosen.cluster_id)
    chosen.incarnation = 1
    chosen.seal()
    recover(here, chosen, 0)
    carry_all(here, chosen)
    if len(here.handled) != len(set(here.handled)):
        raise Broken("I5: a message was handled twice")


def after_the_evidence() -> None:
    """A frozen cluster's messages and answers keep coming in."""
    here, there = Federation("AB").islands
    here.send(there, b"plain")
    there.send(here, b"plain")
    carry_all(there, here)
    there.seal()
    here.anchor(there)
    freeze(here, there.cluster_id)
    before = dict(here.root.entries)
    for index in range(there.outbox.log(here.cluster_id).size):
        try:
            here.take(there, there.arrival_for(here.cluster_id, index, there.height))
        except LaneRefused:
            continue
    if here.root.entries != before:
        raise Broken("I7: a frozen cluster moved something")


def forged_leaf() -> None:
    """A courier brings a message that nobody said, with the proof of one that somebody did."""
    here, there = Federation("AB").islands
    real = here.send(there, b"plain")
    here.seal()
    there.anchor(here)
    proof = here.arrival_for(there.cluster_id, 0, here.height).proof
    forged = Message.make(
        real.lane, sequence=1, deadline_ms=real.deadline_ms, acked_floor=0, incarnation=0, payload=b"forged"
    )
    try:
        there.take(here, Arrival(forged.encoded, proof))
    except LaneRefused:
        return
    raise Broken("a message was taken that was never said")


# --- the broken rules --------------------------------------------------------------------------------


def receipt_after_handler(state: LaneState, incoming: Any, handler: Any) -> tuple[Result, bytes]:
    writes = WriteSet(state)
    try:
        result, answer = Result.OK, handler(writes, incoming.message)
    except HandlerFailed as failure:
        result, answer = Result.ERROR, failure.answer
    else:
        writes.commit()
    lane_destination._write_receipt(state, incoming, result)
    return result, answer


def refund_on_absence(island: Island) -> None:
    """Who hears nothing until the deadline takes the message for lost."""
    for (lane, sequence), message in island.sent.items():
        key = commitment_key(out_key(lane), sequence)
        commitment = load(island.root, key, Commitment.from_value)
        if commitment is not None and commitment.deadline_ms < island.time_ms:
            island.root.delete(key)
            island.told.append(Acknowledgement.make(message, Result.EXPIRED, b""))


def any_peer(state: LaneState, view: AnchoredView) -> Peer:
    return Peer(PeerStatus.LIVE, view.incarnation)


def any_binding(commitment: Commitment, acknowledgement: Acknowledgement) -> None:
    return


def any_proof(view: AnchoredView, own_id: bytes, arrival: Arrival) -> None:
    return


def gap_accepted(state: LaneState, key: bytes, known: Any, message: Message) -> None:
    if message.sequence <= known.received or state.get(receipt_key(key, message.sequence)) is not None:
        raise LaneRefused(Refusal.ALREADY_RECEIVED, "")


def repetition_accepted(state: LaneState, key: bytes, known: Any, message: Message) -> None:
    if message.lane.mode is Mode.ORDERED and message.sequence > known.received + 1:
        raise LaneRefused(Refusal.SEQUENCE_GAP, "")


class WrittenThrough:
    """A write set that holds nothing back."""

    def __init__(self, below: LaneState) -> None:
        self.get, self.put, self.delete, self.say = below.get, below.put, below.delete, below.say

    def commit(self) -> None:
        return


def disputes_forgotten(state: LaneState, key: bytes, new: Any, is_complete: bool) -> None:
    return


def nothing_closed(*_: object) -> tuple[Any, ...]:
    return ()


def forgotten_reopened(state: LaneState, key: bytes, known: InLane, message: Message) -> None:
    if known.pruned < message.sequence <= known.received:
        raise LaneRefused(Refusal.ALREADY_RECEIVED, "")


PATCHES: dict[str, tuple[Run, tuple[tuple[Any, str, Any], ...]]] = {
    "receipt-after-handler": (weather, ((lane_destination, "_run_handler", receipt_after_handler),)),
    "accepted-frozen-client": (
        after_the_evidence,
        ((lane_destination, "usable_peer", any_peer), (lane_source, "usable_peer", any_peer)),
    ),
    "acknowledgement-not-bound": (forked_answers, ((lane_source, "_check_binding", any_binding),)),
    "ordered-gap-accepted": (weather, ((lane_destination, "_check_sequence", gap_accepted),)),
    "repetition-accepted": (weather, ((lane_destination, "_check_sequence", repetition_accepted),)),
    "failed-handler-not-rolled-back": (weather, ((lane_destination, "WriteSet", WrittenThrough),)),
    "proof-not-checked": (forged_leaf, ((lane_destination, "check_proof", any_proof),)),
    "closings-not-brought": (deeply_forked, ((lane_progress, "_closed", nothing_closed),)),
    "forgotten-sequences-taken-again": (
        in_both_branches,
        ((lane_destination, "_check_sequence", forgotten_reopened),),
    ),
    "disputes-forgotten": (the_same_again, ((lane_recovery, "_add", disputes_forgotten),)),
}


@pytest.mark.parametrize(
    "run",
    [
        weather,
        forked_answers,
        the_same_again,
        deeply_forked,
        in_both_branches,
        after_the_evidence,
        forged_leaf,
    ],
)
def test_the_shipped_rules_pass_every_run(run: Run) -> None:
    run()


@pytest.mark.parametrize("name", PATCHES)
def test_a_broken_rule_is_caught(
    name: str, monkeypatch: pytest.MonkeyPatch, caught: Callable[[str], None]
) -> None:
    run, patches = PATCHES[name]
    for owner, attribute, replacement in patches:
        assert hasattr(owner, attribute)
        monkeypatch.setattr(owner, attribute, replacement)
    with pytest.raises(Broken) as broken:
        run()
    caught(f"lanes: {name}: {broken.value}")


def test_a_refund_on_absence_is_caught(caught: Callable[[str], None]) -> None:
    with pytest.raises(Broken, match="I5: told") as broken:
        weather(refund_on_absence)
    caught(f"lanes: refund-on-absence: {broken.value}")


# --- bounded state -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", Mode)
def test_state_does_not_grow_with_the_number_of_messages(mode: Mode) -> None:
    here, there = Federation("AB").islands
    sizes = []
    for _ in range(12):
        for _ in range(100):
            here.send(there, b"plain", mode, 60_000)
        sent = here.outbox.log(there.cluster_id).size
        here.seal()
        there.anchor(here)
        indices = list(range(sent, sent + 100))
        for index in indices if mode is Mode.ORDERED else reversed(indices):
            there.take(here, here.arrival_for(there.cluster_id, index, here.height))
        there.seal()
        here.anchor(there)
        for index in indices:
            here.take(there, there.arrival_for(here.cluster_id, index, there.height))
        sizes.append((len(here.root.entries), len(there.root.entries)))
    assert len(here.told) == 1_200
    assert sizes[-1] == sizes[-2] == sizes[-5], sizes
    lane = Lane(here.cluster_id, there.cluster_id, PORT, mode)
    sending = load(here.root, out_key(lane), OutLane.from_value)
    assert sending is not None
    assert (sending.sent, sending.floor) == (1_200, 1_200)
    assert TAIL <= sending.sent - sending.pruned <= SETTLED_MAX
    assert there.root.get(receipt_key(in_key(lane), 1)) is None
    receiving = load(there.root, in_key(lane), InLane.from_value)
    assert receiving is not None
    assert (receiving.received, receiving.highest, receiving.floor) == (1_200, 1_200, 1_100)
    if mode is Mode.ORDERED:
        # Leaf and sequence go side by side here, so what is forgotten is known by its leaf as well.
        assert (sending.pruned, sending.leaves_pruned) == (1_200 - TAIL, 1_200 - TAIL)
        assert (receiving.pruned, receiving.leaves_pruned) == (1_100 - TAIL, 1_100 - TAIL)


def test_a_floor_that_jumps_is_pruned_behind_and_stays_within_the_bound() -> None:
    """The first of a full window comes last, so that its acknowledgement moves the floor by all of it."""
    world = Federation("AB")
    here, there = world.islands
    for _ in range(6):
        start = here.outbox.log(there.cluster_id).size
        for _ in range(256):
            here.send(there, b"plain", Mode.UNORDERED, 60_000)
        here.seal()
        there.anchor(here)
        for index in (*range(start + 1, start + 256), start):
            there.take(here, here.arrival_for(there.cluster_id, index, here.height))
        there.seal()
        here.anchor(there)
        for index in range(there.outbox.log(here.cluster_id).size - 1, start - 1, -1):
            here.take(there, there.arrival_for(here.cluster_id, index, there.height))
        world._check_bounds(here)
        world._check_bounds(there)
    assert len(here.told) == 6 * 256
