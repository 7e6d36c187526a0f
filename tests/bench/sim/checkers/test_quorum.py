"""Two blocks certified in a round, or a commit that a TC hides, are caught; quorums that agree are not."""

from bench.sim.checkers.quorum import ROUNDS_KEPT, Quorum
from tests.bench.sim.checkers.statements import ROOT, ROOT_QC, caught, name, qc_of, tc_of, vote_of

A, B, C = name("a"), name("b"), name("c")


def quorum() -> Quorum:
    return Quorum([1, 1, 1, 1])


def test_one_block_a_round_by_whatever_signers_is_fine() -> None:
    checker = quorum()
    checker.on_qc(ROOT_QC)
    for signers in ((0, 1, 2), (1, 2, 3), (0, 1, 2, 3)):
        checker.on_qc(qc_of(1, A, ROOT, 0, signers))
    checker.on_qc(qc_of(2, B, A, 1))
    checker.on_tc(tc_of(3, (1, 2, 1)))
    checker.on_tc(tc_of(3, (2, 2, 1), (1, 2, 3)))


def test_two_blocks_in_one_round_are_caught() -> None:
    checker = quorum()
    checker.on_qc(qc_of(5, A, ROOT, 0))
    assert "round 5" in caught("quorum", lambda: checker.on_qc(qc_of(5, B, ROOT, 0, (1, 2, 3))))


def test_one_block_with_two_parents_is_caught() -> None:
    checker = quorum()
    checker.on_qc(qc_of(5, A, B, 3))
    caught("quorum", lambda: checker.on_qc(qc_of(5, A, C, 3)))


def test_a_quorum_of_votes_is_a_certificate_that_nobody_made() -> None:
    checker = quorum()
    checker.on_qc(qc_of(5, A, ROOT, 0))
    for author in (0, 1, 1):
        assert not checker.on_vote(author, vote_of(author, 5, B))
    caught("quorum", lambda: checker.on_vote(3, vote_of(3, 5, B)))


def test_votes_complete_a_quorum_once() -> None:
    checker = quorum()
    assert [checker.on_vote(author, vote_of(author, 5, B)) for author in (0, 0, 1, 2, 3)] == [
        False,
        False,
        False,
        True,
        False,
    ]


def test_a_tc_that_hides_a_commit_is_caught_in_either_order() -> None:
    hiding = tc_of(7, (3, 4, 4))
    checker = quorum()
    checker.on_qc(qc_of(6, B, A, 5))
    caught("quorum", lambda: checker.on_tc(hiding))
    checker = quorum()
    checker.on_tc(hiding)
    assert "5 is committed" in caught("quorum", lambda: checker.on_qc(qc_of(6, B, A, 5)))


def test_a_tc_that_shows_the_commit_or_is_older_hides_nothing() -> None:
    checker = quorum()
    checker.on_qc(qc_of(6, B, A, 5))
    checker.on_tc(tc_of(7, (3, 5, 4)))
    checker.on_tc(tc_of(5, (3, 4, 4)))


def test_what_is_remembered_is_bounded_and_no_far_vote_gets_in() -> None:
    checker = quorum()
    for round in range(1, 4 * ROUNDS_KEPT):
        checker._certify(round, (A, ROOT, 0, None), "a test")
        checker.on_vote(0, vote_of(0, round, A)) if round % 8 == 0 else None
    assert len(checker._certified) < 2 * ROUNDS_KEPT
    assert len(checker._votes) < ROUNDS_KEPT
    known = len(checker._votes)
    checker.on_vote(3, vote_of(3, 10**9, A))
    assert len(checker._votes) == known
