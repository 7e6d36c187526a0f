"""Gossip between processes: everything arrives, and a command says what it measured."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.gossip import command, observed
from bench.gossip.command import command as gossip
from bench.results import read_history


def test_every_message_reaches_every_peer(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    asked = ["--peers", "2", "--bytes", "64", "--seconds", "0.2", "--json"]
    said = CliRunner().invoke(gossip, [*asked, "--record", str(history)], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    figures = json.loads(said.output)
    (line,) = read_history(history)
    assert (line.bench, line.scenario) == ("gossip", "gossip peers=2 bytes=64")
    assert line.figures["delivered_per_second"] == figures["delivered_per_second"]
    assert figures["messages"] > 0
    assert (figures["peers"], figures["message_bytes"], figures["lost"]) == (2, 64, 0)
    assert figures["delivered_per_second"] == pytest.approx(2 * figures["messages_per_second"])


def test_gossip_is_held_against_sending_the_same_messages_directly(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    asked = ["--peers", "2", "--bytes", "64", "--seconds", "0.2", "--direct"]
    said = CliRunner().invoke(gossip, [*asked, "--json", "--record", str(history)], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    figures = json.loads(said.stdout)
    assert (figures["peers"], figures["lost"], figures["direct_lost"]) == (2, 0, 0)
    assert figures["direct_delivered_per_second"] > 0
    ratio = figures["cpu_us_per_delivery"] / figures["direct_cpu_us_per_delivery"]
    assert figures["gossip_over_direct"] == pytest.approx(ratio)
    (line,) = read_history(history)
    assert line.scenario == "gossip peers=2 bytes=64 direct"
    assert line.figures["gossip_over_direct"] == figures["gossip_over_direct"]


def test_people_read_what_gossip_costs_beside_direct_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    async def measure(
        peers: int, message_bytes: int, seconds: float, direct: bool = False
    ) -> command.Figures:
        return command.Figures(3, 64, 1.0, 100, 0, 100.0, 300.0, 20.0 if direct else 50.0)

    monkeypatch.setattr(command, "measure", measure)
    said = CliRunner().invoke(gossip, ["--seconds", "1", "--direct"])
    assert said.exit_code == 0
    assert (
        "sent directly: 300 delivered a second, 20 us of CPU each: gossip costs 2.50 times as much"
        in said.output
    )


def test_what_does_not_arrive_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    lossy = command.Figures(3, 64, 1.0, 100, 7, 93.0, 279.0, 40.0)

    async def measure(peers: int, message_bytes: int, seconds: float) -> command.Figures:
        return lossy

    monkeypatch.setattr(command, "measure", measure)
    said = CliRunner().invoke(gossip, ["--seconds", "1"])
    assert said.exit_code == 1
    assert "7 messages did not arrive" in said.output


def test_a_message_too_small_to_be_told_apart_is_refused() -> None:
    said = CliRunner().invoke(gossip, ["--bytes", "4"])
    assert said.exit_code == 2
    assert "--bytes" in said.output


def test_heights_reach_every_simulated_observer_once_and_again_after_feeders_die() -> None:
    asked = ["--sim", "--nodes", "12,24", "--heights", "4", "--json"]
    said = CliRunner().invoke(gossip, asked, catch_exceptions=False)
    assert said.exit_code == 0, said.output
    for spread, observers in zip(json.loads(said.stdout)["sizes"], (8, 20), strict=True):
        assert spread["delivered"] == 4 * observers
        assert spread["redundancy"] == 1.0
        assert spread["bodies_of_validators"] <= 4 * 2 * 4
        assert spread["feeders_killed"] == 1
        assert spread["validator_cpu_us"] > 0


def test_what_is_simulated_is_not_recorded_beside_what_is_measured(tmp_path: Path) -> None:
    said = CliRunner().invoke(gossip, ["--sim", "--record", str(tmp_path / "history.jsonl")])
    assert said.exit_code == 2
    assert "--record" in said.output


def test_sizes_that_make_no_cluster_are_refused() -> None:
    for sizes in ("4", "5,x", "", "501"):
        said = CliRunner().invoke(gossip, ["--sim", "--nodes", sizes])
        assert said.exit_code == 2
        assert "--nodes" in said.output


def test_what_observers_cost_is_told_by_transaction(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures = observed.Observed(20, 100, 9_000.0, 9_180.0, 2_500.0, 60 * 2**20, 0)

    async def measure(
        observers: int, rate: float, seconds: float, directory: Path, said: Callable[[str], None]
    ) -> observed.Observed:
        assert (observers, rate, seconds) == (20, 7.0, 2.0)
        return figures

    monkeypatch.setattr(observed, "measure", measure)
    history = tmp_path / "history.jsonl"
    asked = ["--observers", "20", "--rate", "7", "--seconds", "2", "--record", str(history)]
    said = CliRunner().invoke(gossip, asked)
    assert said.exit_code == 0
    assert "(+2.0 %)" in said.output
    (line,) = read_history(history)
    assert (line.bench, line.scenario) == ("gossip", "gossip observers=20 rate=7")
    assert line.figures["cpu_percent"] == pytest.approx(2.0)
    monkeypatch.setattr(observed, "measure", _nobody_came)
    assert CliRunner().invoke(gossip, ["--observers", "1"]).exit_code == 1


async def _nobody_came(*_: object) -> observed.Observed:
    raise observed.NotObserved("1 observers are not at height 5 after 300 s")
