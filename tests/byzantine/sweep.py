"""The command `python -m tests.byzantine --seeds A..B`: all drivers, or some, against many seeds.

Prints each failure with the command that repeats it, goes on, and ends with 1 if there was one.
"""

import os
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from threading import Thread

import click

from bench.sim.violation import Violation
from tests.byzantine.arena import fight
from tests.byzantine.drivers import DRIVERS, FACTORIES

_NICE = 19
_SLOWEST = 5
_TOLD_EVERY = 100
"""Fights between two lines of progress, where no terminal shows it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One fight of a sweep: `words` is "" when it went well."""

    names: tuple[str, ...]
    seed: int
    nodes: int
    words: str
    lively_ms: int
    strikes: int

    @property
    def command(self) -> str:
        """What repeats it."""
        chosen = " ".join(f"--driver {name}" for name in self.names)
        together = " --together" if len(self.names) > 1 else ""
        return f"python -m tests.byzantine --seeds {self.seed} --nodes {self.nodes} {chosen}{together}"


def judge(case: tuple[tuple[str, ...], int, int]) -> Verdict:
    """Fight one case; an exception of the product's is a verdict too."""
    names, seed, nodes = case
    try:
        outcome = fight(names[0], seed, nodes, *names[1:])
    except Violation as violation:
        return Verdict(names, seed, nodes, str(violation), 0, 0)
    except Exception:  # whatever the product raises under attack is what a sweep is for
        return Verdict(names, seed, nodes, traceback.format_exc(limit=-6), 0, 0)
    return Verdict(names, seed, nodes, "", outcome.lively_ms, outcome.strikes.total())


def _begin_work() -> None:
    """A worker is nice, and does not outlive the process that it works for."""
    os.nice(_NICE)
    parent = parent_process()
    assert parent is not None, "only worker processes begin so"

    def follow() -> None:
        parent.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()


def _range(words: str) -> range:
    first, dots, last = words.partition("..")
    if not first.isdigit() or (dots and not last.isdigit()):
        raise click.BadParameter(f"seeds are A..B or one number, not {words!r}")
    return range(int(first), int(last or first) + 1)


def _cases(
    names: tuple[str, ...], seeds: range, nodes: int, *, together: bool, pairs: bool
) -> list[tuple[tuple[str, ...], int, int]]:
    everybody = tuple(name for name, _ in DRIVERS)
    if together:
        return [(names, seed, nodes) for seed in seeds]
    chosen = names or everybody
    if pairs:  # another accomplice for each driver and seed
        return [
            ((name, everybody[(seed * 31 + place * 7) % len(everybody)]), seed, nodes)
            for seed in seeds
            for place, name in enumerate(chosen)
        ]
    return [((name,), seed, nodes) for seed in seeds for name in chosen]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seeds", default="0..9", show_default=True, help="A..B, both included.")
@click.option("--driver", "names", multiple=True, type=click.Choice(list(FACTORIES)), help="Default: all.")
@click.option("--nodes", default=4, show_default=True, type=click.IntRange(4, 22))
@click.option("--pairs", is_flag=True, help="Give each driver an accomplice (7 nodes and more).")
@click.option("--together", is_flag=True, help="All named drivers in one cluster.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1, 64))
def main(*, seeds: str, names: tuple[str, ...], nodes: int, pairs: bool, together: bool, jobs: int) -> None:
    """Fights of Byzantine drivers against shipped validators."""
    if together and not names:
        raise click.UsageError("--together needs drivers: name them with --driver")
    if (pairs or together) and (len(names) if together else 2) * 3 >= nodes:
        raise click.UsageError(f"{nodes} nodes bear no more than {(nodes - 1) // 3} liars")
    cases = _cases(names, _range(seeds), nodes, together=together, pairs=pairs)
    began = time.monotonic()
    verdicts: list[Verdict] = []
    with ProcessPoolExecutor(jobs, get_context("spawn"), _begin_work) as pool:
        for verdict in pool.map(judge, cases, chunksize=4):
            verdicts.append(verdict)
            if verdict.words:
                click.echo(f"FAILED {'+'.join(verdict.names)} seed {verdict.seed}: {verdict.words}")
                click.echo(f"  {verdict.command}")
            if sys.stderr.isatty() or len(verdicts) % _TOLD_EVERY == 0:
                end = "\r" if sys.stderr.isatty() else "\n"
                click.echo(f"{len(verdicts)} of {len(cases)} fights{end}", nl=False, err=True)
    _report(verdicts, time.monotonic() - began)
    sys.exit(any(verdict.words for verdict in verdicts))


def _report(verdicts: list[Verdict], seconds: float) -> None:
    failed = sum(1 for verdict in verdicts if verdict.words)
    click.echo(f"{len(verdicts)} fights in {seconds:.0f} s, {failed} failed")
    for verdict in sorted(verdicts, key=lambda v: -v.lively_ms)[:_SLOWEST]:
        click.echo(f"  {verdict.lively_ms:6} ms to be lively: {verdict.command}")
    strikes = Counter({name: 0 for name in FACTORIES})
    for verdict in verdicts:
        strikes[verdict.names[0]] += verdict.strikes
    fought = {verdict.names[0] for verdict in verdicts}
    idle = [name for name, count in strikes.items() if not count and name in fought]
    if idle:
        click.echo(f"  never struck: {', '.join(idle)}")
