"""Which pictures a history gives, as data: lines of points with their marks. Nothing is drawn here."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.goals import GOALS, Goal, all_answers
from bench.report.reading import ClusterRun, Point, Run, ScaleRun, Trial
from bench.report.readme import place_of

_CURVES_MAX = 8
"""Lines that can be told apart in one picture; the latest are kept."""
_SECOND = "second of the measurement"
_HISTORY_MAX = 60
"""Runs of one figure that are drawn; the latest are kept."""


@dataclass(frozen=True, slots=True)
class Line:
    """Points in order. `hollow` are positions of points that were taken on a noisy machine or were not
    carried."""

    label: str
    points: tuple[Point, ...]
    dashed: bool = False
    hollow: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Picture:
    """`verticals` and `horizontals` are positions with words; `x_ticks` replace the numbers of the x axis;
    `below` is the caption: where the figures were taken, and what marks them."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    below: tuple[str, ...]
    x_log: bool = False
    y_log: bool = False
    verticals: tuple[tuple[float, str], ...] = ()
    horizontals: tuple[tuple[float, str], ...] = ()
    x_ticks: tuple[tuple[float, str], ...] = ()


def all_pictures(runs: Sequence[Run]) -> list[tuple[str, list[Picture]]]:
    """Sections with their pictures; a section without any is left out."""
    sections = [
        ("Throughput and latency", throughput_latency(runs)),
        ("Latency distributions", distributions(runs)),
        ("Faults, second by second", faults(runs)),
        ("Size of the cluster", scale(runs)),
        ("History", histories(runs)),
    ]
    return [(title, pictures) for title, pictures in sections if pictures]


def throughput_latency(runs: Sequence[Run]) -> list[Picture]:
    """One picture for each row of rates or search for the knee that has two rates with latencies: the latest
    of each label."""
    pictures = []
    for run in latest_by_label(runs):
        measured = [trial for trial in run.trials if trial.latency is not None]
        if len(measured) < 2:
            continue
        measured.sort(key=lambda trial: trial.throughput_tps)
        hollow = frozenset(n for n, trial in enumerate(measured) if not trial.success or run.record.is_noisy)
        lines = tuple(
            Line(name, tuple((t.throughput_tps, _percentile(t, name)) for t in measured), dashed, hollow)
            for name, dashed in (("p50", False), ("p99", True))
        )
        title = _titled(run.trial.label, run.marks)
        below = (_place(run), "Hollow: not carried, or on a noisy machine.")
        pictures.append(Picture(title, "certified tx/s", "latency, ms", lines, below, y_log=True))
    return pictures


def distributions(runs: Sequence[Run]) -> list[Picture]:
    """One picture with the latest distribution of each label."""
    found = [run for run in latest_by_label(runs) if len(run.trial.distribution) > 1 and not run.trials]
    if not found:
        return []
    lines = tuple(
        Line(
            _titled(run.trial.label, run.marks),
            tuple((ms, share * 100) for share, ms in run.trial.distribution),
        )
        for run in found[-_CURVES_MAX:]
    )
    below = (*(f"{run.trial.label}: {_place(run)}" for run in found[-_CURVES_MAX:]),)
    title = "Latency from the intended time to the certified receipt"
    return [Picture(title, "at most, ms", "part of the transactions, %", lines, below, x_log=True)]


def faults(runs: Sequence[Run]) -> list[Picture]:
    """Two pictures for the latest run of each label with a fault: what was certified in each second, and how
    late the last of it was."""
    pictures = []
    for run in latest_by_label(runs):
        hurt = run.trial.hurt
        if hurt is None or not run.trial.series:
            continue
        series, title = run.trial.series, _titled(run.trial.label, run.marks)
        certified = Line("certified", tuple((s.second, s.certified) for s in series))
        slow = Line("p99", tuple((s.second, s.p99_ms) for s in series if s.p99_ms is not None))
        pause = "" if hurt.pause_ms is None else f"; longest pause from then on {hurt.pause_ms:,.0f} ms"
        verticals = () if hurt.at_s is None else ((hurt.at_s, "fault"),)
        below = (f"{hurt.words}{pause}.", _place(run))
        for line, y_label in ((certified, "certified tx/s"), (slow, "p99 of the second, ms")):
            if line.points:
                pictures.append(Picture(title, _SECOND, y_label, (line,), below, verticals=verticals))
    return pictures


