"""The memory of results: what is written is read again, and a bad line is named."""

import json
from pathlib import Path

import pytest

from bench.machine import Machine, Noise, Spread
from bench.results import HistoryError, Record, append, read_history, record_now

MACHINE = Machine("a CPU", 2, "Linux 6", "3.11", (("trio", "0.35"),), "0123456789ab", False)
NOISE = Noise(Spread(1.0, 1.0, 1.1), Spread(1.0, 1.1, 1.2))


def recorded(scenario: str) -> Record:
    return record_now("cluster", scenario, MACHINE, NOISE, {"throughput_tps": 12.5})


def test_what_was_appended_is_read_in_order(tmp_path: Path) -> None:
    history = tmp_path / "results" / "history.jsonl"
    for scenario in ("lone", "saturate"):
        append(recorded(scenario), history)
    first, second = read_history(history)
    assert (first.scenario, second.scenario) == ("lone", "saturate")
    assert (first.commit, first.is_noisy, first.figures) == ("0123456789ab", False, {"throughput_tps": 12.5})
    assert first.to_json() == json.loads(history.read_text().splitlines()[0])
    assert (first.machine, first.noise) == (MACHINE, NOISE)
    assert first.signatures.verify_us > 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": 2}, "version 2"),
        ({"version": True}, "version must be a whole number"),
        ({"scenario": 7}, "scenario must be text"),
        ({"machine": {}}, "machine.packages is missing"),
        ({"commit": None}, "commit must be the machine's"),
        ({"noise": {"is_noisy": 1, "rule": ""}}, "noise.is_noisy must be true or false"),
        ({"signatures": {"verify_us": 0, "sign_us": 1}}, "signatures.verify_us must be above 0"),
        ({"signatures": {"verify_us": float("nan"), "sign_us": 1}}, "signatures.verify_us must be a finite"),
        ({"signatures": None}, "signatures must be an object"),
        ({"figures": None}, "figures must be an object"),
        ({"date": "yesterday"}, "isoformat"),
    ],
)
def test_a_bad_line_is_named_with_its_number(
    tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    history = tmp_path / "history.jsonl"
    append(recorded("lone"), history)
    with history.open("a") as file:
        file.write(json.dumps(recorded("lone").to_json() | change) + "\n")
    with pytest.raises(HistoryError, match=f"history.jsonl, line 2: .*{sentence}"):
        list(read_history(history))


def test_half_a_line_is_no_record(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    history.write_text('{"version": 1, "da')
    with pytest.raises(HistoryError, match="line 1"):
        list(read_history(history))


@pytest.mark.parametrize(
    "line", [b"\xff\xfe", b"[1]", b"[" * 100_000, b""], ids=["text", "list", "deep", "empty"]
)
def test_what_is_no_object_is_refused_and_not_an_accident(tmp_path: Path, line: bytes) -> None:
    history = tmp_path / "history.jsonl"
    history.write_bytes(line + b"\n")
    with pytest.raises(HistoryError, match="line 1"):
        list(read_history(history))


def test_figures_that_are_no_numbers_are_not_written(tmp_path: Path) -> None:
    bad = record_now("cluster", "lone", MACHINE, NOISE, {"p50": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        append(bad, tmp_path / "history.jsonl")
    assert not (tmp_path / "history.jsonl").exists()
