"""The command: its options, its object, its tables, its line in the history."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.results import read_history
from bench.scale.command import command

SMALL = ("--nodes", "4", "--rounds", "4", "--processes", "none")


def test_one_object_with_both_loads_and_a_line_in_the_history(tmp_path: Path) -> None:
    record = tmp_path / "history.jsonl"
    ended = CliRunner().invoke(command, [*SMALL, "--json", "--record", str(record)])
    assert ended.exit_code == 0, ended.output
    figures = json.loads(ended.stdout)
    assert [row["load"] for row in figures["simulated"]] == ["empty", "payload"]
    assert figures["processes"] == []
    assert {"machine", "noise", "network", "verify_us"} <= set(figures)
    (line,) = read_history(record)
    assert (line.bench, line.scenario) == ("scale", "scale nodes=4 processes=none rounds=4")
    assert line.figures["simulated"] == figures["simulated"]


def test_tables_say_the_network_and_explain() -> None:
    ended = CliRunner().invoke(command, [*SMALL, "--profile", "4"])
    assert ended.exit_code == 0, ended.output
    for words in (
        "honest mode",
        "a journal write 1 ms",
        "n=4, payload:",
        "predicted",
        "crypto",
        "One Ed25519",
    ):
        assert words in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--nodes", "4,x"], "must be numbers from 1 to 100"),
        (["--nodes", "101"], "must be numbers from 1 to 100"),
        (["--nodes", ",".join("4" * 13)], "at most 12 sizes, not 13"),
        (["--processes", "0"], "must be numbers from 1 to"),
        (["--nodes", "none", "--processes", "none"], "leaves nothing to measure"),
        (["--rounds", "1"], "1 is not in the range"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_starts(
    arguments: list[str], sentence: str
) -> None:
    ended = CliRunner().invoke(command, arguments)
    assert ended.exit_code == 2
    assert sentence in ended.stderr
