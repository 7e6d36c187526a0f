"""A mutant: the shipped node with one rule broken, and what the simulator needs to see it.

A rule is broken through the seams of a simulated host (`bench.sim.seams.Parts`), or by an attribute of a
shipped class or module put in the place of another for the time of a hunt. Nothing of this is in the wheel.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.sim.seams import SHIPPED, Parts
from bench.sim.violation import Violation
from tests.mutants.hunt import Hunt, run


@dataclass(frozen=True, slots=True)
class Patch:
    """`attribute` of `owner`, a class or module that has it itself, becomes `replacement`."""

    owner: Any
    attribute: str
    replacement: object


def _shipped(parts: Parts) -> Parts:
    return parts


@dataclass(frozen=True, slots=True)
class Mutant:
    """`rule` is what is broken, `story` where somebody really broke it, or would. `by` are the invariants
    that count as a catch, () for any: what else the patches do harm to is not the rule. `likely` is the
    seed to begin with, where it was seen last."""

    name: str
    rule: str
    story: str
    hunt: Hunt
    patches: tuple[Patch, ...] = ()
    parts: Callable[[Parts], Parts] = _shipped
    by: tuple[str, ...] = ()
    likely: int = 0

    def is_seen_in(self, violation: Violation) -> bool:
        """Whether this is what the broken rule does."""
        return not self.by or violation.invariant in self.by


@contextmanager
def patched(mutant: Mutant) -> Iterator[Parts]:
    """The parts of a world in which the mutant lives; everything is as shipped again afterwards."""
    put_back: list[Patch] = []
    try:
        for patch in mutant.patches:
            shipped = vars(patch.owner)[
                patch.attribute
            ]  # as it stands: a property or static method stays one
            put_back.append(Patch(patch.owner, patch.attribute, shipped))
            setattr(patch.owner, patch.attribute, patch.replacement)
        yield mutant.parts(SHIPPED)
    finally:
        for patch in reversed(put_back):
            setattr(patch.owner, patch.attribute, patch.replacement)


def catch(mutant: Mutant, seeds: Iterable[int]) -> tuple[tuple[int, ...], Violation | None]:
    """The seeds tried, the likely one first, until the rule was seen to be broken, and what was seen; None
    when it escaped."""
    tried: list[int] = []
    with patched(mutant) as parts:
        for seed in sorted(seeds, key=lambda seed: seed != mutant.likely):
            tried.append(seed)
            violation = run(mutant.hunt, seed, parts)
            if violation is not None and mutant.is_seen_in(violation):
                return tuple(tried), violation
    return tuple(tried), None
