"""A lane whose list of disputes is crowded: what the list leaves out never takes effect later."""

from collections.abc import Callable

import pytest

from consensus import Digest
from node.anchoring.lanes import disputes as disputes_module
from node.anchoring.lanes.disputes import Dispute, Disputes, disputes_of
from node.anchoring.lanes.messages import Lane, Message, Mode, Result
from node.anchoring.lanes.rules import Arrival, HandlerFailed
from node.anchoring.lanes.state import LaneState, in_key
from node.anchoring.lanes.views import AnchoredView
from tests.node.anchoring.lanes.islands import PORT, Federation, Island
from tests.node.anchoring.lanes.test_double_recovery import World
from tests.node.anchoring.lanes.test_recovery import carry_all


def failing(source: Island, view: AnchoredView, arrival: Arrival) -> Callable[[LaneState, Message], bytes]:
    def run(state: LaneState, message: Message) -> bytes:
        raise HandlerFailed(b"not now")

    return run


@pytest.mark.parametrize("mode", Mode)
def test_what_failed_on_a_dropped_branch_never_takes_effect_once_a_list_is_shorter(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both branches of the source say the same four messages. They fail on the first, whose list has no room
    for the last of them; the others are recognised on the second, and would make room for it."""
    monkeypatch.setattr(disputes_module, "DISPUTES_MAX", 24)
    monkeypatch.setattr(disputes_module, "_CROWDED", 12)
    source, to = Federation("AB").islands
    lane = Lane(source.cluster_id, to.cluster_id, PORT, mode)
    world = World([source, to])
    world.fork(0)
    for number in range(10):
        source.send(to, b"many %d" % number, mode, 600_000)
    carry_all(to, source)
    world.recover(0, on_aside=True)
    world.aside[0] = None
    world.fork(0)
    first, second = world.followed[0], world.aside[0]
    assert second is not None
    second.send(to, b"elsewhere", next(other for other in Mode if other is not mode), 600_000)
    for number in range(4):
        for branch in (first, second):
            branch.send(to, b"transfer %d" % number, mode, 600_000)
    with monkeypatch.context() as patch:
        patch.setattr(to, "handler", failing)
        assert len(carry_all(to, first)) == 4
    world.recover(0, on_aside=True)
    assert disputes_of(to.root, in_key(lane)).is_crowded
    carry_all(to, second)
    carry_all(second, to)
    outcomes: dict[bytes, set[bool]] = {}
    for answer in to.answers():
        outcomes.setdefault(answer.message_hash, set()).add(answer.result is Result.OK)
    assert all(len(each) == 1 for each in outcomes.values())
    assert len(second.told) == 5
    for told in second.told:
        assert (told.result is Result.OK) == (told.message_hash in to.handled)


def test_what_is_listed_already_is_not_listed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disputes_module, "_CROWDED", 3)

    def dispute(sequence: int, result: Result = Result.ERROR) -> Dispute:
        return Dispute(sequence, 1, Digest(bytes([sequence]) * 32), result)

    known = Disputes(True, (dispute(1, Result.OK), dispute(2)))
    again = (dispute(1, Result.OK), dispute(2))
    assert known.choose(again) == ((), True)
    fresh = (dispute(3), dispute(4, Result.OK), dispute(5))
    assert known.choose((*again, *fresh)) == ((dispute(3), dispute(4, Result.OK)), False)
