"""`isthmus-bench profile`: refusals in one sentence, and one short real profile where py-spy is there."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner

from bench.cluster.scenarios import OPAQUE_LOOP
from bench.local import running_cluster
from bench.profiling.command import Wanted, command
from bench.profiling.phases import PHASES
from bench.profiling.scenarios import SCENARIOS, LoadFailed, Progress
from bench.profiling.spy import Spy, SpyError
from bench.results import read_history

HAS_SPY = shutil.which("py-spy") is not None or Path(sys.executable).with_name("py-spy").exists()


def program(folder: Path, script: str) -> Spy:
    """A stand-in for py-spy that does what `script` says."""
    file = folder / "py-spy"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return Spy(str(file), 10)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bulky"], "bulk"),
        ([], "SCENARIO"),
        (["bulk", "--node", "4"], "0 to 3"),
        (["bulk", "--seconds", "0"], "--seconds"),
        (["bulk", "--svg", "no/such/folder/x.svg"], "no folder"),
    ],
)
def test_bad_arguments_are_refused_in_words(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_profile_was_asked_for_stands_in_its_label() -> None:
    usual = Wanted(SCENARIOS["bulk"], 4, 10.0, 100, None, None)
    assert usual.label == "bulk"
    assert replace(usual, nodes=7, node=2, rate_hz=500).label == "bulk nodes=7 node=2 rate=500"


def test_the_scenarios_of_the_harness_are_there() -> None:
    assert set(SCENARIOS) == {"idle", "lone", "bulk", "opaque"}


async def test_the_opaque_load_is_certified_by_a_benchmark_cluster(tmp_path: Path) -> None:
    scenario, progress = SCENARIOS["opaque"], Progress()
    async with (
        running_cluster(1, tmp_path / "net", scenario.params) as cluster,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(scenario.drive, cluster, progress)
        with trio.fail_after(60):
            while not progress.certified:  # noqa: ASYNC110  # the load tells nobody
                await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    assert progress.certified % OPAQUE_LOOP.per_request == 0


async def test_a_load_that_nobody_takes_is_no_profile(tmp_path: Path) -> None:
    async with running_cluster(1, tmp_path / "net") as cluster:
        with pytest.raises(ExceptionGroup) as refused:
            await SCENARIOS["opaque"].drive(cluster, Progress())
    assert refused.group_contains(LoadFailed, match="not certified")


def test_without_py_spy_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    done = CliRunner().invoke(command, ["idle"])
    assert done.exit_code == 1
    assert "isthmus[profile]" in done.stderr


async def test_a_missing_permission_names_the_ways_to_get_it(tmp_path: Path) -> None:
    spy = program(
        tmp_path, "echo 'Permission Denied: Try running again with elevated permissions' >&2; exit 1"
    )
    with pytest.raises(SpyError, match="SYS_PTRACE"):
        await spy.raw(1, 1, tmp_path / "out")


async def test_any_other_failure_is_told_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(SpyError, match="no such process"):
        await program(tmp_path, "echo 'no such process' >&2; exit 1").raw(1, 1, tmp_path / "out")


async def test_a_recording_that_wrote_nothing_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(SpyError, match="py-spy failed"):
        await program(tmp_path, "exit 0").raw(1, 1, tmp_path / "out")


@pytest.mark.skipif(not HAS_SPY, reason="needs py-spy, the optional extra `profile`")
def test_a_profile_says_what_a_transaction_costs_by_phase(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    arguments = ["bulk", "--seconds", "2", "--node", "1", "--json", "--svg", str(tmp_path / "flame.svg")]
    done = CliRunner().invoke(command, [*arguments, "--record", str(history)])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["unit"] == "transaction"
    assert document["transactions"] > 0
    assert set(document["phases_us"]) == set(PHASES)
    assert [process["name"] for process in document["processes"]] == ["node1"]
    assert document["phases_us"]["crypto"] > 0
    assert document["functions"]
    assert "<svg" in (tmp_path / "flame.svg").read_text()
    (line,) = read_history(history)
    assert (line.bench, line.scenario) == ("profile", "bulk node=1")
    assert line.figures["phases_us"] == document["phases_us"]
