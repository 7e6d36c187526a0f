"""Whatever a lane must not do is refused by name, and a refusal leaves no trace."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from consensus import Digest
from node.anchoring.lanes import destination as lane_destination
from node.anchoring.lanes import source as lane_source
from node.anchoring.lanes.messages import (
    MESSAGE_PAYLOAD_BYTES_MAX,
    SEQUENCE_MAX,
    WINDOW,
    Acknowledgement,
    Lane,
    Message,
    Mode,
    Result,
)
from node.anchoring.lanes.records import LANES_PER_PEER_MAX, InLane, OutLane
from node.anchoring.lanes.recovery import resume
from node.anchoring.lanes.refusals import LaneRefused, Refusal
from node.anchoring.lanes.rules import Arrival
from node.anchoring.lanes.source import DEADLINE_AHEAD_MAX_MS
from node.anchoring.lanes.state import in_key, load, out_key, save
from tests.node.anchoring.lanes.islands import (
    PORT,
    Federation,
    Island,
    admit,
    freeze,
    recover,
    with_index,
)


def refusal_of(action: Callable[[], Any]) -> Refusal:
    with pytest.raises(LaneRefused) as caught:
        action()
    assert str(caught.value).startswith(caught.value.refusal.label)
    return caught.value.refusal


def arrive(at: Island, source: Island, index: int = -1) -> Arrival:
    """The newest leaf from `source`, anchored and proven."""
    source.seal()
    at.anchor(source)
    count = source.outbox.log(at.cluster_id).size
    return source.arrival_for(at.cluster_id, index % count, source.height)


@pytest.fixture
def pair() -> tuple[Island, Island]:
    here, there = Federation("AB").islands
    return here, there


Pair = tuple[Island, Island]


def saying(source: Island, at: Island, leaf: bytes) -> Arrival:
    """A leaf that a corrupt cluster puts into its outbox, proven and anchored like any other."""
    source.root.say(at.cluster_id, leaf)
    return arrive(at, source)


def crafted(source: Island, at: Island, **changed: Any) -> Message:
    fields = {"sequence": 1, "deadline_ms": at.time_ms + 5_000, "acked_floor": 0, "incarnation": 0}
    lane = Lane(source.cluster_id, at.cluster_id, PORT, changed.pop("mode", Mode.ORDERED))
    return Message.make(lane, payload=b"crafted", **(fields | changed))


# --- sending -----------------------------------------------------------------------------------------


def test_a_payload_of_the_bound_is_sent_and_one_byte_more_is_not(pair: Pair) -> None:
    here, there = pair
    here.send(there, bytes(MESSAGE_PAYLOAD_BYTES_MAX))
    assert refusal_of(lambda: here.send(there, bytes(MESSAGE_PAYLOAD_BYTES_MAX + 1))) is (
        Refusal.PAYLOAD_TOO_LARGE
    )


def test_a_deadline_lies_inside_the_cap_and_after_now(pair: Pair) -> None:
    here, there = pair
    here.send(there, b"latest", lasting_ms=DEADLINE_AHEAD_MAX_MS)
    here.send(there, b"soonest", lasting_ms=1)
    assert refusal_of(lambda: here.send(there, b"", lasting_ms=0)) is Refusal.DEADLINE_TOO_SOON
    too_far = DEADLINE_AHEAD_MAX_MS + 1
    assert refusal_of(lambda: here.send(there, b"", lasting_ms=too_far)) is Refusal.DEADLINE_TOO_FAR


@pytest.mark.parametrize("overflowing_ms", [2**63, 2**64, 2**200])
def test_a_deadline_that_overflows_is_refused_like_any_other_that_is_too_far(
    pair: Pair, overflowing_ms: int
) -> None:
    here, there = pair
    assert refusal_of(lambda: here.send(there, b"", lasting_ms=overflowing_ms)) is Refusal.DEADLINE_TOO_FAR


def test_a_deadline_must_lie_ahead_of_the_destinations_anchored_clock(pair: Pair) -> None:
    here, there = pair
    there.time_ms += 10_000
    there.seal()
    here.anchor(there)
    assert refusal_of(lambda: here.send(there, b"", lasting_ms=10_000)) is Refusal.DEADLINE_TOO_SOON
    here.send(there, b"", lasting_ms=10_001)


def test_the_window_fills_and_opens_again_with_an_acknowledgement(pair: Pair) -> None:
    here, there = pair
    for _ in range(WINDOW):
        here.send(there, b"plain")
    assert refusal_of(lambda: here.send(there, b"plain")) is Refusal.WINDOW_FULL
    assert here.send(there, b"another lane", Mode.UNORDERED).sequence == 1
    there.take(here, arrive(there, here, 0))
    here.take(there, arrive(here, there, 0))
    assert here.send(there, b"plain").sequence == WINDOW + 1
    assert refusal_of(lambda: here.send(there, b"plain")) is Refusal.WINDOW_FULL


def test_a_policy_that_forbids_sending_is_obeyed(pair: Pair) -> None:
    here, there = pair
    lane = Lane(here.cluster_id, there.cluster_id, "forbidden", Mode.ORDERED)
    assert refusal_of(lambda: send_on(here, there, lane)) is Refusal.NOT_PERMITTED


def test_lanes_to_one_cluster_are_bounded_and_those_that_exist_go_on(pair: Pair) -> None:
    here, there = pair
    for number in range(LANES_PER_PEER_MAX):
        send_on(here, there, Lane(here.cluster_id, there.cluster_id, f"port-{number}", Mode.ORDERED))
    one_more = Lane(here.cluster_id, there.cluster_id, "one-more", Mode.ORDERED)
    assert refusal_of(lambda: send_on(here, there, one_more)) is Refusal.LANES_FULL
    known = Lane(here.cluster_id, there.cluster_id, "port-0", Mode.ORDERED)
    assert send_on(here, there, known).sequence == 2


def test_nobody_sends_on_another_clusters_lane(pair: Pair) -> None:
    here, there = pair
    backwards = Lane(there.cluster_id, here.cluster_id, PORT, Mode.ORDERED)
    assert refusal_of(lambda: send_on(here, there, backwards)) is Refusal.WRONG_LANE


def test_the_last_sequence_is_not_passed(pair: Pair) -> None:
    here, there = pair
    lane = here.send(there, b"first").lane
    save(here.root, out_key(lane), OutLane(SEQUENCE_MAX - 1, SEQUENCE_MAX - 1, 0, 0))
    assert here.send(there, b"last").sequence == SEQUENCE_MAX
    there_is_room = load(here.root, out_key(lane), OutLane.from_value)
    assert there_is_room is not None
    save(here.root, out_key(lane), replace(there_is_room, floor=SEQUENCE_MAX))
    assert refusal_of(lambda: here.send(there, b"beyond")) is Refusal.SEQUENCES_EXHAUSTED


def send_on(here: Island, there: Island, lane: Lane) -> Message:
    view = here.view_of(there)
    deadline_ms = here.time_ms + 5_000
    sent: Message = here.transact(
        lambda state: lane_source.send(
            state, here.block, view, lane, b"", deadline_ms, lambda lane: lane.port != "forbidden"
        )
    )
    return sent


# --- receiving ---------------------------------------------------------------------------------------


def test_the_deadline_is_the_first_moment_that_is_too_late(pair: Pair) -> None:
    here, there = pair
    early, late = (here.send(there, b"plain", Mode.UNORDERED, lasting_ms=1_000) for _ in range(2))
    there.time_ms = early.deadline_ms - 1
    first = there.take(here, arrive(there, here, 0))
    there.time_ms = late.deadline_ms
    second = there.take(here, arrive(there, here, 1))
    assert (first.result, second.result) == (Result.OK, Result.EXPIRED)  # type: ignore[union-attr]  # received
    assert there.handled == [early.hash]


def test_receiving_and_expiring_each_keep_to_their_side_of_the_deadline(pair: Pair) -> None:
    here, there = pair
    message = here.send(there, b"plain", lasting_ms=1_000)
    arrival = arrive(there, here)
    view = there.view_of(here)
    assert refusal_of(
        lambda: there.transact(lambda s: lane_destination.expire(s, there.block, view, arrival))
    ) is (Refusal.DEADLINE_NOT_REACHED)
    there.time_ms = message.deadline_ms
    assert refusal_of(
        lambda: there.transact(
            lambda s: lane_destination.receive(
                s, there.block, view, arrival, admit, there.handler(here, view, arrival)
            )
        )
    ) is (Refusal.DEADLINE_PASSED)


def test_an_expired_message_consumes_its_sequence_and_an_ordered_lane_goes_on(pair: Pair) -> None:
    here, there = pair
    here.send(there, b"too late", lasting_ms=1_000)
    here.send(there, b"in time", lasting_ms=60_000)
    there.time_ms += 1_000
    assert there.take(here, arrive(there, here, 0)).result is Result.EXPIRED  # type: ignore[union-attr]  # received
    assert there.take(here, arrive(there, here, 1)).result is Result.OK  # type: ignore[union-attr]  # received


def test_an_ordered_lane_takes_no_gap_and_an_unordered_one_does(pair: Pair) -> None:
    here, there = pair
    for mode in Mode:
        here.send(there, b"1", mode)
        here.send(there, b"2", mode)
    assert refusal_of(lambda: there.take(here, arrive(there, here, 1))) is Refusal.SEQUENCE_GAP
    there.take(here, arrive(there, here, 3))
    there.take(here, arrive(there, here, 2))


def test_the_last_gap_to_close_moves_the_numbers_over_all_that_came_before_it(pair: Pair) -> None:
    here, there = pair
    lane = here.send(there, b"plain", Mode.UNORDERED).lane
    for _ in range(4):
        here.send(there, b"plain", Mode.UNORDERED)
    for index in (3, 1, 2):
        there.take(here, arrive(there, here, index))
    assert load(there.root, in_key(lane), InLane.from_value) == InLane(0, 4, opened=3)
    there.take(here, arrive(there, here, 0))
    assert load(there.root, in_key(lane), InLane.from_value) == InLane(4, 4, opened=3)
    for index in (1, 2, 3):
        here.take(there, arrive(here, there, index))
    assert load(here.root, out_key(lane), OutLane.from_value) == OutLane(5, 3)
    here.take(there, arrive(here, there, 0))
    assert load(here.root, out_key(lane), OutLane.from_value) == OutLane(5, 4)


def test_a_floor_once_told_is_not_taken_back_by_an_older_message(pair: Pair) -> None:
    here, there = pair
    lane = [here.send(there, b"plain", Mode.UNORDERED) for _ in range(3)][-1].lane
    there.take(here, arrive(there, here, 0))
    here.take(there, arrive(here, there, 0))
    here.send(there, b"knows of the answer", Mode.UNORDERED)
    there.take(here, arrive(there, here, 3))
    assert load(there.root, in_key(lane), InLane.from_value) == InLane(1, 4, 1)
    there.take(here, arrive(there, here, 1))
    assert load(there.root, in_key(lane), InLane.from_value) == InLane(2, 4, 1)


def test_nothing_is_taken_twice(pair: Pair) -> None:
    here, there = pair
    for mode in Mode:
        here.send(there, b"1", mode)
        index = here.outbox.log(there.cluster_id).size - 1 + len(here.root.said)
        there.take(here, arrive(there, here, index))
        assert refusal_of(lambda: there.take(here, arrive(there, here))) is Refusal.ALREADY_RECEIVED
    here.take(there, arrive(here, there, 0))
    assert refusal_of(lambda: here.take(there, arrive(here, there, 0))) is Refusal.ALREADY_ACKNOWLEDGED


def test_a_quota_makes_a_message_wait_until_its_deadline_and_policy_answers_at_once(pair: Pair) -> None:
    here, there = pair
    here.send(there, b"waits", Mode.UNORDERED, lasting_ms=1_000)
    here.send(there, b"denied", Mode.UNORDERED)
    assert refusal_of(lambda: there.take(here, arrive(there, here, 0))) is Refusal.OVER_QUOTA
    denied = there.take(here, arrive(there, here, 1))
    assert denied.acknowledgement is not None
    assert (denied.acknowledgement.result, denied.acknowledgement.answer) == (
        Result.ERROR,
        lane_destination.DENIED,
    )
    there.time_ms += 1_000
    assert there.take(here, arrive(there, here, 0)).result is Result.EXPIRED  # type: ignore[union-attr]  # received
    assert there.handled == []


def test_a_failing_handler_leaves_an_error_receipt_and_nothing_else(pair: Pair) -> None:
    here, there = pair
    here.send(there, b"fails")
    received = there.take(here, arrive(there, here))
    assert received.acknowledgement is not None
    assert (received.acknowledgement.result, received.acknowledgement.answer) == (Result.ERROR, b"no")
    assert b"app/rolled-back" not in there.root.entries
    assert [leaf for _, leaf in there.root.said] == [received.acknowledgement.encoded]


def test_a_handler_that_comes_back_for_the_same_message_meets_its_receipt(pair: Pair) -> None:
    here, there = pair
    here.send(there, b"reenters")
    received = there.take(here, arrive(there, here))
    assert received.acknowledgement is not None
    assert received.acknowledgement.answer == b"already-received"
    assert len(there.handled) == 1


def test_a_handlers_long_answer_is_an_error_and_its_writes_are_gone(pair: Pair) -> None:
    here, there = pair
    here.send(there, b"plain")
    arrival, view = arrive(there, here), there.view_of(here)

    def babble(state: Any, message: Message) -> bytes:
        state.put(b"app/rolled-back", b"1")
        return bytes(4 * 1024 + 1)

    received = there.transact(
        lambda s: lane_destination.receive(s, there.block, view, arrival, admit, babble)
    )
    assert (received.result, received.acknowledgement.answer) == (
        Result.ERROR,
        lane_destination.ANSWER_TOO_LONG,
    )
    assert b"app/rolled-back" not in there.root.entries


@pytest.mark.parametrize(
    "damage",
    [
        lambda arrival: with_index(arrival, arrival.proof.index + 1),
        lambda arrival: Arrival(arrival.leaf, replace(arrival.proof, path=arrival.proof.path[:-1])),
        lambda arrival: Arrival(arrival.leaf, replace(arrival.proof, path=(*arrival.proof.path, bytes(32)))),
        lambda arrival: Arrival(
            arrival.leaf, replace(arrival.proof, path=(bytes(31), *arrival.proof.path[1:]))
        ),
        lambda arrival: Arrival(
            arrival.leaf, replace(arrival.proof, log=replace(arrival.proof.log, root=Digest(bytes(32))))
        ),
        lambda arrival: Arrival(arrival.leaf, replace(arrival.proof, log=replace(arrival.proof.log, size=4))),
    ],
    ids=["index-of-the-neighbour", "path-cut", "path-extended", "short-hash", "log-root", "log-size"],
)
def test_a_damaged_proof_is_refused(pair: Pair, damage: Callable[[Arrival], Arrival]) -> None:
    here, there = pair
    for number in range(3):
        here.send(there, b"%d" % number)
    damaged = damage(arrive(there, here, 0))
    assert refusal_of(lambda: there.take(here, damaged)) is Refusal.PROOF_FAILED


def test_a_leaf_that_is_not_in_the_outbox_is_refused_however_well_formed(pair: Pair) -> None:
    here, there = pair
    here.send(there, b"real")
    proof = arrive(there, here).proof
    forged = crafted(here, there)
    assert refusal_of(lambda: there.take(here, Arrival(forged.encoded, proof))) is Refusal.PROOF_FAILED


def test_a_proof_against_a_root_that_is_not_anchored_is_refused(pair: Pair) -> None:
    here, there = pair
    here.send(there, b"one")
    arrival = arrive(there, here)
    here.send(there, b"two")
    here.seal()
    there.anchor(here)
    assert refusal_of(lambda: there.take(here, arrival)) is Refusal.PROOF_FAILED


def test_a_third_clusters_message_is_not_taken_from_a_neighbours_outbox() -> None:
    here, there, third = Federation("ABC").islands
    for_third = crafted(here, third)
    arrival = saying(here, there, for_third.encoded)
    assert refusal_of(lambda: there.take(here, arrival)) is Refusal.WRONG_LANE
    of_third = crafted(third, there)
    arrival = saying(here, there, of_third.encoded)
    assert refusal_of(lambda: there.take(here, arrival)) is Refusal.WRONG_LANE


def test_a_message_that_names_a_future_incarnation_is_refused(pair: Pair) -> None:
    here, there = pair
    arrival = saying(here, there, crafted(here, there, incarnation=1).encoded)
    assert refusal_of(lambda: there.take(here, arrival)) is Refusal.UNKNOWN_INCARNATION


def test_a_floor_above_what_was_received_waits_for_what_is_before_it(pair: Pair) -> None:
    here, there = pair
    ahead = crafted(here, there, mode=Mode.UNORDERED, sequence=9, acked_floor=3)
    arrival = saying(here, there, ahead.encoded)
    assert refusal_of(lambda: there.take(here, arrival)) is Refusal.FLOOR_AHEAD


def test_lanes_from_one_cluster_are_bounded_and_those_that_exist_go_on(pair: Pair) -> None:
    here, there = pair
    lanes = [
        Lane(here.cluster_id, there.cluster_id, f"port-{number}", Mode.UNORDERED)
        for number in range(LANES_PER_PEER_MAX + 1)
    ]
    deadline_ms = there.time_ms + 5_000
    leaves = [
        Message.make(
            lane, sequence=sequence, deadline_ms=deadline_ms, acked_floor=0, incarnation=0, payload=b""
        )
        for lane, sequence in (*((lane, 1) for lane in lanes), (lanes[0], 2))
    ]
    for leaf in leaves:
        saying(here, there, leaf.encoded)
    arrivals = [here.arrival_for(there.cluster_id, index, here.height) for index in range(len(leaves))]
    for arrival in arrivals[:LANES_PER_PEER_MAX]:
        there.take(here, arrival)
    assert refusal_of(lambda: there.take(here, arrivals[LANES_PER_PEER_MAX])) is Refusal.LANES_FULL
    there.take(here, arrivals[-1])


def test_a_leaf_that_is_no_message_is_refused_by_both_sides(pair: Pair) -> None:
    here, there = pair
    view = there.view_of(here)
    arrival = saying(here, there, b"\x93\x01\x02\x03")
    assert refusal_of(
        lambda: there.transact(lambda s: lane_destination.expire(s, there.block, view, arrival))
    ) is (Refusal.MALFORMED_LEAF)
    assert refusal_of(
        lambda: there.transact(
            lambda s: lane_source.acknowledge(s, there.block, view, arrival, there.callback)
        )
    ) is (Refusal.MALFORMED_LEAF)


# --- acknowledging -----------------------------------------------------------------------------------


def test_an_answer_to_another_message_of_the_same_sequence_is_refused(pair: Pair) -> None:
    here, there = pair
    sent = here.send(there, b"sent")
    other = Message.make(
        sent.lane, sequence=1, deadline_ms=sent.deadline_ms, acked_floor=0, incarnation=0, payload=b"other"
    )
    forged = Acknowledgement.make(other, Result.ERROR, b"")
    arrival = saying(there, here, forged.encoded)
    assert refusal_of(lambda: here.take(there, arrival)) is Refusal.OTHER_MESSAGE
    assert here.told == []


def test_an_answer_to_what_was_never_sent_is_refused(pair: Pair) -> None:
    here, there = pair
    never = Acknowledgement.make(crafted(here, there), Result.OK, b"")
    arrival = saying(there, here, never.encoded)
    assert refusal_of(lambda: here.take(there, arrival)) is Refusal.UNKNOWN_SEQUENCE


def test_a_third_cluster_cannot_answer_for_the_destination() -> None:
    here, there, third = Federation("ABC").islands
    sent = here.send(there, b"sent")
    arrival = saying(third, here, Acknowledgement.make(sent, Result.OK, b"").encoded)
    assert refusal_of(lambda: here.take(third, arrival)) is Refusal.WRONG_LANE


def test_a_failing_callback_is_recorded_and_never_repeated(pair: Pair) -> None:
    here, there = pair
    here.send(there, b"fails")
    there.take(here, arrive(there, here))
    taken = here.take(there, arrive(here, there))
    assert taken.callback_failed  # type: ignore[union-attr]  # acknowledged
    assert b"app/told" not in here.root.entries
    assert refusal_of(lambda: here.take(there, arrive(here, there))) is Refusal.ALREADY_ACKNOWLEDGED
    assert len(here.told) == 1


def test_a_callback_may_send_again_at_once_even_when_the_window_was_full(pair: Pair) -> None:
    here, there = pair
    for _ in range(WINDOW):
        here.send(there, b"plain")
    there.take(here, arrive(there, here, 0))
    arrival, view = arrive(here, there, 0), here.view_of(there)
    lane = Lane(here.cluster_id, there.cluster_id, PORT, Mode.ORDERED)
    sent: list[Message] = []

    def send_again(state: Any, acknowledgement: Acknowledgement) -> None:
        deadline_ms = here.time_ms + 5_000
        sent.append(lane_source.send(state, here.block, view, lane, b"again", deadline_ms, lambda lane: True))

    here.transact(lambda s: lane_source.acknowledge(s, here.block, view, arrival, send_again))
    assert [(message.sequence, message.acked_floor) for message in sent] == [(WINDOW + 1, 1)]
    assert refusal_of(lambda: here.send(there, b"plain")) is Refusal.WINDOW_FULL


# --- the dead ----------------------------------------------------------------------------------------


def test_a_frozen_cluster_is_inert_in_every_direction(pair: Pair) -> None:
    here, there = pair
    here.send(there, b"before")
    there.send(here, b"before")
    there.take(here, arrive(there, here, 0))
    answer = arrive(here, there, 1)
    message = arrive(here, there, 0)
    freeze(here, there.cluster_id)
    before = dict(here.root.entries)
    for action in (
        lambda: here.send(there, b"after"),
        lambda: here.take(there, message),
        lambda: here.take(there, answer),
    ):
        assert refusal_of(action) is Refusal.CLIENT_NOT_ACTIVE
    here.frozen.clear()
    assert refusal_of(lambda: here.take(there, message)) is Refusal.PEER_PARKED
    assert here.root.entries == before


def test_a_recovery_is_the_next_incarnation_and_must_be_applied_before_anything_moves(pair: Pair) -> None:
    here, there = pair
    there.send(here, b"before")
    here.take(there, arrive(here, there, 0))
    freeze(here, there.cluster_id)
    old_height = there.height
    there.incarnation = 2
    there.seal()
    assert refusal_of(lambda: recover(here, there, 1)) is Refusal.UNKNOWN_INCARNATION
    there.incarnation = 1
    there.seal()
    recover(here, there, 1)
    here.anchor(there, old_height)
    assert refusal_of(lambda: here.send(there, b"to the past")) is Refusal.UNKNOWN_INCARNATION
    there.incarnation = 2
    there.seal()
    here.anchor(there)
    assert refusal_of(lambda: here.send(there, b"too early")) is Refusal.RECOVERY_PENDING
    here.transact(lambda state: resume(state, here.cluster_id, there.cluster_id, 2, 1))
    here.send(there, b"now")


def test_every_refusal_has_one_label_and_a_way_out() -> None:
    labels = [refusal.label for refusal in Refusal]
    assert len(set(labels)) == len(labels)
    assert all(refusal.way_out and isinstance(refusal.may_succeed_later, bool) for refusal in Refusal)
