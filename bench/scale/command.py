"""`isthmus-bench scale`: which sizes to measure, tables for people, JSON and history for scripts."""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from cProfile import Profile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import trio
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from bench.cluster.children import ChildFailed
from bench.cluster.ground import GroundError
from bench.cluster.screen import Screen
from bench.finiterange import FiniteRange
from bench.machine import NOISE_RULE, Machine, Noise, describe_machine, noise_around, probe_noise
from bench.recordoption import record_option
from bench.results import append, record_now
from bench.scale.alone import NotRepeated
from bench.scale.arithmetic import quorum_of
from bench.scale.daemons import NoRounds, measure_daemons
from bench.scale.findings import Finding, RealFinding
from bench.scale.profiled import Shares, shares_of
from bench.scale.simulated import NETWORK_WORDS, WARMUP_ROUNDS, Stalled, simulate
from bench.sim.violation import Violation
from bench.yardstick import SignatureCost, measure_signatures
from node.cli.failures import root_of
from node.client import ClientError
from node.local.interruption import INTERRUPTED, until_interrupted
from node.local.testnet import NODES_MAX as PROCESSES_MAX
from node.local.testnet import TestnetError

NODES_DEFAULT = "4,7,16,31,64,100"
PROCESSES_DEFAULT = "4,7,10,16"
ROUNDS_DEFAULT, SECONDS_DEFAULT = 20, 5.0
_NODES_MAX = 100
_SIZES_MAX = 12
_NONE = "none"
_TOP = 15
_PAPER_COLUMNS = 150


