"""The accounting of open and closed loops, on a clock that stands still until somebody sleeps."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
import trio
import trio.testing

from bench.cluster.delivery import Signed
from bench.cluster.figures import CERTIFIED, LATE_US, UNSENT, Window, traffic_of
from bench.cluster.pacing import Pacer
from bench.cluster.shapes import ClosedLoop, OpenLoop, Share, per_request_for, timetable

SECOND = 1_000_000
ALONE = Share(0, 1)


def clock_from_now() -> Callable[[], int]:
    begin = trio.current_time()
    return lambda: round((trio.current_time() - begin) * SECOND)


class FakeCluster:
    """Answers after `seconds`, from `stall_at` on only after `stall_seconds`."""

    def __init__(self, seconds: float, stall_at: int | None = None, stall_seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.stall_at = stall_at
        self.stall_seconds = stall_seconds
        self.under_way = 0
        self.most_under_way = 0
        self.numbers: list[int] = []

    async def deliver(self, number: int, batch: Sequence[Signed]) -> tuple[int, ...]:
        self.numbers.append(number)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        is_stalled = self.stall_at is not None and number >= self.stall_at
        await trio.sleep(self.stall_seconds if is_stalled else self.seconds)
        self.under_way -= 1
        return (CERTIFIED,) * len(batch)


def transactions(count: int) -> list[Signed]:
    return [Signed(number.to_bytes(32, "big"), b"bytes") for number in range(count)]


async def offer(cluster: FakeCluster, shape: OpenLoop, seconds: float, count: int = 10_000) -> Pacer:
    pacer = Pacer(cluster.deliver, iter(transactions(count)), ALONE, clock_from_now())
    await pacer.open_loop(timetable(shape, ALONE, seconds), shape.per_request, shape.in_flight)
    return pacer


async def test_every_request_goes_at_its_time_however_long_answers_take(
    autojump_clock: trio.testing.MockClock,
) -> None:
    cluster = FakeCluster(seconds=5.0)
    pacer = await offer(cluster, OpenLoop(100, 2, in_flight=1_000), seconds=2)
    traffic = traffic_of(pacer.samples, Window(0, 2 * SECOND))
    assert (traffic.planned, traffic.sent_tps, traffic.throughput_tps) == (200, 100.0, 0.0)
    assert cluster.most_under_way == 100
    assert traffic.latency_ms is not None
    assert traffic.latency_ms.p50 == pytest.approx(5_000, abs=1)
    assert {after - before for before, after in pairwise(sorted(set(pacer.samples.sent_us)))} == {20_000}


async def test_a_generator_that_stalls_is_late_and_all_that_waited_counts_the_wait(
    autojump_clock: trio.testing.MockClock,
) -> None:
    cluster = FakeCluster(seconds=0.010, stall_at=10, stall_seconds=1.0)
    pacer = await offer(cluster, OpenLoop(100, 1, in_flight=1), seconds=1)
    traffic = traffic_of(pacer.samples, Window(0, SECOND))
    assert traffic.planned == 100
    # The eleventh is answered after a second: 89 others have waited for it, and for each other.
    assert traffic.sent_tps == pytest.approx(11, abs=1)
    assert traffic.latency_ms is not None
    assert traffic.latency_ms.max == pytest.approx(90_000 - 900 + 10, rel=0.02)
    assert traffic.latency_ms.p90 > 70_000
    lateness = [
        sent - due for sent, due in zip(pacer.samples.sent_us, pacer.samples.intended_us, strict=True)
    ]
    assert sum(late <= LATE_US for late in lateness) == round(traffic.sent_tps)


async def test_too_few_transactions_are_told(autojump_clock: trio.testing.MockClock) -> None:
    pacer = await offer(FakeCluster(0.0), OpenLoop(100, 1, in_flight=10), seconds=1, count=30)
    assert pacer.tally.ran_out
    assert len(pacer.samples) == pacer.tally.certified == 30
    assert UNSENT not in pacer.samples.codes


async def test_a_closed_loop_keeps_its_number_under_way_and_begins_at_its_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    cluster = FakeCluster(seconds=0.1)
    clock = clock_from_now()
    pacer = Pacer(cluster.deliver, iter(transactions(10_000)), Share(1, 2), lambda: clock() - SECOND)
    await pacer.closed_loop(lanes=4, per_request=5, end_us=SECOND)
    assert cluster.most_under_way == 4
    assert min(pacer.samples.sent_us) == 0
    assert pacer.tally.certified == 4 * 5 * 10
    assert cluster.numbers[:4] == [1, 3, 5, 7]
    assert list(pacer.samples.sent_us) == list(pacer.samples.intended_us)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_one_timetable(processes: int) -> None:
    shape = OpenLoop(rate=300, per_request=7, in_flight=10)
    whole = list(timetable(shape, ALONE, 2.0))
    shared = [due for number in range(processes) for due in timetable(shape, Share(number, processes), 2.0)]
    assert sorted(shared, key=lambda due: due.number) == whole
    assert len(whole) * 7 == pytest.approx(600, abs=7)
    assert all(due.at_us == due.number * 7 * SECOND // 300 for due in whole)


def test_a_share_of_the_bound_is_never_nothing() -> None:
    assert [Share(number, 3).of(8) for number in range(3)] == [3, 3, 2]
    assert [Share(number, 3).of(1) for number in range(3)] == [1, 1, 1]


def test_high_rates_take_several_a_request() -> None:
    assert [per_request_for(rate) for rate in (1, 100, 101, 800, 3_000)] == [1, 1, 2, 8, 30]


def test_shapes_say_what_their_latency_means() -> None:
    assert "at fixed times" in OpenLoop(800, 8, 100).words()
    assert "mostly waiting" in ClosedLoop(1_000, 50).words()
    assert ClosedLoop(1, 1).words() == "closed loop: one transaction at a time"
