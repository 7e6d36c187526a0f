"""P1 and C11: rounds are a function of certificates, and time grows and shrinks by steps."""

from dataclasses import replace

from consensus import Round
from consensus.pacemaker import Pacemaker, backoff_table
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
