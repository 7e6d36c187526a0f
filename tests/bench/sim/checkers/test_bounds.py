"""A gauge beyond its bound is caught, on the validator's side and on its shell's."""

import pytest

from bench.sim.checkers.bounds import JOURNAL_RECORDS_MAX, TIMERS_MAX, Bounds, HighWater
from tests.bench.sim.checkers.ledgers import OneHost
from tests.bench.sim.checkers.statements import caught


def test_the_most_is_kept_by_name() -> None:
    checker = Bounds()
    for current in (3, 7, 5):
        checker.check(OneHost(limits=(("queue", current, 7), ("still", 0, 9))).host)
    assert checker.high_water["queue"] == HighWater(7, 7)
    assert checker.high_water["still"] == HighWater(0, 9)


@pytest.mark.parametrize("current", [8, -1])
def test_a_gauge_out_of_bounds_is_caught(current: int) -> None:
    words = caught("bounds", lambda: Bounds().check(OneHost(limits=(("queue", current, 7),)).host))
    assert f"queue is {current}, bound 7" in words


def test_timers_and_the_journal_are_bounded_too() -> None:
    timers = OneHost(timers={str(number): number for number in range(TIMERS_MAX + 1)})
    caught("bounds", lambda: Bounds().check(timers.host))
    journal = OneHost()
    journal.disk.journal.extend((seq, b"") for seq in range(JOURNAL_RECORDS_MAX + 1))
    caught("bounds", lambda: Bounds().check(journal.host))
    journal.disk.is_full = True
    checker = Bounds()
    checker.check(journal.host)
    assert checker.high_water["shell_journal_records"].most == JOURNAL_RECORDS_MAX + 1
