"""Restarts of one, two and all; databases far behind journals; wiped and rolled back data; a lost guard."""

import pytest

from bench.sim.host import Host
from bench.sim.world import World
from consensus import HeaderSignature, SafetyRecord, StartKind
from node import wire
from node.validator import line, recover
from node.validator.recovered import Recovered
from tests.node.validator.world import world_of


def busy_world(seed: int = 5, rounds: int = 6, flush_ms: int = 5) -> World:
    """A cluster with some history."""
    world = world_of(seed, flush_ms=flush_ms).start()
    world.run(500)
    for index in range(rounds):
        world.submit(index % 4, 3)
        world.run(60)
    return world


def restart(world: World, *indices: int) -> None:
    """kill -9 of these at one moment, then their start."""
    for index in indices:
        world.hosts[index].crash()
    world.run(50)
    for index in indices:
        world.hosts[index].start()


def expect_progress(world: World, within_ms: int = 5_000) -> None:
    """Something new is committed and stored on all four, and nothing acknowledged is missing."""
    assert world.stored(world.submit(0), within_ms)
    world.settle(within_ms)


@pytest.mark.parametrize("indices", [(1,), (0, 2), (0, 1, 2, 3)])
@pytest.mark.parametrize("flush_ms", [2, 500])
def test_restarts_recover_without_help(indices: tuple[int, ...], flush_ms: int) -> None:
    world = busy_world(flush_ms=flush_ms)
    restart(world, *indices)
    expect_progress(world)


def test_a_journal_far_ahead_of_every_database_is_replayed_by_all_four_at_once() -> None:
    world = world_of(8).start()
    world.run(500)
    for node in world.hosts:
        node.flushing = False
    sent = [t for _ in range(12) for t in world.submit(0, 4) if not world.run(40)]
    world.run(500)
    assert all(node.height == 0 for node in world.hosts)
    restart(world, 0, 1, 2, 3)
    for node in world.hosts:
        node.flushing = True
        assert len(node.recovered.proposals) > 10
    # clients were told nothing yet, and still nothing that was ordered is lost
    assert world.stored(sent, 5_000)
    expect_progress(world)


def test_what_was_certified_and_not_stored_is_stored_after_the_restart_of_all_without_anything_new() -> None:
    """Clients hold receipts of it; waiting for the next heartbeat would hide it from readers for a minute."""
    world = world_of(21).start()
    world.run(500)
    for node in world.hosts:
        node.flushing = False
    sent = world.submit(0)
    assert world.run(30_000, lambda: all(_certified_on_disk(node) == 1 for node in world.hosts))
    restart(world, 0, 1, 2, 3)
    for node in world.hosts:
        node.flushing = True
        assert node.recovered.tip.height == 0
    assert world.stored(sent, 1_000)


@pytest.mark.parametrize(("signed", "certified"), [(20, 19), (40, 26)])
def test_what_all_certify_at_once_after_a_restart_is_executed_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, signed: int, certified: int
) -> None:
    """The signatures of the last height are in every journal and its certificate in none: all nodes learn it
    from each other, far above what any has stored, before they have executed what their journals hold. If
    each left that to catching up, nobody could serve it, for ever."""
    monkeypatch.setattr(line, "WAITING_MAX", 16)
    world = world_of(22).start()
    world.run(500)
    for node in world.hosts:
        node.flushing = False
    world.network.filter = lambda source, target, topic, body: not _signs_above(certified, topic, body)
    sent = [t for _ in range(signed) for t in world.submit(0) if not world.run(40)]
    world.run(500)
    assert all(node.validator.data.line.executed_height == signed for node in world.hosts)
    assert all(node.height == 0 and _certified_on_disk(node) == certified for node in world.hosts)
    world.heal()
    restart(world, 0, 1, 2, 3)
    for node in world.hosts:
        node.flushing, node.slice_us = True, 1_000
    assert world.stored(sent, 3_000)
    expect_progress(world)


def _signs_above(height: int, topic: int, body: bytes) -> bool:
    if topic != wire.Code.AGREEMENT:
        return False
    message = wire.agreement_message(topic, body)
    return isinstance(message, HeaderSignature) and message.height > height


