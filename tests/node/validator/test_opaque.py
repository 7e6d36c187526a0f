"""A benchmark cluster in the simulator: it commits opaque batches, falls, catches up, and loses nothing."""

from dataclasses import replace
from random import Random

import pytest

from bench.sim.host import Host
from bench.sim.network import Quality
from bench.sim.setting import DEFAULT_PARAMS, make_setting
from bench.sim.world import Pace, World
from consensus import as_array, as_bytes, as_int, as_tuple, decode
from node.ledger.codes import Code
from node.ledger.params import Benchmark
from node.ledger.receipts import Receipt
from node.storage import ChainTable
from node.validator import ChunkSubmitted, Refusal
from node.validator.layout import height_key
from tests.node.validator.world import world_of

RECOVERY_MS = 20_000


def opaque_world(seed: int = 0, *, flush_ms: int = 5, kind: Benchmark = Benchmark.OPAQUE) -> World:
    setting = make_setting(params=replace(DEFAULT_PARAMS, apps=(kind.value,)))
    pace = Pace(1_000, flush_ms * 1_000, (1_000, 2_000))
    return World(setting, seed, quality=Quality((1_000, 5_000), 0), pace=pace)


def send(host: Host, size: int = 51_200, transaction_bytes: int = 512) -> int:
    ticket = host.world.next_ticket()
    host.feed(ChunkSubmitted(ticket, bytes([ticket % 251]) * size, transaction_bytes))
    return ticket


def name_of(host: Host, ticket: int) -> bytes:
    (outcome,) = host.answers[ticket]
    assert isinstance(outcome, bytes)
    return outcome


def holds(host: Host, names: list[bytes]) -> bool:
    reader = host.disk.store.reader()
    return all(reader.get(ChainTable.TRANSACTIONS, name) is not None for name in names)


def counted(host: Host) -> int:
    """The transactions of which the host stores receipts."""
    reader = host.disk.store.reader()
    total = 0
    for height in range(1, host.height + 1):
        leaves, receipts = as_tuple(
            decode(reader.get(ChainTable.BODIES, height_key(height)) or b""), 2, "body"
        )
        read = [Receipt.decode(as_bytes(item, "receipt")) for item in as_array(receipts, 1_000, "receipts")]
        assert tuple(receipt.tx_id for receipt in read) == leaves
        total += sum(as_int(as_tuple(receipt.result, 2, "result")[0], "count") for receipt in read)
    return total


def test_batches_of_all_validators_are_committed_everywhere_with_a_receipt_each() -> None:
    world = opaque_world().start()
    world.run(500)
    tickets = [(host, send(host, size)) for size in (512, 51_200, 262_144) for host in world.hosts]
    assert world.run(10_000, lambda: all(ticket in host.answers for host, ticket in tickets))
    names = [name_of(host, ticket) for host, ticket in tickets]
    assert world.run(10_000, lambda: all(holds(host, names) for host in world.hosts))
    world.settle(RECOVERY_MS)
    assert [counted(host) for host in world.hosts] == [4 * (1 + 100 + 512)] * 4
    told = [host.validator.data.storing.stored_transactions for host in world.hosts]
    assert told == [4 * (1 + 100 + 512)] * 4, "batches are counted by what is in them"


@pytest.mark.parametrize("seed", range(4))
def test_crashes_at_random_boundaries_lose_nothing(seed: int) -> None:
    choose = Random(seed)
    world = opaque_world(seed, flush_ms=choose.choice((1, 5, 50, 400))).start()
    world.run(500)
    for _ in range(8):
        alive = [host for host in world.hosts if host.up]
        if alive:
            send(choose.choice(alive), 512 * choose.randint(1, 500))
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
    ticket = send(world.hosts[0])
    assert world.run(RECOVERY_MS, lambda: ticket in world.hosts[0].answers)
    name = name_of(world.hosts[0], ticket)
    assert world.run(RECOVERY_MS, lambda: all(holds(host, [name]) for host in world.hosts))
    world.settle(RECOVERY_MS)


def test_one_that_was_away_fetches_the_batches_it_missed() -> None:
    world = opaque_world().start()
    world.run(500)
    world.partition((0, 1, 2), (3,))
    for _ in range(20):
        send(world.hosts[0])
        world.run(100)
    assert world.hosts[3].height < world.hosts[0].height
    world.heal()
    send(world.hosts[1])
    world.settle(RECOVERY_MS)


def test_on_any_other_cluster_opaque_bytes_are_refused() -> None:
    world = world_of().start()
    world.run(500)
    ticket = send(world.hosts[0])
    world.run(100)
    (outcome,) = world.hosts[0].answers[ticket]
    assert isinstance(outcome, Refusal)
    assert outcome.code == Code.UNKNOWN_APP


@pytest.mark.parametrize("is_governance", [False, True])
def test_signed_transactions_find_no_application_here(is_governance: bool) -> None:
    world = opaque_world().start()
    world.run(500)
    transaction = world.transaction()
    if is_governance:  # which every other cluster has
        transaction = world.sign(world.setting.operators[0], "governance", "approve", (bytes(32),))
    ticket = world.hosts[0].submit(transaction)
    world.run(500)
    (outcome,) = world.hosts[0].answers[ticket]
    assert isinstance(outcome, Refusal)
    assert outcome.code == Code.UNKNOWN_APP


def test_a_closed_desk_takes_no_bytes() -> None:
    world = opaque_world().start()
    world.run(500)
    world.hosts[0].disk_low(True)
    ticket = send(world.hosts[0])
    world.run(100)
    (outcome,) = world.hosts[0].answers[ticket]
    assert isinstance(outcome, Refusal)
    assert outcome.code == Code.POOL_FULL
