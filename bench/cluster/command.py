"""`isthmus-bench cluster`: options become a scenario and a place; figures become tables, JSON and history.

Exit code 0 when everything that was asked for was carried, 1 when it was not or there are no figures, 2 for
arguments that cannot be, 130 when it was interrupted. No process outlives the command.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio

from bench.cluster.children import ChildFailed
from bench.cluster.ground import GroundError
from bench.cluster.knee import Knee
from bench.cluster.options import OPTIONS, described, refuse_contradictions, scenario_of
from bench.cluster.outcome import Outcome
from bench.cluster.scenarios import Scenario
from bench.cluster.screen import Screen, show_one, show_rates
from bench.cluster.session import Place, Search, Session, open_session
from bench.cluster.wiring import open_wiring, told
from bench.machine import Machine, Noise, describe_machine, probe_noise
from bench.namespaces import NamespaceError
from bench.results import Record, append, record_now
from node.cli.failures import root_of
from node.client import ClientError
from node.home import HomeError, KeyFileError
from node.local.interruption import INTERRUPTED, until_interrupted
from node.local.testnet import TestnetError


@dataclass(frozen=True, slots=True)
class _Task:
    """What to measure: `rates` or `search`, or neither: the scenario once."""

    scenario: Scenario
    place: Place
    per_request: int | None
    rates: tuple[int, ...]
    search: Search | None


@dataclass(frozen=True, slots=True)
class _Done:
    outcomes: tuple[Outcome, ...]
    knee: Knee | None


def _with_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(OPTIONS):
        function = option(function)
    return function


@click.command("cluster", epilog=described())
@_with_options
def command(**options: Any) -> None:
    """Throughput and latency of real daemons under honest, signed or opaque load, with what it costs.

    Without --rate the cluster sets the rate: a bounded number of transactions is always under way. Latency
    counts from the time at which a transaction should have been sent to its certified receipt.
    """
    keep: Path | None = options["keep"]
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise click.BadParameter(f"{keep} is not empty; name a new folder", param_hint="--keep")
    refuse_contradictions(options)
    scenario = scenario_of(options)
    directory = keep or Path(tempfile.mkdtemp(prefix="isthmus-cluster-"))
    directory.mkdir(parents=True, exist_ok=True)
    search = Search(options["rate"] or 100, options["p99_ms"]) if options["knee"] else None
    place = Place(directory, options["attach"], options["keys"])
    task = _Task(scenario, place, options["per_request"], options["rates"], search)
    try:
        code = _carry_out(task, as_json=options["as_json"], record=options["record"])
    finally:
        if keep is None:
            shutil.rmtree(directory, ignore_errors=True)
    sys.exit(code)


def _carry_out(task: _Task, *, as_json: bool, record: Path | None) -> int:
    """Measure and show; the exit code."""
    machine, noise = describe_machine(), probe_noise()
    done, problem = None, ""
    with Screen() as screen:

        async def measure(place: Place, scenario: Scenario) -> _Done:
            async with open_session(place, scenario, screen, machine, noise) as session:
                session.per_request = task.per_request
                return await _measure(session, task)

        try:
            done = _in_its_links(task, screen, measure)
            problem = "interrupted; there are no figures" if done is None else ""
        except* (
            ChildFailed,
            ClientError,
            GroundError,
            HomeError,
            KeyFileError,
            NamespaceError,
            TestnetError,
            OSError,
        ) as group:
            problem = f"there are no figures: {root_of(group)}"
    if done is None:
        if as_json:
            click.echo(json.dumps({"success": False, "problems": [problem]}))
        else:
            click.echo(f"Error: {problem}", err=True)
        return INTERRUPTED if problem.startswith("interrupted") else 1
    figures = _figures(task, done)
    if record is not None:
        append(_record(machine, noise, figures), record)
    if as_json:
        click.echo(json.dumps(figures))
    else:
        _show(task, done)
    return 0 if figures["success"] else 1


def _in_its_links(
    task: _Task, screen: Screen, measure: Callable[[Place, Scenario], Awaitable[_Done]]
) -> _Done | None:
    """Run it where a fault in a link can be done; None when it was interrupted."""
    if not task.scenario.fault.is_in_a_link:
        return trio.run(until_interrupted, partial(measure, task.place, task.scenario))
    with open_wiring(task.scenario) as (links, wiring):
        screen.say(f"The lossy link: through {links.means.value} ({links.why}).")
        scenario = told(task.scenario, links)
        return trio.run(until_interrupted, partial(measure, replace(task.place, wiring=wiring), scenario))


def _record(machine: Machine, noise: Noise, figures: dict[str, Any]) -> Record:
    """A line of the history: what the record says itself is not said twice, one trial below another."""
    apart = ("machine", "noise", "trials")
    rest = {name: value for name, value in figures.items() if name not in apart}
    trials = [
        {name: value for name, value in trial.items() if name not in apart}
        for trial in figures.get("trials", [])
    ]
    return record_now("cluster", figures["scenario"], machine, noise, rest | {"trials": trials})


async def _measure(session: Session, task: _Task) -> _Done:
    if task.search is not None:
        knee = await session.find_knee(task.search)
        return _Done(tuple(session.outcomes), knee)
    if task.rates:
        await session.measure_rates(task.rates)
    else:
        await session.measure(session.scenario)
    return _Done(tuple(session.outcomes), None)


def _figures(task: _Task, done: _Done) -> dict[str, Any]:
    """The object for scripts: of the one trial; of several, the one that counts, with all of them in
    `trials`. A row of rates counts as a success when every one was carried, a search when one was."""
    if task.search is None and not task.rates:
        return done.outcomes[0].to_json()
    trials = [outcome.to_json() for outcome in done.outcomes]
    if done.knee is None or task.search is None:
        problems = [sentence for trial in trials for sentence in trial["problems"]]
        best = max(trials, key=lambda trial: (trial["success"], trial["throughput_tps"]))
        name = " ".join(("rates-" + "-".join(str(rate) for rate in task.rates), *task.scenario.changed))
        return best | {"scenario": name, "success": not problems, "problems": problems, "trials": trials}
    knee = done.knee
    rates = [rate for rate, _ in knee.tried]
    best = trials[rates.index(knee.rate)] if knee.rate is not None else trials[-1]
    problems = [] if knee.rate is not None else ["No rate was carried.", *best["problems"]]
    found = {
        "rate": knee.rate,
        "refused": knee.refused,
        "p99_ms_bound": task.search.p99_ms,
        "tried": knee.tried,
    }
    name = " ".join(("knee", *task.scenario.changed))
    return best | {
        "scenario": name,
        "success": not problems,
        "problems": problems,
        "knee": found,
        "trials": trials,
    }


def _show(task: _Task, done: _Done) -> None:
    if task.search is None and not task.rates:
        show_one(done.outcomes[0])
        return
    rates = task.rates if done.knee is None else tuple(rate for rate, _ in done.knee.tried)
    show_rates(done.outcomes, rates)
    if done.knee is not None and task.search is not None:
        bound = f"p99 under {task.search.p99_ms:g} ms"
        if done.knee.rate is None:
            click.echo(f"No rate down to {done.knee.refused} tx/s was carried with {bound}.")
        else:
            above = f"{done.knee.refused:,} was not" if done.knee.refused else "the highest that is tried"
            click.echo(f"Knee: {done.knee.rate:,} tx/s with {bound}; {above}.")
