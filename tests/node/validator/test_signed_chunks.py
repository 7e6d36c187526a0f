"""A benchmark cluster of signed transactions in the simulator: it commits what is signed and nothing else."""

from random import Random

import pytest

from bench.sim.host import Host
from bench.sim.setting import key_of
from bench.sim.world import World
from node.ledger.codes import Code
from node.ledger.params import Benchmark
from node.pool.signedchunks import signed_transaction
from node.validator import ChunkChecked, ChunkSubmitted, Refusal
from tests.node.validator.test_opaque import RECOVERY_MS, counted, holds, name_of, opaque_world

SIZE = 512


def signed_world(seed: int = 0, *, flush_ms: int = 5) -> World:
    return opaque_world(seed, flush_ms=flush_ms, kind=Benchmark.SIGNED)


def chunk(world: World, count: int) -> bytes:
    key = key_of("somebody", world.setting.scheme)
    cluster_id = world.setting.genesis.cluster_id
    contents = (number.to_bytes(SIZE - 96, "big") for number in range(count))
    return b"".join(signed_transaction(key, cluster_id, content) for content in contents)


def send(host: Host, data: bytes) -> int:
    ticket = host.world.next_ticket()
    host.feed(ChunkSubmitted(ticket, data, SIZE))
    return ticket


def test_what_is_signed_is_committed_everywhere_and_counted() -> None:
    world = signed_world().start()
    world.run(500)
    tickets = [(host, send(host, chunk(world, count))) for count in (1, 20, 60) for host in world.hosts]
    assert world.run(10_000, lambda: all(ticket in host.answers for host, ticket in tickets))
    names = [name_of(host, ticket) for host, ticket in tickets]
    assert world.run(10_000, lambda: all(holds(host, names) for host in world.hosts))
    world.settle(RECOVERY_MS)
    assert [counted(host) for host in world.hosts] == [4 * (1 + 20 + 60)] * 4


def test_one_bad_signature_is_refused_and_the_cluster_goes_on() -> None:
    world = signed_world().start()
    world.run(500)
    good = chunk(world, 20)
    bad = send(world.hosts[0], good[:-1] + bytes((good[-1] ^ 1,)))
    taken = send(world.hosts[0], good)
    assert world.run(10_000, lambda: taken in world.hosts[0].answers and bad in world.hosts[0].answers)
    (outcome,) = world.hosts[0].answers[bad]
    assert isinstance(outcome, Refusal)
    assert outcome.code == Code.BAD_SIGNATURE
    assert "transaction 19" in outcome.sentence
    name = name_of(world.hosts[0], taken)
    assert world.run(10_000, lambda: all(holds(host, [name]) for host in world.hosts))
    world.settle(RECOVERY_MS)
    assert [counted(host) for host in world.hosts] == [20] * 4


def test_what_a_validator_vouches_for_unseen_is_ordered_by_nobody() -> None:
    """Its own chunk is called good before it was looked at: the others refuse the batch."""
    world = signed_world().start()
    world.run(500)
    liar, good = world.hosts[3], chunk(world, 200)
    ticket = send(liar, good[:-1] + bytes((good[-1] ^ 1,)))
    liar.feed(ChunkChecked(ticket, None))
    assert world.run(1_000, lambda: ticket in liar.answers)
    name = name_of(liar, ticket)
    world.run(3_000)
    assert not any(holds(host, [name]) for host in world.hosts)
    taken = send(world.hosts[0], good)
    assert world.run(10_000, lambda: taken in world.hosts[0].answers)
    kept = name_of(world.hosts[0], taken)
    assert world.run(10_000, lambda: all(holds(host, [kept]) for host in world.hosts[:3]))


@pytest.mark.parametrize("seed", range(2))
def test_crashes_at_random_boundaries_lose_nothing(seed: int) -> None:
    choose = Random(seed)
    world = signed_world(seed, flush_ms=choose.choice((1, 50))).start()
    world.run(500)
    for _ in range(6):
        alive = [host for host in world.hosts if host.up]
        if alive:
            send(choose.choice(alive), chunk(world, choose.randint(1, 30)))
        if choose.random() < 0.6:
            victim = choose.choice(world.hosts)
            victim.crash_at = victim.boundaries + choose.randint(1, 30)
        world.run(choose.randint(1, 300))
    for host in world.hosts:
        host.crash_at = None
    world.run(500)
    for host in world.hosts:
        host.start()
    world.run(1_000)
    ticket = send(world.hosts[0], chunk(world, 10))
    assert world.run(RECOVERY_MS, lambda: ticket in world.hosts[0].answers)
    name = name_of(world.hosts[0], ticket)
    assert world.run(RECOVERY_MS, lambda: all(holds(host, [name]) for host in world.hosts))
    world.settle(RECOVERY_MS)
