"""Elapsed time goes by as time does, whatever is done to the wall clock; one timer is asked for."""

import pytest

from node.pool.alarm import Alarm
from node.pool.effects import Wake

NOON = 1_700_000_000_000


def test_time_goes_by_from_the_first_look_on_and_never_runs_backwards() -> None:
    alarm = Alarm()
    assert [alarm.advance(NOON + at) for at in (0, 30, 30, 10, 25)] == [0, 30, 30, 30, 45]


@pytest.mark.parametrize("by_ms", [3_600_000, 7, -7, -3_600_000])
def test_by_how_much_the_clock_was_set_is_no_time_and_what_went_by_meanwhile_is(by_ms: int) -> None:
    alarm = Alarm()
    alarm.advance(NOON)
    alarm.clock_set(by_ms)
    assert alarm.elapsed_ms == 0
    assert alarm.advance(NOON + by_ms + 40) == 40
    assert alarm.advance(NOON + by_ms + 50) == 50


def test_a_clock_that_is_set_before_the_first_look_tells_nothing() -> None:
    alarm = Alarm()
    alarm.clock_set(3_600_000)
    assert [alarm.advance(NOON + at) for at in (0, 5)] == [0, 5]


def test_a_step_that_is_told_and_taken_back_leaves_no_trace() -> None:
    """Who is held between its looks at two clocks is told so for nothing, and of the opposite next."""
    alarm = Alarm()
    alarm.advance(NOON)
    alarm.clock_set(-40)
    alarm.clock_set(40)
    assert alarm.advance(NOON + 50) == 50


def test_the_timer_is_set_for_what_is_left_where_the_clock_was_set_meanwhile() -> None:
    alarm = Alarm()
    alarm.advance(NOON)
    assert alarm.rearm(100) == [Wake(100)]
    alarm.clock_set(3_600_000)
    alarm.advance(NOON + 3_600_060)
    assert alarm.rearm(100) == []
    alarm.fired()
    assert alarm.rearm(100) == [Wake(40)]