def scale(runs: Sequence[Run]) -> list[Picture]:
    """CPU by the size of the cluster, of the latest run of each label."""
    pictures = []
    latest = {run.record.scenario: run for run in runs if isinstance(run, ScaleRun)}
    for run in latest.values():
        lines: list[Line] = []
        for load in dict.fromkeys(size.load for size in run.simulated):
            sizes = sorted((s for s in run.simulated if s.load == load), key=lambda size: size.nodes)
            lines.append(Line(f"{load}: measured", tuple((s.nodes, s.cpu_us / 1000) for s in sizes)))
            predicted = tuple((s.nodes, s.predicted_us / 1000) for s in sizes)
            lines.append(Line(f"{load}: signatures alone, predicted", predicted, dashed=True))
        real = sorted(run.real, key=lambda size: size.nodes)
        if real:
            lines.append(Line("real daemons, empty", tuple((s.nodes, s.cpu_us / 1000) for s in real)))
        if lines:
            title, below = _titled(run.record.scenario, run.marks), (_place(run),)
            pictures.append(Picture(title, "replicas", "CPU ms a round and replica", tuple(lines), below))
    return pictures


def histories(runs: Sequence[Run]) -> list[Picture]:
    """One picture for each goal that was ever measured: all its figures in the order of the runs."""
    pictures = []
    for goal in GOALS:
        answers = [answer for answer in all_answers(goal, runs) if answer.found.value is not None]
        kept = answers[-_HISTORY_MAX:]
        if kept:
            points = tuple((float(n), answer.found.value or 0.0) for n, answer in enumerate(kept))
            hollow = frozenset(n for n, answer in enumerate(kept) if answer.run.record.is_noisy)
            ticks = tuple(
                (float(n), f"{(a.run.record.commit or '-')[:7]}{'+' if a.run.record.machine.dirty else ''}")
                for n, a in enumerate(kept)
            )
            pictures.append(_history(goal, Line(goal.name, points, hollow=hollow), ticks, kept[-1].run))
    return pictures


def _history(goal: Goal, line: Line, ticks: tuple[tuple[float, str], ...], last: Run) -> Picture:
    below = ("Hollow: on a noisy machine; +: with changed sources.", f"Latest: {_place(last)}")
    title = _titled(goal.name, last.marks)
    bounds = ((goal.floor, f"floor {goal.written_floor}"), (goal.aim, f"aim {goal.aim:,g} {goal.unit}"))
    return Picture(title, "commit", goal.unit, (line,), below, horizontals=bounds, x_ticks=ticks)


def latest_by_label(runs: Sequence[Run]) -> list[ClusterRun]:
    """Of each mode and label the latest run, in the order of these."""
    found: dict[tuple[str, str], ClusterRun] = {}
    for run in runs:
        if isinstance(run, ClusterRun):
            found.pop((run.trial.mode, run.trial.label), None)  # so that the latest is last
            found[run.trial.mode, run.trial.label] = run
    return list(found.values())


def _percentile(trial: Trial, name: str) -> float:
    if trial.latency is None:
        raise ValueError("a trial without latencies has no percentiles")
    return trial.latency.p50 if name == "p50" else trial.latency.p99


def _titled(label: str, marks: Sequence[str]) -> str:
    return f"{label} [{', '.join(marks)}]" if marks else label


def _place(run: Run) -> str:
    return f"{place_of(run)}; an Ed25519 check takes {run.record.signatures.verify_us:.0f} us there"
