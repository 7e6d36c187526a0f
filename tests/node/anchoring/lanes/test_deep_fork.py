"""A fork so deep that the other side had forgotten what it answered: nothing wedges, runs twice, is lost."""

import contextlib
import copy
from dataclasses import replace
from itertools import islice

import pytest

from node.anchoring.lanes.courier import BundleRequest, name_of, wanted
from node.anchoring.lanes.disputes import disputes_of
from node.anchoring.lanes.messages import (
    WINDOW,
    Acknowledgement,
    Closing,
    Lane,
    Mode,
    Result,
    decode_leaf,
)
from node.anchoring.lanes.outbox import append, prove_common
from node.anchoring.lanes.progress import disputed_at, progress_with, receipt_of
from node.anchoring.lanes.records import Closed, InLane, OutLane
from node.anchoring.lanes.recovery import heard_of, unresolved
from node.anchoring.lanes.refusals import LaneRefused, Refusal
from node.anchoring.lanes.rules import SEQUENCES_PER_INCARNATION
from node.anchoring.lanes.source import CLOSED_ANSWER, Acknowledged, Standing
from node.anchoring.lanes.state import closed_key, in_key, load, out_key, save, settled_key
from node.anchoring.lanes.tracing import Sightings, Step, explain, limits, pending
from node.proofs import ProofError
from tests.node.anchoring.lanes.islands import PORT, Federation, Island, fork, freeze, recover
from tests.node.anchoring.lanes.test_recovery import carry_all

DEEP = 560
LOOKED_AT = 1024
"""Names that a server looks at, at most, however many a lane seems to lack."""


def talk(source: Island, to: Island, count: int, mode: Mode) -> None:
    """`count` messages, each delivered and acknowledged."""
    for start in range(0, count, 100):
        for number in range(start, min(start + 100, count)):
            source.send(to, b"plain %d" % number, mode, 60_000)
        new = source.outbox.log(to.cluster_id).size
        source.seal()
        to.anchor(source)
        size = source.outbox.log(to.cluster_id).size
        for index in range(new, size):
            to.take(source, source.arrival_for(to.cluster_id, index, source.height))
        said = to.outbox.log(source.cluster_id).size
        to.seal()
        source.anchor(to)
        for index in range(said, to.outbox.log(source.cluster_id).size):
            source.take(to, to.arrival_for(source.cluster_id, index, to.height))


def bring(at: Island, source: Island) -> list[object]:
    """What a courier brings by the two sides' progress alone, and what was taken of it."""
    source.seal()
    at.anchor(source)
    ours = progress_with(at.root, at.cluster_id, source.cluster_id)
    theirs = progress_with(source.root, source.cluster_id, at.cluster_id)
    request = BundleRequest(source.incarnation, 0, ours.received, ours.answered, 64, 512 * 1024)
    request = BundleRequest.decode(request.encode())
    places, answers = {}, {}
    for index, leaf in enumerate(source.outbox.leaves.get(at.cluster_id, [])):
        decoded = decode_leaf(leaf)
        places[name_of(decoded)] = index
        if isinstance(decoded, Acknowledgement):
            answers[decoded.message_hash] = index
    taken: list[object] = []
    names = wanted(request, theirs.sent, theirs.answers, theirs.closed, theirs.gaps)
    for name in islice(names, LOOKED_AT):
        if name in places:
            lane = Lane(at.cluster_id, source.cluster_id, name.port, name.mode)
            receipt = receipt_of(source.root, lane, name.sequence) if name.is_answer else None
            indices = [places[name]] if receipt is None else [answers[receipt.message_hash]]
            if receipt is None and name.is_answer:
                indices += [answers[each] for each in disputed_at(source.root, lane, name.sequence)]
            for index in indices:
                with contextlib.suppress(LaneRefused):
                    taken.append(at.take(source, source.arrival_for(at.cluster_id, index, source.height)))
    return taken


