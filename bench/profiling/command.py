"""`isthmus-bench profile`: a scenario of `isthmus-bench cluster` once more, its daemons sampled meanwhile.

The trial is the same, on the same ground; what is added is where the CPU of its measured window went.
"""

import json
import sys
import tempfile
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import click
import trio
from rich.console import Console
from rich.table import Table

from bench.cluster.options import described, nodes_option, seconds_option, warmup_option
from bench.cluster.outcome import Outcome
from bench.cluster.scenarios import BY_NAME, SCENARIOS, Fault, Scenario, with_values
from bench.cluster.screen import (
    INTERRUPTED_WORDS,
    Screen,
    marks,
    show_conditions,
    show_problems,
    tell_failure,
)
from bench.cluster.session import MEASURING_FAILURES, Place, Session, open_session
from bench.machine import Noise, describe_machine, noise_around, probe_noise
from bench.profiling.costs import SAMPLES_ENOUGH, Profile, phases_by_cost
from bench.profiling.sampling import Sampler
from bench.profiling.spy import Spy, SpyError
from bench.recordoption import record_option
from bench.results import append, record_now
from node.cli.failures import root_of
from node.local.interruption import until_interrupted

HZ_DEFAULT = 100
UNHURT = {scenario.name: scenario for scenario in SCENARIOS if scenario.fault is Fault.NONE}
_FORMER = {"bulk": "saturate", "opaque": "opaque-saturate"}
"""What `profile` called its own loads until it took those of `cluster`, and what is like them."""
_FAILURES: tuple[type[Exception], ...] = (SpyError, *MEASURING_FAILURES)
_TOP = 15
_PAPER_COLUMNS = 140
"""Of the tables where standard output is no terminal."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for; `node` None means all of them, `svg` None no flame graph."""

    scenario: Scenario
    node: int | None
    svg: Path | None
    spy: Spy


@dataclass(frozen=True, slots=True)
class Done:
    """A trial, and where the CPU of its window went."""

    outcome: Outcome
    profile: Profile

    def on(self, noise: Noise) -> "Done":
        """The same, of a machine that was found to be so noisy meanwhile."""
        return replace(self, outcome=replace(self.outcome, noise=noise))

    def to_json(self) -> dict[str, object]:
        """All figures of the trial, and the profile's."""
        return self.outcome.to_json() | self.profile.to_json(_TOP)


@click.command("profile", epilog=described(UNHURT.values()))
@click.argument("scenario")
@nodes_option
@seconds_option
@warmup_option
@click.option("--node", type=click.IntRange(0), help="Sample only this one; by default all.")
@click.option(
    "--hz",
    default=HZ_DEFAULT,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Samples a second of each daemon.",
)
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also a flame graph of the node (0 by default), of a second trial.",
)
@click.option("--json", "as_json", is_flag=True, help="One object instead of tables.")
@record_option
def command(
    scenario: str,
    nodes: int | None,
    seconds: float | None,
    warmup: float | None,
    node: int | None,
    hz: int,
    svg: Path | None,
    as_json: bool,
    record: Path | None,
) -> None:
    """What a transaction costs all daemons, phase by phase, in a scenario of `cluster`.

    Their verification workers are counted with them. Scenarios with a fault have no profile. Needs py-spy
    (extra "profile").
    """
    values = {"nodes": nodes, "seconds": seconds, "warmup_seconds": warmup}
    chosen = with_values(_scenario(scenario), values)
    if node is not None and node >= chosen.nodes:
        raise click.UsageError(f"--node {node}: the nodes of this cluster are 0 to {chosen.nodes - 1}.")
    if svg is not None and not svg.absolute().parent.is_dir():
        raise click.UsageError(f"--svg {svg}: there is no folder {svg.parent}.")
    told = [] if node is None else [f"node={node}"]
    told += [] if hz == HZ_DEFAULT else [f"hz={hz}"]  # to be sampled costs CPU
    chosen = replace(chosen, changed=(*chosen.changed, *told))
    try:
        spy = Spy.find(hz)
    except SpyError as error:
        sys.exit(tell_failure(str(error), as_json=as_json))
    sys.exit(_carry_out(Wanted(chosen, node, svg, spy), as_json=as_json, record=record))


