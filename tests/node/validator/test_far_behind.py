"""Nodes that were away for long: what they are told meanwhile, and what they are brought, is enough to store
by, however much of it there is and however little."""

import pytest

from bench.sim.world import World
from node import wire
from node.storage import ChainTable, Write
from node.validator import line
from node.validator.layout import height_key
from tests.node.validator.world import world_of

UNCERTIFIED_MAX = 80
"""Of these lines: more than a range of heights, as the real one of 192 is."""


def far_behind(monkeypatch: pytest.MonkeyPatch) -> World:
    """Host 3 is cut off while the others store more heights than may wait there for a certificate."""
    monkeypatch.setattr(line, "UNCERTIFIED_MAX", UNCERTIFIED_MAX)
    world = world_of(6, certification_lag_max=16).start()
    world.run(500)
    world.partition((0, 1, 2), (3,))
    go_on(world, 100)
    return world


def go_on(world: World, heights: int) -> None:
    for _ in range(heights):
        world.submit(0)
        world.run(30)


def test_more_certificates_than_are_kept_come_while_it_catches_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropping the lowest would leave nothing to store the next heights by: execution would stand still."""
    monkeypatch.setattr(line, "CERTIFICATES_MAX", 24)
    world = far_behind(monkeypatch)
    world.heal()
    world.network.filter = lambda source, target, topic, body: topic != wire.Code.SYNC
    go_on(world, 40)
    data = world.hosts[3].validator.data
    assert data.catchup.running
    assert dict((name, (now, most)) for name, now, most in data.line.limits())["line_certificates"] == (
        24,
        24,
    )
    world.heal()
    go_on(world, 20)
    world.settle(5_000)


def test_whoever_serves_has_few_certificates_and_none_where_a_range_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So it is with a node that caught up itself: of each range that it was brought it has one."""
    world = far_behind(monkeypatch)
    for host in world.hosts[:3]:
        sparse = [height for height in range(1, host.height) if height % 70]
        host.disk.store.apply([Write(ChainTable.CERTIFICATES, height_key(h), None) for h in sparse], ())
    world.heal()
    go_on(world, 5)
    world.settle(5_000)


def test_certificates_of_who_serves_lie_further_apart_than_may_be_executed_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever serves may have stored as far apart as that: then the first one above what is asked for is too
    far away, and the blocks bring those between."""
    world = far_behind(monkeypatch)
    go_on(world, 60)
    for host in world.hosts[:3]:
        # In the middle of the first range, and as far above as a node can have executed before it stored.
        kept = (world.hosts[3].height + 40, world.hosts[3].height + 40 + UNCERTIFIED_MAX)
        sparse = [
            height for height in range(world.hosts[3].height + 1, host.height - 2) if height not in kept
        ]
        host.disk.store.apply([Write(ChainTable.CERTIFICATES, height_key(h), None) for h in sparse], ())
    world.heal()
    go_on(world, 5)
    world.settle(10_000)
