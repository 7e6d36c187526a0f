"""A node that agreement carries too slowly: when it leaves to catching up what others have certified."""

import pytest

from bench.sim.host import Host
from bench.sim.world import World
from node import wire
from node.pool.messages import PushBatch
from node.validator import line, walking
from node.validator.walking import NEAR, STRETCH, Walk
from tests.node.validator.world import world_of

WAITING = "pool_committed_waiting"
UNCERTIFIED = 8
"""What is ordered and not certified yet, and on its way."""


def slow_to_fetch(every_ms: int) -> World:
    """Host 3 hears agreement and certificates like all others, but has to fetch the batches, and of these
    one in `every_ms` comes through."""
    world = world_of(7, inline_bytes_max=0).start()
    world.run(500)
    passed_ms = 0

    def passes(_source: Host, target: Host, topic: int, body: bytes) -> bool:
        nonlocal passed_ms
        if target.place != 3 or topic != wire.Code.BATCHES:
            return True
        if isinstance(wire.pool_message(topic, body), PushBatch) or world.now_ms < passed_ms + every_ms:
            return False
        passed_ms = world.now_ms
        return True

    world.network.filter = passes
    return world


def go_on(world: World, heights: int) -> int:
    """Until the others have stored so many more; how many committed blocks, every other one
    empty, waited at host 3 at most."""
    goal, waited = world.hosts[0].height + heights, 0
    while world.hosts[0].height < goal:
        world.submit(0)
        world.run(12)
        validator = world.hosts[3].validator
        assert validator is not None
        waited = max(waited, next(now for name, now, _ in validator.limits() if name == WAITING))
    return waited


def test_who_waits_for_batches_while_the_chain_goes_on_is_left_to_catching_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Agreement has every block and is not behind at all: only what is not executed tells."""
    monkeypatch.setattr(line, "WAITING_MAX", 24)
    monkeypatch.setattr(walking, "STRETCH", 10_000)
    world = slow_to_fetch(14)
    assert go_on(world, 50) <= 2 * (24 + UNCERTIFIED)
    assert world.hosts[3].height > 24
    world.settle(5_000)


def test_a_walk_that_does_not_gain_on_the_chain_is_left_to_catching_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(walking, "NEAR", 4)
    monkeypatch.setattr(walking, "STRETCH", 8)
    world = slow_to_fetch(14)
    assert go_on(world, 50) <= 2 * (4 + 2 * 8 + UNCERTIFIED)
    assert world.hosts[3].height > 24
    world.settle(5_000)


def judged(*distances: int) -> list[bool]:
    """What is said of a walk that is so far behind at the end of each stretch of the chain."""
    walk = Walk()
    return [
        walk.is_losing(certified * STRETCH, certified * STRETCH - d)
        for certified, d in enumerate(distances, 5)
    ]


def test_a_walk_is_given_up_when_it_came_no_nearer_in_a_stretch() -> None:
    assert judged(40, 40) == [False, True]
    assert judged(40, 60) == [False, True]
    assert judged(40, 39, 38, 38) == [False, False, False, True]


def test_a_walk_that_was_near_in_between_begins_anew() -> None:
    assert judged(40, NEAR, 40, 40) == [False, False, False, True]
    assert judged(NEAR, NEAR, NEAR) == [False, False, False]


def test_nothing_is_said_before_a_stretch_of_the_chain_went_by() -> None:
    walk = Walk()
    said = [walk.is_losing(1_000 + height, 960) for height in range(STRETCH + 1)]
    assert said == [False] * STRETCH + [True]


def test_a_walk_after_a_rest_begins_anew() -> None:
    walk = Walk()
    walk.is_losing(1_000, 900)
    walk.rest()
    assert not walk.is_losing(1_000 + STRETCH, 900)
