"""What nodes tell of themselves: how often, to whom, and that one node's `why` shows it of all."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from node import wire
from node.condition import Condition
from node.daemon.conditions import TELL_EVERY_MS, TELL_SOONEST_MS, Pace, condition_of
from node.daemon.daemon import Node
from node.daemon.looking import look
from node.daemon.watches import DISK_RESERVE_BYTES, Room
from node.diagnosis import PeerFacts, diagnose
from tests.node.daemon.running import config_of, running_node, until, written
from tests.node.diagnosis.scene import A_CONDITION

LINKS = (b"\x01" * 32, b"\x02" * 32)


def tellings(said: list[tuple[int, Condition, tuple[bytes, ...]]]) -> list[int]:
    """When it is told of what is the case at these times."""
    pace = Pace()
    return [now_ms for now_ms, condition, links in said if pace.is_due(condition, links, now_ms)]


def test_it_is_told_at_once_then_every_five_seconds_whatever_numbers_change() -> None:
    said = [
        (now, replace(A_CONDITION, inbox=now, missing_batches=now), LINKS) for now in range(0, 12_000, 500)
    ]
    assert tellings(said) == [0, TELL_EVERY_MS, 2 * TELL_EVERY_MS]


@pytest.mark.parametrize(
    "change", [{"is_disk_low": True}, {"is_diverged": True}, {"never_signs": True}, {"sync_target": 9}]
)
def test_what_matters_is_told_when_it_changes(change: dict[str, int]) -> None:
    worse = replace(A_CONDITION, **change)  # type: ignore[arg-type]  # one field each
    said = [
        (0, A_CONDITION, LINKS),
        (2_000, A_CONDITION, LINKS),
        (2_100, worse, LINKS),
        (4_000, worse, LINKS),
    ]
    assert tellings([*said, (4_100, A_CONDITION, LINKS)]) == [0, 2_100, 4_100]


def test_who_is_linked_anew_is_told_and_a_target_that_moves_is_no_news() -> None:
    catching_up = [replace(A_CONDITION, sync_target=height) for height in (7, 8, 9)]
    said = [(now, condition, LINKS) for now, condition in zip((0, 1_500, 3_000), catching_up, strict=True)]
    assert tellings([*said, (4_000, A_CONDITION, LINKS[:1])]) == [0, 4_000]


def test_it_is_never_told_more_than_once_a_second() -> None:
    said = [(now, replace(A_CONDITION, is_disk_low=now % 200 == 0), LINKS) for now in range(0, 5_000, 100)]
    told = tellings(said)
    assert min(after - before for before, after in pairwise(told)) >= TELL_SOONEST_MS


def only_peer(node: Node) -> PeerFacts:
    """The other one of two, as this one sees it."""
    (peer,) = look(node)[1]
    return peer


async def test_a_node_shows_what_the_other_says_of_itself(tmp_path: Path) -> None:
    testnet = written(tmp_path / "net", 2)
    async with running_node(config_of(testnet, 0)) as first, running_node(config_of(testnet, 1)) as second:
        await until(lambda: only_peer(first).told is not None and only_peer(second).told is not None)
        said = only_peer(first).told
        assert said is not None
        assert said.disk_free_bytes > 0
        assert (said.is_diverged, said.never_signs) == (False, False)
        room = Room(DISK_RESERVE_BYTES - 1, 1_001)
        low = condition_of(second.opened, second.validator, second.postbox, room)
        assert (low.is_disk_low, low.map_used_permille) == (True, 1_000)

        def is_diagnosed() -> bool:
            second.network.broadcast(*wire.frame_of_condition(low))  # what it says by itself comes in between
            found = diagnose(*look(first))[2]
            return (found.about, found.code) == (only_peer(first).name, "says-disk-full")

        await until(is_diagnosed)


async def test_a_node_of_the_protocol_before_is_linked_and_told_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    testnet = written(tmp_path / "net", 2)
    async with running_node(config_of(testnet, 0)) as first:
        with monkeypatch.context() as changed:
            changed.setattr(wire, "PROTOCOL_VERSION", wire.TELLING_SINCE - 1)
            async with running_node(config_of(testnet, 1)) as older:
                await until(lambda: bool(older.validator.directory.links() and only_peer(first).connected))
                assert first.network.broadcast(*wire.frame_of_condition(A_CONDITION)) == 0
                seen = only_peer(first)
                assert (seen.protocol_version, seen.told, seen.told_ms_ago) == (4, None, None)
                assert only_peer(older).told is None
