"""Rules S1-S8 and the guard reservation, one test a sentence; then random orders of requests."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import (
    Block,
    Digest,
    Epoch,
    GuardRecord,
    Height,
    Round,
    SafetyRecord,
    SigningRefused,
    TimeoutReason,
    decode,
    encode,
)
from consensus.reservation import GUARD_ROUNDS
from consensus.safety import SafetyRules
from tests.consensus.cluster import ROOT
from tests.consensus.forge import block, certify, chain, give_up, header, rules, timeout, vote

WHY = TimeoutReason.NO_QUORUM


def sign_timeout(safety: SafetyRules, round: int, hqc: Block | None = None, tc: object = None) -> None:
    qc = ROOT if hqc is None else certify(hqc)
    safety.sign_timeout(Round(round), qc, tc, WHY, None)  # type: ignore[arg-type]  # tests pass a TC or None


# --- votes -----------------------------------------------------------------------------------------


def test_the_same_block_gets_the_stored_vote_again() -> None:  # S1
    safety = rules()
    first = block(1)
    assert safety.sign_vote(first) is safety.sign_vote(first)


def test_the_stored_vote_comes_before_every_other_rule() -> None:  # S1, C15
    safety = rules()
    first = block(1)
    stored = safety.sign_vote(first)
    sign_timeout(safety, 1)
    assert safety.sign_vote(first) is stored


def test_another_block_of_a_voted_round_is_refused() -> None:  # S1
    safety = rules()
    safety.sign_vote(block(1))
    with pytest.raises(SigningRefused, match="voted in round 1 for another block"):
        safety.sign_vote(block(1, payload=b"other"))


def test_a_round_below_the_last_voted_round_is_refused() -> None:  # S2
    first, second, third = chain(3)
    safety = rules()
    safety.sign_vote(third)
    with pytest.raises(SigningRefused, match="round 2 is not above the last voted round 3"):
        safety.sign_vote(second)
    assert safety.record.last_voted_round == 3
    assert first.round == 1


def test_a_gap_of_rounds_needs_a_timeout_certificate() -> None:  # S3
    with pytest.raises(SigningRefused, match="no TC"):
        rules().sign_vote(block(3))


def test_the_timeout_certificate_must_be_of_the_round_before() -> None:  # S3
    with pytest.raises(SigningRefused, match="TC of round 2 does not open round 4"):
        rules().sign_vote(block(4, tc=give_up(2)))


def test_a_block_below_the_highest_certificate_in_its_tc_is_refused() -> None:  # S3
    with pytest.raises(SigningRefused, match="QC of round 0 is below the highest round 1"):
        rules().sign_vote(block(3, tc=give_up(2, (0, 1, 0))))


def test_a_block_at_the_highest_certificate_in_its_tc_is_voted_for() -> None:  # S3
    (first,) = chain(1)
    assert rules().sign_vote(block(3, certify(first), give_up(2, (0, 1, 0)))).parent_round == 1


def test_a_superfluous_timeout_certificate_is_refused() -> None:  # S3
    with pytest.raises(SigningRefused, match="although the QC opens round 1"):
        rules().sign_vote(block(1, tc=give_up(1)))


def test_a_block_not_above_its_own_certificate_is_refused() -> None:  # S3
    (first,) = chain(1)
    with pytest.raises(SigningRefused, match="QC of round 1 in a block of round 1"):
        rules().sign_vote(block(1, certify(first)))


def test_a_vote_locks_its_parents_round() -> None:  # S4
    safety = rules()
    for voted in chain(3):
        safety.sign_vote(voted)
    assert safety.record.locked_round == 2


def test_after_a_timeout_the_round_gets_no_vote() -> None:  # S5
    safety = rules()
    sign_timeout(safety, 1)
    with pytest.raises(SigningRefused, match="round 1 is not above the last voted round 1"):
        safety.sign_vote(block(1))


def test_another_epoch_gets_no_vote() -> None:
    safety = rules(record=SafetyRecord.initial(Epoch(1), 1, Height(0)))
    with pytest.raises(SigningRefused, match="epoch 0, signing in epoch 1"):
        safety.sign_vote(block(1))


# --- timeouts --------------------------------------------------------------------------------------


def test_a_timeout_needs_a_certificate_that_opens_its_round() -> None:  # S6
    with pytest.raises(SigningRefused, match="no certificate opens round 2"):
        sign_timeout(rules(), 2)
    sign_timeout(rules(), 2, tc=give_up(1))


def test_a_timeout_must_not_hide_the_lock() -> None:  # S6
    first, second = chain(2)
    safety = rules()
    safety.sign_vote(second)
    with pytest.raises(SigningRefused, match="QC of round 0 is below the locked round 1"):
        sign_timeout(safety, 3, tc=give_up(2))
    sign_timeout(safety, 3, first, give_up(2, (1, 1, 1)))


def test_a_timeout_of_a_certified_round_is_refused() -> None:  # S6
    first, _ = chain(2)
    with pytest.raises(SigningRefused, match="already ends round 1"):
        sign_timeout(rules(), 1, first)


def test_a_timeout_below_the_last_vote_is_refused() -> None:  # S6
    first, second = chain(2)
    safety = rules()
    safety.sign_vote(second)
    with pytest.raises(SigningRefused, match="round 1 is below the last voted round 2"):
        sign_timeout(safety, 1)
    assert first.round == 1


def test_a_timeouts_certificate_must_reach_its_tc() -> None:  # S6
    with pytest.raises(SigningRefused, match="below 1 in the TC"):
        sign_timeout(rules(), 3, tc=give_up(2, (1, 0, 0)))


def test_a_timeout_carries_its_tc_only_when_needed() -> None:
    first, _ = chain(2)
    safety = rules()
    signed = safety.sign_timeout(Round(2), certify(first), give_up(1), WHY, None)
    assert signed.tc is None


# --- proposals and headers -------------------------------------------------------------------------


def test_one_proposal_a_round() -> None:  # S7
    safety = rules(1)
    safety.sign_proposal(block(1))
    with pytest.raises(SigningRefused, match="round 1 is not above the last proposed round 1"):
        safety.sign_proposal(block(1, payload=b"other"))


def test_nobody_elses_block_is_signed() -> None:  # S7
    with pytest.raises(SigningRefused, match="not ours"):
        rules(0).sign_proposal(block(1))


def test_header_heights_only_grow() -> None:  # S8, C3
    safety = rules()
    safety.sign_header(0, Height(5), Digest(bytes(32)), Digest(bytes(32)))
    for height in (5, 4):
        with pytest.raises(SigningRefused, match=f"height {height} is not above the last signed height 5"):
            safety.sign_header(0, Height(height), Digest(bytes(32)), Digest(b"\1" * 32))


# --- the guard -------------------------------------------------------------------------------------


def test_the_first_signature_raises_the_guard_and_the_next_sixty_four_do_not() -> None:  # C14
    safety = rules()
    blocks = chain(GUARD_ROUNDS + 2)
    safety.sign_vote(blocks[0])
    raised = safety.take_raised_guard()
    assert raised is not None
    assert raised.round_bound == 1 + GUARD_ROUNDS
    assert raised.locked_round == raised.round_bound - 1
    for voted in blocks[1 : GUARD_ROUNDS + 1]:
        safety.sign_vote(voted)
        assert safety.take_raised_guard() is None
    safety.sign_vote(blocks[GUARD_ROUNDS + 1])
    assert safety.take_raised_guard() is not None


def test_the_reservation_starts_at_what_is_durable() -> None:  # C14
    """The guard reaches the disk before the journal: a start above it would look like a rollback."""
    safety = rules()
    blocks = chain(GUARD_ROUNDS + 2)
    for voted in blocks[:-1]:
        safety.sign_vote(voted)
        if voted.round == 7:
            safety.on_durable(safety.record)
    safety.take_raised_guard()
    safety.sign_vote(blocks[-1])
    raised = safety.take_raised_guard()
    assert raised is not None
    assert raised.round_start == 7


def test_no_vote_proposal_or_header_at_or_below_the_floor_is_signed() -> None:  # C14
    empty = SafetyRecord.initial(Epoch(0), 1, Height(9))
    floor = replace(empty, floor_round=Round(9), floor_height=Height(9))
    safety = rules(1, floor)
    with pytest.raises(SigningRefused, match="not above the reserved round 9"):
        safety.sign_vote(block(1))
    with pytest.raises(SigningRefused, match="not above the reserved round 9"):
        safety.sign_proposal(block(9, tc=give_up(8)))
    with pytest.raises(SigningRefused, match="not above the reserved height 9"):
        safety.sign_header(0, Height(9), Digest(bytes(32)), Digest(bytes(32)))


def test_a_round_below_the_floor_is_given_up_holding_what_the_lost_data_was_locked_on() -> None:  # E17
    made = chain(8)
    empty = SafetyRecord.initial(Epoch(0), 1, Height(9))
    floor = replace(empty, floor_round=Round(9), floor_height=Height(9), locked_round=Round(7))
    safety = rules(1, floor)
    with pytest.raises(SigningRefused, match="QC of round 6 is below the locked round 7"):
        safety.sign_timeout(Round(7), certify(made[5]), None, WHY, None)
    given_up = safety.sign_timeout(Round(8), certify(made[6]), None, WHY, None)
    assert given_up.hqc_round == 7
    with pytest.raises(SigningRefused, match="not above the reserved round 9"):
        safety.sign_vote(block(9, certify(made[7])))
    assert safety.record.highest_signed_round == 9


def test_an_exact_guard_says_what_was_signed_and_nothing_more() -> None:  # E17
    safety = rules()
    safety.reserves_ahead = False
    made = chain(3)
    seen = []
    for signed in made:
        safety.sign_vote(signed)
        seen.append(safety.take_raised_guard())
    safety.sign_header(0, Height(5), Digest(bytes(32)), Digest(bytes(32)))
    seen.append(safety.take_raised_guard())
    safety.sign_timeout(Round(4), certify(made[2]), None, WHY, None)
    seen.append(safety.take_raised_guard())
    told = [(g.round_bound, g.height_bound, g.locked_round) for g in seen if g is not None]
    # a timeout shows the QC of round 3: the next one of its round must not show less (C20)
    assert told == [(1, 0, 0), (2, 0, 1), (3, 0, 2), (3, 5, 2), (4, 5, 3)]
    assert safety.guards_written == len(told)


def test_a_vote_for_our_own_proposal_raises_the_lock_of_an_exact_guard() -> None:  # E17
    """The proposal is signed first, and the vote for it is of a round that the guard holds already."""
    safety = rules(1)
    safety.reserves_ahead = False
    made = chain(2)
    safety.sign_vote(made[0])
    own = block(2, certify(made[0]), author=1)
    safety.sign_proposal(own)
    between = safety.take_raised_guard()
    assert between is not None
    assert (between.round_bound, between.locked_round) == (2, 0)
    safety.sign_vote(own)
    raised = safety.take_raised_guard()
    assert raised is not None
    assert (raised.round_bound, raised.locked_round) == (2, 1)


def test_a_lock_above_what_the_guard_says_writes_it_also_where_it_reserves_ahead() -> None:  # E7
    safety = rules(1)
    safety.reserves_ahead = False
    made = chain(2)
    own = block(2, certify(made[0]), author=1)
    safety.sign_proposal(own)
    assert safety.take_raised_guard() is not None
    safety.reserves_ahead = True
    safety.sign_vote(own)
    raised = safety.take_raised_guard()
    assert raised is not None
    assert raised.locked_round == raised.round_bound - 1 == 2 + GUARD_ROUNDS - 1


def test_a_guard_that_reaches_ahead_is_brought_back_once_that_can_be_afforded() -> None:  # E17
    safety = rules()
    safety.sign_vote(chain(1)[0])
    assert safety.take_raised_guard() is not None
    safety.on_durable(safety.record)
    safety.bring_guard_back()
    assert not safety.guard_is_raised
    safety.reserves_ahead = False
    safety.bring_guard_back()
    exact = safety.take_raised_guard()
    assert exact is not None
    assert (exact.round_start, exact.round_bound, exact.locked_round) == (1, 1, 0)
    safety.bring_guard_back()
    assert not safety.guard_is_raised


def test_the_guard_of_an_epoch_is_not_brought_into_the_next_before_something_is_signed() -> None:  # C4
    safety = rules()
    safety.reserves_ahead = False
    safety.sign_vote(chain(1)[0])
    safety.take_raised_guard()
    safety.on_durable(safety.enter(Epoch(1)))
    safety.bring_guard_back()
    assert not safety.guard_is_raised


def test_entering_an_epoch_restarts_rounds_and_keeps_heights() -> None:  # C4
    safety = rules()
    safety.sign_vote(block(1))
    safety.sign_header(0, Height(3), Digest(bytes(32)), Digest(bytes(32)))
    entered = safety.record.enter(Epoch(1))
    assert (entered.last_voted_round, entered.last_vote, entered.last_signed_height) == (0, None, 3)
    with pytest.raises(SigningRefused, match="does not follow"):
        entered.enter(Epoch(1))


def test_records_survive_their_encoding() -> None:
    made = chain(2)[1]
    record = replace(
        SafetyRecord.initial(Epoch(0), 3, Height(4)),
        last_vote=vote(made, 0),
        last_timeout=timeout(3, 0, certify(made), None),
        last_header=header(4, 0),
    )
    assert SafetyRecord.from_value(decode(encode(record.to_value()))) == record
    guard = GuardRecord(2, Epoch(1), Round(3), Round(4), Height(5), Height(6), Round(7))
    assert GuardRecord.from_value(decode(encode(guard.to_value()))) == guard


# --- random orders ---------------------------------------------------------------------------------

LONG = chain(6)
FORKS = [block(r + 1, certify(LONG[r - 1]), payload=b"fork") for r in range(1, 6)]
BY_TC = [block(r, certify(LONG[0]), give_up(r - 1, (1, 1, 1)), b"late") for r in range(3, 7)]
REQUESTS = st.one_of(
    st.tuples(st.just("vote"), st.sampled_from(LONG + FORKS + BY_TC)),
    st.tuples(st.just("timeout"), st.sampled_from(LONG)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(REQUESTS, max_size=20))
def test_no_order_of_requests_makes_conflicting_signatures(requests: list[tuple[str, Block]]) -> None:
    safety = rules()
    votes: dict[int, bytes] = {}
    timeouts: dict[int, int] = {}
    locked = 0
    for kind, made in requests:
        before = safety.record
        if kind == "vote" and safety.may_vote(made) is None:
            signed = safety.sign_vote(made)
            assert votes.setdefault(signed.round, signed.block_id) == signed.block_id
            if before.last_vote != signed:
                assert signed.round > max(timeouts, default=0)
            locked = max(locked, signed.parent_round)
        elif kind == "timeout":
            round = Round(made.round + 1)
            if safety.may_time_out(round, certify(made), None) is None:
                safety.sign_timeout(round, certify(made), None, WHY, None)
                timeouts[round] = made.round
                assert made.round >= locked
        after = safety.record
        assert after.last_voted_round >= before.last_voted_round
        assert after.locked_round >= before.locked_round
        assert after.highest_timeout_round >= before.highest_timeout_round
