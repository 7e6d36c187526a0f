"""A cluster that is recovered twice: what the first recovery settled may rest on what the second drops."""

import contextlib

import pytest

from node.anchoring.lanes import disputes as disputes_module
from node.anchoring.lanes.destination import CROWDED
from node.anchoring.lanes.disputes import Dispute
from node.anchoring.lanes.messages import Lane, Mode, Result
from node.anchoring.lanes.progress import Progress, answered
from node.anchoring.lanes.records import OutLane
from node.anchoring.lanes.recovery import disputed
from node.anchoring.lanes.refusals import LaneRefused
from node.anchoring.lanes.source import Acknowledged, Standing
from node.anchoring.lanes.state import load, out_key, save, settled_key
from tests.node.anchoring.lanes.islands import PORT, Federation, Island, fork, freeze, recover
from tests.node.anchoring.lanes.test_deep_fork import DEEP, run_dry, talk
from tests.node.anchoring.lanes.test_recovery import carry_all


def go_on(here: Island, branch: Island, incarnation: int, common: int) -> None:
    """`here` freezes the other cluster and recovers it on this branch."""
    freeze(here, branch.cluster_id)
    branch.incarnation = incarnation
    branch.seal()
    recover(here, branch, common)


def answered_on_a_dropped_branch() -> tuple[Island, Island]:
    """`here` was told OK by a branch that a recovery dropped; the other went on from before the message, and
    has said three other things since. What it says from now on stands above them."""
    here, there = Federation("AB").islands
    dropped = fork(there)
    here.send(there, b"plain", lasting_ms=60_000)
    carry_all(dropped, here)
    carry_all(here, dropped)
    assert [told.result for told in here.told] == [Result.OK]
    go_on(here, there, 1, 0)
    for _ in range(3):
        there.send(here, b"plain")
    there.seal()
    return here, there


def listed(here: Island, there: Island) -> list[Dispute]:
    lanes = disputed(here.root, here.cluster_id, there.cluster_id)
    return [item for lane in lanes if not lane.is_incoming for item in lane.disputes.listed]


def test_a_confirmation_that_a_second_recovery_drops_is_disputed_again() -> None:
    here, there = answered_on_a_dropped_branch()
    third = fork(there)
    carry_all(there, here)
    standings = [taken.standing for taken in carry_all(here, there) if isinstance(taken, Acknowledged)]
    assert standings == [Standing.CONFIRMED]
    assert listed(here, there) == []
    go_on(here, third, 2, 3)
    assert [(item.sequence, item.incarnation) for item in listed(here, third)] == [(1, 1)]
    third.time_ms += 120_000
    carry_all(third, here)
    carry_all(here, third)
    assert [(item.result, item.contradiction) for item in listed(here, third)] == [
        (Result.OK, Result.EXPIRED)
    ]
    assert len(here.told) == 1


def test_a_dispute_that_nobody_settled_is_listed_once_however_many_recoveries_follow() -> None:
    here, there = answered_on_a_dropped_branch()
    third = fork(there)
    go_on(here, third, 2, 0)
    assert [(item.sequence, item.incarnation) for item in listed(here, third)] == [(1, 0)]
    carry_all(third, here)
    carry_all(here, third)
    assert listed(here, third) == []


def test_a_contradiction_is_final_and_its_message_is_asked_for_no_more() -> None:
    here, there = answered_on_a_dropped_branch()
    third = fork(there)
    there.time_ms += 120_000
    carry_all(there, here)
    carry_all(here, there)
    assert [item.contradiction for item in listed(here, there)] == [Result.EXPIRED]
    go_on(here, third, 2, 0)
    assert [item.contradiction for item in listed(here, third)] == [Result.EXPIRED]
    lane = Lane(here.cluster_id, there.cluster_id, PORT, Mode.ORDERED)
    assert answered(here.root, lane) == Progress(PORT, Mode.ORDERED, 1)


