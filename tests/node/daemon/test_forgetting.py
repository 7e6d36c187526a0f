"""Pruning beside a running node: slices that are whole, what stays for others, and a node that goes on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from node.api import queries
from node.api.faults import ApiFault, Fault
from node.api.live import LiveBackend
from node.cli.exits import Exit
from node.cli.main import run
from node.config import ConfigError, parse_config
from node.daemon import forgetting
from node.daemon.forgetting import SLICE_HEIGHTS, Forgotten, forget_slice, keep_forgetting, lowest_kept
from node.daemon.metrics import render_metrics
from node.daemon.pruning import oldest_needed, prune, pruned_below
from node.daemon.startup import check_data, open_home
from node.doctor.kept import look_at_kept
from node.home import Home
from node.storage import ChainTable, SnapshotLimit, StoreFailed, height_key
from tests.node.daemon.grown import Grown
from tests.node.daemon.running import config_of, running_node
from tests.node.daemon.test_pruning import count, opened, quiet

KEEP = 40


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(forgetting, "SLICE_HEIGHTS", 8)
    return 8


def test_what_linked_nodes_lack_stays_but_not_for_ever() -> None:
    assert lowest_kept(1_000, 100, ()) == 901
    assert lowest_kept(1_000, 100, (1_000, 950)) == 901
    assert lowest_kept(1_000, 100, (1_000, 850)) == 851
    assert lowest_kept(1_000, 100, (0,)) == 801, "who stands still holds back another hundred at most"
    assert lowest_kept(50, 100, ()) < 1


def test_slices_come_to_what_pruning_a_stopped_node_comes_to(grown: Grown, small_slices: int) -> None:
    blocks, bodies, batches = (
        count(grown, table) for table in (ChainTable.BLOCKS, ChainTable.BODIES, ChainTable.BATCHES)
    )
    store, rules = opened(grown)
    heights = []
    while done := forget_slice(store, rules, KEEP, ()):
        heights.append(done)
    assert set(heights[:-1]) == {small_slices}
    with store.snapshot() as view:
        below = pruned_below(view)
        assert below == sum(heights) + 1
        assert grown.tip - KEEP + 1 - small_slices < below <= grown.tip - KEEP + 1
        assert below <= oldest_needed(view, rules, grown.tip)
        assert view.get(ChainTable.BODIES, height_key(below)) is not None
        assert view.get(ChainTable.BODIES, height_key(below - 1)) is None
        assert view.count(ChainTable.BODIES) == bodies - (below - 1)
        assert view.count(ChainTable.BLOCKS) <= blocks - (below - 1)
        assert view.count(ChainTable.BATCHES) <= batches
        kept = view.count(ChainTable.BLOCKS), view.count(ChainTable.BATCHES)
    again = prune(store, rules, 100, quiet)
    assert (again.below, again.bodies) == (below, 0)
    with store.snapshot() as view:
        left = view.count(ChainTable.BLOCKS), view.count(ChainTable.BATCHES)
    assert kept[0] - left[0] <= 1, "empty blocks right below the border go with the next slice"
    assert kept[1] == left[1]
    store.close()
    assert check_data(config_of(grown.testnet)).findings == []
    open_home(config_of(grown.testnet)).close()


def test_less_than_a_slice_is_left_for_later(grown: Grown) -> None:
    store, rules = opened(grown)
    assert forget_slice(store, rules, grown.tip - SLICE_HEIGHTS + 1, ()) == 0
    assert forget_slice(store, rules, grown.tip - SLICE_HEIGHTS, (1,)) == 0, "a linked node lacks it"
    assert count_open(store) == 0
    assert forget_slice(store, rules, grown.tip - SLICE_HEIGHTS, ()) == SLICE_HEIGHTS
    store.close()


@pytest.mark.parametrize(("keep", "grade", "last"), [(100, "warning", "10 min"), (650, "good", "65 min")])
def test_the_doctor_judges_by_the_rate_that_it_finds(grown: Grown, keep: int, grade: str, last: str) -> None:
    config = config_of(grown.testnet)
    found = look_at_kept(replace(config, storage=replace(config.storage, keep_blocks=keep)))
    assert found.grade.value == grade
    assert f"at 600 an hour, as this node has seen, those last {last}" in found.words


def count_open(store: object) -> int:
    with store.snapshot() as view:  # type: ignore[attr-defined]  # a Store
        return pruned_below(view)


async def test_a_running_node_forgets_and_goes_on(
    grown: Grown, small_slices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_done, looks = trio.Event(), iter(range(1_000))

    def noticed(*arguments: Any) -> int:
        if next(looks) == 2:
            trio.from_thread.run_sync(two_done.set)
        return forget_slice(*arguments)

    monkeypatch.setattr(forgetting, "forget_slice", noticed)
    config_file = grown.home.config_file
    config_file.write_text(config_file.read_text() + "\n[storage]\nkeep_blocks = 100\n")
    config = config_of(grown.testnet)
    assert config.storage.keep_blocks == 100
    async with running_node(config) as node:
        backend = LiveBackend(node)
        await two_done.wait()
        below = backend.status().pruned_below
        assert (node.forgotten.heights, node.forgotten.below) == (16, 17)
        assert below in (17, 25), "the third slice may be on its way"
        metrics = render_metrics(node).decode()
        assert "isthmus_pruned_below_height 17.0" in metrics
        assert "isthmus_pruned_heights_total 16.0" in metrics
        with backend.snapshot() as view:
            with pytest.raises(ApiFault) as refused:
                queries.transaction(view, grown.transactions[0].id, with_proof=False)
            assert refused.value.kind is Fault.PRUNED.value
            assert queries.transaction(view, grown.transactions[-1].id, with_proof=True).proof is not None
        assert backend.readiness().ready
    assert check_data(config).findings == []


async def test_a_refused_view_is_tried_again_and_a_broken_database_ends_the_node(
    grown: Grown, small_slices: int, autojump_clock: trio.testing.MockClock
) -> None:
    store, rules = opened(grown)
    answers: list[Exception] = [SnapshotLimit("later"), StoreFailed("broken")]
    counts = Forgotten()

    def others() -> tuple[int, ...]:
        raise answers.pop(0)

    with pytest.raises(StoreFailed):
        await keep_forgetting(store, rules, KEEP, others, trio.CapacityLimiter(1), counts)
    await keep_forgetting(store, rules, 0, others, trio.CapacityLimiter(1), counts)
    assert (counts.below, counts.heights) == (0, 0), "0 keeps all of them"
    store.close()


def test_too_few_heights_are_refused_by_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"storage.keep_blocks is 0 or at least 100, not 99"):
        parse_config("[storage]\nkeep_blocks = 99\n", Home(tmp_path), {})


def test_what_a_running_node_left_is_exported_from_its_first_height_on(
    grown: Grown, small_slices: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, rules = opened(grown)
    assert forget_slice(store, rules, KEEP, ()) == small_slices
    store.close()
    file = str(tmp_path / "chain")
    assert run(["db", "export", file, "--home", str(grown.home.path)]) == Exit.OK
    assert f"heights {small_slices + 1} to {grown.tip}" in " ".join(capsys.readouterr().out.split())
    assert run(["db", "verify", file, "--trust", grown.testnet.cluster_id.hex()]) == Exit.OK
