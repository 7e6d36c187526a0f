"""What a person types and gets: figures, JSON, the list, and refusals in one sentence."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.micro.command import command
from bench.micro.revision import ROOT
from bench.results import read_history


def test_json_holds_the_machine_its_noise_and_every_figure(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        command,
        ["hash/32B", "journal/append/record", "--seconds", "0.01", "--json", "--scratch", str(tmp_path)],
    )
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert set(document) == {
        "machine",
        "noise",
        "scratch_filesystem",
        "seconds",
        "noise_rule",
        "subjects",
        "missing",
    }
    assert [figure["name"] for figure in document["subjects"]] == ["hash/32B", "journal/append/record"]
    assert [figure["clock"] for figure in document["subjects"]] == ["cpu", "wall"]
    assert all(figure["median_us"] > 0 for figure in document["subjects"])
    assert not any(tmp_path.iterdir())


def test_a_run_is_remembered_with_what_was_asked_for(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    done = CliRunner().invoke(command, ["hash/32B", "--seconds", "0.01", "--record", str(history)])
    assert done.exit_code == 0, done.output
    (line,) = read_history(history)
    assert (line.bench, line.scenario) == ("micro", "micro hash/32B seconds=0.01")
    assert [figure["name"] for figure in line.figures["subjects"]] == ["hash/32B"]


def test_people_get_a_table_and_the_machine() -> None:
    done = CliRunner().invoke(command, ["ed25519/sign", "--seconds", "0.01"])
    assert done.exit_code == 0, done.output
    assert "ed25519/sign" in done.stdout
    assert "cores" in done.stdout or " x " in done.stdout.splitlines()[0]


def test_the_list_measures_nothing() -> None:
    done = CliRunner().invoke(command, ["hash", "--list"])
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()][:2] == ["hash/32B", "hash/512B"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hash/23B"], "hash/32B"),
        (["--seconds", "0"], "--seconds"),
        (["--seconds", "soon"], "--seconds"),
        (["--scratch", "no/such/folder"], "no/such/folder"),
        (["--compare", "HEAD", "--record"], "leave --compare and --list out"),
    ],
)
def test_bad_arguments_are_refused_in_words(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a git checkout")
def test_comparing_prints_a_ratio_and_the_rule_behind_its_verdict() -> None:
    done = CliRunner().invoke(command, ["hash/32B", "--compare", "HEAD", "--seconds", "0.01", "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert set(document) == {"machine", "noise", "base", "seconds", "rule", "ratios", "not_compared"}
    assert document["ratios"][0]["ratio"] > 0
    assert document["base"]["revision"] == "HEAD"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a git checkout")
def test_an_unknown_revision_is_refused_in_words() -> None:
    done = CliRunner().invoke(command, ["hash/32B", "--compare", "no-such-branch"])
    assert done.exit_code == 2
    assert "There is no revision" in done.stderr
