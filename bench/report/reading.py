"""History lines become typed runs, at the door: figures that are not what they should be are refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from bench.results import HistoryError, Record, read_history
from bench.strictjson import Fields

OPAQUE, HONEST = "opaque", "honest"
_MODE_MARKS = {OPAQUE: ("OPAQUE",), "signed": ("SIGNED, NOT EXECUTED",)}
CERTIFIED = "certified"
Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds from the intended time to the receipt."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class Second:
    """One second of a run: certified transactions, and the 99th percentile of their latencies if any."""

    second: float
    certified: float
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Hurt:
    """A fault of a run: which, when, and the longest time without a certified receipt from then on; how many
    there were longer than a bound, None where older lines do not say."""

    words: str
    at_s: float | None
    pause_ms: float | None
    pause_count: int | None
    pause_bound_ms: float | None


@dataclass(frozen=True, slots=True)
class Trial:
    """One load on one cluster. `kind` is of the load: open, closed or none; `rate` an open loop's."""

    label: str
    mode: str
    nodes: int
    kind: str
    rate: float | None
    transaction_bytes: int
    success: bool
    problems: tuple[str, ...]
    throughput_tps: float
    latency: Percentiles | None
    distribution: tuple[Point, ...]
    series: tuple[Second, ...]
    hurt: Hurt | None
    rounds_per_second: float | None
    cpu_us: float | None
    """A transaction's in all daemons together; None where they cannot be seen."""
    fsync: bool
    proxied: bool
    namespaced: bool
    attached: bool
    promise: str
    """What clients waited for: certified, as all did of whom older lines tell, or committed."""

    @staticmethod
    def of(fields: Fields) -> "Trial":
        """Raises ValueError with a sentence."""
        load, latency, fault = (
            fields.fields("load"),
            fields.optional_fields("latency_ms"),
            fields.optional_fields("fault"),
        )
        cpu = fields.optional_fields("cpu_us_per_transaction")
        return Trial(
            fields.text("scenario"),
            fields.text("mode"),
            fields.whole("nodes"),
            load.text("kind"),
            load.number("rate") if "rate" in load else None,
            fields.whole("transaction_bytes"),
            fields.truth("success"),
            fields.texts("problems"),
            fields.number("throughput_tps"),
            None if latency is None else Percentiles(*(latency.number(p) for p in ("p50", "p90", "p99"))),
            _points(fields, "distribution_ms"),
            tuple(
                Second(row.number("second"), row.number("certified"), row.optional_number("p99_ms"))
                for row in fields.rows("series")
            ),
            None if fault is None else _hurt(fault),
            fields.optional_number("rounds_per_second"),
            None if cpu is None else cpu.number("daemons"),
            fields.truth("fsync"),
            fields.truth("proxied"),
            "namespaced" in fields and fields.truth("namespaced"),
            fields.truth("attached"),
            fields.text("promise") if "promise" in fields else CERTIFIED,
        )

    @property
    def marks(self) -> tuple[str, ...]:
        """What must stand beside its figures."""
        told = (
            (f"{self.promise.upper()}, not certified", self.promise != CERTIFIED),
            ("NO FSYNC", not self.fsync),
            ("through proxies", self.proxied),
            ("through namespaces", self.namespaced),
            ("cluster elsewhere", self.attached),
            ("NOT CARRIED", not self.success),
        )
        return (*_MODE_MARKS.get(self.mode, ()), *(mark for mark, holds in told if holds))

    @property
    def is_usual(self) -> bool:
        """Four of our own nodes that sync and are asked for nothing unusual but how long and in what mode."""
        changed = (word.partition("=")[0] for word in self.label.split()[1:])
        usual = all(name in ("seconds", "warmup_seconds", "mode", "rate") for name in changed)
        return usual and self.nodes == 4 and self.fsync and not self.proxied and not self.attached


@dataclass(frozen=True, slots=True)
class ClusterRun:
    """`isthmus-bench cluster`: one trial, or a row of `trials` and the one that counts."""

    record: Record
    trial: Trial
    trials: tuple[Trial, ...]

    @property
    def marks(self) -> tuple[str, ...]:
        """What must stand beside its figures."""
        return (*self.trial.marks, *_marks_of_place(self.record))


@dataclass(frozen=True, slots=True)
class SimulatedSize:
    """A simulated cluster: a replica's CPU in one round, measured and, of signatures alone, predicted."""

    nodes: int
    load: str
    headers: float
    rounds_per_second: float
    cpu_us: float
    crypto_us: float
    predicted_us: float


@dataclass(frozen=True, slots=True)
class RealSize:
    """A cluster of daemons with empty rounds: a replica's CPU in one round."""

    nodes: int
    rounds_per_second: float
    cpu_us: float
    fsync: bool
    predicted_us: float | None
    """Of signatures alone; None where older lines do not say."""


@dataclass(frozen=True, slots=True)
class ScaleRun:
    """`isthmus-bench scale`."""

    record: Record
    simulated: tuple[SimulatedSize, ...]
    real: tuple[RealSize, ...]

    @property
    def marks(self) -> tuple[str, ...]:
        """What must stand beside its figures."""
        unsynced = ("NO FSYNC",) if any(not size.fsync for size in self.real) else ()
        return (*unsynced, *_marks_of_place(self.record))


