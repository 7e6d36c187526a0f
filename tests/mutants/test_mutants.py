"""Every mutant is caught within its seeds, and in the very worlds in which one was hunted the shipped node
is silent: a hunt that cries wolf proves nothing.
"""

from collections.abc import Callable
from functools import cache

import pytest

from bench.sim.seams import SHIPPED
from bench.sim.violation import Violation
from tests.mutants.catalogue import MUTANTS
from tests.mutants.hunt import Hunt, run
from tests.mutants.mutant import Mutant, Patch, catch, patched

SEEDS = 24
"""Worlds a mutant is hunted in before it has escaped."""


@cache
def shipped(hunt: Hunt, seed: int) -> Violation | None:
    """What the shipped node does in this world, once for all mutants that are hunted in it."""
    return run(hunt, seed, SHIPPED)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_rule_is_caught_and_the_shipped_node_is_silent_in_the_same_worlds(
    mutant: Mutant, caught: Callable[[str], None]
) -> None:
    tried, violation = catch(mutant, range(SEEDS))
    assert violation is not None, f"{mutant.name} escaped in {SEEDS} worlds"
    tries = f"{len(tried)} of {SEEDS} tried"
    caught(f"{mutant.name}: caught in seed {tried[-1]}, {tries}, by {violation.invariant}")
    assert [shipped(mutant.hunt, seed) for seed in tried] == [None] * len(tried)


def test_mutants_are_told_apart_by_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 24


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_leaves_everything_as_it_was(mutant: Mutant) -> None:
    before = [vars(patch.owner)[patch.attribute] for patch in mutant.patches]
    with patched(mutant):
        assert all(vars(p.owner)[p.attribute] is p.replacement for p in mutant.patches)
    assert [vars(patch.owner)[patch.attribute] for patch in mutant.patches] == before


def test_a_hunt_that_ends_in_an_error_leaves_everything_as_it_was() -> None:
    before = Mutant.__doc__
    with pytest.raises(ZeroDivisionError):
        fail_inside(Mutant("fails", "", "", Hunt(), (Patch(Mutant, "__doc__", "other"),)))
    assert Mutant.__doc__ == before


def fail_inside(mutant: Mutant) -> None:
    with patched(mutant):
        raise ZeroDivisionError


def test_a_patch_of_something_that_is_not_there_is_refused() -> None:
    lost = Mutant("lost", "", "", Hunt(), (Patch(Mutant, "name_of_nothing", None),))
    with pytest.raises(KeyError), patched(lost):
        pass
