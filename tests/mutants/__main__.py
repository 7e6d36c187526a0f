"""`python -m tests.mutants [NAME ...] [--seeds A..B] [--jobs J]`: in how many seeds each mutant is caught.

`--control` hunts the shipped node in the same worlds, where nothing may be seen.
"""

import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import click

from bench.sim.seams import SHIPPED
from tests.mutants.catalogue import BY_NAME, MUTANTS
from tests.mutants.hunt import run
from tests.mutants.mutant import patched

_NICE = 19


@dataclass(frozen=True, slots=True)
class Tally:
    """`seen` by invariant, `silent` the seeds in which nothing was, `first` the first words that were."""

    name: str
    seen: tuple[tuple[str, int], ...]
    silent: int
    first: str


def tally(name: str, seeds: range, control: bool) -> Tally:
    """Hunt one mutant, or the shipped node in its worlds, in all these seeds."""
    mutant = BY_NAME[name]
    seen: Counter[str] = Counter()
    first = ""
    for seed in seeds:
        if control:
            violation = run(mutant.hunt, seed, SHIPPED)
        else:
            with patched(mutant) as parts:
                violation = run(mutant.hunt, seed, parts)
        if violation is not None:
            seen[violation.invariant] += 1
            first = first or f"seed {seed}: {violation}"
    return Tally(name, tuple(sorted(seen.items())), len(seeds) - seen.total(), first)


def _seeds(context: click.Context, parameter: click.Parameter, value: str) -> range:
    first, _, last = value.partition("..")
    if not (first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise click.BadParameter("seeds are A..B, from A up to but without B")
    return range(int(first), int(last))


def _polite() -> None:
    os.nice(_NICE)


@click.command()
@click.argument("names", nargs=-1)
@click.option("--seeds", default="0..50", callback=_seeds, help="from A up to but without B")
@click.option("--jobs", default=1, type=click.IntRange(1, 64), help="processes")
@click.option("--control", is_flag=True, help="hunt the shipped node in the same worlds")
def main(names: tuple[str, ...], seeds: range, jobs: int, control: bool) -> None:
    """In how many SEEDS each mutant (all, unless NAMES are given) is caught, and by which invariant."""
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise click.BadParameter(f"there is no mutant {unknown[0]}; there are {', '.join(BY_NAME)}")
    chosen = names or tuple(mutant.name for mutant in MUTANTS)
    faults = 0
    with ProcessPoolExecutor(jobs, get_context("spawn"), _polite) as pool:
        running = [pool.submit(tally, name, seeds, control) for name in chosen]
        for future in running:
            found = future.result()
            count = len(seeds) - found.silent
            by = ", ".join(f"{invariant} {times}" for invariant, times in found.seen) or "-"
            click.echo(f"{found.name:36} {count:5} of {len(seeds):<5} {by:32} {found.first:.120}")
            faults += count if control else int(count == 0)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
