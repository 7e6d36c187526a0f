"""`isthmus-bench sim`: one world explained, many worlds swept, a failing one shrunk, shards merged.

Exit code 0: nothing was broken; 1: an invariant was; 2: the command itself makes no sense; 3: the machine
gave out (memory, disk), which says nothing about a seed; 130: interrupted.
"""

import contextlib
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path

import click

from bench.finiterange import FiniteRange
from bench.processes import machine
from bench.sim import report
from bench.sim.absence import absence_command
from bench.sim.drivers import DriverError, Drivers
from bench.sim.explain import Explainer
from bench.sim.federation.command import ONE_CLUSTER, play
from bench.sim.federation.scenario import CLUSTERS_MAX
from bench.sim.flood import flood_command
from bench.sim.minimise import RUNS_MAX, minimise
from bench.sim.notation import NotationError
from bench.sim.scale import scale_command
from bench.sim.scenario import NODES_MAX, SCHEMES, Options, Outcome, Scenario, generate, run
from bench.sim.schedule import KINDS
from bench.sim.sweep import MergeError, Result, Totals, merge, read_results, sweep
from bench.sim.timeline import Line
from bench.sim.world import World
from node.cli.group import CommandTable

SEEDS_MAX = 100_000_000
_GAVE_OUT, _INTERRUPTED = 3, 130
"""Exit codes that are no finding: whoever runs shards may run them again."""
MINUTES_MAX = 24 * 60
_MINUTES = FiniteRange(0, MINUTES_MAX, min_open=True)
_JOBS_MAX = 256


class _Seeds(click.ParamType[range]):
    """`N` for the first N, or `A..B`, both included."""

    name = "N|A..B"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> range:
        found = re.fullmatch(r"(?:(\d{1,12})\.\.)?(\d{1,12})", str(value))
        if found is None:
            self.fail(f"{value!a:.40} must be a number of seeds, or a range as in 100..199", param, ctx)
        first, last = found[1], int(found[2])
        seeds = range(last) if first is None else range(int(first), last + 1)
        if not 0 < len(seeds) <= SEEDS_MAX:
            self.fail(f"{value!a:.40} must be 1 to {SEEDS_MAX} seeds, the lower end first", param, ctx)
        return seeds


class _Faults(click.ParamType[tuple[str, ...]]):
    """Kinds of faults, separated by commas."""

    name = "all|none|KIND,..."

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if value in ("all", "none"):
            return KINDS if value == "all" else ()
        for kind in (wanted := [kind.strip() for kind in str(value).split(",")]):
            if kind not in KINDS:
                close = get_close_matches(kind, KINDS, 1)
                hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(KINDS)}"
                self.fail(f"{kind!a:.40} is no kind of fault; {hint}", param, ctx)
        return tuple(kind for kind in KINDS if kind in wanted)


_FILE = click.Path(dir_okay=False, path_type=Path)
_DRAWN = ("nodes", "minutes", "faults", "signatures", "rounds_per_second")
"""Options that draw a scenario, and say nothing about one that was saved."""


