"""Shrinking: pure predicates first, then a planted bug in real worlds."""

from dataclasses import replace

from bench.sim.faults import Crash, Fault, Loss, OneWay, Partition, Twin, Wipe
from bench.sim.minimise import minimise
from bench.sim.scenario import Options, Scenario, generate, run
from tests.bench.sim.planted import chokes_on_wiped_data


def kinds(scenario: Scenario) -> list[str]:
    """The kinds of faults that are left."""
    return [fault.KIND for fault in scenario.faults]


def scenario_with(*faults: Fault) -> Scenario:
    """A long one with a busy network and busy clients."""
    return replace(generate(3, Options(ms=40_000)), faults=faults)


def test_one_guilty_fault_of_many_is_left() -> None:
    faults = tuple(Crash(number * 500, number % 4, 800) for number in range(40))
    guilty = faults[23]
    small = minimise(scenario_with(*faults), lambda s: any(f.at_ms == guilty.at_ms for f in s.faults))
    assert [fault.at_ms for fault in small.scenario.faults] == [guilty.at_ms]
    assert small.is_done
    assert small.runs < 60


def test_two_faults_that_are_guilty_together_are_both_left() -> None:
    faults = (
        Loss(500, 10, 900),
        Crash(1_000, 1, 800),
        OneWay(1_500, 0, 1, 900),
        Partition(3_000, ((0, 1), (2, 3)), 900),
        Loss(9_000, 30, 900),
    )
    small = minimise(scenario_with(*faults), lambda s: {"crash", "partition"} <= set(kinds(s)))
    assert kinds(small.scenario) == ["crash", "partition"]


def test_time_and_faults_are_made_shorter_and_clients_fewer() -> None:
    first = scenario_with(Crash(1_000, 1, 3_000))

    def fails(candidate: Scenario) -> bool:
        return any(isinstance(f, Crash) and f.ms >= 100 and f.at_ms >= 400 for f in candidate.faults)

    small = minimise(first, fails)
    (crash,) = small.scenario.faults
    assert isinstance(crash, Crash)
    assert 100 <= crash.ms < 200
    assert 400 <= crash.at_ms < 800
    assert crash.at_ms < small.scenario.ms <= 800
    assert small.scenario.workload.per_second == 0


def test_a_load_that_is_needed_is_made_plainer_one_thing_at_a_time() -> None:
    first = generate(3, Options(ms=40_000))
    load = replace(first.workload, clients=4, per_second=12, burst=60, hostile_percent=40, twice_percent=50)
    small = minimise(
        replace(first, workload=load, faults=()),
        lambda s: s.workload.hostile_percent > 0 and s.workload.clients > 0,
    )
    assert small.scenario.workload.hostile_percent == 40
    assert (small.scenario.workload.burst, small.scenario.workload.twice_percent) == (1, 0)


def test_a_failure_without_faults_loses_all_of_them() -> None:
    small = minimise(generate(3, Options(ms=40_000)), lambda s: True)
    assert small.scenario.faults == ()


def test_a_twin_that_others_name_is_not_taken_away_from_under_them() -> None:
    faults = (Twin(500, 2, True), OneWay(900, 4, 0, 500), Crash(2_000, 1, 70))
    small = minimise(scenario_with(*faults), lambda s: "one-way" in kinds(s))
    assert kinds(small.scenario) == ["twin", "one-way"]


def test_a_twin_in_a_group_is_not_taken_away_either() -> None:
    faults = (Twin(500, 2, True), Partition(900, ((0, 1, 4), (2, 3)), 500), Crash(2_000, 1, 70))
    small = minimise(scenario_with(*faults), lambda s: "partition" in kinds(s))
    assert kinds(small.scenario) == ["twin", "partition"]


def test_the_search_ends_at_its_bound_and_says_so() -> None:
    faults = tuple(Crash(number * 500, number % 4, 800) for number in range(40))
    small = minimise(scenario_with(*faults), lambda s: len(s.faults) >= 20, runs_max=7)
    assert (small.runs, small.is_done) == (7, False)


def test_a_planted_bug_shrinks_to_the_fault_that_brings_it_out() -> None:
    options = Options(ms=6_000, signatures="keyed-hash", rounds_per_second=10)
    faults = (Crash(700, 1, 300), Wipe(1_500, 2, 300), Loss(2_000, 10, 900), Crash(3_000, 0, 90))
    first = replace(generate(5, options), faults=faults)

    def fails(candidate: Scenario) -> bool:
        found = run(candidate, chokes_on_wiped_data()).violation
        return found is not None and found.invariant == "exception"

    assert fails(first)
    small = minimise(first, fails)
    assert kinds(small.scenario) == ["wipe"]
    assert fails(Scenario.decode(small.scenario.encode()))
    assert run(small.scenario).violation is None
