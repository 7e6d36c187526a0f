"""Whoever signs two things, goes back, or speaks before it is durable is caught; honest signers are not."""

from bench.sim.checkers.signing import PLACES_KEPT, Signing
from consensus import Epoch, GuardRecord, Height, Round
from tests.bench.sim.checkers.statements import (
    ROOT,
    ROOT_QC,
    Fields,
    block_of,
    caught,
    certificate_of,
    chain_of,
    header_signature_of,
    name,
    pack,
    qc_of,
    tc_of,
    timeout_of,
    vote_of,
)

A, B, C = name("a"), name("b"), name("c")
GUARD = pack(
    GuardRecord(1, Epoch(0), Round(0), Round(10_000), Height(0), Height(10_000), Round(9_999)).to_value()
)


def record(
    voted: int = 0,
    *,
    timed_out: int = 0,
    proposed: int = 0,
    height: int = 0,
    locked: int = 0,
    floor: int = 0,
    floor_height: int = 0,
    vote: Fields | None = None,
    timeout: Fields | None = None,
    header: Fields | None = None,
) -> Fields:
    """A safety record as it stands in the journal."""
    numbers = (voted, locked, timed_out, proposed, height, floor, floor_height)
    return (1, 1, 0, *numbers, vote, timeout, header)


def signer(*records: Fields) -> Signing:
    checker = Signing()
    for one in records:
        checker.on_record(2, one)
    return checker


VOTE = vote_of(2, 5, A)
TIMEOUT = timeout_of(2, 6, qc_of(5, A, ROOT, 0))
SIGNED = header_signature_of(2, 3, A, B)


def test_an_honest_life_is_silent() -> None:
    checker = signer(record(5, vote=VOTE))
    checker.on_vote(2, GUARD, VOTE)
    checker.on_vote(2, GUARD, VOTE)
    checker.on_record(2, record(6, timed_out=6, vote=VOTE, timeout=TIMEOUT))
    checker.on_timeout(2, GUARD, TIMEOUT)
    checker.on_record(2, record(6, timed_out=6, height=3, vote=VOTE, timeout=TIMEOUT, header=SIGNED))
    checker.on_header(2, GUARD, SIGNED)
    block = block_of(7, author=2).seen
    checker.on_journaled_block(2, block)
    checker.on_record(2, record(6, timed_out=6, height=3, proposed=7, vote=VOTE, header=SIGNED))
    checker.on_proposal(2, GUARD, block)
    checker.on_vote(2, GUARD, VOTE)
    assert checker.votes == 3
    assert sorted(checker.signed) == [("header", 2, 3), ("proposal", 2, 7), ("timeout", 2, 6), ("vote", 2, 5)]


def test_two_votes_of_a_round_are_caught_in_the_journal_and_on_the_wire() -> None:
    other = vote_of(2, 5, B)
    checker = signer(record(5, vote=VOTE))
    assert "two votes" in caught("signing", lambda: checker.on_record(2, record(5, vote=other)))
    caught("signing", lambda: checker.on_vote(2, GUARD, other))


def test_two_lives_are_one_signer() -> None:
    checker = signer(record(5, vote=VOTE), record(0, floor=64))
    caught("signing", lambda: checker.on_record(2, record(5, floor=64, vote=vote_of(2, 5, B))))


def test_two_headers_of_a_height_are_caught() -> None:
    checker = signer(record(height=3, header=SIGNED))
    other = header_signature_of(2, 3, A, C)
    caught("signing", lambda: checker.on_record(2, record(height=3, header=other)))
    caught("signing", lambda: checker.on_header(2, GUARD, other))


def test_two_proposals_of_a_round_are_caught() -> None:
    checker = signer(record(proposed=7))
    checker.on_journaled_block(2, block_of(7, author=2).seen)
    caught("signing", lambda: checker.on_journaled_block(2, block_of(7, author=2, time_ms=2).seen))
    caught("signing", lambda: checker.on_proposal(2, GUARD, block_of(7, author=2, time_ms=2).seen))


def test_a_second_timeout_needs_a_higher_certificate() -> None:
    low, high = (timeout_of(2, 9, qc_of(round, A, ROOT, 0)) for round in (3, 4))
    rising = signer(record(9, timed_out=9, timeout=low), record(9, timed_out=9, timeout=high))
    rising.on_timeout(2, GUARD, low)
    rising.on_timeout(2, GUARD, high)
    falling = signer(record(9, timed_out=9, timeout=high))
    words = caught("signing", lambda: falling.on_record(2, record(9, timed_out=9, timeout=low)))
    assert "holding 4, then holding 3" in words


def test_a_vote_after_the_timeout_of_its_round_is_caught() -> None:
    checker = signer(record(6, timed_out=6, timeout=TIMEOUT))
    late = record(6, timed_out=6, timeout=TIMEOUT, vote=vote_of(2, 6, A))
    assert "after giving up" in caught("signing", lambda: checker.on_record(2, late))


def test_a_vote_below_the_last_vote_is_caught() -> None:
    checker = signer(record(5, vote=VOTE))
    assert "after round 5" in caught(
        "signing", lambda: checker.on_record(2, record(5, vote=vote_of(2, 4, A)))
    )


