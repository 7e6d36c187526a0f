"""Named timers on a virtual clock: each fires once, at its time, and restarting one moves it.

The clock must be asked for by each test itself: pytest-trio does not look for it behind other fixtures.
"""

from collections.abc import Iterator

import pytest
import trio
import trio.testing

from node.daemon.timers import STALE_FACTOR_MAX, Timers


class Bench:
    """Timers, and what fired when, in milliseconds from the start."""

    def __init__(self) -> None:
        self.fired: list[tuple[str, int]] = []
        self._began = trio.current_time()
        self.timers = Timers(self._note)

    def _note(self, name: str) -> None:
        self.fired.append((name, round(1000 * (trio.current_time() - self._began))))


@pytest.fixture
async def bench(nursery: trio.Nursery) -> Bench:
    made = Bench()
    nursery.start_soon(made.timers.run)
    return made


async def test_timers_fire_once_in_the_order_of_their_times(
    autojump_clock: trio.testing.MockClock, bench: Bench
) -> None:
    bench.timers.start("late", 300)
    bench.timers.start("early", 100)
    assert len(bench.timers) == 2
    await trio.sleep(10)
    assert bench.fired == [("early", 100), ("late", 300)]
    assert len(bench.timers) == 0


async def test_a_timer_started_again_fires_only_at_the_new_time_be_it_sooner_or_later(
    autojump_clock: trio.testing.MockClock, bench: Bench
) -> None:
    bench.timers.start("later", 100)
    bench.timers.start("later", 700)
    bench.timers.start("sooner", 900)
    bench.timers.start("sooner", 50)
    await trio.sleep(10)
    assert bench.fired == [("sooner", 50), ("later", 700)]


async def test_a_sooner_timer_wakes_a_sleeper_that_waits_for_a_later_one(
    autojump_clock: trio.testing.MockClock, bench: Bench
) -> None:
    bench.timers.start("far", 5_000)
    await trio.sleep(1)
    bench.timers.start("near", 100)
    await trio.sleep(10)
    assert bench.fired == [("near", 1_100), ("far", 5_000)]


async def test_a_stopped_timer_does_not_fire_and_may_start_again(
    autojump_clock: trio.testing.MockClock, bench: Bench
) -> None:
    bench.timers.start("a", 100)
    bench.timers.stop("a")
    bench.timers.stop("never started")
    await trio.sleep(1)
    assert bench.fired == []
    bench.timers.start("a", 100)
    await trio.sleep(1)
    assert bench.fired == [("a", 1_100)]


async def test_a_timer_may_start_itself_again_while_it_fires(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    fired: list[float] = []

    def again(name: str) -> None:
        fired.append(trio.current_time())
        if len(fired) < 4:
            timers.start(name, 250)

    timers = Timers(again)
    nursery.start_soon(timers.run)
    began = trio.current_time()
    timers.start("beat", 250)
    await trio.sleep(10)
    assert [round(1000 * (at - began)) for at in fired] == [250, 500, 750, 1000]


async def test_restarting_for_ever_leaves_a_bounded_heap(
    autojump_clock: trio.testing.MockClock, bench: Bench
) -> None:
    for number in range(10_000):
        bench.timers.start("round", 1_000 + number)
    assert len(bench.timers) == 1
    assert len(list(heap_of(bench.timers))) <= STALE_FACTOR_MAX * (1 + 16) + 1
    await trio.sleep(100)
    assert bench.fired == [("round", 10_999)]


def heap_of(timers: Timers) -> Iterator[tuple[float, str]]:
    """The entries that are kept, restarted ones included."""
    yield from timers._heap
