"""What was admitted in calm is stored everywhere within the bound, or somebody hears of it."""

import pytest

from bench.sim.checkers.liveness import BASE_TIMEOUT_MS, MAX_TIMEOUT_MS, Liveness, bound_ms, faults_tolerated
from consensus import Digest
from node.ledger.codes import Code
from node.validator import Refusal
from tests.bench.sim.checkers.statements import caught, name

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


def test_the_bound_grows_with_what_back_off_may_have_come_to_and_no_further() -> None:
    fresh = bound_ms(0, (1,) * 4, 0)
    assert fresh == 12 * BASE_TIMEOUT_MS * 6 // 5
    assert bound_ms(10_000, (1,) * 4, 0) == 12 * (BASE_TIMEOUT_MS + 2_000) * 6 // 5
    assert bound_ms(10**9, (1,) * 4, 0) == 12 * MAX_TIMEOUT_MS * 6 // 5


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
