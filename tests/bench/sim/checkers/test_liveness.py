"""What was admitted in calm is stored everywhere within the bound, or somebody hears of it."""

import pytest

from bench.sim.checkers.liveness import (
    BASE_TIMEOUT_MS,
    MAX_TIMEOUT_MS,
    ROUND_TIMER,
    Liveness,
    bound_ms,
    faults_tolerated,
    longest_ms,
)
from bench.sim.world import World
from consensus import Digest
from node.ledger.codes import Code
from node.validator import Refusal
from tests.bench.sim.checkers.statements import SETTING, caught, name

A, B = Digest(name("a")), Digest(name("b"))


class Watch:
    """Four validators, the last exempt, and a clock."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.checker = Liveness([1, 1, 1, 1], {3: None}, lambda: self.now_ms)

    def calm(self) -> int:
        self.checker.on_calm()
        bound = self.checker.bound_ms
        self.checker.on_made(A, self.now_ms + 10 * bound)
        self.checker.on_answer((A,))
        return bound


@pytest.mark.parametrize(
    ("weights", "tolerated"),
    [
        ((1,), 0),
        ((1, 1, 1), 0),
        ((1,) * 4, 1),
        ((1,) * 6, 1),
        ((1,) * 7, 2),
        ((1, 1, 1, 9), 3),
        ((1,) * 100, 33),
    ],
)
def test_faults_are_counted_by_weight(weights: tuple[int, ...], tolerated: int) -> None:
    assert faults_tolerated(weights) == tolerated


def test_the_bound_is_of_rounds_that_each_fail_and_lengthen_the_next() -> None:
    four = (1,) * 4
    grown = [BASE_TIMEOUT_MS]
    while len(grown) <= 12:
        grown.append(grown[-1] * 6 // 5)
    assert bound_ms(BASE_TIMEOUT_MS, four, 0) == sum(grown[1:])
    assert bound_ms(MAX_TIMEOUT_MS, four, 0) == 12 * MAX_TIMEOUT_MS
    assert bound_ms(BASE_TIMEOUT_MS, four) < 50_000


def test_no_round_is_longer_than_back_off_can_have_come_to() -> None:
    assert longest_ms(0) == BASE_TIMEOUT_MS
    assert longest_ms(10_000) == BASE_TIMEOUT_MS + 2_000
    assert longest_ms(10**9) == MAX_TIMEOUT_MS


def test_the_bound_is_of_the_longest_round_that_somebody_times_and_of_no_other_timer() -> None:
    watch = Watch()
    watch.now_ms = 60_000
    short_ms = watch.checker.bound_ms
    watch.checker.on_timer(1, "consensus-resend", 9_000)
    watch.checker.on_timer(1, ROUND_TIMER, 300)
    assert watch.checker.bound_ms == short_ms == bound_ms(BASE_TIMEOUT_MS, (1,) * 4)
    watch.checker.on_timer(2, ROUND_TIMER, 5_000)
    assert watch.checker.bound_ms == bound_ms(5_000, (1,) * 4)
    watch.checker.on_timer(2, ROUND_TIMER, 700)
    assert watch.checker.bound_ms == bound_ms(700, (1,) * 4)


def test_the_timer_of_a_round_has_the_name_that_is_looked_for() -> None:
    world = World(SETTING, 1).start()
    world.submit(0)
    world.run(2_000)
    assert world.checkers.liveness._rounds.keys() == {0, 1, 2, 3}


def test_stored_everywhere_in_time_is_proof() -> None:
    watch = Watch()
    watch.calm()
    for index in (0, 1, 2):
        assert watch.checker.proven == 0
        watch.checker.on_stored(index, [B, A])
    assert watch.checker.proven == 1
    watch.now_ms = 10**9
    watch.checker.check()


def test_missing_on_one_honest_host_is_caught_after_the_bound_and_not_before() -> None:
    watch = Watch()
    bound = watch.calm()
    watch.checker.on_stored(0, [A])
    watch.checker.on_stored(2, [A])
    watch.now_ms = bound
    watch.checker.check()
    watch.now_ms = bound + 1
    assert "[1]" in caught("liveness", watch.checker.check)


def test_nothing_is_owed_without_calm_or_once_trouble_is_back() -> None:
    watch = Watch()
    watch.checker.on_made(A, 10**9)
    watch.checker.on_answer((A,))
    watch.now_ms = 10**8
    watch.checker.check()
    watch.calm()
    watch.checker.on_trouble()
    watch.now_ms = 10**9
    watch.checker.check()


def test_what_is_refused_or_expires_in_between_is_not_waited_for() -> None:
    watch = Watch()
    watch.checker.on_calm()
    watch.checker.on_made(A, watch.checker.bound_ms)
    watch.checker.on_made(B, 10**9)
    watch.checker.on_answer((A, Refusal(Code.POOL_FULL, "full")))
    watch.now_ms = 10**8
    watch.checker.check()
