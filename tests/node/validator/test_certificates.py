"""Whole validators that believe verification certificates: crashes, epochs and doubters change nothing."""

from collections.abc import Iterable

import pytest

from bench.sim.host import Host
from bench.sim.network import Quality
from bench.sim.operators import Operators
from bench.sim.remembered import remembered
from bench.sim.setting import CREATED_MS, make_setting
from bench.sim.world import World
from consensus import StartKind
from node import wire
from node.daemon.looking import missed_attestations
from node.ledger.governance.changes import AddValidator, RemoveValidator
from node.ledger.params import Params
from node.ledger.transactions import Transaction
from node.pool.attesting import CheckCounts
from node.pool.messages import Attest
from node.validator import Tuning

TOGETHER = 9
"""Transactions in a request: enough for a batch that is worth an attestation."""
LARGE = 1_000
"""Characters that make such a batch too large to go inline."""
TRUSTING = Tuning(verification_certificates=True)
PATIENCE_MS = 10_000


def world_of_believers(seed: int = 0, *, candidates: int = 0) -> World:
    params = Params(created_ms=CREATED_MS, inline_bytes_max=4_096)
    setting = make_setting(4, remembered(), params=params, candidates=candidates)
    world = World(setting, seed, quality=Quality((1_000, 3_000)), tuning=TRUSTING)
    return world.start()


def load(world: World, requests: int, places: Iterable[int] = range(4)) -> list[Transaction]:
    """Requests at these hosts in turn, small and large batches, as fast as they come."""
    at = list(places)
    sent = []
    for number in range(requests):
        sent += world.submit(at[number % len(at)], TOGETHER, size=LARGE if number % 3 else 0)
        world.run(40)
    return sent


def count(host: Host) -> CheckCounts:
    return host.validator.data.pool.attesting.counts


def expect(world: World, sent: list[Transaction]) -> None:
    assert world.stored(sent, PATIENCE_MS)
    assert world.stored(world.submit(0, TOGETHER, size=LARGE), PATIENCE_MS)
    world.settle(PATIENCE_MS)
    assert not any(host.punished for host in world.hosts)


def test_two_of_four_verify_and_the_others_believe_them() -> None:
    world = world_of_believers()
    expect(world, load(world, 60))
    verified = sum(count(host).verified for host in world.hosts)
    trusted = sum(count(host).trusted for host in world.hosts)
    assert trusted > verified > 0  # of three that hear of a batch two need not look
    assert sum(count(host).overdue for host in world.hosts) == 0
    assert not any(missed_attestations(host.validator) for host in world.hosts)


def test_whoever_is_killed_the_others_verify_for_themselves() -> None:
    world = world_of_believers(1)
    sent = load(world, 6)
    world.hosts[2].crash()
    others = (0, 1, 3)
    sent = load(world, 30, others)
    assert world.stored(sent, PATIENCE_MS, *others)
    world.hosts[2].start()
    expect(world, sent)


def test_whose_attestations_are_lost_is_waited_for_and_then_left_out() -> None:
    world = world_of_believers(2)

    def lossy(source: Host, target: Host, topic: int, body: bytes) -> bool:
        return source.place != 3 or topic != wire.Code.ATTESTATIONS

    world.network.filter = lossy
    began_ms = world.elapsed_ms
    expect(world, load(world, 60, (0, 1, 2)))
    assert world.elapsed_ms - began_ms < 20_000
    overdue = [count(host).overdue for host in world.hosts]
    assert sum(overdue) > 0
    assert max(overdue) < 20  # a sixth of 60 would have been its turn for each; most were spared the wait
    for host in world.hosts[:3]:
        named = missed_attestations(host.validator)
        lost = named.pop(bytes(host.validator.term.roster.validators[3].node_key))
        assert lost.count > 1
        assert not lost.is_late
        assert all(missed.is_late for missed in named.values())  # they waited for it themselves


@pytest.mark.parametrize("indices", [(1,), (0, 2), (0, 1, 2, 3)])
def test_restarts_in_the_midst_of_waiting_lose_nothing(indices: tuple[int, ...]) -> None:
    world = world_of_believers(3)
    sent = load(world, 12)
    assert world.stored(sent, PATIENCE_MS)
    for index in range(4):
        world.submit(index, TOGETHER, size=LARGE)
    world.run(3)
    for index in indices:
        world.hosts[index].crash()
    world.run(50)
    for index in indices:
        world.hosts[index].start()
    expect(world, load(world, 6))


def test_a_wiped_validator_comes_back_as_everywhere() -> None:
    world = world_of_believers(4)
    sent = load(world, 12)
    node = world.hosts[2]
    node.crash()
    guard, node.disk = node.disk.guard, world.new_disk()
    node.disk.guard = guard
    node.start()
    assert node.floor.kind is StartKind.BEHIND
    expect(world, sent + load(world, 12))


def test_believers_and_others_live_in_one_cluster() -> None:
    world = world_of_believers(5)
    for place in (2, 3):
        world.tuning = Tuning()
        world.hosts[place].crash()
        world.hosts[place].start()
    world.tuning = TRUSTING
    said: dict[int, int] = {}

    def heard(source: Host, target: Host, topic: int, body: bytes) -> bool:
        if topic == wire.Code.ATTESTATIONS:
            assert isinstance(wire.pool_message(topic, body), Attest)
            said[source.place] = said.get(source.place, 0) + 1
        return True

    world.network.filter = heard
    expect(world, load(world, 40))
    assert set(said) == {0, 1}
    assert [count(world.hosts[place]).trusted for place in (2, 3)] == [0, 0]


def test_validators_come_and_go_and_whoever_has_no_seat_is_not_heard() -> None:
    world = world_of_believers(6, candidates=1)
    operators = Operators(world)
    sent = load(world, 6)
    operators.decide(AddValidator(world.setting.records[4]))
    sent += load(world, 12, (0, 1, 2, 3, 4))
    operators.decide(RemoveValidator("v3"))
    sent += load(world, 12, (0, 1, 2, 4))
    removed = world.hosts[3]
    trusted = [count(host).trusted for host in world.hosts]
    target = world.hosts[0]
    pool = target.validator.data.pool
    name = next(iter(world.submit(1, TOGETHER, size=LARGE))).id
    for _ in range(3):
        removed.send(target, *wire.frame_of_pool(Attest((name,))))
    world.run(200)
    assert dict((n, held) for n, held, _ in pool.limits())["pool_early_attestations"] == 0
    assert world.stored(sent, PATIENCE_MS)
    world.settle(PATIENCE_MS)
    assert world.run(PATIENCE_MS, lambda: {host.validator.term.epoch for host in world.hosts} == {2})
    assert min(trusted[:3]) > 0  # counted on across the borders
    assert not any(host.punished for host in world.hosts)
