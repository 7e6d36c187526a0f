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

from bench.machine import Machine, Noise, Spread
from bench.strictjson import Fields
from bench.yardstick import SignatureCost, measure_signatures

HISTORY = Path(__file__).resolve().parent / "results" / "history.jsonl"
VERSION = 1
LINE_BYTES_MAX = 16 * 1024 * 1024
"""A row of rates with all its series is below a megabyte."""


class HistoryError(ValueError):
    """A line of a history is not one of this software's; `str()` names file and line."""


@dataclass(frozen=True, slots=True)
class Record:
    """One run. `date` is ISO 8601 in UTC; `bench` the command (`cluster`), `scenario` its named load.

    `signatures` is what Ed25519 costs on the machine, by which figures of several are compared; `figures` is
    the command's own object.
    """

    date: str
    bench: str
    scenario: str
    machine: Machine
    noise: Noise
    signatures: SignatureCost
    figures: Mapping[str, Any]

    @property
    def commit(self) -> str | None:
        """Of the measured sources; None when they were no checkout."""
        return self.machine.commit

    @property
    def is_noisy(self) -> bool:
        """Whether the machine was noisy before or after the run, by today's rule for all lines."""
        return self.noise.is_noisy

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "version": VERSION,
            "date": self.date,
            "commit": self.commit,
            "bench": self.bench,
            "scenario": self.scenario,
            "machine": self.machine.to_json(),
            "noise": self.noise.to_json(),
            "signatures": {"verify_us": self.signatures.verify_us, "sign_us": self.signatures.sign_us},
            "figures": dict(self.figures),
        }

    @staticmethod
    def from_json(value: object) -> "Record":
        """The inverse of `to_json`; raises ValueError with a sentence."""
        if not isinstance(value, dict):
            raise ValueError("a line is one JSON object")
        line = Fields.of(value)
        if line.whole("version") != VERSION:
            raise ValueError(f"version {value['version']!r} is not {VERSION}")
        date = line.text("date")
        datetime.fromisoformat(date)
        machine = _machine(line.fields("machine"))
        if line.optional_text("commit") != machine.commit:
            raise ValueError("commit must be the machine's")
        costs = line.fields("signatures")
        return Record(
            date,
            line.text("bench"),
            line.text("scenario"),
            machine,
            _noise(line.fields("noise")),
            SignatureCost(_positive(costs, "verify_us"), _positive(costs, "sign_us")),
            line.fields("figures").values,
        )


def _machine(fields: Fields) -> Machine:
    packages = fields.fields("packages")
    return Machine(
        fields.text("cpu"),
        fields.whole("cores"),
        fields.text("kernel"),
        fields.text("python"),
        tuple((name, packages.text(name)) for name in packages.values),
        fields.optional_text("commit"),
        fields.truth("dirty"),
    )


def _noise(fields: Fields) -> Noise:
    fields.truth("is_noisy")
    fields.text("rule")
    return Noise(_spread(fields.fields("one_core")), _spread(fields.fields("all_cores")))


def _spread(fields: Fields) -> Spread:
    return Spread(_positive(fields, "min_ms"), _positive(fields, "median_ms"), _positive(fields, "max_ms"))


def _positive(fields: Fields, name: str) -> float:
    number = fields.number(name)
    if number <= 0:
        raise ValueError(f"{fields.path(name)} must be above 0, not {number}")
    return number


def record_now(
    bench: str, scenario: str, machine: Machine, noise: Noise, figures: Mapping[str, Any]
) -> Record:
    """A record with the time of day, and with what a signature costs now."""
    date = datetime.now(UTC).replace(microsecond=0).isoformat()
    return Record(date, bench, scenario, machine, noise, measure_signatures(), figures)


def append(record: Record, path: Path = HISTORY) -> None:
    """Add one line. Raises OSError, and ValueError for figures that are no JSON."""
    line = json.dumps(record.to_json(), separators=(",", ":"), allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def read_history(path: Path = HISTORY) -> Iterator[Record]:
    """All records in order. Raises HistoryError for a line that is none, OSError."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LINE_BYTES_MAX + 1):
            number += 1
            try:
                if len(line) > LINE_BYTES_MAX:
                    raise ValueError(f"it has more than {LINE_BYTES_MAX} bytes")
                yield Record.from_json(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise HistoryError(f"{path}, line {number}: {error}") from error
