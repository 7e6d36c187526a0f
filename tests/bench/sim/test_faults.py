"""Each fault as it begins and ends, alone and on top of others; and peace, which ends all of them."""

import pytest

from bench.sim.conditions import Conditions
from bench.sim.faults import (
    ClockSkew,
    Crash,
    CrashAll,
    CrashAtWrite,
    DiskFull,
    Duplicate,
    GuardLost,
    Loss,
    OneWay,
    Partition,
    Reorder,
    RestartAll,
    RestoreBackup,
    SlowLink,
    Twin,
    Wipe,
)
from bench.sim.keyedhash import KEYED_HASH
from bench.sim.network import Quality
from bench.sim.setting import CREATED_MS, make_setting
from bench.sim.world import World
from consensus import StartKind
from node.ledger.params import Params

SETTING = make_setting(4, KEYED_HASH, params=Params(created_ms=CREATED_MS, idle_interval_ms=50))


def conditions_of(*twins: int, quality: Quality = Quality()) -> Conditions:  # noqa: B008  # frozen
    """A world that has begun to work."""
    conditions = Conditions(World(SETTING, 1, quality=quality, twins=twins))
    for host in conditions.members:
        host.start()
    conditions.world.run(500)
    return conditions


def up(conditions: Conditions) -> list[bool]:
    """Who runs."""
    return [host.up for host in conditions.members]


def test_a_crash_takes_one_host_for_its_time() -> None:
    conditions = conditions_of()
    Crash(0, 2, 300).apply(conditions)
    assert up(conditions) == [True, True, False, True]
    conditions.world.run(301)
    assert all(up(conditions))
    assert conditions.counts == {"crash": 1}


def test_a_crash_of_what_is_down_does_not_count() -> None:
    conditions = conditions_of()
    Crash(0, 2, 300).apply(conditions)
    Crash(0, 2, 100).apply(conditions)
    assert conditions.counts == {"crash": 1}


def test_a_crash_at_a_write_falls_between_two_of_them() -> None:
    conditions = conditions_of()
    host = conditions.world.hosts[1]
    CrashAtWrite(0, 1, 3).apply(conditions)
    planned = host.boundaries + 3
    assert conditions.world.run(5_000, lambda: not host.up)
    assert host.boundaries == planned
    assert conditions.world.run(1_000, lambda: host.up)


def test_a_power_cut_takes_all_and_brings_them_back_one_by_one() -> None:
    conditions = conditions_of()
    CrashAll(0, 100, 50).apply(conditions)
    assert not any(up(conditions))
    conditions.world.run(160)
    assert up(conditions) == [True, True, False, False]
    conditions.world.run(100)
    assert all(up(conditions))


def test_a_restart_of_all_goes_round() -> None:
    conditions = conditions_of()
    lives = [host.life for host in conditions.members]
    RestartAll(0, 100).apply(conditions)
    conditions.world.run(1)
    assert up(conditions) == [False, True, True, True]
    conditions.world.run(500)
    assert all(up(conditions))
    assert all(host.life > life for host, life in zip(conditions.members, lives, strict=True))


def test_a_later_partition_replaces_an_earlier_one_and_outlives_its_end() -> None:
    conditions = conditions_of()
    world, hosts = conditions.world, conditions.world.hosts
    Partition(0, ((0, 1), (2, 3)), 300).apply(conditions)
    world.run(100)
    assert not world.network.connected(hosts[0], hosts[2])
    Partition(0, ((0, 2), (1, 3)), 500).apply(conditions)
    world.run(300)
    assert not world.network.connected(hosts[0], hosts[1])
    assert world.network.connected(hosts[0], hosts[2])
    world.run(300)
    assert world.network.connected(hosts[0], hosts[1])


@pytest.mark.parametrize("fault", [OneWay(0, 0, 1, 400), SlowLink(0, 0, 1, (900, 900), 400)])
def test_one_direction_suffers_and_recovers(fault: OneWay | SlowLink) -> None:
    conditions = conditions_of()
    world = conditions.world
    first, second = world.hosts[0], world.hosts[1]
    arrived: list[str] = []
    received = second.receive

    def receive(source: bytes, topic: int, body: bytes, *, gossip: bool = False) -> None:
        if source == first.peer:
            arrived.append("0 to 1")
        received(source, topic, body, gossip=gossip)

    world.run(10)
    fault.apply(conditions)
    second.receive = receive  # type: ignore[method-assign]  # this world's own ear
    world.run(300)
    assert len(arrived) <= 2, "what was on its way when it began"
    world.run(700)
    assert len(arrived) > 2


