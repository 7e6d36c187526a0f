"""`isthmus-bench cluster`: options become a scenario and a place; figures become tables, JSON and history.

Exit code 0 when everything that was asked for was carried, 1 when it was not or there are no figures, 2 for
arguments that cannot be, 130 when it was interrupted. No process outlives the command.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio

from bench.cluster.options import OPTIONS, described, refuse_contradictions, scenario_of
from bench.cluster.scenarios import SCENARIOS, Scenario
from bench.cluster.screen import INTERRUPTED_WORDS, Screen, show_one, show_rates, tell_failure
from bench.cluster.session import MEASURING_FAILURES, Place, Session, open_session
from bench.cluster.task import Done, Task, figures_of, task_of
from bench.cluster.wiring import open_wiring, told
from bench.machine import Machine, Noise, describe_machine, noise_around, probe_noise
from bench.results import Record, append, record_now
from node.cli.failures import root_of
from node.local.interruption import until_interrupted


def _with_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(OPTIONS):
        function = option(function)
    return function


@click.command("cluster", epilog=described(SCENARIOS))
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
    task = task_of(options, scenario, directory)
    try:
        code = _carry_out(task, as_json=options["as_json"], record=options["record"])
    finally:
        if keep is None:
            shutil.rmtree(directory, ignore_errors=True)
    sys.exit(code)


def _carry_out(task: Task, *, as_json: bool, record: Path | None) -> int:
    """Measure and show; the exit code."""
    machine, noise = describe_machine(), probe_noise()
    done, problem = None, INTERRUPTED_WORDS
    with Screen() as screen:

        async def measure(place: Place, scenario: Scenario) -> Done:
            async with open_session(place, scenario, screen, machine, noise) as session:
                session.per_request = task.per_request
                return await _measure(session, task)

        try:
            done = _in_its_links(task, screen, measure)
        except* MEASURING_FAILURES as group:
            problem = f"there are no figures: {root_of(group)}"
    if done is None:
        return tell_failure(problem, as_json=as_json)
    noise = noise_around(noise)
    done = done.on(noise)
    figures = figures_of(task, done)
    if record is not None:
        append(_record(machine, noise, figures), record)
    if as_json:
        click.echo(json.dumps(figures))
    else:
        _show(task, done)
    return 0 if figures["success"] else 1


def _in_its_links(
    task: Task, screen: Screen, measure: Callable[[Place, Scenario], Awaitable[Done]]
) -> Done | None:
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


async def _measure(session: Session, task: Task) -> Done:
    if task.search is not None:
        knee = await session.find_knee(task.search)
        return Done(tuple(session.outcomes), knee)
    if task.rates:
        await session.measure_rates(task.rates)
    else:
        await session.measure(session.scenario)
    return Done(tuple(session.outcomes), None)


def _show(task: Task, done: Done) -> None:
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
