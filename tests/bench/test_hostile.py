"""`isthmus-bench hostile`, for a moment: every attack reaches the nodes while an honest client is served."""

import json

import pytest
from click.testing import CliRunner

from bench import hostile

ATTACKS = ("slow-headers", "handshakes", "forged", "valid")


def test_each_attack_is_made_and_the_honest_client_gets_receipts_meanwhile() -> None:
    said = CliRunner().invoke(hostile.command, ["--seconds", "0.5", "--json"], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    figures = json.loads(said.stdout)
    phases = {phase["name"]: phase for phase in figures["phases"]}
    assert list(phases) == ["calm", "burner", *ATTACKS, "calm again"]
    assert all(phase["receipts"] > 0 for phase in phases.values())
    assert all(phases[name]["attacks"] > 0 for name in ATTACKS)


def test_a_flood_that_ends_before_its_phase_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile, "_OFFERED_PER_SECOND", 100)
    said = CliRunner().invoke(hostile.command, ["--seconds", "0.5", "--nodes", "1"])
    assert (said.exit_code, said.stdout) == (1, "")
    assert said.stderr.splitlines() == [
        "Error: there are no figures: all transactions of the flood were sent before its phase was over"
    ]
