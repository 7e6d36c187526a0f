"""`isthmus-bench twins`: play all scenarios of a size, a shard of them, or random ones; or one from a file.

Stops at the first scenario that breaks a promise, writes it down and says how to play it again. Exit code 0:
nothing was broken; 1: something was; 2: the command itself makes no sense.
"""

import json
import multiprocessing
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bench.processes import machine
from bench.sim.sweep import begin_work
from bench.sim.twins.checkpoint import Checkpoint, CheckpointError, merge
from bench.sim.twins.executor import TAIL_ROUNDS, play
from bench.sim.twins.generate import Space, SpaceError
from bench.sim.twins.scenario import NODES_MAX, ROUNDS_MAX, ScenarioError, decode_scenarios, encode_scenarios
from bench.sim.twins.sweep import FAULTS, Failure, Outcome, Sweep, enumeration_of, explain, play_range

RANDOM_MAX = 10**12
JOBS_MAX = 256
SAVE_EVERY_S = 1
_FILE = click.Path(dir_okay=False, path_type=Path)


class _Range(click.ParamType[tuple[int, int]]):
    """`A..B`, both included."""

    name = "A..B"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        found = re.fullmatch(r"(\d{1,15})\.\.(\d{1,15})", str(value))
        if found is None or int(found[1]) > int(found[2]):
            self.fail(f"{value!a:.40} must be two numbers as in 0..999, the lower first", param, ctx)
        return int(found[1]), int(found[2]) + 1


@click.command("twins")
@click.option("--nodes", type=click.IntRange(1, NODES_MAX), default=4, show_default=True)
@click.option("--twins", type=click.IntRange(0, NODES_MAX), default=1, show_default=True)
@click.option("--partitions", type=click.IntRange(1, 4), default=2, show_default=True, help="Blocks at most.")
@click.option("--rounds", type=click.IntRange(1, ROUNDS_MAX), default=4, show_default=True)
@click.option("--per-phase", is_flag=True, help="Split proposals, votes and timeouts separately.")
@click.option("--firewalls", is_flag=True, help="Mute an instance in a round.")
@click.option("--restarts", is_flag=True, help="Crash a correct instance at one of its writes.")
@click.option("--all-names", is_flag=True, help="Also play scenarios that differ in names only.")
@click.option("--shard", type=_Range(), help="Only these numbers.")
@click.option("--random", "count", type=click.IntRange(1, RANDOM_MAX), help="Play so many random ones.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of --random.")
@click.option("--jobs", type=click.IntRange(1, JOBS_MAX), default=1, show_default=True)
@click.option("--resume", type=_FILE, help="Keep a checkpoint in this file, and go on from it.")
@click.option("--merge", "shards", type=_FILE, multiple=True, help="Add up checkpoints; plays nothing.")
@click.option("--replay", type=_FILE, help="Play the scenarios of this file, line by line.")
@click.option("--save", type=_FILE, default=Path("twins-failure.json"), show_default=True)
@click.option("--real-signatures", is_flag=True, help="Ed25519 in place of a keyed hash.")
@click.option("--json", "as_json", is_flag=True)
def command(
    nodes: int,
    twins: int,
    partitions: int,
    rounds: int,
    per_phase: bool,
    firewalls: bool,
    restarts: bool,
    all_names: bool,
    shard: tuple[int, int] | None,
    count: int | None,
    seed: int,
    jobs: int,
    resume: Path | None,
    shards: tuple[Path, ...],
    replay: Path | None,
    save: Path,
    real_signatures: bool,
    as_json: bool,
) -> None:
    """Shipped replicas, some of them twice with one key, through every partition and every leader."""
    if replay is not None:
        sys.exit(_replay(replay, as_json))
    try:
        if shards:
            _report(merge([Checkpoint.load(path) for path in shards]), None, 0, as_json)
            return
        space = Space(nodes, twins, partitions, rounds, per_phase, firewalls, restarts)
        sweep = Sweep(space, not all_names, None if count is None else seed, real_signatures)
        total = len(enumeration_of(space, sweep.symmetric)) if count is None else count
    except (SpaceError, CheckpointError) as error:
        raise click.UsageError(str(error)) from error
    first, last = (0, total) if shard is None else shard
    if last > total:
        raise click.UsageError(f"the last scenario has the number {total - 1}")
    checkpoint = Checkpoint(sweep, first, last)
    if resume is not None and resume.exists():
        checkpoint = _resumed(resume, checkpoint)
    started = time.monotonic()
    failure = _sweep(checkpoint, jobs, resume, quiet=as_json)
    if failure is not None:
        save.write_text(encode_scenarios([failure.scenario]), encoding="utf-8")
    _report(checkpoint, failure, round(1000 * (time.monotonic() - started)), as_json, save)
    sys.exit(0 if failure is None else 1)


