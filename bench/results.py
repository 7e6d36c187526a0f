"""The memory of measurements: one JSON line a run, in the order of the runs.

A figure without its commit, machine and scenario is worth nothing later, so a line without them is refused,
when it is written and when it is read. Lines are added and never changed; versions of the format are told
apart by `version`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.machine import Machine, Noise

HISTORY = Path(__file__).resolve().parent / "results" / "history.jsonl"
VERSION = 1


class HistoryError(ValueError):
    """A line of a history is not one of this software's; `str()` names file and line."""


@dataclass(frozen=True, slots=True)
class Record:
    """One run. `date` is ISO 8601 in UTC; `bench` the command (`cluster`), `scenario` its named load.

    `machine` and `noise` are what `bench.machine` says of them; `figures` is the command's own object.
    """

    date: str
    bench: str
    scenario: str
    machine: Mapping[str, Any]
    noise: Mapping[str, Any]
    figures: Mapping[str, Any]

    @property
    def commit(self) -> str | None:
        """Of the measured sources; None when they were no checkout."""
        commit: str | None = self.machine["commit"]
        return commit

    @property
    def is_noisy(self) -> bool:
        """Whether the machine was noisy before the run."""
        return bool(self.noise["is_noisy"])

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "version": VERSION,
            "date": self.date,
            "commit": self.commit,
            "bench": self.bench,
            "scenario": self.scenario,
            "machine": dict(self.machine),
            "noise": dict(self.noise),
            "figures": dict(self.figures),
        }

    @staticmethod
    def from_json(value: object) -> "Record":
        """The inverse of `to_json`; raises ValueError with a sentence."""
        if not isinstance(value, dict):
            raise ValueError("a line is one JSON object")
        if value.get("version") != VERSION:
            raise ValueError(f"version {value.get('version')!r} is not {VERSION}")
        for name, kind in (("date", str), ("bench", str), ("scenario", str)):
            if not isinstance(value.get(name), kind):
                raise ValueError(f"{name} must be text")
        for name in ("machine", "noise", "figures"):
            if not isinstance(value.get(name), dict):
                raise ValueError(f"{name} must be an object")
        if "commit" not in value["machine"] or "is_noisy" not in value["noise"]:
            raise ValueError("machine must have a commit (or null), noise must have is_noisy")
        datetime.fromisoformat(value["date"])
        return Record(*(value[name] for name in ("date", "bench", "scenario", "machine", "noise", "figures")))


def record_now(
    bench: str, scenario: str, machine: Machine, noise: Noise, figures: Mapping[str, Any]
) -> Record:
    """A record with the time of day."""
    date = datetime.now(UTC).replace(microsecond=0).isoformat()
    return Record(date, bench, scenario, machine.to_json(), noise.to_json(), figures)


def append(record: Record, path: Path = HISTORY) -> None:
    """Add one line. Raises OSError."""
    line = json.dumps(record.to_json(), separators=(",", ":"), allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def read_history(path: Path = HISTORY) -> Iterator[Record]:
    """All records in order. Raises HistoryError for a line that is none, OSError."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield Record.from_json(json.loads(line))
            except ValueError as error:
                raise HistoryError(f"{path}, line {number}: {error}") from error
