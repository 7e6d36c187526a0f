"""P1 and C11: rounds are a function of certificates, and time grows and shrinks by steps."""

from dataclasses import replace

from consensus import Round
from consensus.pacemaker import LOWERED_AFTER, Pacemaker, backoff_table
from tests.consensus.cluster import ROOT
from tests.consensus.forge import certify, chain, give_up

BLOCKS = chain(5)


def pacemaker() -> Pacemaker:
    return Pacemaker(ROOT, None, 600, 30_000)


def test_backoff_grows_by_a_fifth_up_to_exactly_the_maximum() -> None:
    table = backoff_table(600, 30_000)
    assert table[:4] == (600, 720, 864, 1036)
    assert table[-1] == 30_000
    assert len(table) == 23
    assert backoff_table(1, 5) == (1, 2, 3, 4, 5)
    assert backoff_table(700, 700) == (700,)


def test_a_round_is_entered_by_the_certificate_of_the_round_before() -> None:  # P1
    pace = pacemaker()
    assert pace.round == 1
    assert pace.on_qc(certify(BLOCKS[0]))
    assert pace.round == 2
    assert pace.opened_by == certify(BLOCKS[0])
    assert pace.tc_to_carry is None
    assert pace.on_tc(give_up(2))
    assert pace.round == 3
    assert pace.tc_to_carry == give_up(2)


def test_older_certificates_change_nothing() -> None:
    pace = pacemaker()
    pace.on_qc(certify(BLOCKS[2]))
    assert not pace.on_qc(certify(BLOCKS[1]))
    assert pace.on_tc(give_up(1))
    assert not pace.on_tc(give_up(1))
    assert (pace.round, pace.failed_rounds) == (4, 0)


def test_a_late_qc_of_a_failed_round_is_taken_without_moving() -> None:
    pace = pacemaker()
    pace.on_tc(give_up(1))
    assert pace.on_qc(certify(BLOCKS[0]))
    assert (pace.round, pace.tc_to_carry) == (2, None)


def test_recovery_starts_from_both_certificates() -> None:  # P1
    pace = Pacemaker(certify(BLOCKS[0]), give_up(7), 600, 30_000)
    assert pace.round == 8
    assert Pacemaker(certify(BLOCKS[4]), give_up(2), 600, 30_000).round == 6


def test_failures_lengthen_rounds_and_commits_shorten_them_step_by_step() -> None:  # C11
    pace = pacemaker()
    for failed in range(1, 41):
        pace.on_tc(replace(give_up(1), round=Round(failed)))
    assert pace.duration_ms == 30_000
    assert pace.failed_rounds == pace.backoff_steps_max == 22
    for _ in range(22):
        pace.on_commit()
    assert pace.duration_ms == 600
    pace.on_commit()
    assert pace.failed_rounds == 0


def test_the_base_falls_to_what_good_rounds_take_and_never_below_half_of_it() -> None:  # C11
    pace = pacemaker()
    for _ in range(LOWERED_AFTER):
        pace.on_good_round(10)
    assert (pace.duration_ms, pace.base_ms) == (600, 600)
    pace.on_good_round(10)
    assert (pace.duration_ms, pace.base_ms) == (346, 346)
    assert Pacemaker(ROOT, None, 200, 30_000).base_ms == 200
    pace.on_tc(give_up(1))
    assert pace.duration_ms == 416


def test_a_small_base_does_not_fall() -> None:
    pace = Pacemaker(ROOT, None, 200, 30_000)
    for _ in range(2 * LOWERED_AFTER):
        pace.on_good_round(1)
    assert pace.duration_ms == 200


def test_a_slow_round_raises_the_base_at_once_and_is_forgotten_slowly() -> None:
    pace = pacemaker()
    pace.on_good_round(300)
    assert pace.duration_ms == 1_036  # the first step of the table that is 3 * 300 or more
    for _ in range(10):
        pace.on_good_round(20)
    assert 600 < pace.duration_ms <= 864
    for _ in range(60):
        pace.on_good_round(20)
    assert pace.duration_ms == 346


def test_a_clock_that_was_set_moves_the_base_within_its_bounds() -> None:
    pace = pacemaker()
    pace.on_good_round(-3_600_000)
    assert pace.duration_ms == 600
    pace.on_good_round(3_600_000)
    assert 2_400 <= pace.duration_ms < 2_400 * 6 // 5
    for failed in range(1, 41):
        pace.on_tc(replace(give_up(1), round=Round(failed)))
    assert pace.duration_ms == 30_000
    assert Pacemaker(ROOT, None, 700, 700).duration_ms == 700