def run_dry(one: Island, other: Island) -> list[object]:
    """Couriers both ways until nothing moves."""
    taken: list[object] = []
    while news := [*bring(one, other), *bring(other, one)]:
        taken += news
    return taken


def deep(mode: Mode, on_chosen: int = 3) -> tuple[Island, Island, Island]:
    """`here` answered and forgot what `dropped` said; `chosen` said `on_chosen` other things in its place,
    and is recovered: (here, chosen, dropped)."""
    here, chosen = Federation("AB").islands
    talk(chosen, here, 5, mode)
    dropped = fork(chosen)
    common = chosen.outbox.log(here.cluster_id).size
    talk(dropped, here, DEEP, mode)
    for number in range(on_chosen):
        chosen.send(here, b"chosen %d" % number, mode, 60_000)
    freeze(here, chosen.cluster_id)
    chosen.incarnation = 1
    chosen.seal()
    recover(here, chosen, common)
    return here, chosen, dropped


@pytest.mark.parametrize("mode", Mode)
def test_a_lane_goes_on_after_a_fork_deeper_than_what_is_remembered(mode: Mode) -> None:
    here, chosen, _ = deep(mode)
    handled = len(here.handled)
    run_dry(here, chosen)
    assert not chosen.held(b"/c/"), "a message got no outcome"
    lost = [told for told in chosen.told if told.answer == CLOSED_ANSWER]
    assert [told.result for told in lost] == [Result.EXPIRED] * 3
    for number in range(2 * WINDOW):
        chosen.send(here, b"after %d" % number, mode, 600_000)
        if number % 100 == 99:
            run_dry(here, chosen)
    run_dry(here, chosen)
    after = [told for told in chosen.told if told.answer == b"done"]
    assert len(here.handled) == len(set(here.handled)) == handled + 2 * WINDOW
    assert len(after) == 5 + 2 * WINDOW
    assert {told.message_hash for told in chosen.told} == {sent.hash for sent in chosen.sent.values()}
    hashes = [told.message_hash for told in chosen.told]
    assert len(hashes) == len(set(hashes))


def test_a_full_window_of_the_surviving_branch_is_told_and_moves_again() -> None:
    here, chosen, _ = deep(Mode.ORDERED, WINDOW)
    with pytest.raises(LaneRefused) as refused:
        chosen.send(here, b"one more")
    assert refused.value.refusal is Refusal.WINDOW_FULL
    taken = run_dry(here, chosen)
    closed = [i for i in taken if isinstance(i, Acknowledged) and i.standing is Standing.CLOSED]
    lane = Lane(chosen.cluster_id, here.cluster_id, PORT, Mode.ORDERED)
    forgotten = load(here.root, in_key(lane), InLane.from_value)
    assert forgotten is not None
    assert 200 < len(closed) == forgotten.closed - 5 < WINDOW
    assert len(chosen.told) == 5 + WINDOW
    chosen.send(here, b"one more")
    run_dry(here, chosen)
    assert chosen.told[-1].result is Result.OK


def test_what_both_branches_said_alike_keeps_its_own_outcome() -> None:
    """The very message that was handled on the dropped branch is told OK, whatever is closed."""
    here, chosen = Federation("AB").islands
    chosen.send(here, b"in both", lasting_ms=60_000)
    dropped = fork(chosen)
    talk(dropped, here, DEEP, Mode.ORDERED)
    chosen.send(here, b"in one", lasting_ms=60_000)
    freeze(here, chosen.cluster_id)
    chosen.incarnation = 1
    chosen.seal()
    recover(here, chosen, 0)
    run_dry(here, chosen)
    assert [(told.sequence, told.result) for told in sorted(chosen.told, key=lambda t: t.sequence)] == [
        (1, Result.OK),
        (2, Result.EXPIRED),
    ]
    assert len(here.handled) == len(set(here.handled))


