"""A cluster that forked and came back: nothing runs twice, nothing is lost, and what rested on the dropped
branch is told."""

import copy
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import Digest
from node.anchoring.lanes.disputes import DISPUTES_MAX, Dispute, Disputes
from node.anchoring.lanes.messages import Lane, Mode, Result
from node.anchoring.lanes.outbox import CommonPrefix, prove_common
from node.anchoring.lanes.progress import Progress, answered, received
from node.anchoring.lanes.records import InLane, OutLane, Peer, PeerStatus
from node.anchoring.lanes.recovery import disputed, resume, unresolved
from node.anchoring.lanes.refusals import LaneRefused
from node.anchoring.lanes.source import Acknowledged, Standing
from node.anchoring.lanes.state import in_key, load, out_key, peer_key, save
from node.anchoring.lanes.tracing import Sightings, Step, explain
from node.proofs import ProofError, rfc6962
from tests.node.anchoring.lanes.islands import (
    PORT,
    Federation,
    Island,
    fork,
    freeze,
    recover,
)


def carry_all(at: Island, source: Island) -> list[object]:
    """One courier's round: anchor the newest height and take every leaf that can be taken."""
    source.seal()
    at.anchor(source)
    taken: list[object] = []
    for index in range(source.outbox.log(at.cluster_id).size):
        try:
            taken.append(at.take(source, source.arrival_for(at.cluster_id, index, source.height)))
        except LaneRefused:
            continue
    return taken


@dataclass
class Forked:
    """`here` followed `dropped`; `chosen` is the branch that will be recovered; both left off at `common`."""

    here: Island
    chosen: Island
    dropped: Island
    common: int


STEPS = ("here sends", "there sends", "there takes", "here takes")
Traffic = list[tuple[str, Mode, bytes]]
traffic = st.lists(
    st.tuples(
        st.sampled_from(STEPS), st.sampled_from(Mode), st.sampled_from((b"plain", b"fails", b"denied"))
    ),
    max_size=14,
)


def run(here: Island, there: Island, steps: Traffic) -> None:
    for step, mode, payload in steps:
        if step == "here sends":
            here.send(there, payload, mode, 60_000)
        elif step == "there sends":
            there.send(here, payload, mode, 60_000)
        elif step == "there takes":
            carry_all(there, here)
        else:
            carry_all(here, there)


def alone(island: Island, other: Island, steps: Traffic) -> None:
    """Traffic of a branch that nobody follows: it sends, and takes what the other said."""
    for step, mode, payload in steps:
        if step == "there sends":
            island.send(other, payload, mode, 60_000)
        elif step == "there takes":
            carry_all(island, other)


def forked(before: Traffic, on_dropped: Traffic, on_chosen: Traffic) -> Forked:
    here, chosen = Federation("AB").islands
    run(here, chosen, before)
    chosen.seal()
    dropped = fork(chosen)
    common = chosen.outbox.log(here.cluster_id).size
    run(here, dropped, on_dropped)
    alone(chosen, here, on_chosen)
    freeze(here, chosen.cluster_id)
    return Forked(here, chosen, dropped, common)


def come_back(world: Forked) -> list[Acknowledged]:
    """Recover, and carry everything both ways until nothing moves; the acknowledgements that were taken."""
    world.chosen.incarnation = 1
    world.chosen.seal()
    recover(world.here, world.chosen, world.common)
    taken: list[object] = []
    while True:
        news = [*carry_all(world.here, world.chosen), *carry_all(world.chosen, world.here)]
        if not news:
            return [item for item in taken if isinstance(item, Acknowledged)]
        taken += news


@settings(max_examples=60, deadline=None)
@given(traffic, traffic, traffic)
def test_after_a_recovery_nothing_ran_twice_and_nothing_is_lost(
    before: Traffic, on_dropped: Traffic, on_chosen: Traffic
) -> None:
    world = forked(before, on_dropped, on_chosen)
    here, chosen, dropped = world.here, world.chosen, world.dropped
    told_before = list(here.told)
    come_back(world)
    for island in (here, chosen):
        assert len(island.handled) == len(set(island.handled))
        assert not island.held(b"/c/"), "a message got no outcome"
    hashes = [told.message_hash for told in here.told]
    assert len(hashes) == len(set(hashes)) == len(here.sent)
    assert here.told[: len(told_before)] == told_before
    # Every message of the chosen branch has its outcome here; what only the dropped one said is listed.
    assert {told.message_hash for told in chosen.told} == {sent.hash for sent in chosen.sent.values()}
    listed = {
        item.message_hash
        for lane in disputed(here.root, here.cluster_id, chosen.cluster_id)
        if lane.is_incoming
        for item in lane.disputes.listed
    }
    only_dropped = {sent.hash for sent in dropped.sent.values()} - {
        sent.hash for sent in chosen.sent.values()
    }
    outcomes_here = {answer.message_hash for answer in here.answers()}
    assert listed == only_dropped & outcomes_here