def _resumed(path: Path, wanted: Checkpoint) -> Checkpoint:
    try:
        found = Checkpoint.load(path)
    except CheckpointError as error:
        raise click.UsageError(str(error)) from error
    if (found.sweep, found.first, found.last) != (wanted.sweep, wanted.first, wanted.last):
        raise click.UsageError(f"{path} is of another sweep or shard; give the same options, or another file")
    return found


# --- sweeping ---------------------------------------------------------------------------------------


def _sweep(checkpoint: Checkpoint, jobs: int, path: Path | None, *, quiet: bool) -> Failure | None:
    """Play what is left; the first failure that comes in."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    before, began = checkpoint.played, time.monotonic()
    saved = began
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        size = checkpoint.last - checkpoint.first
        task = progress.add_task("twins", total=size, completed=before, rate="")
        for outcome in _outcomes(checkpoint, jobs):
            if outcome.failure is not None:
                break
            checkpoint.record(outcome)
            now = time.monotonic()
            rate = (checkpoint.played - before) / max(now - began, 0.001)
            progress.update(task, completed=checkpoint.played, rate=f"{rate:,.0f}/s")
            if path is not None and now - saved > SAVE_EVERY_S:
                checkpoint.save(path)
                saved = now
        else:
            outcome = None
    if path is not None:
        checkpoint.save(path)
    return None if outcome is None else outcome.failure


def _outcomes(checkpoint: Checkpoint, jobs: int) -> Iterator[Outcome]:
    """Chunk by chunk, in no particular order with several jobs."""
    sweep, chunks = checkpoint.sweep, list(checkpoint.open_chunks())
    if jobs == 1:
        for low, high in chunks:
            yield play_range(sweep, low, high)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=begin_work) as pool:
        waiting: set[Future[Outcome]] = set()
        try:
            while chunks or waiting:
                while chunks and len(waiting) < 2 * jobs:
                    waiting.add(pool.submit(play_range, sweep, *chunks.pop(0)))
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


# --- telling ----------------------------------------------------------------------------------------


def _report(
    checkpoint: Checkpoint, failure: Failure | None, real_ms: int, as_json: bool, save: Path | None = None
) -> None:
    tally = checkpoint.tally
    rate = round(1000 * tally.scenarios / real_ms) if real_ms else None
    again = None if failure is None or save is None else f"isthmus-bench twins --replay {save}"
    if as_json:
        document = json.loads(checkpoint.encode()) | {
            "complete": checkpoint.is_complete,
            "real_ms": real_ms,
            "failure": None if failure is None else {"number": failure.number, "text": failure.text},
            "replay": again,
            "machine": machine(),
        }
        click.echo(json.dumps(document))
        return
    table = Table(title=f"twins {checkpoint.first}..{checkpoint.last - 1}: {checkpoint.sweep.space}")
    table.add_column("what")
    table.add_column("count", justify="right")
    for name, value in asdict(tally).items():
        table.add_row(name.replace("_", " "), f"{value:,}")
    table.add_row("tail rounds allowed", str(TAIL_ROUNDS))
    if rate is not None:
        table.add_row("scenarios a second of this run", f"{rate:,}")
    console = Console()
    console.print(table)
    if failure is not None:
        console.print(f"[bold red]scenario {failure.number}[/]: {failure.text}", highlight=False)
        console.print(f"play it again: {again}", highlight=False)


def _replay(path: Path, as_json: bool) -> int:
    try:
        scenarios = decode_scenarios(path.read_text(encoding="utf-8"))
    except (ScenarioError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path}: {error}") from error
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from error
    broken = 0
    for number, scenario in enumerate(scenarios):
        trace: list[str] = []
        fault: str | None = None
        try:
            play(scenario, trace=trace)
        except FAULTS as error:
            fault, broken = explain(error), broken + 1
        if as_json:
            click.echo(json.dumps({"scenario": number, "failure": fault, "trace": trace}))
        else:
            click.echo("\n".join(trace))
            click.echo(f"scenario {number}: {fault or 'every promise was kept'}")
    return 1 if broken else 0