def test_a_closing_is_said_once_and_taken_once_and_says_nothing_to_a_lane_that_is_past_it() -> None:
    here, chosen, _ = deep(Mode.UNORDERED)
    said = [leaf for leaf in here.root.said if isinstance(decode_leaf(leaf[1]), Closing)]
    assert len(said) == 1
    lane = Lane(chosen.cluster_id, here.cluster_id, PORT, Mode.UNORDERED)
    known = load(here.root, in_key(lane), InLane.from_value)
    assert known is not None
    assert (known.closed, known.reopened) == (known.pruned, known.highest + len(listed(here, lane)))
    here.seal()
    chosen.anchor(here)
    index = here.outbox.log(chosen.cluster_id).size - 1
    arrival = here.arrival_for(chosen.cluster_id, index, here.height)
    assert isinstance(chosen.take(here, arrival), Closing)
    with pytest.raises(LaneRefused) as refused:
        chosen.take(here, arrival)
    assert refused.value.refusal is Refusal.ALREADY_ACKNOWLEDGED
    sending = load(chosen.root, out_key(lane), OutLane.from_value)
    assert sending is not None
    assert (sending.sent, sending.floor, sending.pruned) == (known.closed,) * 3
    assert chosen.root.get(settled_key(out_key(lane), 1)) is None


def listed(here: Island, lane: Lane) -> tuple[object, ...]:
    return disputes_of(here.root, in_key(lane)).listed


def test_what_waits_in_a_closed_place_is_pending_explained_counted_and_unresolved() -> None:
    here, chosen, _ = deep(Mode.UNORDERED)
    lane = Lane(chosen.cluster_id, here.cluster_id, PORT, Mode.UNORDERED)
    here.seal()
    chosen.anchor(here)
    index = here.outbox.log(chosen.cluster_id).size - 1
    chosen.take(here, here.arrival_for(chosen.cluster_id, index, here.height))
    assert pending(chosen.root, lane) == (6, 7, 8)
    assert explain(chosen.root, lane, 7, Sightings(has_receipt=True)).step is Step.ANSWER
    assert explain(chosen.root, lane, 7, Sightings(9)).step is Step.CLOSED_PLACE
    assert explain(chosen.root, lane, 5, Sightings(9)).step is Step.CLOSED
    known = load(chosen.root, out_key(lane), OutLane.from_value)
    assert known is not None
    for sequence in (9, known.sent):
        assert explain(chosen.root, lane, sequence, Sightings(9)).step is Step.GAP
    assert explain(chosen.root, lane, known.sent + 1, Sightings(9)).step is Step.NOT_SENT
    held = {name: now for name, now, _ in limits(chosen.root, chosen.cluster_id, here.cluster_id)}
    assert held["lane_closed"] == 3
    freeze(chosen, here.cluster_id)
    found = unresolved(chosen.root, chosen.cluster_id, here.cluster_id)
    assert [item.sequence for item in found] == [6, 7, 8]


@pytest.mark.parametrize("closed", [1, 2 * SEQUENCES_PER_INCARNATION, 2 * SEQUENCES_PER_INCARNATION + 1])
def test_a_closing_of_any_size_costs_a_bounded_step_and_leaves_its_lane_numbers(closed: int) -> None:
    here, there = Federation("AB").islands
    here.incarnation = 1
    here.send(there, b"plain")
    lane = Lane(here.cluster_id, there.cluster_id, PORT, Mode.ORDERED)
    there.root.say(here.cluster_id, Closing.make(lane, closed, 0).encoded)
    there.seal()
    here.anchor(there)
    arrival = there.arrival_for(here.cluster_id, 0, there.height)
    if closed > 2 * SEQUENCES_PER_INCARNATION:
        with pytest.raises(LaneRefused) as refused:
            here.take(there, arrival)
        assert refused.value.refusal is Refusal.UNKNOWN_SEQUENCE
        return
    here.take(there, arrival)
    progress = progress_with(here.root, here.cluster_id, there.cluster_id)
    assert [item.done for item in progress.answered] == [0]
    assert sum(item.count for item in progress.answered) + progress.besides == closed
    here.send(there, b"elsewhere", Mode.UNORDERED)
    assert here.send(there, b"plain").sequence == closed + 1