@dataclass(frozen=True, slots=True)
class Subject:
    """An operation of `isthmus-bench micro`: the median, and whether its runs were too far apart."""

    name: str
    unit: str
    median_us: float
    is_noisy: bool


@dataclass(frozen=True, slots=True)
class MicroRun:
    """`isthmus-bench micro`."""

    record: Record
    subjects: tuple[Subject, ...]

    @property
    def marks(self) -> tuple[str, ...]:
        """What must stand beside its figures."""
        return _marks_of_place(self.record)


@dataclass(frozen=True, slots=True)
class ProfileRun:
    """`isthmus-bench profile`: CPU microseconds a unit by phase, all sampled daemons together."""

    record: Record
    unit: str
    nodes: int
    total_us: float
    phases_us: Mapping[str, float]
    is_thin: bool
    trial_marks: tuple[str, ...]

    @property
    def marks(self) -> tuple[str, ...]:
        """What must stand beside its figures."""
        thin = ("FEW SAMPLES",) if self.is_thin else ()
        return (*self.trial_marks, *thin, *_marks_of_place(self.record))


@dataclass(frozen=True, slots=True)
class OtherRun:
    """A line of a command whose figures this page does not know by name; numbers are kept."""

    record: Record
    numbers: Mapping[str, float]

    @property
    def marks(self) -> tuple[str, ...]:
        """What must stand beside its figures."""
        return _marks_of_place(self.record)


Run: TypeAlias = ClusterRun | ScaleRun | MicroRun | ProfileRun | OtherRun


def read_runs(path: Path) -> list[Run]:
    """All runs of a history in order. Raises HistoryError with the line's number, OSError."""
    runs: list[Run] = []
    for number, record in enumerate(read_history(path), 1):
        try:
            runs.append(run_of(record))
        except ValueError as error:
            raise HistoryError(f"{path}, line {number}: {error}") from error
    return runs


def run_of(record: Record) -> Run:
    """The typed run of a record; raises ValueError with a sentence."""
    return _READERS.get(record.bench, _other)(record, Fields(record.figures, "figures"))


def _cluster(record: Record, fields: Fields) -> Run:
    trials = tuple(Trial.of(_told_above(row, fields)) for row in fields.rows("trials"))
    return ClusterRun(record, Trial.of(fields), trials)


def _told_above(row: Fields, above: Fields) -> Fields:
    """A trial of a row of them, with what the whole row says once."""
    return Fields({"attached": above.values.get("attached"), **row.values}, row.place)


def _scale(record: Record, fields: Fields) -> Run:
    simulated = tuple(
        SimulatedSize(
            row.whole("nodes"),
            row.text("load"),
            row.number("headers_per_round"),
            row.number("rounds_per_second"),
            row.number("cpu_us"),
            row.number("crypto_us"),
            row.fields("predicted").number("crypto_us"),
        )
        for row in fields.rows("simulated")
    )
    real = tuple(
        RealSize(
            row.whole("nodes"),
            row.number("rounds_per_second"),
            row.number("cpu_us"),
            row.truth("fsync"),
            row.fields("predicted").number("crypto_us") if "predicted" in row else None,
        )
        for row in fields.rows("processes")
    )
    return ScaleRun(record, simulated, real)


def _micro(record: Record, fields: Fields) -> Run:
    subjects = tuple(
        Subject(row.text("name"), row.text("unit"), row.number("median_us"), row.truth("is_noisy"))
        for row in fields.rows("subjects")
    )
    return MicroRun(record, subjects)


def _profile(record: Record, fields: Fields) -> Run:
    if "load" in fields:
        marks = Trial.of(fields).marks
    else:  # older lines are of other loads, and say no more of a trial than its mode, if that
        marks = _MODE_MARKS.get(fields.text("mode"), ()) if "mode" in fields else ()
    return ProfileRun(
        record,
        fields.text("unit"),
        fields.whole("nodes"),
        fields.number("total_us"),
        fields.table("phases_us"),
        fields.truth("is_thin"),
        marks,
    )


def _other(record: Record, fields: Fields) -> Run:
    kept = {
        name: fields.number(name)
        for name, value in fields.values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return OtherRun(record, kept)


_READERS: Mapping[str, Callable[[Record, Fields], Run]] = {
    "cluster": _cluster,
    "scale": _scale,
    "micro": _micro,
    "profile": _profile,
}


def _marks_of_place(record: Record) -> tuple[str, ...]:
    told = (
        ("NOISY MACHINE", record.is_noisy),
        ("changed sources", record.machine.dirty),
        ("no commit", record.commit is None),
    )
    return tuple(mark for mark, holds in told if holds)


def _hurt(fields: Fields) -> Hurt:
    is_counted = "pause_count" in fields and fields.values["pause_count"] is not None
    return Hurt(
        fields.text("words"),
        fields.optional_number("at_s"),
        fields.optional_number("pause_ms"),
        fields.whole("pause_count") if is_counted else None,
        fields.number("pause_bound_ms") if is_counted else None,
    )


def _points(fields: Fields, name: str) -> tuple[Point, ...]:
    points: list[Point] = []
    for number, pair in enumerate(fields.array(name)):
        place = f"{fields.path(name)}[{number}]"
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError(f"{place} must be a pair")
        both = Fields({"share": pair[0], "ms": pair[1]}, place)
        points.append((both.number("share"), both.number("ms")))
    return tuple(points)
