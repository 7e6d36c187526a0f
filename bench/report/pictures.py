"""Which pictures a history gives. Nothing is drawn here."""

from collections.abc import Sequence

from bench.report.histories import histories
from bench.report.picture import Line, Picture, place, titled
from bench.report.reading import ClusterRun, Run, ScaleRun, Trial

_CURVES_MAX = 8
"""Lines that can be told apart in one picture; the latest are kept."""
_SECOND = "second of the measurement"


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
        title = titled(run.trial.label, run.marks)
        below = (place(run), "Hollow: not carried, or on a noisy machine.")
        pictures.append(Picture(title, f"{run.trial.promise} tx/s", "latency, ms", lines, below, y_log=True))
    return pictures


def distributions(runs: Sequence[Run]) -> list[Picture]:
    """One picture with the latest distribution of each label."""
    found = [run for run in latest_by_label(runs) if len(run.trial.distribution) > 1 and not run.trials]
    if not found:
        return []
    lines = tuple(
        Line(
            titled(run.trial.label, run.marks),
            tuple((ms, share * 100) for share, ms in run.trial.distribution),
        )
        for run in found[-_CURVES_MAX:]
    )
    below = (*(f"{run.trial.label}: {place(run)}" for run in found[-_CURVES_MAX:]),)
    title = "Latency from the intended time to the receipt"
    return [Picture(title, "at most, ms", "part of the transactions, %", lines, below, x_log=True)]


def faults(runs: Sequence[Run]) -> list[Picture]:
    """Two pictures for the latest run of each label with a fault: what was certified in each second, and how
    late the last of it was."""
    pictures = []
    for run in latest_by_label(runs):
        hurt = run.trial.hurt
        if hurt is None or not run.trial.series:
            continue
        series, title = run.trial.series, titled(run.trial.label, run.marks)
        done = run.trial.promise
        certified = Line(done, tuple((s.second, s.certified) for s in series))
        slow = Line("p99", tuple((s.second, s.p99_ms) for s in series if s.p99_ms is not None))
        pause = "" if hurt.pause_ms is None else f"; longest pause from then on {hurt.pause_ms:,.0f} ms"
        if hurt.pause_count is not None and hurt.pause_bound_ms is not None:
            pause += f", {hurt.pause_count} longer than {hurt.pause_bound_ms:,.0f} ms"
        verticals = () if hurt.at_s is None else ((hurt.at_s, "fault"),)
        below = (f"{hurt.words}{pause}.", place(run))
        for line, y_label in ((certified, f"{done} tx/s"), (slow, "p99 of the second, ms")):
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
            title, below = titled(run.record.scenario, run.marks), (place(run),)
            pictures.append(Picture(title, "replicas", "CPU ms a round and replica", tuple(lines), below))
    return pictures


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
