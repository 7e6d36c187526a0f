"""Data, not keys, was wiped where no quorum is without it: the validator votes again by itself (E17)."""

import pytest

from bench.sim.host import Host
from bench.sim.world import World
from consensus import GuardRecord, decode
from consensus.reservation import GUARD_ROUNDS
from tests.node.validator.world import world_of


def lose_data(world: World, *places: int) -> None:
    """All of these are dead; what comes back has its keys and its guard."""
    for place in places:
        host = world.hosts[place]
        guard, host.disk = host.disk.guard, world.new_disk()
        host.disk.guard = guard


def guard_of(host: Host) -> GuardRecord:
    """What lies beside its key."""
    assert host.disk.guard is not None
    return GuardRecord.from_value(decode(host.disk.guard))


def signed_by(host: Host) -> int:
    """The highest round it has signed, by what its journal says."""
    return host.validator.replica.view().last_voted_round


def write_on(world: World, times: int, *places: int, gap_ms: int) -> None:
    """So many transactions, to each of these places in turn."""
    for turn in range(times):
        world.submit(places[turn % len(places)])
        world.run(gap_ms)


def test_a_wiped_validator_without_which_there_is_no_quorum_syncs_and_votes_again_by_itself() -> None:
    world = world_of(3, certification_lag_max=8).start()
    sent = [transaction for place in (0, 1, 2, 3) * 8 for transaction in world.submit(place)]
    assert world.stored(sent, 20_000)
    wiped, dead = world.hosts[1], world.hosts[3]
    signed = signed_by(wiped)
    dead.crash()
    wiped.crash()
    lose_data(world, 1)
    wiped.start()
    late = world.submit(0)
    assert world.stored(late, 60_000, 0, 1, 2)
    assert signed_by(wiped) > signed
    assert world.everywhere(sent, (1,))
    world.checkers.check_blame()


def test_who_is_needed_for_a_quorum_keeps_an_exact_guard_under_any_load_and_may_be_wiped() -> None:
    world = world_of(5, certification_lag_max=8).start()
    world.run(500)
    world.hosts[2].crash()
    write_on(world, 150, 0, 1, 3, gap_ms=12)
    wiped = world.hosts[0]
    guard = guard_of(wiped)
    assert guard.round_bound - signed_by(wiped) <= 1, "far more guards were written than can be saved up for"
    wiped.crash()
    lose_data(world, 0)
    wiped.start()
    assert world.stored(world.submit(1), 20_000, 0, 1, 3)
    assert signed_by(wiped) > guard.round_bound
    world.checkers.check_blame()


@pytest.mark.parametrize("seed", [1, 2])
def test_all_four_are_killed_and_two_of_them_lose_their_data(seed: int) -> None:
    world = world_of(seed, certification_lag_max=8).start()
    sent = [transaction for place in (0, 1, 2, 3) * 5 for transaction in world.submit(place)]
    assert world.stored(sent, 20_000)
    for host in world.hosts:
        host.crash()
    lose_data(world, 1, 2)
    for host in world.hosts:
        host.start()
    assert world.stored(world.submit(0), 30_000)
    assert world.everywhere(sent, (0, 1, 2, 3))
    world.checkers.check_blame()


def test_a_guard_that_reached_ahead_in_a_busy_cluster_is_brought_back_when_it_is_quiet() -> None:
    world = world_of(7).start()
    world.run(500)
    write_on(world, 130, 0, 1, 2, 3, gap_ms=12)
    ahead = [guard_of(host).round_bound - signed_by(host) for host in world.hosts]
    assert max(ahead) > 1, "load that cannot be followed guard by guard"
    world.run(3_000)
    for host in world.hosts:
        assert guard_of(host).round_bound - signed_by(host) <= 1


def test_wiped_beside_a_guard_that_reached_ahead_it_is_mute_until_the_dead_one_is_back() -> None:
    """What nobody alive can know: how high its lock had risen (E7). Nothing is lost meanwhile."""
    world = world_of(8).start()
    world.run(500)
    write_on(world, 130, 0, 1, 2, 3, gap_ms=12)
    wiped, dead = world.hosts[1], world.hosts[3]
    assert world.run(5_000, lambda: guard_of(wiped).round_bound >= signed_by(wiped) + GUARD_ROUNDS // 2)
    wiped.crash()
    dead.crash()
    lose_data(world, 1)
    wiped.start()
    late = world.submit(0)
    assert not world.stored(late, 10_000, 0, 1, 2)
    assert signed_by(wiped) == 0
    dead.start()
    assert world.stored(late, 20_000)
    world.checkers.check_blame()
