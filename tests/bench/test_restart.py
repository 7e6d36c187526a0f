"""All nodes of a cluster end at once and start again: figures as scripts read them, and a line of history."""

import json
from pathlib import Path

from click.testing import CliRunner

from bench.restart import command
from bench.results import read_history


def test_a_cluster_that_is_killed_as_a_whole_commits_again(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    asked = ["--nodes", "1", "--records", "20", "--times", "1", "--json", "--record", str(history)]
    said = CliRunner().invoke(command, asked, catch_exceptions=False)
    assert said.exit_code == 0, said.output
    figures = json.loads(said.stdout)
    (turn,) = figures["turns"]
    assert turn["commit_ms"] == figures["commit_ms"] > 0
    assert turn["ready_ms"] > 0
    assert (figures["nodes"], figures["records"], figures["killed"]) == (1, 20, True)
    assert figures["height"] >= 1
    assert 0 < figures["observer_bytes"] < 2**30
    (line,) = read_history(history)
    assert (line.bench, line.scenario) == ("restart", "restart nodes=1 records=20 kill")
    assert line.figures["turns"] == figures["turns"]
