"""Every broken rule between clusters is caught; in the very same federations the shipped rules are silent."""

from collections.abc import Callable
from functools import cache

import pytest

from bench.sim.federation.scenario import FederationScenario
from bench.sim.federation.world import run
from bench.sim.violation import Violation
from tests.mutants.federations import FEDERATION_MUTANTS, FederationMutant
from tests.mutants.hunt import Hunt
from tests.mutants.mutant import Mutant, patched


@cache
def shipped(scenario: FederationScenario) -> Violation | None:
    """What the shipped rules do in this federation, once for all mutants that are hunted in it."""
    return run(scenario).violation


def hunted(mutant: FederationMutant) -> tuple[int, Violation | None]:
    """How many federations it took, and what was broken in the last."""
    with patched(Mutant(mutant.name, mutant.rule, "", Hunt(), mutant.patches)):
        for tried, scenario in enumerate(mutant.hunts, 1):
            violation = run(scenario).violation
            if violation is not None and violation.invariant in mutant.by:
                return tried, violation
    return len(mutant.hunts), None


@pytest.mark.parametrize("mutant", FEDERATION_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_rule_between_clusters_is_caught_and_the_shipped_ones_are_silent(
    mutant: FederationMutant, caught: Callable[[str], None]
) -> None:
    tried, violation = hunted(mutant)
    assert violation is not None, f"{mutant.name} escaped in {tried} federations"
    caught(f"federation: {mutant.name}: {violation}")
    assert [shipped(scenario) for scenario in mutant.hunts[:tried]] == [None] * tried


def test_there_are_as_many_mutants_as_were_promised() -> None:
    assert len({mutant.name for mutant in FEDERATION_MUTANTS}) == len(FEDERATION_MUTANTS) >= 7
