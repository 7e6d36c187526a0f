"""What a healthy cluster does, and how little of it."""

from tests.node.validator.world import World


def test_a_lone_transaction_is_stored_everywhere() -> None:
    world = World(latency_ms=(1, 1)).start()
    world.run(2_000)
    begun = world.elapsed_ms
    sent = world.submit(1)
    assert world.stored(sent, 1_000)
    print(world.elapsed_ms - begun, world.sent)
    world.settle(1_000)