@pytest.mark.parametrize("mode", Mode)
def test_a_destination_that_forked_wedges_no_lane_of_a_source_that_never_recovered(mode: Mode) -> None:
    here, there = Federation("AB").islands
    talk(here, there, 5, mode)
    liar = fork(there)
    common = there.outbox.log(here.cluster_id).size
    lane = Lane(here.cluster_id, there.cluster_id, PORT, mode)
    liar.root.say(here.cluster_id, Closing.make(lane, 1_000, 0).encoded)
    liar.seal()
    here.anchor(liar)
    with pytest.raises(LaneRefused) as refused:
        here.take(liar, liar.arrival_for(here.cluster_id, common, liar.height))
    assert refused.value.refusal is Refusal.UNKNOWN_INCARNATION
    freeze(here, there.cluster_id)
    there.incarnation = 1
    there.seal()
    recover(here, there, common)
    here.send(there, b"plain after", mode, 60_000)
    run_dry(here, there)
    assert [told.result for told in here.told] == [Result.OK] * 6


def test_a_closing_of_a_lane_that_was_never_used_is_refused() -> None:
    here, there = Federation("AB").islands
    here.incarnation = 1
    lane = Lane(here.cluster_id, there.cluster_id, PORT, Mode.ORDERED)
    there.root.say(here.cluster_id, Closing.make(lane, 3, 0).encoded)
    there.seal()
    here.anchor(there)
    with pytest.raises(LaneRefused) as refused:
        here.take(there, there.arrival_for(here.cluster_id, 0, there.height))
    assert refused.value.refusal is Refusal.UNKNOWN_SEQUENCE


def test_where_a_place_was_opened_before_an_answer_to_another_message_proves_nothing() -> None:
    here, chosen, _ = deep(Mode.UNORDERED)
    lane = Lane(chosen.cluster_id, here.cluster_id, PORT, Mode.UNORDERED)
    here.seal()
    chosen.anchor(here)
    last = here.outbox.log(chosen.cluster_id).size - 1
    chosen.take(here, here.arrival_for(chosen.cluster_id, last, here.height))
    closed = load(chosen.root, closed_key(out_key(lane)), Closed.from_value)
    assert closed is not None
    save(chosen.root, closed_key(out_key(lane)), replace(closed, reopened=6))
    outcomes = {}
    for index, leaf in enumerate(here.outbox.leaves[chosen.cluster_id]):
        answer = decode_leaf(leaf)
        if isinstance(answer, Acknowledgement) and answer.sequence in (6, 7):
            try:
                chosen.take(here, here.arrival_for(chosen.cluster_id, index, here.height))
                outcomes[answer.sequence] = "taken"
            except LaneRefused as refused:
                outcomes[answer.sequence] = refused.refusal.label
    assert outcomes == {6: "other-message", 7: "taken"}


def test_a_lane_that_only_the_dropped_branch_opened_makes_room_and_opens_anew() -> None:
    here, chosen = Federation("AB").islands
    dropped = fork(chosen)
    talk(dropped, here, 2, Mode.UNORDERED)
    talk(dropped, here, DEEP, Mode.ORDERED)
    freeze(here, chosen.cluster_id)
    chosen.incarnation = 1
    chosen.seal()
    recover(here, chosen, 0)
    assert progress_with(here.root, here.cluster_id, chosen.cluster_id).received == ()
    for mode in Mode:
        chosen.send(here, b"anew", mode, 60_000)
    run_dry(here, chosen)
    results = {told.lane.mode: told.result for told in chosen.told}
    # What was forgotten of the ordered lane is closed; of the other everything was still listed.
    assert results == {Mode.ORDERED: Result.EXPIRED, Mode.UNORDERED: Result.OK}
    chosen.send(here, b"again", Mode.ORDERED, 60_000)
    run_dry(here, chosen)
    assert chosen.told[-1].result is Result.OK
    assert len(here.handled) == len(set(here.handled))


