"""A chain made by the cluster's own keys is a chain, and an empty observer joins it."""

import json

from click.testing import CliRunner

from bench.join.command import command as join


def test_an_observer_that_is_killed_on_the_way_joins_all_the_same() -> None:
    asked = ["--blocks", "300", "--txs", "40", "--kill-at", "1", "--json"]
    said = CliRunner().invoke(join, asked, catch_exceptions=False)
    assert said.exit_code == 0, said.output
    figures = json.loads(said.stdout)
    assert (figures["blocks"], figures["transactions"]) == (300, 12_000)
    assert figures["killed_at"] >= 1
    assert figures["blocks_per_second"] > 0
    assert figures["observer_peak_bytes"] > 0