@settings(max_examples=60, deadline=None)
@given(traffic, traffic, traffic)
def test_answers_of_the_dropped_branch_are_confirmed_or_contradicted_by_the_chosen_one(
    before: Traffic, on_dropped: Traffic, on_chosen: Traffic
) -> None:
    world = forked(before, on_dropped, on_chosen)
    here, chosen = world.here, world.chosen
    come_back(world)
    final = {answer.message_hash: answer.result for answer in chosen.answers()}
    contradicted = {
        (item.message_hash, item.contradiction)
        for lane in disputed(here.root, here.cluster_id, chosen.cluster_id)
        if not lane.is_incoming
        for item in lane.disputes.listed
    }
    differs = {
        (told.message_hash, final[told.message_hash])
        for told in here.told
        if final[told.message_hash] is not told.result
    }
    assert contradicted == differs


def small_fork() -> Forked:
    """One message each way before the fork; on the dropped branch two from there, and one taken there."""
    return forked(
        [("there sends", Mode.ORDERED, b"plain"), ("here takes", Mode.ORDERED, b"")],
        [
            ("there sends", Mode.ORDERED, b"fails"),
            ("there sends", Mode.ORDERED, b"plain"),
            ("here sends", Mode.ORDERED, b"plain"),
            ("there takes", Mode.ORDERED, b""),
            ("here takes", Mode.ORDERED, b""),
            ("here sends", Mode.ORDERED, b"open"),
        ],
        [],
    )


def test_the_dead_leave_their_commitments_unresolved_and_nobody_is_told() -> None:
    world = small_fork()
    here = world.here
    told = list(here.told)
    here.time_ms += 10**9
    (waiting,) = unresolved(here.root, here.cluster_id, world.chosen.cluster_id)
    assert (waiting.sequence, waiting.lane.destination) == (2, world.chosen.cluster_id)
    assert here.told == told
    come_back(world)
    assert unresolved(here.root, here.cluster_id, world.chosen.cluster_id) == ()
    assert [told.sequence for told in here.told] == [1, 2]


def test_a_recovery_lists_what_was_delivered_and_answered_on_the_dropped_branch_only() -> None:
    world = small_fork()
    here, chosen = world.here, world.chosen
    chosen.incarnation = 1
    chosen.seal()
    recover(here, chosen, world.common)
    answers, receipts = disputed(here.root, here.cluster_id, chosen.cluster_id)
    assert (answers.is_incoming, receipts.is_incoming) == (False, True)
    assert [(d.sequence, d.incarnation, d.result) for d in answers.disputes.listed] == [(1, 0, Result.OK)]
    assert [(d.sequence, d.result) for d in receipts.disputes.listed] == [(2, Result.ERROR), (3, Result.OK)]
    assert answers.disputes.is_complete
    assert receipts.disputes.is_complete
    outgoing = Lane(here.cluster_id, chosen.cluster_id, PORT, Mode.ORDERED)
    incoming = Lane(chosen.cluster_id, here.cluster_id, PORT, Mode.ORDERED)
    assert received(here.root, incoming) == Progress(PORT, Mode.ORDERED, 1)
    assert answered(here.root, outgoing) == Progress(PORT, Mode.ORDERED, 0), "a courier asks for it again"
    told = explain(here.root, outgoing, 1, Sightings())
    assert (told.step, told.result) == (Step.CONFIRMATION, Result.OK)


def test_a_rewound_lane_keeps_what_both_branches_share_and_lowers_its_floor() -> None:
    """Five received before the fork; on the dropped branch three more, the last with a floor of five."""
    sends: Traffic = [("there sends", Mode.UNORDERED, b"plain")]
    takes: Traffic = [("here takes", Mode.UNORDERED, b""), ("there takes", Mode.UNORDERED, b"")]
    world = forked(sends * 5 + takes, sends * 3 + takes + sends + takes, [])
    here, chosen = world.here, world.chosen
    key = in_key(Lane(chosen.cluster_id, here.cluster_id, PORT, Mode.UNORDERED))
    assert load(here.root, key, InLane.from_value) == InLane(9, 9, 8)
    chosen.incarnation = 1
    chosen.seal()
    recover(here, chosen, world.common)
    assert load(here.root, key, InLane.from_value) == InLane(5, 5, 5, reopened=9)


def test_what_was_forgotten_before_a_recovery_makes_its_list_incomplete() -> None:
    world = forked([("there sends", Mode.ORDERED, b"plain")], [], [])
    here, chosen = world.here, world.chosen
    here.frozen.clear()
    key = in_key(Lane(chosen.cluster_id, here.cluster_id, PORT, Mode.ORDERED))
    save(here.root, key, InLane(300, 300, 300, 44, leaves_pruned=45))
    save(
        here.root,
        out_key(Lane(here.cluster_id, chosen.cluster_id, PORT, Mode.ORDERED)),
        OutLane(300, 300, 44, 45),
    )
    ports = ((PORT, Mode.ORDERED),)
    save(here.root, peer_key(chosen.cluster_id), Peer(PeerStatus.PARKED, 0, ports, ports))
    shared = copy.deepcopy(here)
    shared.transact(lambda s: resume(s, here.cluster_id, chosen.cluster_id, 1, 45))
    assert disputed(shared.root, here.cluster_id, chosen.cluster_id) == ()
    here.transact(lambda s: resume(s, here.cluster_id, chosen.cluster_id, 1, 44))
    lists = disputed(here.root, here.cluster_id, chosen.cluster_id)
    assert [(lane.is_incoming, lane.disputes.is_complete) for lane in lists] == [
        (False, False),
        (True, False),
    ]


