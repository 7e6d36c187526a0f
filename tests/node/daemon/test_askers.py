"""Where those stand who have no seat: pruning leaves them what they are asking for."""

from pathlib import Path

import trio

from consensus import Height
from node.daemon.askers import ASKERS_MAX, LATELY_MS, Askers
from node.daemon.metrics import render_metrics
from node.pool.messages import SyncRequest
from node.validator import ServeSync
from tests.node.daemon.running import config_of, running_node, written

PEER, OTHER = b"p" * 32, b"o" * 32


def test_the_lowest_height_asked_for_lately_counts() -> None:
    askers = Askers()
    askers.note(PEER, 200, 0)
    askers.note(PEER, 100, 10)
    askers.note(PEER, 300, 20)
    askers.note(OTHER, 5, 20)
    assert askers.heights(30) == [99, 4]
    assert askers.heights(20 + LATELY_MS) == [], "who asks no more has what it wants, or went elsewhere"


def test_who_goes_on_asking_moves_on() -> None:
    askers = Askers()
    for number in range(100):
        askers.note(PEER, 1 + number * 10, number * 1_000)
    (height,) = askers.heights(99_000)
    assert 991 - 2 * 10 * LATELY_MS // 1_000 <= height < 991


def test_how_many_are_remembered_is_bounded() -> None:
    askers = Askers()
    for number in range(ASKERS_MAX + 5):
        askers.note(number.to_bytes(32, "big"), 1 + number, 0)
    assert askers.limits() == (("sync_askers", ASKERS_MAX, ASKERS_MAX),)
    assert min(askers.heights(0)) == 5, "who asked longest ago made room"


async def test_a_running_node_notes_who_asks(tmp_path: Path) -> None:
    async with running_node(config_of(written(tmp_path / "net"))) as node:
        node.performer.perform(ServeSync(PEER, SyncRequest(Height(7), 1, 1_000)))
        assert node.performer.askers.heights(int(1000 * trio.current_time())) == [6]
        assert b'isthmus_bounded_items{name="sync_askers"} 1.0' in render_metrics(node)