def test_storms_add_up_and_end_one_by_one() -> None:
    base = Quality((1_000, 2_000), 1)
    conditions = conditions_of(quality=base)
    network = conditions.world.network
    Loss(0, 30, 300).apply(conditions)
    Loss(0, 10, 600).apply(conditions)
    Duplicate(0, 50, 600).apply(conditions)
    Reorder(0, 40, 300).apply(conditions)
    assert network.quality == Quality((1_000, 2_000), 30, 50, 40)
    conditions.world.run(400)
    assert network.quality == Quality((1_000, 2_000), 10, 50, 0)
    conditions.world.run(400)
    assert network.quality == base


@pytest.mark.parametrize("off_ms", [-5_000, 5_000])
def test_what_a_clock_jumps_by_is_no_time_to_the_pool_of_that_host(off_ms: int) -> None:
    conditions = conditions_of()
    host = conditions.world.hosts[3]
    alarm = host.validator.data.pool.alarm
    began_ms = alarm.advance(host.now_ms)
    ClockSkew(0, 3, off_ms, 200).apply(conditions)
    conditions.world.run(500)
    assert alarm.advance(host.now_ms) - began_ms == 500


def test_a_clock_jumps_and_jumps_back() -> None:
    conditions = conditions_of()
    host = conditions.world.hosts[3]
    ClockSkew(0, 3, -5_000, 200).apply(conditions)
    assert host.now_ms == conditions.world.now_ms - 5_000
    conditions.world.run(300)
    assert host.skew_ms == 0


def test_a_full_disk_stores_nothing_until_there_is_room() -> None:
    conditions = conditions_of()
    world, host = conditions.world, conditions.world.hosts[2]
    DiskFull(0, 2, 1_500).apply(conditions)
    sent = world.submit(0)
    assert world.stored(sent, 1_000, 0, 1, 3)
    assert not world.holds(host, sent)
    assert world.stored(sent, 3_000, 2)


def test_wiped_data_leaves_the_guard() -> None:
    conditions = conditions_of()
    host = conditions.world.hosts[1]
    guard = host.disk.guard
    Wipe(0, 1, 50).apply(conditions)
    assert (host.up, host.height, host.disk.guard) == (False, 0, guard)
    conditions.world.run(100)
    assert host.floor.kind is StartKind.BEHIND


@pytest.mark.parametrize("is_stopped", [True, False])
def test_a_backup_put_back_is_noticed(is_stopped: bool) -> None:
    conditions = conditions_of()
    world, host = conditions.world, conditions.world.hosts[1]
    assert world.stored(world.submit(0), 2_000)
    RestoreBackup(0, 1, is_stopped, 400, 50).apply(conditions)
    height = host.height
    sent = world.submit(0)
    world.run(399)
    assert host.height > height
    world.run(2)
    assert not host.up
    assert host.height == height
    world.run(60)
    assert host.floor.kind is StartKind.BEHIND
    assert world.stored(sent, 5_000)


def test_without_its_guard_a_host_signs_no_more() -> None:
    conditions = conditions_of()
    GuardLost(0, 0, 50).apply(conditions)
    conditions.world.run(100)
    assert conditions.world.hosts[0].floor.kind is StartKind.NO_GUARD


@pytest.mark.parametrize("copied", [True, False])
def test_a_twin_starts_once_and_is_a_member_from_then_on(copied: bool) -> None:
    conditions = conditions_of(2)
    twin = conditions.twins[2]
    assert not twin.up
    Twin(0, 2, copied).apply(conditions)
    Twin(0, 2, copied).apply(conditions)
    assert twin.up
    assert conditions.counts == {"twin": 1}
    assert conditions.members.count(twin) == 1
    assert twin.floor.kind is (StartKind.NORMAL if copied else StartKind.FIRST)


def test_peace_ends_everything_and_whatever_was_planned() -> None:
    conditions = conditions_of(3)
    world = conditions.world
    quality = world.network.quality
    for fault in (
        Crash(0, 0, 6_000),
        CrashAtWrite(0, 1, 9_000),
        Partition(0, ((0, 1), (2, 3)), 6_000),
        OneWay(0, 1, 2, 6_000),
        Loss(0, 90, 6_000),
        ClockSkew(0, 2, 5_000, 6_000),
        DiskFull(0, 3, 6_000),
        Twin(0, 3, False),
        RestoreBackup(0, 1, False, 700, 6_000),
    ):
        fault.apply(conditions)
    conditions.calm()
    assert all(up(conditions))
    assert world.network.quality == quality
    assert [host.skew_ms for host in world.hosts] == [0] * 5
    assert not any(host.disk.is_full for host in world.hosts)
    sent = world.submit(0)
    assert world.stored(sent, 20_000)
    world.run(7_000)
    assert all(up(conditions))
    assert world.timeline.counts["crashes"] == 1
