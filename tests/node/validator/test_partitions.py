"""Nodes that were away: walked back block by block when near, synced by certified headers when far (C25)."""

from dataclasses import replace

import pytest

from bench.sim.host import Host
from bench.sim.world import World
from node import wire
from node.pool.messages import SyncResponse, decode_message
from tests.node.validator.world import world_of

LAG_MAX = 16
"""K of these clusters; the default of 64 is the same code and four times the wait."""


def away(heights: int, seed: int = 6, *, victim: int = 3) -> World:
    """`victim` is cut off while the others store that many heights."""
    world = world_of(seed, certification_lag_max=LAG_MAX).start()
    world.run(500)
    others = tuple(index for index in range(4) if index != victim)
    world.partition(others, (victim,))
    for _ in range(heights):
        assert world.stored(world.submit(others[0]), 20_000, *others)
    assert world.hosts[victim].height == 0
    return world


@pytest.mark.parametrize(("heights", "synced"), [(LAG_MAX - 2, False), (3 * LAG_MAX, True)])
def test_a_node_that_was_away_comes_back_without_a_restart(heights: int, synced: bool) -> None:
    world = away(heights)
    victim = world.hosts[3]
    world.heal()
    sent = world.submit(1)
    assert world.stored(sent, 10_000)
    world.settle(5_000)
    assert ("sync" in victim.events) == synced
    # and it agrees again, not only follows
    world.hosts[0].crash()
    assert world.stored(world.submit(3), 10_000, 1, 2, 3)


def test_it_catches_up_while_the_others_go_on() -> None:
    world = away(2 * LAG_MAX)
    world.heal()
    for _ in range(30):
        world.submit(0, 2)
        world.run(40)
    world.settle(10_000)
    assert world.hosts[3].height >= 2 * LAG_MAX + 5


@pytest.mark.parametrize("flush_ms", [60, 100])
def test_it_stops_catching_up_while_the_others_go_on_and_votes(flush_ms: int) -> None:
    """What others can serve is always a flush behind what they certify: a target that moved with the chain
    would never be reached."""
    world = world_of(6, certification_lag_max=LAG_MAX, flush_ms=flush_ms, latency_ms=(5, 15)).start()
    world.run(500)
    world.partition((0, 1, 2), (3,))
    for _ in range(3 * LAG_MAX):
        world.submit(0)
        world.run(40)
    world.heal()
    victim, healed_ms, runs = world.hosts[3], world.elapsed_ms, 0

    def votes() -> bool:
        view = victim.validator.replica.view()
        return not victim.validator.data.catchup.running and view.last_voted_round + 2 >= view.round

    was_running = False
    while world.elapsed_ms < healed_ms + 4_000:
        world.submit(world.elapsed_ms % 3)
        world.run(20)
        runs += victim.validator.data.catchup.running and not was_running
        was_running = victim.validator.data.catchup.running
        if world.elapsed_ms >= healed_ms + 1_000:
            assert votes()
            assert victim.validator.data.line.executed_height >= world.hosts[0].height
    assert runs == 1
    world.settle(5_000)


@pytest.mark.parametrize("boundary", range(2, 12, 3))
def test_a_crash_while_catching_up_loses_nothing(boundary: int) -> None:
    world = away(2 * LAG_MAX)
    victim = world.hosts[3]
    victim.crash_at = victim.boundaries + boundary
    world.heal()
    world.run(3_000)
    assert world.stored(world.submit(0), 20_000)
    world.settle(5_000)


def test_catching_up_survives_a_peer_that_dies_while_it_is_asked() -> None:
    world = away(2 * LAG_MAX)
    world.heal()
    asked: dict[int, None] = {}

    def watch(source: Host, target: Host, topic: int, body: bytes) -> bool:
        if topic == wire.Code.SYNC:
            asked.setdefault(source.index, None)
            return source.index != next(iter(asked))
        return True

    world.network.filter = watch
    world.run(30_000, lambda: world.hosts[3].height == world.hosts[1].height)
    assert asked
    world.heal()
    world.settle(5_000)


def test_a_source_that_lies_about_the_past_is_punished_and_asked_no_more() -> None:
    world = away(3 * LAG_MAX)
    lies: list[int] = []
    liars: list[int] = []

    def forge(source: Host, target: Host, topic: int, body: bytes) -> bool:
        if topic != wire.Code.SYNC:
            return True
        liars.append(source.index)
        if source.index != liars[0]:
            return True
        response = decode_message(body)
        if not isinstance(response, SyncResponse) or not response.items:
            return True
        first = response.items[0]
        wrong = replace(first, header=first.header[:-1] + bytes((first.header[-1] ^ 1,)))
        false = wire.frame_of_pool(replace(response, items=(wrong, *response.items[1:])))[1]
        lies.append(response.from_height)
        world.after(1, lambda: target.receive(source.peer, topic, false))
        return False

    world.heal()
    world.network.filter = forge
    assert world.stored(world.submit(1), 20_000)
    victim = world.hosts[3]
    assert 1 <= len(lies) < 5
    assert {punished.peer for punished in victim.punished} == {world.hosts[liars[0]].peer}
    assert "diverged" not in victim.events
    world.heal()
    world.settle(5_000)


def test_answers_that_never_come_are_asked_for_elsewhere() -> None:
    world = away(3 * LAG_MAX)
    world.heal()
    world.network.filter = lambda source, target, topic, body: topic != wire.Code.SYNC or source.index == 2
    assert world.stored(world.submit(1), 60_000)
    world.heal()
    world.settle(5_000)


def test_no_quorum_commits_nothing_and_goes_on_when_healed() -> None:
    world = world_of(2).start()
    world.run(500)
    world.partition((0, 1), (2, 3))
    sent = world.submit(0) + world.submit(2)
    world.run(20_000)
    assert all(node.height == 0 for node in world.hosts)
    world.heal()
    assert world.stored(sent, 30_000)
    world.settle(5_000)


@pytest.mark.parametrize("groups", [((0, 1), (2, 3)), ((0,), (1,), (2,), (3,)), ((0, 1, 2), (3,))])
def test_a_long_outage_costs_nothing_afterwards(groups: tuple[tuple[int, ...], ...]) -> None:
    world = world_of(1).start()
    world.run(500)
    world.submit(0)
    world.partition(*groups)
    world.submit(1)
    world.run(900_000)
    world.heal()
    # links that come up carry rounds and certificates: nobody waits out a grown timeout
    assert world.stored(world.submit(2), 1_000)
    world.settle(5_000)


def test_a_dead_leader_costs_one_timeout() -> None:
    world = world_of(2, latency_ms=(5, 5)).start()
    world.run(500)
    for victim in range(4):
        world.hosts[victim].crash()
        begun = world.elapsed_ms
        alive = tuple(index for index in range(4) if index != victim)
        for _ in range(4):
            assert world.stored(world.submit(alive[0]), 10_000, *alive)
        # four transactions, of which at most two waited for the dead leader's round of 600 ms
        assert world.elapsed_ms - begun < 4_000
        world.hosts[victim].start()
        world.run(1_000)
    world.settle(5_000)


@pytest.mark.parametrize("seed", range(3))
def test_load_with_loss_and_reordering_is_stored_once(seed: int) -> None:
    world = world_of(seed, latency_ms=(1, 40), loss_percent=8).start()
    world.run(500)
    sent = []
    for index in range(16):
        sent += world.submit(index % 4, 8 if index % 3 else 40, size=300)
        world.run(60)
    world.heal()
    assert world.stored(sent, 20_000)
    world.settle(5_000)
