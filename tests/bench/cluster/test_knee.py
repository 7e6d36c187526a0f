"""The search for the knee, on systems whose knee is known."""

import pytest

from bench.cluster.knee import RATE_MAX, find_knee


class FakeSystem:
    """Carries every rate up to its capacity, and remembers what it was asked."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.asked: list[int] = []

    async def carries(self, rate: int) -> bool:
        self.asked.append(rate)
        return rate <= self.capacity


@pytest.mark.parametrize("capacity", [1, 99, 200, 201, 3_170, 250_000])
@pytest.mark.parametrize("precision", [0.02, 0.1, 0.5])
async def test_the_knee_is_the_highest_rate_within_the_precision(capacity: int, precision: float) -> None:
    system = FakeSystem(capacity)
    knee = await find_knee(system.carries, 64, precision=precision, tries_max=64)
    assert knee.rate is not None
    assert knee.refused is not None
    assert knee.rate <= capacity < knee.refused
    assert knee.refused <= knee.rate * (1 + precision) + 1
    assert [rate for rate, _ in knee.tried] == system.asked


async def test_no_rate_is_tried_twice() -> None:
    system = FakeSystem(777)
    await find_knee(system.carries, 100, precision=0.01, tries_max=64)
    assert len(set(system.asked)) == len(system.asked)


async def test_a_system_that_carries_nothing_has_no_knee_and_is_left_alone_soon() -> None:
    system = FakeSystem(0)
    knee = await find_knee(system.carries, 1000)
    assert knee.rate is None
    assert knee.refused == min(system.asked)
    assert len(system.asked) < 10


async def test_a_system_without_limits_ends_the_search_at_the_highest_rate() -> None:
    knee = await find_knee(FakeSystem(10 * RATE_MAX).carries, 1000, tries_max=64)
    assert (knee.rate, knee.refused) == (RATE_MAX, None)


async def test_the_search_ends_at_its_bound() -> None:
    system = FakeSystem(123_456)
    knee = await find_knee(system.carries, 1, precision=0.0001, tries_max=5)
    assert len(system.asked) == 5
    assert knee.rate == 16


async def test_a_system_that_contradicts_itself_still_ends() -> None:
    answers = iter([True, True, False, True, False, True, False, True, False] * 10)

    async def carries(_: int) -> bool:
        return next(answers)

    knee = await find_knee(carries, 100, precision=0.001, tries_max=20)
    assert knee.rate is not None
    assert knee.refused is not None
    assert knee.rate < knee.refused
