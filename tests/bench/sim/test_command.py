"""The command line: one world, sweeps, shards, shrinking, and what is refused with which words."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.main import main
from bench.sim.scenario import Options, Scenario, generate
from bench.sim.sweep import read_results

MUTE = "tests.bench.sim.planted:mute"
ROOT = Path(__file__).resolve().parents[3]
SHORT = ("--minutes", "0.05", "--signatures", "keyed-hash", "--rounds-per-second", "10")
PLANTED = ("--mutant", "tests.bench.sim.planted:chokes_on_wiped_data", "--faults", "wipe,crash", *SHORT)


def sim(*words: str) -> Result:
    """`isthmus-bench sim` with these words."""
    return CliRunner().invoke(main, ["sim", *words])


# --- one world --------------------------------------------------------------------------------------


def test_a_seed_is_played_and_explained() -> None:
    done = sim("--seed", "11", *SHORT)
    assert done.exit_code == 0, done.output
    assert "4 validators" in done.output
    assert re.search(r"world +fault +[a-z-]+: ", done.output)
    assert "everybody is at height" in done.output
    assert re.search(r"real time +\d.* x real time", done.output)
    assert re.search(r"verdict +nothing broken", done.output)


def test_json_says_the_same_in_figures() -> None:
    done = sim("--seed", "11", *SHORT, "--json")
    found = json.loads(done.stdout)
    assert found["violation"] is None
    assert found["command"] == (
        "isthmus-bench sim --minutes 0.05 --signatures keyed-hash --rounds-per-second 10 --seed 11"
    )
    assert found["virtual_ms"] >= 3_000
    assert found["counts"]["rounds"] > 1
    assert found["high_water"]


def test_a_trace_tells_every_frame_in_the_order_of_time(tmp_path: Path) -> None:
    trace = tmp_path / "trace.txt"
    done = sim("--seed", "11", *SHORT, "--trace", str(trace))
    assert done.exit_code == 0, done.output
    lines = trace.read_text(encoding="utf-8").splitlines()
    times = [float(line.split()[0]) for line in lines]
    assert times == sorted(times)
    for word in ("proposes", "votes", "signs", "fault", "calm", "rest"):
        assert any(f" {word} " in line for line in lines), word
    assert not any("babbles" in line for line in lines)


def test_a_saved_scenario_plays_as_the_seed_did(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    first = json.loads(sim("--seed", "4", *SHORT, "--json", "--save", str(path)).stdout)
    again = json.loads(sim("--scenario", str(path), "--json").stdout)
    assert again["fingerprint"] == first["fingerprint"]
    assert Scenario.decode(path.read_text(encoding="utf-8")).seed == 4


def test_a_behaviour_is_found_by_its_name_and_uses_up_the_budget() -> None:
    behaviour = f"{MUTE}@3"
    done = sim("--seed", "2", *SHORT, "--behaviour", behaviour, "--json")
    found = json.loads(done.stdout)
    assert found["violation"] is None
    assert f"--behaviour {behaviour}" in found["command"]
    forgetful = ("wipe", "backup", "guard-lost", "twin")
    assert not any(found["faults"].get(kind) for kind in forgetful)


# --- sweeps -----------------------------------------------------------------------------------------


def test_a_sweep_stops_at_the_planted_seed_and_prints_the_command_that_replays_it() -> None:
    done = sim("--seeds", "0..30", *PLANTED, "--jobs", "1")
    assert done.exit_code == 1
    (replay,) = re.findall(r"^ +isthmus-bench (sim .*)$", done.output, re.MULTILINE)
    seed = int(replay.split()[-1])
    assert f"seeds                    0..{seed}, {seed + 1} of them, 1 failed" in done.output
    again = CliRunner().invoke(main, shlex.split(replay))
    assert again.exit_code == 1
    assert "BROKEN exception: KeyError: 'planted: the data is gone'" in again.output
    assert "Traceback" in again.output


def test_the_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    assert sim("--seeds", "5..8", *SHORT, "--jobs", "1", "--results", str(one)).exit_code == 0
    assert sim("--seeds", "5..8", *SHORT, "--jobs", "2", "--results", str(two)).exit_code == 0
    assert _without_times(one) == _without_times(two)


def _without_times(path: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in row.items() if name != "real_ms"} for row in rows]


def test_the_order_of_hashes_changes_nothing() -> None:
    command = [sys.executable, "-c", "from bench.main import main; main()", "sim", "--seed", "6", *SHORT]
    fingerprints = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [*command, "--json"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        fingerprints.append(json.loads(done.stdout)["fingerprint"])
    assert fingerprints[0] == fingerprints[1]
    assert json.loads(sim("--seed", "6", *SHORT, "--json").stdout)["fingerprint"] == fingerprints[0]


def test_a_sweep_that_keeps_going_tells_every_failure() -> None:
    done = sim("--seeds", "0..11", *PLANTED, "--jobs", "1", "--keep-going", "--json")
    totals = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (totals["first"], totals["last"]) == (0, 11)
    assert len(totals["failed"]) > 1


def test_a_failing_seed_is_shrunk_and_saved(tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    found = sim("--seeds", "0..30", *PLANTED, "--jobs", "1", "--minimise", "--save", str(path))
    assert found.exit_code == 1
    small = Scenario.decode(path.read_text(encoding="utf-8"))
    assert [fault.KIND for fault in small.faults] == ["wipe"]
    replay = found.output.splitlines()[-1]
    assert replay.startswith(f"isthmus-bench sim --scenario {path} --mutant ")
    again = CliRunner().invoke(main, shlex.split(replay)[1:])
    assert (again.exit_code, "planted" in again.output) == (1, True)


def test_several_processes_stop_at_the_same_seed() -> None:
    one, two = (sim("--seeds", "0..30", *PLANTED, "--jobs", jobs) for jobs in ("1", "2"))
    assert (one.exit_code, two.exit_code) == (1, 1)
    assert one.output.splitlines()[-1] == two.output.splitlines()[-1]


def test_an_interrupt_is_no_finding_and_tells_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "shard.jsonl"
    words = ("--behaviour", "tests.bench.sim.planted:interrupts@1", "--jobs", "1", "--results", str(path))
    done = sim("--seeds", "5..11", *SHORT, *words)
    assert done.exit_code == 130
    assert "seeds that were not played: 7..11" in done.output
    assert "5..6, 2 of them, 0 failed" in done.output
    assert "5..6, 2 of them, 0 failed" in sim("merge", str(path)).output
    assert sim("--seed", "7", *SHORT, *words[:2]).exit_code == 130


def test_workers_do_not_outlive_a_sweep_that_is_killed(tmp_path: Path) -> None:
    fifo = tmp_path / "lines.fifo"
    os.mkfifo(fifo)
    words = ["sim", "--seeds", "0..999", *SHORT, "--jobs", "2", "--results", str(fifo)]
    command = [sys.executable, "-c", "from bench.main import main; main()", *words]
    sweeping = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with fifo.open(encoding="utf-8") as lines:
        assert json.loads(lines.readline())["seed"] == 0
        sweeping.kill()
    # every worker holds the other end of the pipe, which ends with the last of them
    sweeping.communicate(timeout=60)


def test_a_machine_that_gives_out_is_no_finding() -> None:
    killed = sim("--seeds", "6..8", *SHORT, "--behaviour", "tests.bench.sim.planted:dies@1", "--jobs", "2")
    assert (killed.exit_code, "a process of the sweep was killed" in killed.output) == (3, True)
    full = sim("--seeds", "5..6", *SHORT, "--jobs", "1", "--results", "/dev/full")
    assert (full.exit_code, "No space left" in full.output) == (3, True)


# --- shards -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Results of 0..1, 2..3 and 4."""
    folder = tmp_path_factory.mktemp("shards")
    paths = []
    for seeds in ("0..1", "2..3", "4..4"):
        paths.append(folder / f"{seeds}.jsonl")
        assert sim("--seeds", seeds, *SHORT, "--jobs", "1", "--results", str(paths[-1])).exit_code == 0
    return paths


