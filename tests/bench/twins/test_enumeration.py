"""Counting: partitions, renamings, numbers; and that leaving renamed scenarios out loses none."""

from itertools import product
from random import Random

import pytest

from bench.sim.twins.enumeration import Enumeration
from bench.sim.twins.generate import Space, SpaceError, generators, rename, set_partitions
from bench.sim.twins.scenario import RoundPlan, Scenario
from bench.sim.twins.sweep import enumeration_of

SMALL = Space(rounds=2)
LARGE = Space(7, 2, rounds=1)
"""Seconds of work, once: what is enumerated last is kept, and asked for first below."""


@pytest.mark.parametrize(
    ("instances", "blocks", "count"), [(5, 2, 16), (5, 3, 41), (9, 2, 256), (9, 3, 3281)]
)
def test_set_partitions_are_all_there_once(instances: int, blocks: int, count: int) -> None:
    found = list(set_partitions(instances, blocks))
    assert len(found) == len(set(found)) == count
    for partition in found:
        assert sorted(i for block in partition for i in block) == list(range(instances))
        assert 1 <= len(partition) <= blocks


@pytest.mark.parametrize(
    ("space", "plans", "renamings"),
    [
        (Space(), 64, 12),
        (Space(partitions=3), 164, 12),
        (Space(firewalls=True), 384, 12),
        (Space(restarts=True), 1_792, 12),
        (Space(4, 0), 32, 24),
        (LARGE, 1_792, 960),
    ],
)
def test_plans_and_renamings_are_counted(space: Space, plans: int, renamings: int) -> None:
    enumeration = enumeration_of(space, True)
    assert len(enumeration.alphabet) == len(set(enumeration.alphabet)) == space.plan_count == plans
    assert enumeration.renamings == renamings
    assert enumeration.raw_count == plans**space.rounds


def all_renamings(space: Space, scenario: Scenario) -> set[tuple[RoundPlan, ...]]:
    """The orbit of a scenario, found by renaming until nothing new comes: no tables, no stabilisers."""
    orbit = {scenario.rounds}
    frontier = [scenario.rounds]
    while frontier:
        plans = frontier.pop()
        for renaming in generators(space):
            renamed = tuple(rename(plan, renaming, space.nodes) for plan in plans)
            if renamed not in orbit:
                orbit.add(renamed)
                frontier.append(renamed)
    return orbit


def test_the_listed_scenarios_stand_for_every_scenario_exactly_once() -> None:
    enumeration = Enumeration(SMALL)
    covered: set[tuple[RoundPlan, ...]] = set()
    for number in range(len(enumeration)):
        orbit = all_renamings(SMALL, enumeration.scenario(number))
        assert len(orbit) == enumeration.orbit(number)
        assert not covered & orbit, "two listed scenarios are renamings of each other"
        covered |= orbit
    assert covered == set(product(enumeration.alphabet, repeat=2))


def test_numbers_and_scenarios_are_one_to_one() -> None:
    enumeration = Enumeration(SMALL)
    scenarios = [enumeration.scenario(number) for number in range(len(enumeration))]
    assert len(set(scenarios)) == len(enumeration) == 510
    assert [enumeration.number(scenario) for scenario in scenarios] == list(range(510))


@pytest.mark.parametrize("space", [LARGE, Space(), Space(rounds=6, restarts=True)])
def test_a_renamed_scenario_has_the_number_of_the_listed_one(space: Space) -> None:
    enumeration, rng = enumeration_of(space, True), Random(3)
    for _ in range(20):
        number = rng.randrange(len(enumeration))
        scenario = enumeration.scenario(number)
        plans = scenario.rounds
        for renaming in rng.choices(generators(space), k=5):
            plans = tuple(rename(plan, renaming, space.nodes) for plan in plans)
        assert enumeration.number(Scenario(space.nodes, space.twins, plans)) == number


def test_the_full_space_of_four_rounds_is_known() -> None:
    enumeration = Enumeration(Space())
    assert (len(enumeration), enumeration.raw_count) == (1_502_936, 64**4)
    assert len(Enumeration(Space(), symmetric=False)) == 64**4


def test_without_symmetry_numbers_are_words_in_order() -> None:
    enumeration = Enumeration(SMALL, symmetric=False)
    words = product(enumeration.alphabet, repeat=2)
    assert all(enumeration.scenario(n).rounds == word for n, word in enumerate(words))


def test_what_cannot_be_enumerated_is_refused() -> None:
    enumeration = Enumeration(SMALL)
    for number in (-1, 510):
        with pytest.raises(SpaceError, match="from 0 to 509"):
            enumeration.scenario(number)
    with pytest.raises(SpaceError, match="--random"):
        Enumeration(Space(partitions=3, per_phase=True))
    with pytest.raises(SpaceError, match="renamings"):
        Enumeration(Space(10, 0, 1))
    with pytest.raises(SpaceError, match="fewer than a third"):
        Space(3, 1)
    with pytest.raises(SpaceError, match="rounds"):
        Space(rounds=0)
    with pytest.raises(SpaceError, match="size"):
        enumeration.number(Enumeration(Space()).scenario(0))
    wider = Enumeration(Space(rounds=1, partitions=3), symmetric=False)
    foreign = [s for s in map(wider.scenario, range(len(wider))) if s.rounds[0] not in enumeration.alphabet]
    assert len(foreign) == 4 * (41 - 16)
    with pytest.raises(SpaceError, match="not in this space"):
        Enumeration(Space(rounds=1)).number(foreign[0])
