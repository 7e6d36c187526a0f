"""A gap lies over sequences that a recovery had opened again: what had been answered there was answered."""

import pytest

from node.anchoring.lanes.messages import GAPS_MAX, Gap, Lane, Mode, Result
from node.anchoring.lanes.records import Passed
from tests.node.anchoring.lanes.islands import PORT, Federation
from tests.node.anchoring.lanes.test_deep_fork import run_dry
from tests.node.anchoring.lanes.test_double_recovery import World
from tests.node.anchoring.lanes.test_recovery import carry_all


@pytest.mark.parametrize("mode", Mode)
def test_what_was_handled_before_a_gap_came_over_it_is_never_told_to_have_expired(mode: Mode) -> None:
    """The destination handled three messages. The source is recovered without them, and that branch says a
    gap in their places; then it is recovered on the branch that had sent them and heard no answer yet."""
    source, to = Federation("AB").islands
    world = World([source, to])
    world.recover(1, on_aside=False)
    world.fork(0)
    for number in range(4):
        source.send(to, b"plain %d" % number, mode, 600_000)
    source.seal()
    to.anchor(source)
    for index in range(3):
        to.take(source, source.arrival_for(to.cluster_id, index, source.height))
    handled = tuple(to.handled)
    assert len(handled) == 3
    world.recover(0, on_aside=True)
    liar = world.followed[0]
    lane = Lane(source.cluster_id, to.cluster_id, PORT, mode)
    liar.root.say(to.cluster_id, Gap.make(lane, 1, 10).encoded)
    assert len(carry_all(to, liar)) == 1
    world.recover(0, on_aside=True)
    assert world.followed[0] is source
    run_dry(*world.followed)
    assert to.handled[:3] == list(handled)
    told = {each.message_hash: each.result for each in source.told}
    assert [told[each] for each in handled] == [Result.OK] * 3
    assert sorted(result.name for result in told.values()) == ["EXPIRED", "OK", "OK", "OK"]
    world.check()


def test_a_closing_tells_no_gap_where_something_was_answered() -> None:
    passed = Passed(2, ((3, 9), (20, 20), (30, 40)))
    assert passed.without(()) == passed.gaps
    assert passed.without({1, 3, 6, 7, 20, 25, 40, 50}) == ((4, 5), (8, 9), (30, 39))
    scattered = Passed(1, ((1, 2 * GAPS_MAX + 9),)).without(range(2, 2 * GAPS_MAX + 2, 2))
    assert len(scattered) == GAPS_MAX
    assert scattered[-1] == (2 * GAPS_MAX + 1, 2 * GAPS_MAX + 9)
