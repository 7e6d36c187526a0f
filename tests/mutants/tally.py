"""In how many worlds a mutant is seen, and by what; a process of its own may count."""

import os
from collections import Counter
from dataclasses import dataclass

from bench.sim.seams import SHIPPED
from tests.mutants.catalogue import BY_NAME
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
        if violation is not None and (control or mutant.is_seen_in(violation)):
            seen[violation.invariant] += 1
            first = first or f"seed {seed}: {violation}"
    return Tally(name, tuple(sorted(seen.items())), len(seeds) - seen.total(), first)


def be_polite() -> None:
    """Counting takes what nobody else wants of the machine."""
    os.nice(_NICE)
