"""Batches between validators: lost ones are fetched, silent and lying authors hold nobody up."""

from bench.sim.host import Host
from bench.sim.world import World
from consensus import decode, encode
from node import wire
from node.pool.messages import FetchedBatch, PushBatch, decode_message
from tests.node.pool import world as pools
from tests.node.validator.world import world_of

BATCH = 120
"""Transactions that are too large together to travel inline."""


def running(seed: int = 1) -> World:
    """A fresh cluster, past its start."""
    world = world_of(seed).start()
    world.run(500)
    return world


def is_push(topic: int, body: bytes) -> bool:
    """Whether a frame is a batch from its author."""
    return topic == wire.Code.BATCHES and isinstance(decode_message(body), PushBatch)


def test_an_author_that_goes_silent_after_a_quorum_has_its_batch_loses_nothing() -> None:
    world = running()

    def lose_push_to_three(source: Host, target: Host, topic: int, body: bytes) -> bool:
        return not (target.index == 3 and is_push(topic, body))

    world.network.filter = lose_push_to_three
    sent = world.submit(0, BATCH, size=200)

    def acknowledged() -> bool:
        return world.network.sent.get(wire.Code.DATA, 0) >= 6

    assert world.run(1_000, acknowledged)
    world.run(5)
    world.hosts[0].crash()
    # three are left, so the one without the batch must vote, and must fetch it first
    assert world.stored(sent, 10_000, 1, 2, 3)
    world.hosts[0].start()
    world.settle(5_000)


def test_a_batch_nobody_else_heard_of_is_pushed_again() -> None:
    world = running()
    world.network.filter = lambda source, target, topic, body: not is_push(topic, body)
    sent = world.submit(0, BATCH, size=200)
    world.run(1_500)
    assert not world.everywhere(sent)
    world.heal()
    assert world.stored(sent, 5_000)
    world.settle(1_000)


def test_an_author_that_dies_before_anybody_heard_its_batch_pushes_it_after_its_restart() -> None:
    world = running()
    world.network.filter = lambda source, target, topic, body: not is_push(topic, body)
    sent = world.submit(0, BATCH, size=200)
    world.run(100)
    world.hosts[0].crash()
    world.heal()
    world.run(1_000)
    assert not any(world.holds(node, sent[:1]) for node in world.hosts)
    world.hosts[0].start()
    assert world.stored(sent, 5_000)
    world.settle(1_000)


def test_a_lying_answer_to_a_fetch_is_punished_and_asked_for_elsewhere() -> None:
    world = running()
    lies: list[int] = []

    def lie(source: Host, target: Host, topic: int, body: bytes) -> bool:
        if target.index == 3 and is_push(topic, body):
            return False
        if topic == wire.Code.BATCHES and source.index == 0 and target.index == 3:
            message = decode_message(body)
            assert isinstance(message, FetchedBatch)
            value = decode(message.data)
            assert isinstance(value, tuple)
            other = encode((*value[:5], 5, *value[6:]))
            lies.append(world.now_ms)
            false = wire.frame_of_pool(FetchedBatch(other))[1]
            world.after(1, lambda: target.receive(source.peer, topic, false))
            return False
        return True

    world.network.filter = lie
    world.checkers.exempt[0] = None
    sent = world.submit(0, BATCH, size=200)
    assert world.stored(sent, 10_000)
    world.run(3_000)
    assert world.stored(sent, 1)
    if lies:
        assert world.hosts[0].peer in [punished.peer for punished in world.hosts[3].punished]
    world.settle(1_000)


def test_batches_of_a_dead_cluster_are_ordered_after_all_four_return() -> None:
    world = running()
    # agreement is cut, the data plane is not: acknowledged batches wait in every journal
    world.network.filter = lambda source, target, topic, body: topic in (wire.Code.BATCHES, wire.Code.DATA)
    sent = [t for index in range(4) for t in world.submit(index, BATCH, size=200)]
    world.run(400)
    for node in world.hosts:
        node.crash()
    world.network.filter = lambda source, target, topic, body: True
    for node in world.hosts:
        node.start()
    assert world.stored(sent, 10_000)
    world.settle(1_000)


def test_a_committed_batch_is_journalled_where_it_was_only_held() -> None:
    # A small batch waits with its acknowledgement for being ordered inline; a quorum may name it meanwhile.
    node = pools.World().nodes[3]
    batch = pools.batch(pools.transaction(1))
    node.receive(0, PushBatch(batch.encoded))
    assert batch.digest not in node.disk
    node.commit(pools.committed(pools.block(pools.naming(batch))))
    assert [ready.batches for ready in node.ready] == [(batch,)]
    assert node.disk[batch.digest] == batch.encoded
