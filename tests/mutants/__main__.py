"""`python -m tests.mutants [NAME ...] [--seeds A..B] [--jobs J]`: in how many seeds each mutant is caught.

`--control` hunts the shipped node in the same worlds, where nothing may be seen.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import click

from tests.mutants.catalogue import BY_NAME, MUTANTS
from tests.mutants.tally import be_polite, tally


def _seeds(context: click.Context, parameter: click.Parameter, value: str) -> range:
    first, _, last = value.partition("..")
    if not (first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise click.BadParameter("seeds are A..B, from A up to but without B")
    return range(int(first), int(last))


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
    if control:  # once for all that are hunted in the same worlds
        chosen = tuple({BY_NAME[name].hunt: name for name in reversed(chosen)}.values())
    faults = 0
    with ProcessPoolExecutor(jobs, get_context("spawn"), be_polite) as pool:
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