def test_the_leaves_counted_as_taken_never_exceed_the_log_of_the_branch_that_lives() -> None:
    here, chosen, _ = deep(Mode.ORDERED)
    progress = progress_with(here.root, here.cluster_id, chosen.cluster_id)
    size = chosen.outbox.log(here.cluster_id).size
    assert progress.count > size
    assert progress.count + progress.besides == 5 < size


def test_the_prefix_is_proven_against_what_was_heard_although_the_dropped_branch_went_on() -> None:
    """No map of the dropped branch is needed, only subtrees of its log, which never change."""
    here, chosen = Federation("AB").islands
    talk(chosen, here, 3, Mode.UNORDERED)
    dropped = fork(chosen)
    talk(dropped, here, 5, Mode.UNORDERED)
    heard = heard_of(here.root, chosen.cluster_id)
    assert heard is not None
    assert heard.size == 8
    for _ in range(3):
        dropped.send(here, b"never heard", Mode.UNORDERED)
        dropped.seal()
    chosen.send(here, b"plain", Mode.UNORDERED)
    chosen.seal()
    prefix = prove_common(chosen.outbox, dropped.outbox, here.cluster_id, 3, heard.size)
    assert prefix is not None
    root = chosen.published[chosen.height].outbox_root
    prefix.verify(heard.size, heard.root, root, here.cluster_id)
    with pytest.raises(ProofError):
        prefix.verify(heard.size + 1, heard.root, root, here.cluster_id)
    with pytest.raises(ProofError):
        replace(prefix, size=4).verify(heard.size, heard.root, root, here.cluster_id)
    assert prove_common(chosen.outbox, dropped.outbox, here.cluster_id, 9, heard.size) is None
    empty = copy.deepcopy(chosen.outbox)
    assert append(empty, []).root == root


@pytest.mark.parametrize("payload", [b"sends too late", b"plain"])
def test_a_handler_whose_sending_is_refused_fails_its_own_message_and_no_other(payload: bytes) -> None:
    here, there = Federation("AB").islands
    here.send(there, payload, Mode.ORDERED, 60_000)
    here.send(there, b"plain", Mode.ORDERED, 60_000)
    carry_all(there, here)
    carry_all(here, there)
    first = Result.ERROR if payload.startswith(b"sends") else Result.OK
    assert [told.result for told in here.told] == [first, Result.OK]
    if first is Result.ERROR:
        assert here.told[0].answer == Refusal.DEADLINE_TOO_SOON.label.encode()


@pytest.mark.parametrize("mode", Mode)
def test_a_destination_whose_branch_lost_what_was_answered_takes_it_again_and_nobody_is_told_twice(
    mode: Mode,
) -> None:
    """The source has forgotten the results; its leaves stand in the chain, and are brought from there."""
    here, chosen = Federation("AB").islands
    talk(here, chosen, 5, mode)
    dropped = fork(chosen)
    common = chosen.outbox.log(here.cluster_id).size
    talk(here, dropped, DEEP, mode)
    told = list(here.told)
    freeze(here, chosen.cluster_id)
    chosen.incarnation = 1
    chosen.seal()
    recover(here, chosen, common)
    run_dry(here, chosen)
    assert len(chosen.handled) == len(set(chosen.handled)) == 5 + DEEP
    assert here.told == told
    last = here.send(chosen, b"after", mode, 60_000)
    run_dry(here, chosen)
    assert here.told[-1].message_hash == last.hash
    assert here.told[-1].result is Result.OK
