"""Crashes at every boundary between memory, journal, guard, chain and state: nothing acknowledged is lost,
nothing is signed twice, and the cluster goes on by itself.
"""

from random import Random

import pytest

from bench.sim.world import World
from tests.node.validator.world import world_of

RECOVERY_MS = 20_000
"""After the last crash and the last lost frame: a new transaction is stored everywhere within this."""


def ordeal(seed: int) -> World:
    """Random load, loss, reordering, and crashes at random boundaries; then peace."""
    choose = Random(seed)
    world = world_of(
        seed,
        latency_ms=(1, 10),
        loss_percent=choose.choice((0, 2, 5)),
        flush_ms=choose.choice((1, 5, 50, 400)),
        persist_ms=choose.randint(1, 3),
    ).start()
    world.run(500)
    for _ in range(10):
        alive = [node.index for node in world.hosts if node.up]
        if alive:
            world.submit(choose.choice(alive), choose.choice((1, 1, 3, 30)))
        if choose.random() < 0.6:
            victim = choose.choice(world.hosts)
            victim.crash_at = victim.boundaries + choose.randint(1, 30)
        world.run(choose.randint(1, 300))
    for node in world.hosts:
        node.crash_at = None
    world.heal()
    return world


def expect_recovery(world: World) -> None:
    """The cluster commits again, everywhere, and nobody lost anything."""
    world.run(500)
    for node in world.hosts:
        node.start()
    sent = world.submit(0)
    assert world.stored(sent, RECOVERY_MS), list(world.timeline.lines)
    world.settle(RECOVERY_MS)


@pytest.mark.parametrize("seed", range(6))
def test_crashes_at_random_boundaries_lose_nothing(seed: int) -> None:
    world = ordeal(seed)
    expect_recovery(world)


@pytest.mark.parametrize("seed", range(6))
def test_the_first_receipt_anywhere_survives_the_crash_of_all_four_at_that_moment(seed: int) -> None:
    world = world_of(seed, latency_ms=(1, 12), flush_ms=1_000, persist_ms=1 + seed % 3).start()
    world.run(500)
    world.submit(seed % 4, 1 if seed % 2 else 120, size=200)
    assert world.run(2_000, lambda: bool(world.checkers.acknowledged))
    for node in world.hosts:
        node.crash()
    promised = dict(world.checkers.acknowledged)
    world.run(100)
    for node in world.hosts:
        node.start()
    world.run(10_000)
    assert world.checkers.acknowledged.items() >= promised.items()
    assert world.run(10_000, lambda: all(node.height >= 1 for node in world.hosts))
    world.settle(10_000)


def odyssey(seed: int) -> World:
    """Partitions of every kind on top, and a K so small that whoever was away must sync by headers."""
    choose = Random(seed)
    world = world_of(
        seed,
        latency_ms=(1, 10),
        loss_percent=choose.choice((0, 2)),
        flush_ms=choose.choice((1, 5, 50)),
        certification_lag_max=choose.choice((2, 4, 8)),
    ).start()
    world.run(300)
    for _ in range(8):
        for _ in range(choose.randint(1, 5)):
            alive = [node.index for node in world.hosts if node.up]
            if alive:
                world.submit(choose.choice(alive), choose.choice((1, 2, 12)))
            world.run(choose.randint(10, 80))
        alone = choose.randrange(4)
        world.partition(
            *choose.choice(
                (
                    ((0, 1, 2, 3),),
                    ((0, 1), (2, 3)),
                    (tuple(index for index in range(4) if index != alone), (alone,)),
                )
            )
        )
        if choose.random() < 0.5:
            victim = choose.choice(world.hosts)
            victim.crash_at = victim.boundaries + choose.randint(1, 25)
        world.run(choose.randint(1, 800))
    for node in world.hosts:
        node.crash_at = None
    world.heal()
    return world


@pytest.mark.parametrize("seed", range(6))
def test_partitions_and_crashes_together_lose_nothing(seed: int) -> None:
    world = odyssey(seed)
    expect_recovery(world)
    for node in world.hosts:
        assert "diverged" not in node.events


def test_a_height_is_never_stored_without_the_block_and_the_batches_it_is_of() -> None:
    # Host 3 votes for nothing: no signature of its own ever carries a block or a batch into its journal,
    # so what it stores rests on commits alone. (The checkers look into every flush.)
    world = world_of(7).start()
    world.run(500)
    world.hosts[3].crash()
    world.hosts[3].disk.guard = None
    world.hosts[3].start()
    sent = [t for _ in range(5) for t in world.submit(0, 150, size=200) if world.run(100) is False]
    assert world.stored(sent, 5_000)
    world.hosts[3].crash()
    world.hosts[3].start()
    sent = world.submit(1)
    assert world.stored(sent, 5_000)
    world.settle(5_000)