def _certified_on_disk(node: Host) -> int:
    certified = read_again(node).certified
    return 0 if certified is None else certified.height


def test_a_crash_between_chain_and_state_is_mended_by_executing_again() -> None:
    world = world_of(9, flush_ms=30).start()
    world.run(500)
    world.submit(0)
    world.run(1_000)
    victim = world.hosts[1]
    sent = world.submit(0)

    def torn() -> bool:
        return victim.height < 2 and world.in_chain(victim, sent)

    assert world.run(1_000, torn)
    restart(world, 1)
    assert victim.recovered.tip.height == 1
    assert world.stored(sent, 5_000)
    expect_progress(world)


def read_again(node: Host) -> Recovered:
    """What a start would find now."""
    return recover(node.disk.store.reader(), list(node.disk.journal), node.disk.last_seq)


def test_reading_what_a_crash_left_changes_nothing() -> None:
    world = busy_world(flush_ms=40)
    node = world.hosts[2]
    node.crash()
    first, second = read_again(node), read_again(node)
    assert first == second
    node.start()
    node.crash()
    third = read_again(node)
    assert third.tip == first.tip
    assert isinstance(first.record, SafetyRecord)
    assert isinstance(third.record, SafetyRecord)
    assert third.record.boot == first.record.boot + 1
    assert [p.block.id for p in third.proposals] == [p.block.id for p in first.proposals]
    node.start()
    expect_progress(world)


def test_a_crash_between_the_boot_record_and_the_guard_is_harmless() -> None:
    world = busy_world()
    node = world.hosts[3]
    node.crash()
    node.crash_at = node.boundaries + 1
    node.start()
    assert not node.up
    assert world.run(2_000, lambda: node.up)
    assert node.floor.kind is StartKind.NORMAL
    expect_progress(world)


def test_wiped_data_with_the_guard_kept_syncs_and_signs_only_above_the_bound() -> None:
    world = busy_world(rounds=10)
    node = world.hosts[2]
    node.crash()
    old = node.disk
    node.disk = world.new_disk()
    node.disk.guard = old.guard
    node.start()
    assert node.floor.kind is StartKind.BEHIND
    record = node.floor.record
    assert record is not None
    for kind, signer, place in world.checkers.signed:
        bound = record.floor_height if kind == "header" else record.floor_round
        assert signer != 2 or place <= bound
    world.run(5_000)
    expect_progress(world)
    for _ in range(70):
        assert world.stored(world.submit(1), 5_000)
    assert node.validator.replica.view().last_voted_round > record.floor_round
    world.hosts[0].crash()
    assert world.stored(world.submit(1), 10_000, 1, 2, 3)


def test_rolled_back_data_is_noticed_and_nothing_is_signed_twice() -> None:
    world = busy_world()
    node = world.hosts[1]
    node.crash()
    backup = node.disk.copy()
    node.start()
    for _ in range(10):
        assert world.stored(world.submit(0, 2), 5_000)
    node.crash()
    backup.guard = node.disk.guard
    node.disk = backup
    node.start()
    assert node.floor.kind is StartKind.BEHIND
    expect_progress(world)


def test_without_a_guard_a_node_follows_and_never_votes() -> None:
    world = busy_world()
    node = world.hosts[0]
    node.crash()
    node.disk.guard = None
    node.start()
    assert node.floor.kind is StartKind.NO_GUARD
    signed = [key for key in world.checkers.signed if key[1] == 0]
    for _ in range(5):
        assert world.stored(world.submit(1, 2), 10_000)
    assert [key for key in world.checkers.signed if key[1] == 0] == signed
    expect_progress(world, 10_000)


def test_what_recent_blocks_ordered_is_not_proposed_again_after_a_restart() -> None:
    world = world_of(4).start()
    world.run(500)
    sent = [t for index in range(4) for t in world.submit(index, 60, size=200)]
    assert world.stored(sent, 5_000)
    top = max(node.height for node in world.hosts)
    # the authors' journals still hold their batches; a second execution would be a height of receipts
    restart(world, 0, 1, 2, 3)
    world.run(5_000)
    assert max(node.height for node in world.hosts) == top
    for node in world.hosts:
        assert not node.validator.data.pool.pending()
    expect_progress(world)