def _sizes(most: int) -> Callable[[click.Context, click.Parameter, str], tuple[int, ...]]:
    """Reads cluster sizes with commas between them, or `none`."""

    def read(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[int, ...]:
        words = [] if text == _NONE else text.split(",")
        if not all(word.strip().isdecimal() and 1 <= int(word) <= most for word in words):
            raise click.BadParameter(f"{text!r} must be numbers from 1 to {most} with commas, or {_NONE}")
        if len(words) > _SIZES_MAX:
            raise click.BadParameter(f"at most {_SIZES_MAX} sizes, not {len(words)}")
        return tuple(int(word) for word in words)

    return read


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for."""

    nodes: tuple[int, ...]
    rounds: int
    processes: tuple[int, ...]
    seconds: float
    profiled: int | None

    @property
    def label(self) -> str:
        """Only runs of one label can be compared: what differs from the command without options."""
        told = [
            f"{name}={','.join(map(str, sizes)) or _NONE}"
            for name, sizes, usual in (
                ("nodes", self.nodes, NODES_DEFAULT),
                ("processes", self.processes, PROCESSES_DEFAULT),
            )
            if ",".join(map(str, sizes)) != usual
        ]
        told += [f"rounds={self.rounds}"] if self.nodes and self.rounds != ROUNDS_DEFAULT else []
        told += [f"seconds={self.seconds:g}"] if self.processes and self.seconds != SECONDS_DEFAULT else []
        return " ".join(("scale", *told))


@click.command("scale")
@click.option(
    "--nodes",
    callback=_sizes(_NODES_MAX),
    metavar="N,N,...",
    default=NODES_DEFAULT,
    show_default=True,
    help="Simulated.",
)
@click.option(
    "--rounds",
    type=click.IntRange(2, 10_000),
    default=ROUNDS_DEFAULT,
    show_default=True,
    help=f"Simulated, after a warm-up of {WARMUP_ROUNDS}.",
)
@click.option(
    "--processes",
    callback=_sizes(PROCESSES_MAX),
    metavar="N,N,...",
    default=PROCESSES_DEFAULT,
    show_default=True,
    help="Real daemons.",
)
@click.option(
    "--seconds",
    type=FiniteRange(1, 400),
    default=SECONDS_DEFAULT,
    show_default=True,
    help="Of each cluster of daemons.",
)
@click.option(
    "--profile",
    "profiled",
    metavar="N",
    type=click.IntRange(1, _NODES_MAX),
    help="Also say where the steps of N replicas spend their time.",
)
@click.option("--json", "as_json", is_flag=True, help="One object instead of tables.")
@record_option
def command(
    nodes: tuple[int, ...],
    rounds: int,
    processes: tuple[int, ...],
    seconds: float,
    profiled: int | None,
    as_json: bool,
    record: Path | None,
) -> None:
    """What a round costs a replica in clusters of growing size, against the arithmetic.

    Simulated: shipped validators with real Ed25519 in virtual time, CPU measured around each step, once with
    empty rounds and once with a transaction a round. Real: daemons with empty rounds. `none` leaves one out.
    """
    if not nodes and not processes and profiled is None:
        raise click.UsageError("--nodes none with --processes none leaves nothing to measure.")
    wanted = Wanted(nodes, rounds, processes, seconds, profiled)
    machine, noise, cost = describe_machine(), probe_noise(), measure_signatures()
    try:
        with _progress(wanted) as advance:
            findings = [_find(n, payload, rounds, advance) for n in nodes for payload in (False, True)]
            shares = _profile(profiled, rounds, advance)
    except (Stalled, NotRepeated, Violation) as error:
        raise click.ClickException(f"The simulated cluster broke: {error}") from error
    real = _measure_processes(wanted, machine, noise)
    noise = noise_around(noise)
    figures = _figures(wanted, cost, findings, real, shares)
    if record is not None:
        append(record_now("scale", wanted.label, machine, noise, figures), record)
    if as_json:
        click.echo(json.dumps({"machine": machine.to_json(), "noise": noise.to_json()} | figures))
    else:
        _show(machine, noise, cost, findings, real, shares)
    sys.exit(1 if any(each.real.problems for each in real) else 0)


def _find(nodes: int, with_payload: bool, rounds: int, advance: "_Advance") -> Finding:
    """With what a signature costs at that moment: before and after, since machines change their pace."""
    before = measure_signatures()
    found = simulate(nodes, rounds, with_payload=with_payload, on_round=advance)
    return Finding(found, with_payload, _between(before, measure_signatures()))


def _between(before: SignatureCost, after: SignatureCost) -> SignatureCost:
    return SignatureCost((before.verify_us + after.verify_us) / 2, (before.sign_us + after.sign_us) / 2)


def _profile(nodes: int | None, rounds: int, advance: "_Advance") -> Shares | None:
    if nodes is None:
        return None
    profiler = Profile(time.process_time)  # by the wall, a busy machine would be profiled
    simulate(nodes, rounds, with_payload=True, profiler=profiler, on_round=advance)
    return shares_of(profiler, _TOP)


def _measure_processes(wanted: Wanted, machine: Machine, noise: Noise) -> list[RealFinding]:
    found: list[RealFinding] = []
    measured, problem = None, ""
    for nodes in wanted.processes:
        before = measure_signatures()
        try:
            with tempfile.TemporaryDirectory(prefix="isthmus-scale-") as folder, Screen() as screen:
                screen.say(f"{nodes} daemons")
                arguments = (nodes, wanted.seconds, Path(folder), screen, machine, noise)
                measured = trio.run(until_interrupted, partial(measure_daemons, *arguments))
        except* (NoRounds, ChildFailed, GroundError, ClientError, TestnetError, OSError) as group:
            problem = f"{nodes} daemons: {root_of(group)}"
        if problem:
            raise click.ClickException(problem)
        if measured is None:
            click.echo("Error: interrupted; there are no figures", err=True)
            sys.exit(INTERRUPTED)
        found.append(RealFinding(measured, _between(before, measure_signatures()), machine.cores))
    return found


def _figures(
    wanted: Wanted,
    cost: SignatureCost,
    findings: Sequence[Finding],
    real: Sequence[RealFinding],
    shares: Shares | None,
) -> dict[str, Any]:
    profile = shares and {
        "nodes": wanted.profiled,
        "phases": {share.name: share.share for share in shares.phases},
        "functions": {share.name: share.share for share in shares.functions},
    }
    return {
        "scenario": wanted.label,
        "mode": "honest",
        "network": NETWORK_WORDS,
        "verify_us": cost.verify_us,
        "sign_us": cost.sign_us,
        "simulated": [finding.to_json() for finding in findings],
        "processes": [each.to_json() for each in real],
        "profile": profile,
    }


def _show(
    machine: Machine,
    noise: Noise,
    cost: SignatureCost,
    findings: Sequence[Finding],
    real: Sequence[RealFinding],
    shares: Shares | None,
) -> None:
    console = Console(highlight=False)
    paper = console if console.is_terminal else Console(width=_PAPER_COLUMNS, highlight=False)
    click.echo(str(machine))
    if noise.is_noisy:
        click.secho(f"NOISY MACHINE: {noise}; {NOISE_RULE}.", fg="yellow")
    click.echo(f"One Ed25519 check takes {cost.verify_us:.1f} us here, one signature {cost.sign_us:.1f} us.")
    mark = " (NOISY MACHINE)" if noise.is_noisy else ""
    if findings:
        click.echo(f"Simulated, honest mode{mark}: {NETWORK_WORDS}. Amounts are a replica's in one round.")
        paper.print(_simulated_table(findings), soft_wrap=True)
        for finding in findings:
            title = f"n={finding.simulated.nodes}, {finding.load}"
            for sentence in finding.explanations():
                click.echo(f"{title}: {sentence}.")
    if real:
        click.echo(
            f"Real daemons on {machine.cores} cores, empty rounds{mark}; amounts as above, links with "
            "frames, CPU with all that a daemon does. Predicted: of signatures and messages alone."
        )
        paper.print(_real_table(real), soft_wrap=True)
    for each in real:
        for sentence in each.real.problems:
            click.secho(f"{each.real.nodes} daemons: {sentence}", fg="red", err=True)
    if shares is not None:
        click.echo("Where the time of steps goes, with payload, by a profiler that burdens small functions:")
        for share in (*shares.phases, *shares.functions):
            click.echo(f"  {share.share:6.1%}  {share.name}")


def _simulated_table(findings: Sequence[Finding]) -> Table:
    table = Table(box=None)
    for heading in (
        "n",
        "quorum",
        "load",
        "headers",
        "rounds/s",
        "CPU ms",
        "signatures ms",
        "predicted",
        "checks",
        "predicted",
        "messages",
        "predicted",
        "KiB",
        "predicted",
        "rounds/s a core",
    ):
        table.add_column(heading, justify="right")
    for finding in findings:
        found, predicted = finding.simulated, finding.predicted
        messages, size = finding.agreement
        table.add_row(
            str(found.nodes),
            str(quorum_of(found.nodes)),
            finding.load,
            f"{found.headers:.2f}",
            f"{found.rounds_per_second:.0f}",
            f"{found.cpu_us / 1000:.2f}",
            f"{found.crypto_us / 1000:.2f}",
            f"{predicted.crypto_us / 1000:.2f}",
            f"{finding.verifies:.1f}",
            f"{predicted.verifies:.1f}",
            f"{messages:.1f}",
            f"{predicted.messages:.1f}",
            f"{size / 1024:.1f}",
            f"{predicted.bytes / 1024:.1f}",
            f"{1_000_000 / found.cpu_us:.0f}",
        )
    return table


def _real_table(findings: Sequence[RealFinding]) -> Table:
    table = Table(box=None)
    headings = ("n", "seconds", "rounds", "rounds/s", "at most", "CPU ms", "signatures predicted", "KiB")
    for heading in (*headings, "predicted", "timeouts", ""):
        table.add_column(heading, justify="right")
    for finding in findings:
        each, predicted = finding.real, finding.predicted
        table.add_row(
            str(each.nodes),
            f"{each.seconds:.1f}",
            str(each.rounds),
            f"{each.rounds_per_second:.1f}",
            f"{finding.rounds_per_second_at_most:,.0f}",
            f"{each.cpu_us / 1000:.2f}",
            f"{predicted.crypto_us / 1000:.2f}",
            f"{each.bytes / 1024:.2f}",
            f"{predicted.bytes / 1024:.2f}",
            str(each.timeouts),
            "" if each.fsync else "NO FSYNC",
        )
    return table


class _Advance:
    """One more round, on a bar of all simulated rounds of the command."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task, self._last = bar, task, 0

    def __call__(self, number: int) -> None:
        """This round has begun; a lower one than before is of the next cluster."""
        self._bar.advance(self._task, number - self._last if number > self._last else number)
        self._last = number


@contextmanager
def _progress(wanted: Wanted) -> Iterator[_Advance]:
    """A bar on standard error, for people."""
    console = Console(stderr=True)
    runs = 2 * len(wanted.nodes) + (wanted.profiled is not None)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} rounds"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("simulating", total=runs * (wanted.rounds + WARMUP_ROUNDS))
        yield _Advance(bar, task)
