"""History stays whole: what a node has executed it can serve, whatever it held when it fell behind."""

from bench.sim.world import World
from node import wire
from node.daemon.serving import StoredChain
from tests.node.validator.world import world_of


def missing_batches(world: World, index: int) -> list[int]:
    """The stored heights whose batches a node cannot serve."""
    node = world.hosts[index]
    with node.disk.store.snapshot() as snapshot:
        chain = StoredChain(snapshot, world.pool_config)
        return [height for height in range(1, node.height + 1) if chain.batches(height) is None]


def test_catch_up_does_not_let_held_batches_expire_that_history_names() -> None:
    """A node held batches when it was cut off; they were ordered meanwhile, early in what it missed."""
    world = world_of(5, certification_lag_max=2, inline_bytes_max=0).start()
    world.run(500)
    world.network.filter = lambda source, target, topic, body: (
        topic != wire.Code.AGREEMENT or target.index != 3
    )
    held = world.submit(0, 5)
    assert world.stored(held, 5_000, 0, 1, 2)
    assert world.hosts[3].validator.data.book.open_counts[1] == 1
    world.partition((0, 1, 2), (3,))
    for _ in range(8):
        assert world.stored(world.submit(0, 5), 5_000, 0, 1, 2)
    world.heal()
    world.settle(30_000)
    assert missing_batches(world, 3) == []
    world.run(200_000)  # beyond the life of every batch
    world.submit(1)
    world.settle(30_000)
    assert missing_batches(world, 3) == []
