"""`isthmus-bench profile`: refusals in one sentence, and one short real profile where py-spy is there."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cluster.scenarios import BY_NAME, Fault
from bench.profiling.command import UNHURT, command
from bench.profiling.phases import PHASES
from bench.profiling.spy import Spy, SpyError
from bench.report.reading import ProfileRun, read_runs

HAS_SPY = shutil.which("py-spy") is not None or Path(sys.executable).with_name("py-spy").exists()
BRIEFLY = ("--seconds", "2", "--warmup", "0.5")


def program(folder: Path, script: str) -> Spy:
    """A stand-in for py-spy that does what `script` says."""
    file = folder / "py-spy"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return Spy(str(file), 10)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["satturate"], "the nearest is saturate"),
        (["bulk"], "the nearest is saturate"),
        (["opaque"], "the nearest is opaque-saturate"),
        (["leader-killed"], "is hurt in mid-run"),
        ([], "SCENARIO"),
        (["saturate", "--node", "4"], "0 to 3"),
        (["saturate", "--nodes", "7", "--node", "7"], "0 to 6"),
        (["saturate", "--seconds", "0"], "--seconds"),
        (["saturate", "--svg", "no/such/folder/x.svg"], "no folder"),
    ],
)
def test_bad_arguments_are_refused_in_words(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_scenarios_are_those_of_cluster_that_nothing_hurts() -> None:
    help_text = CliRunner().invoke(command, ["--help"]).stdout
    for name, scenario in BY_NAME.items():
        assert (name in UNHURT) == (scenario.fault is Fault.NONE)
        assert (f"  {name} " in help_text) == (name in UNHURT)


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


def test_a_sampler_that_fails_in_mid_trial_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program(tmp_path, "echo 'no such process' >&2; exit 1")
    beside = tmp_path / "python"
    beside.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    beside.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(beside))
    done = CliRunner().invoke(command, ["idle", "--nodes", "1", *BRIEFLY])
    assert done.exit_code == 1
    assert "Error: there are no figures: py-spy failed: no such process" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not HAS_SPY, reason="needs py-spy, the optional extra `profile`")
def test_a_profile_says_what_a_transaction_costs_by_phase(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    arguments = ["saturate", *BRIEFLY, "--node", "1", "--json", "--svg", str(tmp_path / "flame.svg")]
    done = CliRunner().invoke(command, [*arguments, "--record", str(history)])
    document = json.loads(done.stdout)
    assert done.exit_code == (0 if document["success"] else 1), done.output
    assert document["scenario"] == "saturate seconds=2.0 warmup_seconds=0.5 node=1"
    assert document["unit"] == "transaction"
    assert document["transactions"] > 0
    assert (document["mode"], document["promise"]) == ("honest", "certified")
    assert document["throughput_tps"] > 0
    assert set(document["phases_us"]) == set(PHASES)
    assert [process["name"] for process in document["processes"]] == ["node1"]
    assert document["phases_us"]["crypto"] > 0
    assert document["functions"]
    assert "<svg" in (tmp_path / "flame.svg").read_text()
    (run,) = read_runs(history)
    assert isinstance(run, ProfileRun)
    assert (run.record.bench, run.record.scenario) == ("profile", document["scenario"])
    assert run.phases_us == document["phases_us"]


@pytest.mark.skipif(not HAS_SPY, reason="needs py-spy, the optional extra `profile`")
def test_people_are_told_the_mark_the_rate_and_that_sampling_costs(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["opaque-60k-committed", "--nodes", "1", *BRIEFLY])
    assert done.exit_code in (0, 1), done.output
    assert "OPAQUE MODE: nothing is signed, verified or executed, COMMITTED, not certified" in done.stdout
    assert "committed tx/s" in done.stdout
    assert "CPU microseconds a transaction" in done.stdout
    assert "being sampled is part of the cost" in done.stdout


@pytest.mark.skipif(not HAS_SPY, reason="needs py-spy, the optional extra `profile`")
def test_without_transactions_costs_are_a_second_s(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["idle", "--nodes", "1", *BRIEFLY, "--hz", "50", "--json"])
    document = json.loads(done.stdout)
    assert done.exit_code == 0, done.output
    assert document["scenario"].endswith(" hz=50")
    assert (document["unit"], document["transactions"], document["hz"]) == ("second", 0, 50)