def test_a_confirmation_of_what_is_forgotten_already_makes_a_later_list_incomplete() -> None:
    here, there = answered_on_a_dropped_branch()
    third = fork(there)
    key = out_key(Lane(here.cluster_id, there.cluster_id, PORT, Mode.ORDERED))
    known = load(here.root, key, OutLane.from_value)
    assert known is not None
    here.root.delete(settled_key(key, 1))
    save(here.root, key, OutLane(known.sent, known.floor, 1, 0))
    carry_all(there, here)
    carry_all(here, there)
    assert listed(here, there) == []
    go_on(here, third, 2, 3)
    (lane,) = disputed(here.root, here.cluster_id, third.cluster_id)
    assert (lane.disputes.is_complete, lane.disputes.listed) == (False, ())


@pytest.mark.parametrize("mode", Mode)
def test_what_was_handled_on_a_dropped_branch_runs_once_however_many_recoveries_follow(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each branch says other things in the same places, taken in order and not; then one says again what the
    first did. A list keeps no more than a few, and nothing that took effect is ever missing from it."""
    monkeypatch.setattr(disputes_module, "DISPUTES_MAX", 24)
    monkeypatch.setattr(disputes_module, "_CROWDED", 12)
    here, there = Federation("AB").islands
    first = fork(there)
    for incarnation in range(1, 9):
        dropped = fork(there)
        for number in range(6):
            dropped.send(here, b"plain %d of %d" % (number, incarnation), mode, 600_000)
        dropped.seal()
        here.anchor(dropped)
        for index in (4, 1, 0, 5, 2)[: 3 + incarnation % 3]:
            with contextlib.suppress(LaneRefused):
                here.take(dropped, dropped.arrival_for(here.cluster_id, index, dropped.height))
        (lists,) = [each for each in disputed(here.root, here.cluster_id, there.cluster_id)] or [None]
        assert lists is None or len(lists.disputes.listed) <= 24
        there = fork(first)
        if incarnation == 8:
            for number in range(6):
                there.send(here, b"plain %d of 1" % number, mode, 600_000)
        go_on(here, there, incarnation, 0)
    there.time_ms += 1
    run_dry(here, there)
    assert len(here.handled) == len(set(here.handled))
    assert not there.held(b"/c/")
    assert {told.message_hash for told in there.told} == {sent.hash for sent in there.sent.values()}
    there.send(here, b"after", mode, 600_000)
    run_dry(here, there)
    listed_ok = [item for item in listed_of(here, there) if item.result is Result.OK]
    is_crowded = len(listed_of(here, there)) > 12
    assert (there.told[-1].result is Result.OK) != is_crowded
    assert there.told[-1].answer == (CROWDED if is_crowded else b"done")
    settled = {told.message_hash for told in there.told}
    assert set(here.handled) == settled & set(here.handled) | {item.message_hash for item in listed_ok}


def listed_of(here: Island, there: Island) -> tuple[Dispute, ...]:
    lanes = disputed(here.root, here.cluster_id, there.cluster_id)
    return tuple(item for lane in lanes if lane.is_incoming for item in lane.disputes.listed)


def test_what_a_first_branch_was_answered_is_found_again_after_a_second_one_made_all_forgotten() -> None:
    """The third branch says what the first did, in places that the second used and the lane is closed for."""
    here, there = Federation("AB").islands
    second, third = fork(there), fork(there)
    for branch in (there, third):
        for number in range(3):
            branch.send(here, b"plain %d" % number, lasting_ms=600_000)
    carry_all(here, there)
    go_on(here, second, 1, 0)
    here.seal()
    talk(second, here, DEEP, Mode.ORDERED)
    go_on(here, third, 2, 0)
    run_dry(here, third)
    assert [told.result for told in third.told] == [Result.OK] * 3
    assert len(here.handled) == len(set(here.handled)) == 3 + DEEP
    third.send(here, b"after", lasting_ms=600_000)
    run_dry(here, third)
    assert third.told[-1].result is Result.OK
