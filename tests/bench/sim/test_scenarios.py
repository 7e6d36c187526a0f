"""Whole worlds from their seeds: nothing breaks, and every kind of fault, client and storm really struck."""

from collections import Counter
from dataclasses import replace

import pytest

from bench.sim.clock import EVENTS_MAX
from bench.sim.faults import CrashAtWrite
from bench.sim.keyedhash import KEYED_HASH
from bench.sim.scenario import Options, Outcome, events_max, generate, run
from bench.sim.schedule import KINDS

SEEDS = 25
OPTIONS = Options(ms=20_000, signatures=KEYED_HASH.name, rounds_per_second=10)


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    """Twenty-five worlds of twenty seconds."""
    return [run(generate(seed, OPTIONS)) for seed in range(SEEDS)]


def test_nothing_is_broken_in_any_of_them(outcomes: list[Outcome]) -> None:
    broken = {seed: str(outcome.violation) for seed, outcome in enumerate(outcomes) if outcome.violation}
    assert not broken


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_fault_strikes(kind: str, outcomes: list[Outcome]) -> None:
    struck = Counter[str]()
    for outcome in outcomes:
        struck.update(outcome.faults)
    assert struck[kind] > 0, struck


def test_clients_are_served_and_refused_for_every_reason_they_give(outcomes: list[Outcome]) -> None:
    fates = Counter[str]()
    for outcome in outcomes:
        fates.update(outcome.fates)
    for fate in (
        "certified",
        "refused bad-signature",
        "refused expired",
        "refused wrong-cluster",
        "refused expiry-too-far",
        "refused malformed",
        "refused replayed",
    ):
        assert fates[fate] > 0, fates
    assert fates["certified"] > 1_000


def test_bounds_were_looked_at(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        assert all(0 <= held <= bound for held, bound in outcome.high_water.values())
        assert any(held for held, _ in outcome.high_water.values())


def test_the_same_scenario_is_the_same_run() -> None:
    options = Options(ms=4_000, rounds_per_second=20)
    first, second = run(generate(9, options)), run(generate(9, options))
    assert first.fingerprint == second.fingerprint
    assert list(first.timeline.lines) == list(second.timeline.lines)
    assert run(generate(10, options)).fingerprint != first.fingerprint


def test_looking_on_changes_nothing() -> None:
    options = Options(ms=3_000, rounds_per_second=20)
    shown: list[int] = []
    first = run(generate(8, options), on_progress=shown.append)
    assert shown == sorted(shown)
    assert len(shown) >= 12
    assert run(generate(8, options)).fingerprint == first.fingerprint


def test_a_planned_crash_counts_only_when_it_fell(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        assert outcome.faults[CrashAtWrite.KIND] == outcome.timeline.counts["boundary"]


def test_a_large_world_or_a_long_one_is_no_storm() -> None:
    small = generate(1, OPTIONS)
    hundred = replace(small, weights=(1,) * 100, ms=10 * 60_000)
    frames_a_round = 2 * 100 * 99
    assert events_max(hundred) > 2 * 50 * 600 * frames_a_round
    day = replace(small, ms=24 * 3_600_000)
    assert events_max(day) > 100 * 16 * 24 * 3_600
    assert events_max(small) == EVENTS_MAX
