"""A ledger that differs from the others' (C3): it stops storing and admitting, stays up and says so; the rest
of the cluster goes on if it can, and never certifies two results.
"""

import pytest

from bench.sim.world import World
from node.ledger.codes import Code
from node.storage import StateTable, Write
from node.validator import Refusal, durable, storing
from tests.node.validator.world import world_of

RECORD = "test/contested"


def diverge(*wrong: int) -> World:
    """A record exists everywhere but in the databases of `wrong`; then somebody tries to put it again."""
    world = world_of(3).start()
    world.run(500)
    first = world.transaction(name=RECORD)
    world.hosts[0].submit(first)
    assert world.stored([first], 5_000)
    world.run(100)
    for index in wrong:
        world.checkers.exempt[index] = None
        key = f"records/current/{RECORD}".encode()
        store = world.hosts[index].disk.store
        assert store.reader().get(StateTable.STATE, key) is not None
        store.apply((), [Write(StateTable.STATE, key, None)])
    world.hosts[0].submit(world.transaction(name=RECORD))
    world.run(3_000)
    return world


def refusal_of(world: World, index: int) -> Refusal:
    """What a client hears now."""
    ticket = world.hosts[index].submit(world.transaction())
    [outcome] = world.hosts[index].answers[ticket]
    assert isinstance(outcome, Refusal)
    return outcome


def test_one_of_four_stops_and_says_so_while_the_others_go_on() -> None:
    world = diverge(3)
    sick = world.hosts[3]
    assert sick.events == ["diverged"]
    assert "height 2: ours " in sick.told[0].detail
    assert sick.height == 1
    assert refusal_of(world, 3).code is Code.POOL_FULL
    assert "diverged" in refusal_of(world, 3).sentence
    sent = world.submit(1, 3)
    assert world.stored(sent, 3_000, 0, 1, 2)
    assert sick.up
    assert sick.height == 1
    for other in world.hosts[:3]:
        assert other.events == []


def test_a_diverged_node_keeps_its_bounds_however_long_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(durable, "JOURNAL_FLUSH_BYTES", 16_384)
    monkeypatch.setattr(storing, "JOURNAL_FLUSH_BYTES", 16_384)
    world = diverge(3)
    sick = world.hosts[3]
    for _ in range(60):
        sent = world.submit(0)
        assert world.stored(sent, 3_000, 0, 1, 2)
    assert sick.height == 1
    data = sick.validator.data
    assert not data.line.has_work
    held = {name: current for name, current, _ in sick.validator.limits()}
    assert held["line_waiting_blocks"] == 0
    assert held["pool_ordered_bytes"] < 4_096
    assert data.book.open_counts[0] < 16
    assert data.book.unstored_bytes < 2 * 16_384
    assert len(sick.disk.journal) < 100


def test_a_diverged_node_finds_out_again_after_a_restart() -> None:
    world = diverge(3)
    sick = world.hosts[3]
    sick.crash()
    sick.start()
    sent = world.submit(1)
    assert world.stored(sent, 5_000, 0, 1, 2)
    assert world.run(5_000, lambda: sick.events.count("diverged") == 2)
    assert sick.height == 1
    assert refusal_of(world, 3).code is Code.POOL_FULL


def test_a_ledger_gone_wrong_while_away_is_found_out_by_catching_up() -> None:
    world = world_of(3, certification_lag_max=8).start()
    world.run(500)
    first = world.transaction(name=RECORD)
    world.hosts[0].submit(first)
    assert world.stored([first], 5_000)
    world.run(100)
    world.partition((0, 1, 2), (3,))
    sick = world.hosts[3]
    world.checkers.exempt[3] = None
    sick.disk.store.apply((), [Write(StateTable.STATE, f"records/current/{RECORD}".encode(), None)])
    world.hosts[0].submit(world.transaction(name=RECORD))
    for _ in range(24):
        assert world.stored(world.submit(1), 5_000, 0, 1, 2)
    world.heal()
    sent = world.submit(2)
    assert world.stored(sent, 5_000, 0, 1, 2)
    world.run(3_000)
    assert sick.events == ["diverged"]
    assert "executing a certified block" in sick.told[0].detail
    assert sick.up
    assert sick.height == 1
    assert refusal_of(world, 3).code is Code.POOL_FULL
    signed = [key for key in world.checkers.signed if key[:2] == ("header", 3)]
    assert max((height for _, _, height in signed), default=0) <= 1
    for _ in range(12):
        assert world.stored(world.submit(1), 5_000, 0, 1, 2)
    assert not sick.validator.data.line.has_work
    assert sick.height == 1


def test_two_against_two_certify_nothing_and_all_four_say_so() -> None:
    world = diverge(2, 3)
    world.run(10_000)
    for node in world.hosts:
        assert node.up
        assert node.events == ["diverged"]
        assert node.height == 1
        assert refusal_of(world, node.index).code is Code.POOL_FULL


def test_nothing_opens_the_desk_of_a_diverged_node_again() -> None:
    world = diverge(3)
    world.hosts[3].disk_low(True)
    world.hosts[3].disk_low(False)
    assert "diverged" in refusal_of(world, 3).sentence
