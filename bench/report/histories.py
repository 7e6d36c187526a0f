"""Every figure over the commits: one picture a goal, and one for each other figure that was taken twice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.report.goals import GOALS, all_answers
from bench.report.picture import Line, Picture, place, titled
from bench.report.reading import ClusterRun, MicroRun, ProfileRun, Run

_KEPT_MAX = 60
"""Runs of one figure that are drawn; the latest are kept."""
_LINES_MAX = 8
_LEGEND = "Hollow: on a noisy machine; +: with changed sources."


@dataclass(frozen=True, slots=True)
class _Track:
    """One figure's values in the order of the history."""

    title: str
    unit: str
    values: Sequence[tuple[Run, float]]
    bounds: tuple[tuple[float, str], ...] = ()


def histories(runs: Sequence[Run]) -> list[Picture]:
    """Goals first, each that was ever reached or missed; then other figures, each that has two values."""
    tracks = [_goal_track(runs, number) for number in range(len(GOALS))]
    others = [
        *_by_label(runs, "CPU a transaction, daemons", "us", _cpu),
        *_by_label(runs, "knee", "tx/s", _knee),
        *_by_label(runs, "profile: CPU", "us", _profiled),
    ]
    shown = [track for track in tracks if track.values] + [track for track in others if len(track.values) > 1]
    return [_drawn(track) for track in shown] + _micro(runs)


def _goal_track(runs: Sequence[Run], number: int) -> _Track:
    goal = GOALS[number]
    answers = [(each.run, each.found.value) for each in all_answers(goal, runs)]
    values = [(run, value) for run, value in answers if value is not None]
    bounds = ((goal.floor, f"floor {goal.written_floor}"), (goal.aim, f"aim {goal.aim:,g} {goal.unit}"))
    return _Track(goal.name, goal.unit, values, bounds)


def _by_label(
    runs: Sequence[Run], what: str, unit: str, measure: Callable[[Run], tuple[str, float] | None]
) -> list[_Track]:
    found: dict[str, list[tuple[Run, float]]] = {}
    for run in runs:
        told = measure(run)
        if told is not None:
            found.setdefault(told[0], []).append((run, told[1]))
    return [_Track(f"{label}: {what}", unit, values) for label, values in found.items()]


def _cpu(run: Run) -> tuple[str, float] | None:
    if not isinstance(run, ClusterRun) or run.trials or run.trial.cpu_us is None:
        return None
    return f"{run.trial.mode} {run.trial.label}", run.trial.cpu_us


def _knee(run: Run) -> tuple[str, float] | None:
    if not isinstance(run, ClusterRun) or not run.trial.label.startswith("knee") or not run.trial.success:
        return None
    return f"{run.trial.mode} {run.trial.label}", run.trial.throughput_tps


def _profiled(run: Run) -> tuple[str, float] | None:
    return (run.record.scenario, run.total_us) if isinstance(run, ProfileRun) else None


def _drawn(track: _Track) -> Picture:
    kept = track.values[-_KEPT_MAX:]
    runs = [run for run, _ in kept]
    line = Line(
        track.title, tuple((float(n), value) for n, (_, value) in enumerate(kept)), hollow=_noisy(runs)
    )
    last = runs[-1]
    return Picture(
        titled(track.title, last.marks),
        "commit",
        track.unit,
        (line,),
        (_LEGEND, f"Latest: {place(last)}"),
        horizontals=track.bounds,
        x_ticks=_commits(runs),
    )


def _micro(runs: Sequence[Run]) -> list[Picture]:
    """Operations by their noun, each relative to its first figure, so that many fit one picture."""
    found = [run for run in runs if isinstance(run, MicroRun)][-_KEPT_MAX:]
    tracks: dict[str, list[tuple[float, float]]] = {}
    for number, run in enumerate(found):
        for subject in run.subjects:
            tracks.setdefault(subject.name, []).append((float(number), subject.median_us))
    nouns: dict[str, list[Line]] = {}
    for name, points in tracks.items():
        first = points[0][1]
        if len(points) > 1 and first > 0:
            relative = tuple((n, value / first) for n, value in points)
            noisy = _noisy(found)
            hollow = frozenset(place for place, (n, _) in enumerate(points) if int(n) in noisy)
            nouns.setdefault(name.split("/")[0], []).append(Line(name, relative, hollow=hollow))
    return [_relative(noun, lines, found) for noun, lines in nouns.items()]


def _relative(noun: str, lines: Sequence[Line], runs: Sequence[MicroRun]) -> Picture:
    moved = sorted(lines, key=lambda line: -abs(line.points[-1][1] - 1))[:_LINES_MAX]
    more = f" The {_LINES_MAX} of {len(lines)} that changed most." if len(lines) > _LINES_MAX else ""
    return Picture(
        titled(f"single operations: {noun}", runs[-1].marks),
        "commit",
        "times its first figure",
        tuple(moved),
        (_LEGEND + more, f"Latest: {place(runs[-1])}"),
        horizontals=((1.0, ""),),
        x_ticks=_commits(runs),
    )


def _noisy(runs: Sequence[Run]) -> frozenset[int]:
    return frozenset(n for n, run in enumerate(runs) if run.record.is_noisy)


def _commits(runs: Sequence[Run]) -> tuple[tuple[float, str], ...]:
    def name(run: Run) -> str:
        return f"{(run.record.commit or '-')[:7]}{'+' if run.record.machine.dirty else ''}"

    return tuple((float(n), name(run)) for n, run in enumerate(runs))
