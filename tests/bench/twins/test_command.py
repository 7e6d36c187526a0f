"""The command: sweeps that are killed go on, shards add up, a failure is written down and replays."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.sim.twins.checkpoint import Checkpoint, CheckpointError, merge
from bench.sim.twins.command import command
from bench.sim.twins.generate import Space
from bench.sim.twins.scenario import decode_scenarios
from bench.sim.twins.sweep import CHUNK, Sweep, Tally, play_range
from tests.bench.twins.broken import quorum_of_half

SWEEP = Sweep(Space(rounds=2))


_KILLED_AFTER_ITS_FIRST_CHUNK = """
import os, signal
from bench.sim.twins import command
from bench.sim.twins.checkpoint import Checkpoint

def save_and_die(checkpoint, path, save=Checkpoint.save):
    save(checkpoint, path)
    os.kill(os.getpid(), signal.SIGKILL)

command.SAVE_EVERY_S = 0
Checkpoint.save = save_and_die
command.command()
"""
"""A sweep that nobody has to kill in time."""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def document_of(result: Result) -> dict[str, object]:
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_a_sweep_plays_its_space_and_counts_it() -> None:
    result = run("--rounds", "1", "--json")
    document = document_of(result)
    assert (result.exit_code, document["complete"], document["failure"]) == (0, True, None)
    assert isinstance(document["tally"], dict)
    assert document["tally"]["scenarios"] == 15
    assert document["tally"]["orbits"] == 64


def test_a_killed_sweep_goes_on_where_it_was(tmp_path: Path) -> None:
    file, last = tmp_path / "checkpoint.json", 4 * CHUNK - 1
    options = ["--rounds", "3", "--shard", f"0..{last}", "--resume", str(file), "--json"]
    process = subprocess.run([sys.executable, "-c", _KILLED_AFTER_ITS_FIRST_CHUNK, *options], check=False)
    assert process.returncode == -signal.SIGKILL
    killed = Checkpoint.load(file)
    assert killed.played == CHUNK
    result = run(*options)
    assert result.exit_code == 0, result.output
    resumed = Checkpoint.load(file)
    assert resumed.is_complete
    assert resumed.tally == play_range(resumed.sweep, 0, last + 1).tally


def test_shards_in_several_processes_add_up_to_the_whole(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert run("--rounds", "2", "--shard", "0..299", "--resume", first, "--jobs", "2").exit_code == 0
    assert run("--rounds", "2", "--shard", "300..509", "--resume", second).exit_code == 0
    result = run("--merge", first, "--merge", second, "--json")
    document = document_of(result)
    assert document["complete"]
    assert isinstance(document["tally"], dict)
    assert Tally(**document["tally"]) == play_range(SWEEP, 0, 510).tally
    assert "counted twice" in run("--merge", first, "--merge", first).output


def test_a_failure_is_written_down_and_replays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quorum_of_half(monkeypatch)
    file = tmp_path / "failure.json"
    for kind in (("--random", "5", "--restarts"), ("--rounds", "2")):
        told = run(*kind, "--save", file)
        assert told.exit_code == 1
        assert "--replay" in told.output
        swept = document_of(run(*kind, "--save", file, "--json"))
        assert swept["replay"] == f"isthmus-bench twins --replay {file}"
        assert isinstance(swept["failure"], dict)
        assert len(decode_scenarios(file.read_text(encoding="utf-8"))) == 1
        replayed = run("--replay", file, "--json")
        assert (replayed.exit_code, document_of(replayed)["failure"]) == (1, swept["failure"]["text"])
    monkeypatch.undo()
    healthy = run("--replay", file, "--json")
    assert (healthy.exit_code, document_of(healthy)["failure"]) == (0, None)


def test_random_scenarios_depend_on_the_seed_and_the_number_alone() -> None:
    sweep = Sweep(Space(restarts=True), seed=5)
    assert sweep.scenario(7) == sweep.scenario(7)
    assert sweep.scenario(7) != sweep.scenario(8) != Sweep(Space(restarts=True), seed=6).scenario(8)


def test_real_signatures_tell_the_same(tmp_path: Path) -> None:
    cheap, real = (document_of(run("--rounds", "1", "--json", *o)) for o in ((), ("--real-signatures",)))
    assert cheap["tally"] == real["tally"]


# --- mistakes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--nodes", "3"), "fewer than a third"),
        (("--shard", "5..1"), "two numbers"),
        (("--rounds", "1", "--shard", "0..15"), "the number 14"),
        (("--per-phase", "--partitions", "3"), "--random"),
        (("--replay", "nowhere.json"), "nowhere.json"),
        (("--merge", "nowhere.json"), "nowhere.json"),
    ],
)
def test_a_senseless_command_is_told_in_a_sentence(arguments: tuple[str, ...], told: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert told in result.output
    assert "Traceback" not in result.output


def test_another_sweeps_checkpoint_is_not_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    Checkpoint(SWEEP, 0, 510).save(file)
    result = run("--rounds", "1", "--resume", file)
    assert (result.exit_code, "another sweep" in result.output) == (2, True)


def spoiled(**changes: object) -> str:
    return json.dumps(json.loads(Checkpoint(SWEEP, 0, 510).encode()) | changes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        spoiled(version=2),
        spoiled(space={"nodes": 3, "twins": 2}),
        spoiled(space={"knots": 3}),
        spoiled(tally={"scenarios": 0}),
        spoiled(done=[[0, 10]]),
        spoiled(done=[[500, 510]]),
        spoiled(done=[[5, 4]]),
        spoiled(done=[["a", "b"]]),
        spoiled(seed="x"),
        spoiled(symmetric=1),
        spoiled(**{"from": None}),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError):
        Checkpoint.load(file)


def test_chunks_leave_out_what_is_done() -> None:
    checkpoint = Checkpoint(SWEEP, 10, 510)
    for low, high in ((300, 310), (10, 50)):
        checkpoint.record(play_range(SWEEP, low, high))
    assert list(checkpoint.open_chunks()) == [(50, 200), (200, 300), (310, 400), (400, 510)]
    assert checkpoint.played == 50
    with pytest.raises(CheckpointError, match="twice"):
        checkpoint.record(play_range(SWEEP, 40, 60))
    with pytest.raises(CheckpointError, match="different"):
        merge([checkpoint, Checkpoint(Sweep(Space(rounds=3)), 0, 9)])
    with pytest.raises(CheckpointError, match="nothing"):
        merge([])
