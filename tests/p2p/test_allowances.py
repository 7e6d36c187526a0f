"""Token buckets by key: the rate, the burst, the bound of the table, and what a pause gives back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.allowances import Allowances


def test_a_burst_is_granted_at_once_and_then_the_rate() -> None:
    allowances = Allowances[str](per_second=10, burst=3, keys_max=8)
    assert [allowances.take("a", 0) for _ in range(4)] == [0, 0, 0, 100]
    assert allowances.take("a", 99) == 1
    assert allowances.take("a", 100) == 0
    assert allowances.take("a", 100) == 100
    assert allowances.refused == 3


def test_keys_have_nothing_to_do_with_each_other() -> None:
    allowances = Allowances[bytes](per_second=1, burst=1, keys_max=8)
    assert allowances.take(b"a", 0) == 0
    assert allowances.take(b"a", 0) == 1_000
    assert allowances.take(b"b", 0) == 0


def test_more_than_the_burst_is_granted_once_and_paid_back_in_full() -> None:
    allowances = Allowances[str](per_second=10, burst=5, keys_max=8)
    assert allowances.take("a", 0, 20) == 0
    assert allowances.take("a", 0) == 1_600, "20 are owed and 4 may be: 16 tenths of a second"
    assert allowances.take("a", 1_600) == 0


def test_a_charge_is_taken_whether_it_is_there_or_not_and_its_wait_is_bounded() -> None:
    allowances = Allowances[str](per_second=10, burst=5, keys_max=8)
    allowances.charge("a", 0, 3, 1_000)
    assert [allowances.take("a", 0) for _ in range(3)] == [0, 0, 100]
    allowances.charge("a", 0, 1_000_000, 1_000)
    assert allowances.take("a", 0) == 1_000
    assert allowances.take("a", 1_000) == 0
    free = Allowances[str](per_second=0, burst=1, keys_max=1)
    free.charge("a", 0, 9, 1_000)
    assert (free.take("a", 0), len(free)) == (0, 0)


def test_the_table_forgets_who_was_here_longest_ago() -> None:
    allowances = Allowances[str](per_second=1, burst=1, keys_max=2)
    for key in ("a", "b", "c"):
        assert allowances.take(key, 0) == 0
    assert len(allowances) == 2
    assert allowances.take("c", 0) > 0
    assert allowances.take("a", 0) == 0, "forgotten, so its bucket is full again"


def test_no_rate_allows_everything_and_remembers_nobody() -> None:
    allowances = Allowances[str](per_second=0, burst=1, keys_max=1)
    assert [allowances.take("a", 0, 1_000_000) for _ in range(3)] == [0, 0, 0]
    assert len(allowances) == 0


@pytest.mark.parametrize(("rate", "burst", "keys"), [(-1, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_an_allowance_that_cannot_work_is_refused(rate: int, burst: int, keys: int) -> None:
    with pytest.raises(ValueError, match="an allowance of"):
        Allowances[str](rate, burst, keys)


@given(st.lists(st.integers(0, 400), max_size=60), st.integers(1, 50), st.integers(1, 20))
def test_never_more_than_the_burst_and_the_rate_in_any_stretch_of_time(
    pauses_ms: list[int], rate: int, burst: int
) -> None:
    allowances = Allowances[str](rate, burst, 4)
    now_ms, granted = 0, 0
    for pause_ms in pauses_ms:
        now_ms += pause_ms
        granted += allowances.take("a", now_ms) == 0
        assert granted * 1_000 <= burst * 1_000 + rate * now_ms


@given(st.integers(1, 50), st.integers(1, 5), st.integers(1, 30))
def test_who_waits_as_long_as_told_is_granted(rate: int, burst: int, taken: int) -> None:
    allowances = Allowances[str](rate, burst, 4)
    for _ in range(taken):
        allowances.take("a", 0)
    wait_ms = allowances.take("a", 0)
    assert wait_ms == 0 or allowances.take("a", wait_ms) == 0