def _carry_out(wanted: Wanted, *, as_json: bool, record: Path | None) -> int:
    """Measure and show; the exit code."""
    machine, noise = describe_machine(), probe_noise()
    done, problem = None, INTERRUPTED_WORDS
    try:
        with Screen() as screen, tempfile.TemporaryDirectory(prefix="isthmus-profile-") as folder:

            async def measure() -> Done:
                place = Place(Path(folder))
                async with open_session(place, wanted.scenario, screen, machine, noise) as session:
                    return await _measure(session, wanted)

            done = trio.run(until_interrupted, measure)
    except* _FAILURES as group:
        problem = f"there are no figures: {root_of(group)}"
    if done is None:
        return tell_failure(problem, as_json=as_json)
    done = done.on(noise_around(noise))
    figures = done.to_json() | {"hz": wanted.spy.rate_hz}
    if record is not None:
        apart = ("machine", "noise")  # a record says them itself
        kept = {name: value for name, value in figures.items() if name not in apart}
        append(record_now("profile", wanted.scenario.label, machine, done.outcome.noise, kept), record)
    if as_json:
        click.echo(json.dumps(figures | {"svg": None if wanted.svg is None else wanted.svg.name}))
    else:
        _show(done)
        if wanted.svg is not None:
            click.echo(f"Flame graph: {wanted.svg}")
    return 1 if done.outcome.problems else 0


def _scenario(name: str) -> Scenario:
    """Raises UsageError with the names there are."""
    if name in UNHURT:
        return UNHURT[name]
    choice = f"choose {', '.join(UNHURT)}"
    if name in BY_NAME:
        raise click.UsageError(
            f"Scenario {name} is hurt in mid-run, so that no one cost is true of all of it: {choice}."
        )
    close = _FORMER.get(name) or get_close_matches(name, list(UNHURT), n=1, cutoff=0.0)[0]
    raise click.UsageError(f"There is no scenario {name!r}: {choice} (the nearest is {close}).")


async def _measure(session: Session, wanted: Wanted) -> Done:
    """The sampled trial, then that of the flame graph if there is to be one."""
    scenario, pids = session.scenario, session.ground.pids()
    names = tuple(session.ground.urls)
    sampled = names if wanted.node is None else (names[wanted.node],)
    sampler = Sampler(wanted.spy, {name: pids[name] for name in sampled}, scenario.seconds, session.directory)
    outcome = await session.measure(scenario, beside=sampler.sample)
    if wanted.svg is not None:
        pid = pids[names[wanted.node or 0]]
        graph = partial(wanted.spy.flame_graph, pid, scenario.seconds, wanted.svg)
        await session.measure(scenario, beside=graph)
    certified = sum(second.certified for second in outcome.trial.traffic.series)
    profile = Profile(scenario.label, scenario.nodes, scenario.seconds, certified, sampler.processes)
    return Done(outcome, profile)


def _show(done: Done) -> None:
    outcome, profile = done.outcome, done.profile
    console = Console(highlight=False)
    paper = console if console.is_terminal else Console(highlight=False, width=_PAPER_COLUMNS)
    show_conditions(paper, [outcome])
    scenario, traffic = outcome.scenario, outcome.trial.traffic
    title = f"{scenario.label}{marks(outcome)}: {scenario.shape.words()}"
    paper.print(title, soft_wrap=True, markup=False)
    if profile.transactions:
        paper.print(f"throughput {traffic.throughput_tps:,.1f} {scenario.promise.value} tx/s")
    paper.print(
        f"CPU microseconds a {profile.unit}, daemons with their verification workers, {profile.samples} "
        "samples; being sampled is part of the cost.",
        soft_wrap=True,
    )
    paper.print(_phases(profile), soft_wrap=True)
    if profile.is_thin:
        click.secho(f"Fewer than {SAMPLES_ENOUGH} samples: rough; give it more --seconds.", fg="yellow")
    functions = Table("function (without what it calls)", box=None)
    functions.add_column("share", justify="right")
    functions.add_column(f"us a {profile.unit}", justify="right")
    for function in profile.top(_TOP):
        functions.add_row(function.name, f"{function.share:.1%}", f"{function.cost_us:,.1f}")
    paper.print(functions, soft_wrap=True)
    show_problems([outcome])


def _phases(profile: Profile) -> Table:
    together = "cluster" if len(profile.processes) == profile.nodes else "together"
    table = Table("phase", box=None)
    for heading in ("share", *(process.name for process in profile.processes), together):
        table.add_column(heading, justify="right")
    total = profile.total_us
    for phase in phases_by_cost(profile):
        cost = profile.cost_us(phase)
        if cost:
            own = (f"{process.cost_us(phase, profile.per):,.1f}" for process in profile.processes)
            table.add_row(phase, f"{cost / total:.1%}", *own, f"{cost:,.1f}")
    own = (f"{process.total_us(profile.per):,.1f}" for process in profile.processes)
    table.add_row("all", "", *own, f"{total:,.1f}", style="bold")
    return table