def test_shards_merge_to_what_one_sweep_says(shards: list[Path]) -> None:
    merged = json.loads(sim("merge", *map(str, reversed(shards)), "--json").stdout)
    whole = json.loads(sim("--seeds", "0..4", *SHORT, "--jobs", "1", "--json").stdout)
    assert {**merged, "real_ms": 0} == {**whole, "real_ms": 0}
    shown = sim("merge", "--seeds", "0..4", *map(str, shards)).output
    assert "0..4, 5 of them, 0 failed" in shown
    rests = {r.seed: r.counts["rest_ms"] for path in shards for r in read_results(path)}
    seed, rest_ms = merged["slowest"]
    assert rests[seed] == rest_ms == max(rests.values()) > 0
    assert f"seed {seed}, {rest_ms / 1_000:g} s after calm" in shown


def test_shards_with_a_gap_an_overlap_or_other_options_do_not_merge(
    shards: list[Path], tmp_path: Path
) -> None:
    first, second, third = map(str, shards)
    other = tmp_path / "other.jsonl"
    other.write_text(shards[2].read_text(encoding="utf-8").replace("--minutes 0.05", "--minutes 0.06"))
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"seed": 1}\n')
    for files, words in (
        ((first, third), "seeds 2 to 3 are missing"),
        ((first, second, "--seeds", "0..4"), "these are the seeds 0 to 3, not 0 to 4"),
        ((second, third, "--seeds", "5"), "these are the seeds 2 to 4, not 0 to 4"),
        ((first, second, second), "seed 2 is there twice"),
        ((first, second, str(other)), "seeds 3 and 4 were run by different commands"),
        ((str(broken),), "line 1: is no result of a sweep"),
        ((str(tmp_path / "none"),), "No such file"),
    ):
        done = sim("merge", *files)
        assert (done.exit_code, words in done.output) == (2, True), done.output


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "give one of --seed, --seeds and --scenario"),
        (("--seed", "1", "--seeds", "3"), "give one of --seed, --seeds and --scenario"),
        (("--seeds", "9..3"), "the lower end first"),
        (("--seeds", "x"), "must be a number of seeds, or a range"),
        (("--seeds", "0"), "must be 1 to"),
        (("--seed", "1", "--faults", "partitoin"), "is no kind of fault; did you mean partition?"),
        (("--seed", "1", "--faults", "qqq"), "is no kind of fault; there are crash,"),
        (("--seed", "1", "--nodes", "0"), "--nodes"),
        (("--seed", "1", "--minutes", "0"), "--minutes"),
        (("--seed", "1", "--jobs", "2"), "--jobs means nothing with one scenario"),
        (("--seeds", "1", "--trace", "t"), "--trace means nothing with --seeds"),
        (("--scenario", "none.json"), "none.json cannot be read"),
        (("--seed", "1", "--behaviour", "x"), "must be MODULE:NAME@PLACE"),
        (("--seed", "1", "--behaviour", "no_such_module:x@1"), "no_such_module cannot be imported"),
        (("--seed", "1", "--behaviour", "tests.bench.sim.planted:gone@1"), "has no gone"),
        (("--seed", "1", "--behaviour", f"{MUTE}@4"), "host 4 is none of 0 to 3"),
        (
            ("--seed", "1", "--behaviour", f"{MUTE}@1", "--behaviour", f"{MUTE}@2"),
            "2 Byzantine hosts are not fewer than a third of 4",
        ),
        (("--seed", "1", "--mutant", "tests.bench.sim.planted:NO_PARTS"), "is no bench.sim.seams.Parts"),
        (("--seed", "1", "--mutant", "tests"), "must be MODULE:NAME"),
    ],
)
def test_what_makes_no_sense_is_one_sentence_and_exit_code_2(words: tuple[str, ...], sentence: str) -> None:
    done = sim(*words)
    assert done.exit_code == 2, done.output
    assert sentence in " ".join(done.output.split())


def test_drawing_options_mean_nothing_for_what_is_drawn_already(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(generate(1, Options()).encode(), encoding="utf-8")
    done = sim("--scenario", str(path), "--nodes", "4")
    assert (done.exit_code, "--nodes means nothing with --scenario" in done.output) == (2, True)


def test_what_breaks_nothing_cannot_be_shrunk() -> None:
    done = sim("--seed", "11", *SHORT, "--minimise")
    assert (done.exit_code, "breaks nothing" in done.output) == (2, True)


def test_a_mutant_may_be_a_context_manager() -> None:
    name = "tests.bench.sim.planted:chokes_for_a_while"
    done = sim("--seeds", "0..30", "--mutant", name, *PLANTED[2:], "--jobs", "1")
    assert (done.exit_code, "planted: the data is gone" in done.output) == (1, True)


def test_a_larger_cluster_is_measured() -> None:
    done = sim("scale", "--nodes", "10", "--seconds", "1", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 0
    assert found["nodes"] == 10
    assert found["counts"]["rounds"] > 1
    assert min(found["rounds_per_cpu_second"], found["rounds_per_real_second"]) > 0