def test_a_timeout_below_the_lock_is_caught() -> None:
    checker = signer(record(8, vote=vote_of(2, 8, B, A, 7)))
    low = timeout_of(2, 9, qc_of(6, A, ROOT, 0))
    assert "locked on 7" in caught(
        "signing", lambda: checker.on_record(2, record(9, timed_out=9, timeout=low))
    )


def test_nothing_leaves_before_it_is_durable() -> None:
    checker = signer(record())
    block = block_of(7, author=2).seen
    caught("signing", lambda: checker.on_vote(2, GUARD, VOTE))
    caught("signing", lambda: checker.on_timeout(2, GUARD, TIMEOUT))
    caught("signing", lambda: checker.on_header(2, GUARD, SIGNED))
    caught("signing", lambda: checker.on_proposal(2, GUARD, block))
    checker.on_journaled_block(2, block)
    assert "before it was durable" in caught("signing", lambda: checker.on_proposal(2, GUARD, block))


def test_a_certificate_counts_only_what_is_in_the_journal_of_its_signer() -> None:
    checker = signer(record(5, timed_out=6, height=3))
    for good in (qc_of(5, A, ROOT, 0), tc_of(6, (5, 5, 5)), certificate_of(3, A, B)):
        checker.on_certificate(good, {})
    for early in (qc_of(6, A, ROOT, 0), tc_of(7, (5, 5, 5)), certificate_of(4, A, B)):
        caught("signing", lambda early=early: checker.on_certificate(early, {}))  # type: ignore[misc]  # bound now
        checker.on_certificate(early, {2: None})
    checker.on_certificate(qc_of(6, A, ROOT, 0, (0, 1, 3)), {})


def test_nothing_leaves_beyond_the_guard() -> None:
    low = pack(GuardRecord(1, Epoch(0), Round(0), Round(4), Height(0), Height(2), Round(3)).to_value())
    checker = signer(record(6, timed_out=6, height=3, vote=VOTE, timeout=TIMEOUT, header=SIGNED))
    for guard in (low, None):
        caught("signing", lambda guard=guard: checker.on_vote(2, guard, VOTE))  # type: ignore[misc]  # bound now
        caught("signing", lambda guard=guard: checker.on_timeout(2, guard, TIMEOUT))  # type: ignore[misc]  # as above
        caught("signing", lambda guard=guard: checker.on_header(2, guard, SIGNED))  # type: ignore[misc]  # as above


def test_a_journal_that_goes_back_is_caught() -> None:
    full = record(9, timed_out=9, proposed=9, height=9, locked=9)
    for place in (3, 4, 5, 6, 7):
        checker = signer(full)
        back = (*full[:place], 8, *full[place + 1 :])
        assert "back to 8" in caught("signing", lambda: checker.on_record(2, back))  # noqa: B023  # called at once


def test_lost_data_is_fine_once_the_floor_is_raised_above_it() -> None:
    full = record(9, timed_out=9, proposed=9, height=9, locked=9)
    checker = signer(full)
    checker.on_record(2, record(0, locked=63, floor=64, floor_height=64))
    forgetful = signer(full)
    caught("signing", lambda: forgetful.on_record(2, record(0)))


def test_nobody_speaks_for_another() -> None:
    checker = signer(record(5, vote=VOTE))
    checker.on_record(1, record(5))
    assert "of validator 2" in caught("signing", lambda: checker.on_vote(1, GUARD, VOTE))


def test_votes_go_to_blocks_that_extend_safely() -> None:
    chain = chain_of(1, 2, 3)
    hqc = chain[2].qc()
    low = chain[0].qc()
    good = [block_of(4, hqc), block_of(6, hqc, tc_of(5, (3, 1, 1))), block_of(6, hqc, tc_of(5, (1, 1, 1)))]
    bad = [
        block_of(6, hqc),
        block_of(6, low, tc_of(5, (3, 1, 1))),
        block_of(6, hqc, tc_of(4, (3, 1, 1))),
        block_of(3, hqc),
    ]
    for block, is_good in [(block, True) for block in good] + [(block, False) for block in bad]:
        checker = Signing()
        checker.on_block(block.seen)
        round, qc = block.seen.round, block.seen.qc
        voted = record(round, vote=vote_of(2, round, block.id, qc[2], qc[1]))
        if is_good:
            checker.on_record(2, voted)
        else:
            caught("signing", lambda: checker.on_record(2, voted))  # noqa: B023  # called at once


def test_honest_hosts_are_never_accused() -> None:
    caught("signing", lambda: Signing().on_evidence(1))


def test_places_are_forgotten_oldest_first() -> None:
    checker = Signing()
    for height in range(1, PLACES_KEPT + 11):
        checker.on_record(2, record(height=height, header=header_signature_of(2, height, A, B)))
    assert len(checker.signed) == PLACES_KEPT
    assert ("header", 2, 10) not in checker.signed
    caught("signing", lambda: checker.on_record(2, record(height=5, header=header_signature_of(2, 5, A, C))))


def test_the_root_needs_no_lock() -> None:
    checker = signer(record(1, timed_out=1, timeout=timeout_of(2, 1, ROOT_QC)))
    checker.on_timeout(2, GUARD, timeout_of(2, 1, ROOT_QC))
