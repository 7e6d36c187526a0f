"""Wall clocks that lie or jump: they date blocks and nothing else, so agreement goes on (C8)."""

from random import Random

import pytest

from node.validator import ClockSet, LinkDown
from tests.node.validator.world import world_of


@pytest.mark.parametrize("skew_ms", [-3_600_000, -5_000, 5_000, 3_600_000])
def test_one_clock_far_off_stops_nobody(skew_ms: int) -> None:
    world = world_of(1).start()
    world.run(500)
    world.hosts[2].skew_ms = skew_ms
    for turn in range(4):
        # at worst the round of the leader from the future fails, once for each transaction
        assert world.stored(world.submit(turn % 2), 2_000)
    world.settle(2_000)


@pytest.mark.parametrize("skew_ms", [-3_600_000, 180_000])
def test_a_wrong_clock_is_nobodys_fault(skew_ms: int) -> None:
    """Banned for it, a correct node would cost the cluster its quorum."""
    world = world_of(1).start()
    world.run(500)
    world.hosts[2].skew_ms = skew_ms
    late = world.submit(2, life_ms=500_000)
    for turn in range(4):
        assert world.stored(world.submit(turn % 2), 2_000)
    assert [fault.code for node in world.hosts for fault in node.punished] == []
    if skew_ms > 0:
        assert world.stored(late, skew_ms), "the others take it when its time has come"


@pytest.mark.parametrize("seed", range(3))
def test_clocks_that_jump_back_and_forth_lose_nothing(seed: int) -> None:
    choose = Random(seed)
    world = world_of(seed).start()
    world.run(500)
    sent = []
    for _ in range(20):
        choose.choice(world.hosts).skew_ms = choose.randint(-5_000, 5_000)
        sent += world.submit(choose.randrange(4))
        world.run(choose.randint(10, 200))
    for node in world.hosts:
        node.skew_ms = 0
    assert world.stored(sent, 20_000)
    world.settle(2_000)


@pytest.mark.parametrize("by_ms", [3_600_000, 20, -20, -3_600_000])
def test_what_a_clock_is_set_by_is_no_time_in_which_anybody_was_waited_for(by_ms: int) -> None:
    world = world_of(1).start()
    world.run(500)
    host = world.hosts[0]
    data = host.validator.data
    alarms = data.pool.alarm, data.catchup.alarm, host.validator.feeding.following.alarm
    host.feed(LinkDown(b"nobody"))  # all three look at the clock
    began = [alarm.elapsed_ms for alarm in alarms]
    host.skew_ms += by_ms
    host.feed(ClockSet(by_ms))
    world.run(300)
    host.feed(LinkDown(b"nobody"))
    assert [alarm.elapsed_ms - before for alarm, before in zip(alarms, began, strict=True)] == [300] * 3
