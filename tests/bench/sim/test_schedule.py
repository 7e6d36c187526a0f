"""Schedules: what may strike, whom, and when."""

from random import Random

import pytest

from bench.sim.faults import ClockSkew, Fault, GuardLost, RestoreBackup, Twin, Wipe
from bench.sim.schedule import KINDS, Ground, budget_of, schedule

GROUNDS = (
    Ground((1, 1, 1, 1), (), 60_000),
    Ground((1,) * 7, (), 60_000),
    Ground((1,) * 7, (3,), 60_000),
    Ground((3, 1, 2, 1, 3), (), 60_000),
    Ground((1,), (), 60_000),
)


def forgetful(faults: tuple[Fault, ...]) -> set[int]:
    """Hosts that a schedule makes faulty in the sense of the protocol."""
    hosts = {fault.host for fault in faults if isinstance(fault, Wipe | RestoreBackup | GuardLost | Twin)}
    return hosts | {f.host for f in faults if isinstance(f, ClockSkew) and abs(f.off_ms) > 60_000}


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("seed", range(40))
def test_those_who_forget_or_lie_weigh_less_than_a_third(ground: Ground, seed: int) -> None:
    faults = schedule(Random(seed), ground, KINDS)
    faulty = forgetful(faults) | set(ground.byzantine)
    assert 3 * sum(ground.weights[place] for place in faulty) < sum(ground.weights)


@pytest.mark.parametrize("seed", range(20))
def test_a_schedule_is_in_the_order_of_time_and_leaves_the_beginning_alone(seed: int) -> None:
    faults = schedule(Random(seed), GROUNDS[1], KINDS)
    times = [fault.at_ms for fault in faults]
    assert times == sorted(times)
    assert times[0] >= 400
    assert times[-1] < 60_000
    assert len(faults) == 40


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_asked_for_alone(kind: str) -> None:
    drawn = [f for seed in range(8) for f in schedule(Random(seed), GROUNDS[0], (kind,))]
    assert {fault.KIND for fault in drawn} == {kind}


def test_all_kinds_are_drawn_sooner_or_later() -> None:
    drawn = [f for seed in range(30) for f in schedule(Random(seed), GROUNDS[0], KINDS)]
    assert {fault.KIND for fault in drawn} == set(KINDS)


def test_nothing_strikes_where_nothing_is_allowed_or_there_is_no_time() -> None:
    assert schedule(Random(1), GROUNDS[0], ()) == ()
    assert schedule(Random(1), Ground((1, 1, 1, 1), (), 700), KINDS) == ()
    assert schedule(Random(1), Ground((1, 1, 1), (), 60_000), ("wipe", "twin")) == ()


def test_nobody_may_forget_beside_a_byzantine_host_that_uses_up_the_budget() -> None:
    assert budget_of(Random(1), Ground((1, 1, 1, 1), (2,), 1_000)) == ()
    assert len(budget_of(Random(1), Ground((1,) * 7, (2,), 1_000))) == 1
    assert len(budget_of(Random(1), Ground((1,) * 7, (), 1_000))) == 2