def test_disputes_beyond_the_bound_drop_the_oldest_and_say_so() -> None:
    def one(number: int) -> Dispute:
        return Dispute(number, 0, Digest(number.to_bytes(32, "big")), Result.OK)

    full = Disputes().adding(tuple(one(number) for number in range(1, DISPUTES_MAX + 1)), True)
    assert full.is_complete
    over = full.adding((one(DISPUTES_MAX + 1),), True)
    assert (over.is_complete, len(over.listed), over.listed[0].sequence) == (False, DISPUTES_MAX, 2)
    assert Disputes.from_value(over.to_value()) == over


def test_the_same_message_on_the_chosen_branch_is_recognised_and_not_run_again() -> None:
    world = forked(
        [("there sends", Mode.ORDERED, b"plain"), ("here takes", Mode.ORDERED, b"")],
        [("there sends", Mode.ORDERED, b"fails"), ("here takes", Mode.ORDERED, b"")],
        [("there sends", Mode.ORDERED, b"fails")],
    )
    handled = list(world.here.handled)
    come_back(world)
    assert world.here.handled == handled
    assert [told.result for told in world.chosen.told] == [Result.OK, Result.ERROR]
    assert disputed(world.here.root, world.here.cluster_id, world.chosen.cluster_id) == ()


def test_another_message_under_the_same_sequence_runs_and_the_dispute_stays_listed() -> None:
    world = forked(
        [],
        [("there sends", Mode.ORDERED, b"plain"), ("here takes", Mode.ORDERED, b"")],
        [("there sends", Mode.ORDERED, b"fails")],
    )
    come_back(world)
    assert len(world.here.handled) == 2
    (listed,) = disputed(world.here.root, world.here.cluster_id, world.chosen.cluster_id)
    assert [(d.sequence, d.result) for d in listed.disputes.listed] == [(1, Result.OK)]
    assert [told.result for told in world.chosen.told] == [Result.ERROR]


def test_a_confirmation_settles_a_dispute_and_a_contradiction_stays_listed() -> None:
    steps: Traffic = [
        ("here sends", Mode.ORDERED, b"plain"),
        ("there takes", Mode.ORDERED, b""),
        ("here takes", Mode.ORDERED, b""),
    ]
    world = forked([], steps, [])
    (taken,) = come_back(world)
    assert taken.standing is Standing.CONFIRMED
    world = forked([], steps, [])
    world.chosen.time_ms += 60_000
    (taken,) = come_back(world)
    assert taken.standing is Standing.CONTRADICTED
    assert [told.result for told in world.here.told] == [Result.OK]
    (listed,) = disputed(world.here.root, world.here.cluster_id, world.chosen.cluster_id)
    assert [(d.result, d.contradiction) for d in listed.disputes.listed] == [(Result.OK, Result.EXPIRED)]


# --- what both branches share ------------------------------------------------------------------------


def common_prefix(world: Forked) -> CommonPrefix:
    to = world.here.cluster_id
    for branch in (world.dropped, world.chosen):
        branch.seal()
    heard = world.dropped.outbox.log(to).size
    prefix = prove_common(world.chosen.outbox, world.dropped.outbox, to, world.common, heard)
    assert prefix is not None
    return prefix


def test_what_both_branches_share_is_proven_against_what_was_heard_and_the_chosen_outbox_root() -> None:
    world = forked(
        [("there sends", Mode.ORDERED, b"plain")] * 3,
        [("there sends", Mode.ORDERED, b"fails")] * 2,
        [("there sends", Mode.ORDERED, b"plain")] * 4,
    )
    prefix = common_prefix(world)
    to = world.here.cluster_id
    dropped, chosen = (
        island.published[island.height].outbox_root for island in (world.dropped, world.chosen)
    )
    log = world.dropped.outbox.log(to)
    heard = (log.size, log.root())
    prefix.verify(*heard, chosen, to)
    assert CommonPrefix.decode(prefix.encode()) == prefix
    first = [rfc6962.leaf_hash(leaf) for leaf in world.chosen.outbox.leaves[to][: world.common]]
    assert (prefix.size, prefix.root) == (3, rfc6962.root(first))
    for wrong in (
        (*heard, dropped, to),
        (*heard, chosen, world.chosen.cluster_id),
        (log.size - 1, log.root(), chosen, to),
        (log.size, bytes(32), chosen, to),
    ):
        with pytest.raises(ProofError):
            prefix.verify(*wrong)
    with pytest.raises(ProofError):
        replace(prefix, size=4).verify(*heard, chosen, to)