@contextlib.contextmanager
def _edge() -> Iterator[None]:
    """What is no finding gets no finding's exit code."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        raise  # whoever read has seen enough: click knows
    except OSError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(_GAVE_OUT)


@click.group("sim", cls=CommandTable, invoke_without_command=True)
@click.option("--seed", type=click.IntRange(min=0), help="Play this one and explain it.")
@click.option("--seeds", type=_Seeds(), help="Play many, up to the first that breaks something.")
@click.option("--scenario", type=_FILE, help="Play a saved one.")
@click.option("--federation", type=click.IntRange(2, CLUSTERS_MAX), help="Several clusters that federate.")
@click.option("--shipped", is_flag=True, help="Of --federation: with the validator's own ledger.")
@click.option("--nodes", type=click.IntRange(1, NODES_MAX), default=4, show_default=True)
@click.option("--minutes", type=_MINUTES, default=1.0, show_default=True, help="Virtual time with faults.")
@click.option("--faults", type=_Faults(), default="all", show_default=True, help=", ".join(KINDS))
@click.option("--signatures", type=click.Choice(SCHEMES), default=SCHEMES[0], show_default=True)
@click.option(
    "--rounds-per-second",
    type=click.IntRange(0, 1_000),
    default=50,
    show_default=True,
    help="Pace of an idle cluster; 0: it rests.",
)
@click.option("--trace", type=_FILE, help="Write everything that happens to this file, frame by frame.")
@click.option("--json", "as_json", is_flag=True)
@click.option(
    "--jobs", type=click.IntRange(1, _JOBS_MAX), help="Processes of a sweep.  [default: one a core]"
)
@click.option("--results", type=_FILE, help="Write a line of JSON for each seed of a sweep.")
@click.option("--keep-going", is_flag=True, help="Do not stop a sweep at the first failure.")
@click.option("--minimise", "shrink", is_flag=True, help="Shrink what fails to the least that fails.")
@click.option("--save", type=_FILE, help="Write the scenario here; with --minimise, the small one.")
@click.option(
    "--behaviour",
    "behaviours",
    multiple=True,
    metavar="MODULE:NAME@PLACE",
    help="A host that is Byzantine, as in tests.byzantine:mute@3.",
)
@click.option("--mutant", metavar="MODULE:NAME", help="A broken rule, in all hosts.")
@click.pass_context
@_edge()
def command(
    ctx: click.Context,
    seed: int | None,
    seeds: range | None,
    scenario: Path | None,
    federation: int | None,
    shipped: bool,
    nodes: int,
    minutes: float,
    faults: tuple[str, ...],
    signatures: str,
    rounds_per_second: int,
    trace: Path | None,
    as_json: bool,
    jobs: int | None,
    results: Path | None,
    keep_going: bool,
    shrink: bool,
    save: Path | None,
    behaviours: tuple[str, ...],
    mutant: str | None,
) -> None:
    """Whole clusters of the shipped validator in one thread and virtual time, hurt by a seed.

    Exit code 0: nothing broke; 1: an invariant did; 2: the command makes no sense; 3: machine gave out."""
    if ctx.invoked_subcommand is not None:
        return
    if [seed, seeds, scenario].count(None) != 2 or (shipped and federation is None):
        raise click.UsageError("give one of --seed, --seeds and --scenario; --shipped with --federation")
    if federation is not None:
        _refuse(ctx, "--federation", ONE_CLUSTER)
        wanted = seeds or range(seed or 0, (seed or 0) + 1)
        sys.exit(not play(wanted, federation, nodes, minutes, as_json=as_json, is_shipped=shipped))
    drivers = Drivers(behaviours, mutant)
    options = Options(
        nodes, max(1, round(minutes * 60_000)), faults, signatures, rounds_per_second, _places(drivers, nodes)
    )
    if seeds is not None:
        _refuse(ctx, "--seeds", ("trace",))
        failed = _sweep(seeds, options, drivers, jobs or _cores(), results, keep_going, as_json)
        if failed is not None and shrink:
            _shrink(generate(failed, options), drivers, save)
        sys.exit(0 if failed is None else 1)
    _refuse(ctx, "one scenario", ("jobs", "results", "keep_going"))
    if scenario is not None:
        _refuse(ctx, "--scenario", _DRAWN)
        chosen = _read_scenario(scenario)
        again = report.scenario_command(str(scenario), drivers)
        if drivers.behaviours:
            _places(drivers, len(chosen.weights))
    else:
        chosen = generate(seed or 0, options)
        again = f"{report.command_of(options, drivers)} --seed {seed}"
    if shrink:
        _shrink(chosen, drivers, save)
        return
    if save is not None:
        save.write_text(chosen.encode(), encoding="utf-8")
    _play(chosen, drivers, trace, as_json, again)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _refuse(ctx: click.Context, beside: str, names: tuple[str, ...]) -> None:
    given = click.core.ParameterSource.COMMANDLINE
    for name in names:
        if ctx.get_parameter_source(name) is given:
            raise click.UsageError(f"--{name.replace('_', '-')} means nothing with {beside}")


def _places(drivers: Drivers, nodes: int) -> tuple[int, ...]:
    """Hosts with behaviours, which are few enough to be tolerated."""
    try:
        places = tuple(drivers.load_behaviours(0))
        with drivers.parts():
            pass
    except DriverError as error:
        raise click.UsageError(str(error)) from error
    if any(place >= nodes for place in places):
        raise click.UsageError(f"host {max(places)} is none of 0 to {nodes - 1}")
    if 3 * len(places) >= nodes:
        raise click.UsageError(f"{len(places)} Byzantine hosts are not fewer than a third of {nodes}")
    return places


def _read_scenario(path: Path) -> Scenario:
    try:
        return Scenario.decode(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise click.UsageError(f"{path} cannot be read: {error}") from error
    except NotationError as error:
        raise click.UsageError(f"{path} is no scenario: {error}") from error


# --- one world --------------------------------------------------------------------------------------


def _play(chosen: Scenario, drivers: Drivers, trace: Path | None, as_json: bool, again: str) -> None:
    if not as_json:
        report.show_scenario(chosen)
    stopwatch = report.Stopwatch()
    with (
        _tracing(trace) as prepare,
        report.Waiting("virtual time", chosen.ms) as waiting,
        drivers.parts() as parts,
    ):
        outcome = run(chosen, parts, drivers.load_behaviours(chosen.seed), waiting.show, prepare)
    spent = stopwatch.read()
    if as_json:
        click.echo(json.dumps({"machine": machine(), "command": again} | report.figures(outcome, spent)))
    else:
        report.show_lines(outcome.timeline.lines)
        report.show_outcome(outcome, spent)
    if outcome.violation is not None:
        _explain_failure(outcome, again)
        sys.exit(1)


def _explain_failure(outcome: Outcome, again: str) -> None:
    cause = outcome.violation and outcome.violation.__cause__
    if cause is not None:
        click.echo("".join(traceback.format_exception(cause)), err=True)
    click.echo(f"Again, frame by frame: {again} --trace trace.txt", err=True)
    click.echo(f"The least that fails:  {again} --minimise", err=True)


@contextlib.contextmanager
def _tracing(trace: Path | None) -> Iterator[Callable[[World], None]]:
    """What prepares a world so that everything in it is written to `trace`."""
    if trace is None:
        yield lambda world: None
        return
    try:
        file = trace.open("w", encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{trace} cannot be written: {error}") from error
    explainers: list[Explainer] = []

    def prepare(world: World) -> None:
        explainer = Explainer(world)
        explainers.append(explainer)

        def write(line: Line) -> None:
            explainer.end()  # what was said before comes first
            print(line, file=file)

        world.timeline.sink = write

    with file:
        yield prepare
        for explainer in explainers:
            explainer.end()


def _shrink(chosen: Scenario, drivers: Drivers, save: Path | None) -> None:
    with drivers.parts() as parts, report.Waiting("shrinking", RUNS_MAX) as waiting:
        first = run(chosen, parts, drivers.load_behaviours(chosen.seed)).violation
        if first is None:
            raise click.UsageError("this scenario breaks nothing, so there is nothing to shrink")
        invariant = first.invariant
        played = 0

        def fails(candidate: Scenario) -> bool:
            nonlocal played
            played += 1
            waiting.show(played, f"{len(candidate.faults)} faults")
            found = run(candidate, parts, drivers.load_behaviours(candidate.seed)).violation
            return found is not None and found.invariant == invariant

        small = minimise(chosen, fails)
    path = save or Path(f"seed-{chosen.seed}-minimal.json")
    path.write_text(small.scenario.encode(), encoding="utf-8")
    click.echo(small.scenario.encode(), nl=False)
    ended = "" if small.is_done else " (the bound: a longer search may find less)"
    click.echo(
        f"{len(chosen.faults)} faults in {chosen.ms} ms came down to {len(small.scenario.faults)} in "
        f"{small.scenario.ms} ms, in {small.runs} runs{ended}; still broken: {invariant}"
    )
    click.echo(report.scenario_command(str(path), drivers))
    sys.exit(1)


# --- many worlds ------------------------------------------------------------------------------------


def _sweep(
    seeds: range,
    options: Options,
    drivers: Drivers,
    jobs: int,
    results: Path | None,
    keep_going: bool,
    as_json: bool,
) -> int | None:
    """The first seed that failed."""
    what = report.command_of(options, drivers)
    found: list[Result] = []
    failed: Result | None = None
    try:
        file = contextlib.nullcontext() if results is None else results.open("w", encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{results} cannot be written: {error}") from error
    playing = sweep(seeds, options, drivers, what, min(jobs, len(seeds)))
    try:
        with file as lines, report.Waiting("seeds", len(seeds)) as waiting, contextlib.closing(playing):
            for result in playing:
                found.append(result)
                if lines is not None:
                    lines.write(result.encode())
                    lines.flush()
                waiting.show(len(found), waiting.rate(len(found)))
                if result.invariant is not None:
                    failed = failed or result
                    if not keep_going:
                        break
    except BrokenProcessPool:
        after = f"after seed {found[-1].seed}" if found else "before the first result"
        click.echo(
            f"Error: a process of the sweep was killed {after}, perhaps for want of memory; try fewer --jobs",
            err=True,
        )
        sys.exit(_GAVE_OUT)
    except KeyboardInterrupt:
        left = f"{seeds[len(found)]}..{seeds[-1]}" if len(found) < len(seeds) else "none"
        click.echo(f"Interrupted; seeds that were not played: {left}", err=True)
        if found:
            _show_totals(merge(found), as_json)
        sys.exit(_INTERRUPTED)
    _show_totals(merge(found), as_json)
    return None if failed is None else failed.seed


@command.command("merge")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--seeds", type=_Seeds(), help="What they must cover: a shard that ended early is refused.")
@click.option("--json", "as_json", is_flag=True)
def merge_command(files: tuple[Path, ...], seeds: range | None, as_json: bool) -> None:
    """Put the result files of shards together: no seed missing, none twice, all of one command."""
    try:
        totals = merge([result for path in files for result in read_results(path)])
        if seeds is not None and (totals.first, totals.last) != (seeds[0], seeds[-1]):
            found = f"{totals.first} to {totals.last}"
            raise MergeError(f"these are the seeds {found}, not {seeds[0]} to {seeds[-1]}")
    except (MergeError, OSError, UnicodeError) as error:
        raise click.UsageError(str(error)) from error
    _show_totals(totals, as_json)
    sys.exit(1 if totals.failed else 0)


def _show_totals(totals: Totals, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(totals)))
    else:
        report.show_totals(totals)


command.commands.update(flood=flood_command, scale=scale_command, absence=absence_command)
