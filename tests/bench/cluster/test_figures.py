"""Percentiles, rates, series and pauses on samples that were made up, so that every answer is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cluster.figures import (
    LATE_US,
    PENDING,
    UNSENT,
    Aftermath,
    Pause,
    Samples,
    Second,
    Window,
    aftermath_of,
    distribution_of,
    latency_of,
    pauses_of,
    percentile,
    traffic_of,
)
from node.ledger.codes import Code

SECOND = 1_000_000
WINDOW = Window(10 * SECOND, 13 * SECOND)


def samples_of(*rows: tuple[int, int | None, int | None, int]) -> Samples:
    """Rows of intended, sent, answered and code; None for what did not happen."""
    samples = Samples()
    for intended, sent, answered, code in rows:
        position = samples.plan(intended)
        if sent is not None:
            samples.send(position, sent)
        if answered is not None:
            samples.answer(position, answered, code)
    return samples


def test_percentiles_are_samples_by_nearest_rank() -> None:
    hundred = [float(number) for number in range(1, 101)]
    assert [percentile(hundred, share) for share in (0.5, 0.9, 0.99, 0.999, 1.0)] == [50, 90, 99, 100, 100]
    thousand = [float(number) for number in range(1, 1001)]
    assert percentile(thousand, 0.999) == 999
    assert percentile([7.0], 0.5) == percentile([7.0], 0.999) == 7
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


@given(st.lists(st.integers(0, 10**9), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 0.999]))
def test_a_percentile_is_a_sample_that_enough_do_not_exceed(samples: list[int], share: float) -> None:
    ordered = [float(sample) for sample in sorted(samples)]
    found = percentile(ordered, share)
    not_above = sum(sample <= found for sample in ordered)
    below = sum(sample < found for sample in ordered)
    assert found in ordered
    assert below / len(ordered) < share <= not_above / len(ordered) + 1e-9


def test_a_distribution_counts_in_milliseconds() -> None:
    found = latency_of([3_000, 1_000, 2_000, 10_000])
    assert found is not None
    assert (found.count, found.p50, found.p99, found.max, found.mean) == (4, 2.0, 10.0, 10.0, 4.0)
    assert latency_of([]) is None


def test_a_distribution_can_be_drawn_from_few_points() -> None:
    points = distribution_of([1_000 * number for number in range(1, 1_001)])
    assert points[0] == (0.01, 10.0)
    assert points[-1] == (1.0, 1_000.0)
    assert dict(points)[0.5] == 500.0
    assert [latency for _, latency in points] == sorted(latency for _, latency in points)
    assert distribution_of([]) == ()


def test_latency_counts_from_the_intended_time_however_late_it_was_sent() -> None:
    late = 11 * SECOND + 2 * LATE_US
    samples = samples_of((11 * SECOND, late, late + 5_000, 0))
    traffic = traffic_of(samples, WINDOW)
    assert traffic.latency_ms is not None
    assert traffic.latency_ms.p50 == (2 * LATE_US + 5_000) / 1000
    assert (traffic.planned, traffic.sent_tps) == (1, 0.0)


def test_what_came_at_its_time_counts_as_offered_and_what_failed_is_told_by_code() -> None:
    at = 11 * SECOND
    samples = samples_of(
        (at, at, at + 1_000, 0),
        (at, at + LATE_US, at + LATE_US + 1_000, 0),
        (at, at, at + 9_000, Code.RECORD_EXISTS),
        (at, at, None, 0),
        (at, None, None, 0),
    )
    traffic = traffic_of(samples, WINDOW)
    assert traffic.planned == 5
    assert traffic.sent_tps == pytest.approx(4 / 3)
    assert traffic.throughput_tps == pytest.approx(2 / 3)
    assert traffic.failed == {PENDING: 1, UNSENT: 1, Code.RECORD_EXISTS: 1}
    assert traffic.latency_ms is not None
    assert traffic.latency_ms.count == 2


def test_only_the_window_is_measured() -> None:
    samples = samples_of(
        (9 * SECOND, 9 * SECOND, 11 * SECOND, 0),  # of the warm-up, certified in the window
        (12 * SECOND, 12 * SECOND, 14 * SECOND, 0),  # of the window, certified after it
        (13 * SECOND, 13 * SECOND, 13 * SECOND + 1, 0),
    )
    traffic = traffic_of(samples, WINDOW)
    assert traffic.planned == 1
    assert traffic.throughput_tps == pytest.approx(1 / 3)
    assert traffic.latency_ms is not None
    assert (traffic.latency_ms.count, traffic.latency_ms.p50) == (1, 2000.0)


def test_the_series_has_every_second_of_the_window() -> None:
    samples = samples_of(
        (10 * SECOND, 10 * SECOND, 10 * SECOND + 2_000, 0),
        (10 * SECOND, 10 * SECOND, 10 * SECOND + 4_000, 0),
        (12 * SECOND, 12 * SECOND + 1, 12 * SECOND + 7_000, 0),
    )
    assert traffic_of(samples, WINDOW).series == (
        Second(0, 2, 2, 2.0, 4.0),
        Second(1, 0, 0, None, None),
        Second(2, 1, 1, 7.0, 7.0),
    )


def test_a_window_with_half_a_second_has_a_last_short_second() -> None:
    assert [second.second for second in traffic_of(Samples(), Window(0, 2 * SECOND + 1)).series] == [0, 1, 2]


def test_the_longest_pauses_come_first_and_the_ends_of_the_window_count() -> None:
    moments = [10 * SECOND + 100_000, 10 * SECOND + 200_000, 12 * SECOND, 12 * SECOND + 900_000]
    pauses = pauses_of(moments, WINDOW, 3)
    assert pauses == (Pause(0.2, 1800.0), Pause(2.0, 900.0), Pause(0.0, 100.0))
    assert pauses_of([], WINDOW, 3) == (Pause(0.0, 3000.0),)


def after(fault_us: int, end_us: int, *moments_us: int) -> Aftermath:
    """With certified receipts at these times, and one at a quarter of a second that was refused."""
    samples = samples_of(*((0, 0, at_us, 0) for at_us in moments_us), (0, 0, 250_000, 203))
    return aftermath_of(samples, Window(0, end_us), fault_us)


def test_the_pause_after_a_fault_counts_from_it() -> None:
    found = after(2 * SECOND, 3 * SECOND, SECOND, 2 * SECOND + 400_000)
    assert found.longest == Pause(0.4, 600.0)
    assert found.pauses == (Pause(0.4, 600.0), Pause(0.0, 400.0))
    assert after(2 * SECOND, 2_500_000, SECOND, 2 * SECOND + 400_000).longest == Pause(0.0, 400.0)


def test_one_long_pause_after_a_fault_counts_once_and_short_ones_never() -> None:
    usual = range(0, SECOND, 10_000)
    found = after(SECOND, 3 * SECOND, *usual, 1_900_000, *range(2 * SECOND, 3 * SECOND, 200_000))
    assert (found.bound_ms, found.count) == (250.0, 1)
    assert found.pauses == (Pause(0.0, 900.0),)


def test_a_pause_of_a_slow_load_is_longer_than_five_of_its_usual_gaps() -> None:
    usual = range(0, 10 * SECOND, 200_000)
    found = after(
        10 * SECOND, 20 * SECOND, *usual, 10_900_000, 12_000_000, *range(12_100_000, 20_000_000, 900_000)
    )
    assert found.bound_ms == 1000.0
    assert (found.count, found.pauses) == (1, (Pause(0.9, 1100.0),))


def test_a_cluster_that_never_came_back_paused_once_until_the_end() -> None:
    assert after(SECOND, 3 * SECOND, *range(0, SECOND, 10_000)).pauses == (Pause(0.0, 2000.0),)


def test_samples_travel_between_processes() -> None:
    samples = samples_of((1, 2, 3, 0), (4, None, None, 0))
    again = Samples.from_bytes(samples.to_bytes())
    assert again == samples
    again.extend(samples)
    assert len(again) == 4
    assert list(again.intended_us) == [1, 4, 1, 4]
    with pytest.raises(ValueError, match="no samples"):
        Samples.from_bytes(b"12345")
