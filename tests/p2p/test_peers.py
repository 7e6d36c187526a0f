"""Back-off, scores, bans and the choice between two connections, on a clock made of integers."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.identity import PeerId
from p2p.peers import Backoff, Choice, KeyUse, Standing, choose

SMALL, LARGE = PeerId(b"\x01" * 32), PeerId(b"\x02" * 32)


def make_standing() -> Standing:
    return Standing(limit=100, decay_per_minute=20, ban_base_ms=10_000, ban_max_ms=60_000)


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_waits_double_up_to_the_cap_and_keep_their_jitter_in_the_upper_half(seed: int, attempts: int) -> None:
    backoff = Backoff(random.Random(seed), 200, 10_000)
    for attempt in range(attempts):
        ceiling = min(10_000, 200 * 2**attempt)
        assert ceiling // 2 <= backoff.next_delay_ms() <= ceiling
    backoff.reset()
    assert 100 <= backoff.next_delay_ms() <= 200


def test_nodes_that_failed_together_do_not_come_back_together() -> None:
    delays = {Backoff(random.Random(seed), 10_000, 60_000).next_delay_ms() for seed in range(50)}
    assert len(delays) > 40


def test_a_score_decays_with_time_and_bans_at_the_limit() -> None:
    standing = make_standing()
    assert not standing.report(60, 0)
    assert standing.score(0) == 60
    assert standing.score(60_000) == 40
    assert not standing.report(59, 60_000)
    assert standing.report(1, 60_000)
    assert standing.banned_for_ms(60_000) == 10_000
    assert standing.banned_for_ms(70_000) == 0
    assert standing.score(60_000) == 0


def test_decay_does_not_depend_on_how_often_the_score_is_read() -> None:
    often, seldom = make_standing(), make_standing()
    often.report(90, 0)
    seldom.report(90, 0)
    for now_ms in range(0, 120_001, 7):
        often.score(now_ms)
    assert often.score(120_000) == seldom.score(120_000) == 50


def test_bans_double_up_to_the_cap_and_good_behaviour_shortens_them_again() -> None:
    standing = make_standing()
    now_ms = 0
    lengths = []
    for _ in range(5):
        assert standing.report(100, now_ms)
        lengths.append(standing.banned_for_ms(now_ms))
        now_ms += lengths[-1]
    assert lengths == [10_000, 20_000, 40_000, 60_000, 60_000]
    now_ms += 5 * 60_000
    assert standing.report(100, now_ms)
    assert standing.banned_for_ms(now_ms) == 10_000


def test_a_banned_peer_is_not_banned_again_and_a_negative_weight_is_nothing() -> None:
    standing = make_standing()
    assert standing.report(500, 0)
    assert not standing.report(500, 1)
    assert standing.banned_for_ms(1) == 9_999
    fresh = make_standing()
    fresh.report(50, 0)
    fresh.report(-50, 0)
    assert fresh.score(0) == 50


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("old_by_small", [False, True])
@pytest.mark.parametrize("new_by_small", [False, True])
def test_both_ends_choose_the_same_connection(
    old_by_small: bool, new_by_small: bool, restarted: bool
) -> None:
    at_small = choose(
        SMALL,
        LARGE,
        old_dialled_by_us=old_by_small,
        old_instance=b"old",
        new_dialled_by_us=new_by_small,
        new_instance=b"new" if restarted else b"old",
    )
    at_large = choose(
        LARGE,
        SMALL,
        old_dialled_by_us=not old_by_small,
        old_instance=b"old",
        new_dialled_by_us=not new_by_small,
        new_instance=b"new" if restarted else b"old",
    )
    assert at_small is at_large
    refused = old_by_small and not new_by_small and not restarted
    assert at_small is (Choice.REFUSE if refused else Choice.REPLACE)


def test_of_two_simultaneous_connections_the_same_one_survives_whichever_came_first() -> None:
    for own, peer in ((SMALL, LARGE), (LARGE, SMALL)):
        by_small = own == SMALL
        kept = []
        for first, second in ((by_small, not by_small), (not by_small, by_small)):
            choice = choose(
                own,
                peer,
                old_dialled_by_us=first,
                old_instance=b"i",
                new_dialled_by_us=second,
                new_instance=b"i",
            )
            kept.append(second if choice is Choice.REPLACE else first)
        assert kept == [by_small, by_small]


def test_an_instance_that_comes_back_shows_two_processes_and_new_ones_never_do() -> None:
    use = KeyUse()
    for number in range(100):
        use.heard(b"%8d" % number, number)
        use.heard(b"%8d" % number, number)
    assert use.twice_ms_ago(1_000) is None
    use.heard(b"%8d" % 98, 2_000)
    assert use.twice_ms_ago(2_500) == 500
    use.heard(b"%8d" % 99, 3_000)
    assert use.twice_ms_ago(3_000) == 0
