"""The page: one HTML file with everything in it, that loads nothing from anywhere."""

from collections.abc import Callable, Sequence
from html import escape

from bench.machine import NOISE_RULE
from bench.report.goals import GOALS, latest
from bench.report.picture import Picture
from bench.report.pictures import all_pictures, latest_by_label
from bench.report.reading import ClusterRun, MicroRun, OtherRun, ProfileRun, Run, ScaleRun
from bench.report.readme import place_of

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#1b1b1b}
table{border-collapse:collapse;margin:1em 0;font-size:13px}
td,th{border-bottom:1px solid #ddd;padding:.25em .6em;text-align:left;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
figure{margin:1.5em 0}figcaption{font-size:12px;color:#555}svg{max-width:100%;height:auto}
b.mark{color:#a33;font-size:12px;font-weight:600}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
Row = tuple[str, ...]
_NEWEST = 100
"""Runs in the list at the end."""


def page(runs: Sequence[Run], draw: Callable[[Picture], str], written: str) -> str:
    """The whole file. `written` says when, in words."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><title>Isthmus, measured</title>',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<style>{_STYLE}</style></head><body>",
        "<h1>Isthmus, measured</h1>",
        f"<p>{len(runs)} runs, page written {escape(written)}. A figure is worth what stands beside it: the "
        "machine, its noise, the commit, the load. Machines are compared by what one Ed25519 check takes on "
        f"them. A machine is {escape(NOISE_RULE)}.</p>",
        *_goals(runs),
    ]
    for title, pictures in all_pictures(runs):
        parts.append(f"<h2>{escape(title)}</h2>")
        for picture in pictures:
            caption = "<br>".join(escape(sentence) for sentence in picture.below)
            parts.append(f"<figure>{draw(picture)}<figcaption>{caption}</figcaption></figure>")
    parts += [*_rates(runs), *_profiles(runs), *_micro(runs), *_scale(runs), *_list(runs), "</body></html>"]
    return "\n".join(parts) + "\n"


def _goals(runs: Sequence[Run]) -> list[str]:
    rows: list[Row] = []
    for goal in GOALS:
        answer = latest(goal, runs)
        told: Row = ("", "not recorded", "", "", "")
        if answer is not None:
            value, run = answer.found.value, answer.run
            written = "-" if value is None else goal.written(value)
            verify = f"{run.record.signatures.verify_us:.0f} us"
            told = (written, goal.verdict(answer.found), place_of(run), verify, ", ".join(run.marks))
        rows.append((goal.name, goal.written_floor, goal.written_aim, *told))
    headings = ("figure", "floor", "aim", "latest", "which is", "taken on", "Ed25519 check", "marks")
    return ["<h2>What is to be reached</h2>", *_table(headings, rows, numbers=(1, 2, 3, 6))]


def _rates(runs: Sequence[Run]) -> list[str]:
    parts: list[str] = []
    for run in latest_by_label(runs):
        rows: list[Row] = []
        for trial in run.trials:
            times = ("", "") if trial.latency is None else _written(trial.latency.p50, trial.latency.p99)
            rate = "" if trial.rate is None else f"{trial.rate:,.0f}"
            told = " ".join(trial.problems) if trial.problems else "carried"
            rows.append((rate, f"{trial.throughput_tps:,.0f}", *times, told))
        if rows:
            headings = ("tx/s asked", run.trial.promise, "p50 ms", "p99 ms", "")
            parts += [
                f"<h2>Rates: {escape(run.trial.label)}</h2>{_marked(run)}",
                *_table(headings, rows, numbers=(0, 1, 2, 3)),
            ]
    return parts


def _written(*times_ms: float) -> tuple[str, ...]:
    return tuple(f"{time_ms:,.1f}" for time_ms in times_ms)


def _profiles(runs: Sequence[Run]) -> list[str]:
    latest_of = {run.record.scenario: run for run in runs if isinstance(run, ProfileRun)}
    parts: list[str] = []
    for run in latest_of.values():
        ordered = sorted(run.phases_us.items(), key=lambda item: -item[1])
        rows = [(phase, f"{cost:,.1f}", f"{cost / run.total_us:.1%}") for phase, cost in ordered if cost]
        rows.append(("all", f"{run.total_us:,.1f}", ""))
        parts += [
            f"<h2>CPU a {escape(run.unit)}: {escape(run.record.scenario)}</h2>{_marked(run)}",
            *_table(("phase", f"us a {run.unit}, {run.nodes} nodes", "share"), rows, numbers=(1, 2)),
        ]
    return parts


def _micro(runs: Sequence[Run]) -> list[str]:
    latest_of: dict[str, tuple[MicroRun, Row]] = {}
    for run in runs:
        for subject in run.subjects if isinstance(run, MicroRun) else ():
            noisy = "noisy" if subject.is_noisy else ""
            if isinstance(run, MicroRun):
                row = (subject.name, subject.unit, f"{subject.median_us:,.2f}", noisy)
                latest_of[subject.name] = (run, row)
    if not latest_of:
        return []
    rows = [(*row, ", ".join(run.marks), place_of(run)) for run, row in latest_of.values()]
    headings = ("operation", "unit", "median us", "", "marks", "taken on")
    return ["<h2>Single operations</h2>", *_table(headings, rows, numbers=(2,))]


def _scale(runs: Sequence[Run]) -> list[str]:
    found = [run for run in runs if isinstance(run, ScaleRun)]
    if not found:
        return []
    run = found[-1]
    simulated = [
        (
            str(size.nodes),
            size.load,
            f"{size.headers:.2f}",
            f"{size.rounds_per_second:.0f}",
            f"{size.cpu_us / 1000:.2f}",
            f"{size.crypto_us / 1000:.2f}",
            f"{size.predicted_us / 1000:.2f}",
        )
        for size in run.simulated
    ]
    real = [
        (
            str(size.nodes),
            f"{size.rounds_per_second:.1f}",
            f"{size.cpu_us / 1000:.2f}",
            "" if size.predicted_us is None else f"{size.predicted_us / 1000:.2f}",
            "" if size.fsync else "NO FSYNC",
        )
        for size in run.real
    ]
    daemons = ("daemons", "rounds/s", "CPU ms", "signatures predicted ms", "")
    headings = ("n", "load", "headers", "rounds/s on the network", "CPU ms", "signatures ms", "predicted ms")
    return [
        f"<h2>A round, by the size of the cluster</h2>{_marked(run)}",
        *(_table(headings, simulated, numbers=(0, 2, 3, 4, 5, 6)) if simulated else ()),
        *(_table(daemons, real, numbers=(0, 1, 2, 3)) if real else ()),
    ]


def _list(runs: Sequence[Run]) -> list[str]:
    rows = []
    for run in list(reversed(runs))[:_NEWEST]:
        record = run.record
        verify = f"{record.signatures.verify_us:.0f} us"
        told = (record.date, record.bench, record.scenario, _figure(run), ", ".join(run.marks))
        rows.append((*told, place_of(run), verify))
    headings = ("date", "command", "scenario", "figures", "marks", "taken on", "Ed25519 check")
    return [f"<h2>The latest {len(rows)} runs</h2>", *_table(headings, rows, numbers=(6,))]


def _figure(run: Run) -> str:
    if isinstance(run, ClusterRun):
        latency = run.trial.latency
        times = "" if latency is None else f", p50 {latency.p50:,.1f} ms, p99 {latency.p99:,.1f} ms"
        rows = f", {len(run.trials)} trials" if run.trials else ""
        return f"{run.trial.throughput_tps:,.0f} {run.trial.promise} tx/s{times}{rows}"
    if isinstance(run, ScaleRun):
        return f"{len(run.simulated)} simulated, {len(run.real)} real clusters"
    if isinstance(run, MicroRun):
        return f"{len(run.subjects)} operations"
    if isinstance(run, ProfileRun):
        return f"{run.total_us:,.0f} us a {run.unit}"
    return _numbers(run)


def _numbers(run: OtherRun) -> str:
    return ", ".join(f"{name} {value:,g}" for name, value in run.numbers.items())


def _marked(run: Run) -> str:
    marks = f'<b class="mark">{escape(", ".join(run.marks))}</b> ' if run.marks else ""
    verify_us = run.record.signatures.verify_us
    return f"<p>{marks}{escape(place_of(run))}; an Ed25519 check takes {verify_us:.0f} us there</p>"


def _table(headings: Row, rows: Sequence[Row], numbers: tuple[int, ...]) -> list[str]:
    right = ' class="n"'

    def line(cells: Row, tag: str) -> str:
        inner = "".join(
            f"<{tag}{right if place in numbers else ''}>{escape(cell)}</{tag}>"
            for place, cell in enumerate(cells)
        )
        return f"<tr>{inner}</tr>"

    return ["<table>", line(headings, "th"), *(line(row, "td") for row in rows), "</table>"]
