"""The command line of chaos: what it refuses before anything starts, and what it says at the end."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.chaos.checks.finding import Finding, Verdict
from bench.chaos.command import again_of, command, figures_of
from bench.chaos.injector import Injected
from bench.chaos.run import Plan, Report, Strikes
from bench.chaos.schedule import FaultKind
from bench.chaos.screen import show
from tests.bench.chaos.told import UNKNOWN, read, write

PLAN = Plan(7, 4, 120_000, tuple(FaultKind), 60_000)


def reported(verdict: Verdict) -> Report:
    findings = (
        Finding("reads show the chain", Verdict.HOLDS, 5, "reads"),
        Finding("writes are linearizable", verdict, 9, "writes", ("a [sentence] against it",)),
    )
    operations = (write(1, (0, 1)), write(2, (1, 2), told=UNKNOWN), read(3, (3, 4), None))
    recovered: dict[str, int | None] = {"node0": 600, "node1": None}
    return Report(
        PLAN,
        operations,
        12,
        findings,
        Injected(),
        Strikes(*range(8)),
        9,
        {"all": 688},
        {"kill": 77},
        recovered,
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--faults", "kill,fire"], "fire is no fault; choose of kill, stop, cut, disk, clock"),
        (["--faults", ","], "nothing is no fault"),
        (["--nodes", "3"], "3 is not in the range 4<=x<=13"),
        (["--minutes", "0"], "is not in the range"),
        (["--minutes", "nan"], "nan is no number of the range 0.1<=x<="),
        (["--keep", "/dev/null/kept"], "Invalid value for --keep: /dev/null/kept: Not a directory"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(options: list[str], sentence: str) -> None:
    ended = CliRunner().invoke(command, options)
    assert ended.exit_code == 2
    assert sentence in " ".join(ended.output.split())


@pytest.mark.parametrize("minutes", [2.0, 0.33, 0.123456789, 1440.0])
def test_the_command_to_run_it_again_has_the_same_schedule(minutes: float) -> None:
    words = again_of(minutes, Plan(7, 5, int(minutes * 60_000), (FaultKind.CUT,), 30_000)).split()
    assert words[:2] == ["isthmus-bench", "chaos"]
    context = command.make_context("chaos", words[2:])
    assert context.params == {
        "minutes": minutes,
        "seed": 7,
        "nodes": 5,
        "faults": (FaultKind.CUT,),
        "recovery_seconds": 30,
        "as_json": False,
        "keep": None,
    }


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    ended = CliRunner().invoke(command, ["--keep", str(tmp_path)])
    assert ended.exit_code == 2
    assert "is not empty" in ended.output
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    ("verdict", "success"), [(Verdict.HOLDS, True), (Verdict.VIOLATED, False), (Verdict.GAVE_UP, False)]
)
def test_only_what_holds_is_success(verdict: Verdict, success: bool) -> None:
    assert reported(verdict).is_success is success


def test_the_figures_are_one_json_object_with_seed_command_and_verdicts() -> None:
    kept = Path("kept")
    figures = json.loads(json.dumps(figures_of(PLAN, reported(Verdict.VIOLATED), "", "again", kept)))
    assert (figures["seed"], figures["again"], figures["kept"], figures["success"]) == (
        7,
        "again",
        "kept",
        False,
    )
    assert (figures["writes"]["ok"], figures["writes"]["unknown"], figures["reads"]["ok"]) == (1, 1, 1)
    assert [check["verdict"] for check in figures["checks"]] == ["holds", "VIOLATED"]
    assert figures_of(PLAN, None, "interrupted", "again", None)["problem"] == "interrupted"


def test_the_table_shows_every_check_and_what_speaks_against_it(capsys: pytest.CaptureFixture[str]) -> None:
    show(reported(Verdict.GAVE_UP))
    told = capsys.readouterr().out
    assert "writes are linearizable: a [sentence] against it" in told
    assert "gave up" in told
    assert "all 688 ms" in told
    assert "77 ms" in told
