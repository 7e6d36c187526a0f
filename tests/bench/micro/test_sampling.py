"""Medians, spreads and the number of operations a run has, on samplers with a clock of their own."""

import gc
import json
from pathlib import Path

import pytest

from bench.micro.sampling import (
    RUNS,
    SPREAD_MAX,
    Figure,
    calibrate,
    measure,
    microseconds,
    without_collection,
)
from bench.micro.subject import Clock, Sampler, Subject, Workshop


def figure(*runs_us: float) -> Figure:
    return Figure("noun/operation", "thing", "cpu", 10, runs_us)


def test_the_figure_is_the_median_and_the_spread_is_above_the_fastest() -> None:
    measured = figure(10.0, 14.0, 11.0, 12.0, 90.0)
    assert measured.median_us == 12.0
    assert measured.spread == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("middle", "noisy"), [(10.0 * (1 + SPREAD_MAX), False), (11.51, True), (10.0, False)]
)
def test_a_run_is_noisy_when_its_median_is_far_above_its_fastest(middle: float, noisy: bool) -> None:
    assert figure(10.0, middle, 900.0).is_noisy is noisy


def test_a_clock_too_coarse_to_see_anything_is_no_division_by_zero() -> None:
    assert figure(0.0, 0.0, 0.0).spread == 0.0


def test_microseconds_are_per_operation_not_per_call() -> None:
    assert microseconds(lambda count: count * 0.001, 7, per=100) == pytest.approx(10.0)


def test_calibration_ends_with_a_run_of_the_wanted_length() -> None:
    elapsed = [0.0]

    class Ticking:
        def now(self) -> float:
            return elapsed[0]

    def sampler(count: int) -> float:
        elapsed[0] += count * 0.001 + count * 0.003  # a third as long again is preparation, and counts too
        return count * 0.001

    count = calibrate(sampler, Ticking(), 1.0)  # type: ignore[arg-type]  # a clock that this test moves
    assert count == pytest.approx(250, rel=0.01)


def test_garbage_collection_rests_and_comes_back() -> None:
    with without_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(RuntimeError), without_collection():
        raise RuntimeError
    assert gc.isenabled()


def test_a_measured_subject_has_its_runs_and_is_closed_afterwards(tmp_path: Path) -> None:
    closed: list[bool] = []

    def make(workshop: Workshop) -> Sampler:
        workshop.stack.callback(lambda: closed.append(True))
        return lambda count: count * 0.000_001

    measured = measure(Subject("a/b", "thing", make, Clock.WALL, per=2), tmp_path, 0.001)
    assert closed == [True]
    assert len(measured.runs_us) == RUNS
    assert measured.median_us == pytest.approx(0.5)
    assert measured.clock == "wall"
    plain = json.loads(json.dumps(measured.to_json()))
    assert set(plain) == {
        "name",
        "unit",
        "clock",
        "count",
        "runs_us",
        "median_us",
        "min_us",
        "max_us",
        "spread",
        "is_noisy",
    }
