"""`isthmus-bench chaos`: hurt a real cluster while clients use it, then say what held.

Exit code 0 when every check holds, 1 when one does not (or gave up) or there is no verdict, 130 when it was
interrupted. No process outlives the command.
"""

import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import click
import trio

from bench.chaos.history import Result
from bench.chaos.run import ChaosFailed, Plan, Report, run_chaos
from bench.chaos.schedule import FaultKind, tolerated
from bench.chaos.screen import Screen, show
from bench.finiterange import FiniteRange
from node.cli.failures import root_of
from node.client import ClientError

_MINUTES_MAX = 24 * 60
_NODES_MIN, _NODES_MAX = 4, 13
_SEED_BITS = 32


def _kinds(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[FaultKind, ...]:
    known = {kind.value: kind for kind in FaultKind}
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise click.BadParameter(
            f"{', '.join(unknown) or 'nothing'} is no fault; choose of {', '.join(known)}"
        )
    return tuple(known[name] for name in dict.fromkeys(names))


@click.command("chaos")
@click.option(
    "--minutes",
    type=FiniteRange(0.1, _MINUTES_MAX),
    default=2.0,
    show_default=True,
)
@click.option("--seed", type=int, default=None, help="Of schedule and clients; by default a fresh one.")
@click.option("--nodes", type=click.IntRange(_NODES_MIN, _NODES_MAX), default=4, show_default=True)
@click.option(
    "--faults",
    callback=_kinds,
    default=",".join(kind.value for kind in FaultKind),
    show_default=True,
    help="Kinds of faults, separated by commas.",
)
@click.option(
    "--recovery-seconds",
    type=click.IntRange(1, 3600),
    default=60,
    show_default=True,
    help="Within what time a new transaction must be on every node once all is healed.",
)
@click.option("--json", "as_json", is_flag=True, help="One object instead of tables.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Keep history, faults and the nodes' homes with their logs in this new folder.",
)
def command(
    minutes: float,
    seed: int | None,
    nodes: int,
    faults: tuple[FaultKind, ...],
    recovery_seconds: int,
    as_json: bool,
    keep: Path | None,
) -> None:
    """Hurt a real cluster while clients use it; then check what they were told against the chain."""
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise click.BadParameter(f"{keep} is not empty; name a new folder", param_hint="--keep")
    chosen = int.from_bytes(os.urandom(_SEED_BITS // 8), "big") if seed is None else seed
    plan = Plan(chosen, nodes, int(minutes * 60_000), faults, recovery_seconds * 1000)
    directory = keep or Path(tempfile.mkdtemp(prefix="isthmus-chaos-"))
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise click.BadParameter(f"{directory}: {error.strerror}", param_hint="--keep") from error
    again = again_of(minutes, plan)
    report, problem, code = None, "", 1
    with Screen() as screen:
        screen.say(again)
        try:
            report = trio.run(_until_interrupted, plan, directory, screen)
            code = 130 if report is None else int(not report.is_success)
            problem = "interrupted; there is no verdict" if report is None else ""
        except* (ChaosFailed, ClientError, OSError) as group:
            problem = f"there is no verdict: {root_of(group)}"
    kept = directory if keep is not None or code else None
    if kept is None:
        shutil.rmtree(directory)
    if as_json:
        click.echo(json.dumps(figures_of(plan, report, problem, again, kept)))
    else:
        if report is not None:
            show(report)
        for line in (problem, f"Again: {again}", f"Kept: {kept} (history.jsonl, faults.jsonl, net/*/log)"):
            if line and (kept is not None or not line.startswith("Kept")):
                click.echo(line)
    sys.exit(code)


async def _until_interrupted(plan: Plan, directory: Path, screen: Screen) -> Report | None:
    """The report, or None when SIGINT or SIGTERM came first; all daemons are gone in both cases."""
    report: Report | None = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as arrivals:
        async with trio.open_nursery() as nursery:

            async def give_up() -> None:
                async for _ in arrivals:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(give_up)
            report = await run_chaos(plan, directory, screen)
            nursery.cancel_scope.cancel()
    return report


def again_of(minutes: float, plan: Plan) -> str:
    """What to type to run this again: the schedule is the same, threads' timing is not."""
    words = ["isthmus-bench", "chaos", "--minutes", str(minutes), "--seed", str(plan.seed)]
    words += ["--nodes", str(plan.nodes), "--faults", ",".join(kind.value for kind in plan.kinds)]
    words += ["--recovery-seconds", str(plan.recovery_ms // 1000)]
    return shlex.join(words)


def figures_of(
    plan: Plan, report: Report | None, problem: str, again: str, kept: Path | None
) -> dict[str, object]:
    figures: dict[str, object] = {
        "seed": plan.seed,
        "nodes": plan.nodes,
        "f": tolerated(plan.nodes),
        "success": report is not None and report.is_success,
        "problem": problem,
        "again": again,
        "kept": None if kept is None else str(kept),
    }
    if report is None:
        return figures
    done = report.injected
    return figures | {
        "writes": {result.value: report.count(result, reads=False) for result in Result},
        "reads": {result.value: report.count(result, reads=True) for result in Result},
        "heights": report.heights,
        "faults": {kind.value: done.by_kind[kind] for kind in FaultKind},
        "all_at_once": done.all_at_once,
        "beyond_minority": done.beyond_minority,
        "ended_by_disk": done.ended_by_disk,
        "starts": report.starts,
        "strikes": asdict(report.strikes),
        "pauses_ms": report.pauses_ms,
        "pauses_by_fault_ms": report.pauses_by_fault_ms,
        "recovered_ms": report.recovered_ms,
        "checks": [
            {
                "check": finding.check,
                "verdict": finding.verdict.value,
                "examined": finding.examined,
                "against": list(finding.against),
            }
            for finding in report.findings
        ],
        "notes": done.late,
    }
