"""`isthmus-bench profile`: starts a cluster, loads it, samples its daemons, says what a transaction costs."""

import json
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import click
import trio
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import TaskID
from rich.table import Table

from bench.cluster.scenarios import MODE_MARKS, Mode
from bench.finiterange import FiniteRange
from bench.local import Running, running_cluster
from bench.machine import describe_machine, noise_around, probe_noise
from bench.profiling.costs import SAMPLES_ENOUGH, ProcessProfile, Profile, phases_by_cost
from bench.profiling.scenarios import SCENARIOS, LoadFailed, Progress, Scenario
from bench.profiling.spy import Spy, SpyError
from bench.profiling.stacks import Recording
from bench.profiling.threads import cpu_of_threads
from bench.recordoption import record_option
from bench.results import append, record_now
from node.client import ClientError

NODES_DEFAULT = 4
RATE_DEFAULT = 100
_WARMUP_SECONDS = 2.0
_TOP = 15
_PAPER_COLUMNS = 140
"""Of the tables where standard output is no terminal."""
_TICKS_PER_SECOND = 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for; `node` None means all of them, `svg` None no flame graph."""

    scenario: Scenario
    nodes: int
    seconds: float
    rate_hz: int
    node: int | None
    svg: Path | None

    @property
    def label(self) -> str:
        """Only runs of one label can be compared."""
        told = [f"nodes={self.nodes}"] if self.nodes != NODES_DEFAULT else []
        told += [] if self.node is None else [f"node={self.node}"]
        told += [f"rate={self.rate_hz}"] if self.rate_hz != RATE_DEFAULT else []  # to be sampled costs CPU
        return " ".join((self.scenario.name, *told))

    @property
    def profiled(self) -> Sequence[int]:
        """The numbers of the daemons to sample."""
        return range(self.nodes) if self.node is None else (self.node,)


@click.command("profile")
@click.argument("scenario")
@click.option("--nodes", default=NODES_DEFAULT, show_default=True, type=click.IntRange(1, 32))
@click.option("--seconds", default=10.0, show_default=True, type=FiniteRange(1, 3600))
@click.option("--node", type=click.IntRange(0, 31), help="Sample only this one; by default all.")
@click.option(
    "--rate",
    "rate_hz",
    default=RATE_DEFAULT,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Samples a second of each daemon.",
)
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also a flame graph of the node (0 by default), of as many seconds more.",
)
@click.option("--json", "as_json", is_flag=True)
@record_option
def command(
    scenario: str,
    nodes: int,
    seconds: float,
    node: int | None,
    rate_hz: int,
    svg: Path | None,
    as_json: bool,
    record: Path | None,
) -> None:
    """CPU of the daemons by phase under a load: idle, lone, bulk or opaque.

    Needs py-spy (extra "profile").
    """
    if node is not None and node >= nodes:
        raise click.UsageError(f"--node {node}: the nodes of this cluster are 0 to {nodes - 1}.")
    if svg is not None and not svg.absolute().parent.is_dir():
        raise click.UsageError(f"--svg {svg}: there is no folder {svg.parent}.")
    wanted = Wanted(_scenario(scenario), nodes, seconds, rate_hz, node, svg)
    failures: list[BaseException] = []
    try:
        spy = Spy.find(rate_hz)
        machine, noise = describe_machine(), probe_noise()
        profile = trio.run(_run, wanted, spy)
    except* (SpyError, LoadFailed, ClientError) as errors:
        failures.append(_first(errors))
    if failures:
        raise click.ClickException(str(failures[0])) from failures[0]
    noise = noise_around(noise)
    figures = profile.to_json(_TOP) | {"rate_hz": rate_hz, "mode": wanted.scenario.mode.value}
    if record is not None:
        append(record_now("profile", wanted.label, machine, noise, figures), record)
    if as_json:
        told = {"machine": machine.to_json(), "noise": noise.to_json()}
        click.echo(json.dumps(figures | told | {"svg": None if svg is None else svg.name}))
        return
    click.echo(str(machine))
    if noise.is_noisy:
        click.secho(f"This machine is noisy now: {noise}.", fg="yellow")
    _print(profile, wanted.scenario.mode)
    if svg is not None:
        click.echo(f"Flame graph: {svg}")


def _scenario(name: str) -> Scenario:
    if name not in SCENARIOS:
        close = get_close_matches(name, list(SCENARIOS), n=1, cutoff=0.0)
        raise click.UsageError(
            f"There is no scenario {name!r}: choose {', '.join(SCENARIOS)} (the nearest is {close[0]})."
        )
    return SCENARIOS[name]


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _run(wanted: Wanted, spy: Spy) -> Profile:
    with tempfile.TemporaryDirectory(prefix="isthmus-profile-") as folder:
        async with running_cluster(wanted.nodes, Path(folder) / "net", wanted.scenario.params) as cluster:
            progress = Progress()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wanted.scenario.drive, cluster, progress)
                async with _bar(wanted):
                    await trio.sleep(_WARMUP_SECONDS)
                    profile = await _sample(wanted, spy, cluster, progress, Path(folder))
                    if wanted.svg is not None:
                        pid = _pid(cluster, wanted.node or 0)
                        await spy.flame_graph(pid, wanted.seconds, wanted.svg)
                nursery.cancel_scope.cancel()
    return profile


async def _sample(wanted: Wanted, spy: Spy, cluster: Running, progress: Progress, folder: Path) -> Profile:
    outputs = {number: folder / f"node{number}.raw" for number in wanted.profiled}
    pids = {number: _pid(cluster, number) for number in wanted.profiled}
    threads = {number: cpu_of_threads(pid) for number, pid in pids.items()}
    usages, certified, started = cluster.usages(), progress.certified, trio.current_time()
    async with trio.open_nursery() as nursery:
        for number, output in outputs.items():
            nursery.start_soon(spy.raw, pids[number], wanted.seconds, output)
    seconds = trio.current_time() - started
    done, after = progress.certified - certified, cluster.usages()
    processes = []
    for number, output in outputs.items():
        recording = Recording.parse(await trio.Path(output).read_bytes())
        spent = after[number].cpu_seconds - usages[number].cpu_seconds
        own = {
            thread: seconds - threads[number].get(thread, 0.0)
            for thread, seconds in cpu_of_threads(pids[number]).items()
        }
        name = cluster.testnet.nodes[number].name
        processes.append(ProcessProfile.of(name, spent, own, recording))
    return Profile(wanted.scenario.name, wanted.nodes, seconds, done, tuple(processes))


def _pid(cluster: Running, number: int) -> int:
    return cluster.supervisor.process(cluster.testnet.nodes[number].name).pid


@asynccontextmanager
async def _bar(wanted: Wanted) -> AsyncIterator[None]:
    """A bar on standard error, for people, over the time this is going to take."""
    console = Console(stderr=True)
    parts = 1 if wanted.svg is None else 2
    total = _WARMUP_SECONDS + parts * wanted.seconds
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"profiling {wanted.scenario.name}", total=total)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_advance, bar, task)
            yield
            nursery.cancel_scope.cancel()


async def _advance(bar: Bar, task: TaskID) -> None:
    while True:
        await trio.sleep(1 / _TICKS_PER_SECOND)
        bar.advance(task, 1 / _TICKS_PER_SECOND)


def _print(profile: Profile, mode: Mode) -> None:
    console = Console()
    paper = console if console.is_terminal else Console(width=_PAPER_COLUMNS)
    cluster = "cluster" if len(profile.processes) == profile.nodes else "together"
    table = Table("phase", box=None)
    for heading in ("share", *(process.name for process in profile.processes), cluster):
        table.add_column(heading, justify="right")
    total = profile.total_us
    for phase in phases_by_cost(profile):
        cost = profile.cost_us(phase)
        if cost:
            own = (f"{process.cost_us(phase, profile.per):,.1f}" for process in profile.processes)
            table.add_row(phase, f"{cost / total:.1%}", *own, f"{cost:,.1f}")
    own = (f"{process.total_us(profile.per):,.1f}" for process in profile.processes)
    table.add_row("all", "", *own, f"{total:,.1f}", style="bold")
    rate = (
        f", {profile.transactions / profile.seconds:,.0f} certified a second" if profile.transactions else ""
    )
    click.echo(
        f"Scenario {profile.scenario} ({MODE_MARKS[mode]}): CPU microseconds a {profile.unit}, "
        f"{profile.nodes} nodes, {profile.seconds:.1f} s{rate}, {profile.samples} samples; "
        "being sampled is part of it."
    )
    paper.print(table, soft_wrap=True)
    if profile.is_thin:
        click.secho(f"Fewer than {SAMPLES_ENOUGH} samples: rough; give it more --seconds.", fg="yellow")
    functions = Table("function (without what it calls)", box=None)
    functions.add_column("share", justify="right")
    functions.add_column(f"us a {profile.unit}", justify="right")
    for function in profile.top(_TOP):
        functions.add_row(function.name, f"{function.share:.1%}", f"{function.cost_us:,.1f}")
    paper.print(functions, soft_wrap=True)
