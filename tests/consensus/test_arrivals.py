"""Who may lead is written in the certified block (C12): proposals before it, wrong standings, starts."""

from consensus import (
    Block,
    Blocks,
    BlocksRequest,
    Broadcast,
    Certificates,
    Effect,
    Fault,
    Height,
    KeepEvidence,
    LeaderSchedule,
    Message,
    Offence,
    PayloadReady,
    Penalise,
    PendingPayload,
    Proposal,
    Received,
    RecoveredState,
    Replica,
    RequestPayload,
    Round,
    Send,
    Started,
    Timer,
    TimerFired,
    TimerKind,
    ValidatorIndex,
    Vote,
    standing_after,
)
from tests.consensus.cluster import ROOT, START_MS, config_of
from tests.consensus.forge import (
    KEYS,
    VALIDATORS,
    block,
    certify,
    chain,
    give_up,
    header_certificate,
    propose,
    rules,
    timeout,
)

NOW = START_MS + 1_000
ONE = block(1)
TWO = block(2, certify(ONE))
FAILED = block(3, certify(ONE), give_up(2, (1, 1, 1)))
"""Round 2, of validator 2, failed; validator 3 says so."""
NEXT = block(4, certify(FAILED), before=FAILED.standing)
"""Led by validator 0 or whoever stands in the turns without validator 2."""


def replica_of(index: int = 0, **bounds: int) -> Replica:
    recovered = RecoveredState(ROOT, START_MS)
    replica = Replica(config_of(**bounds), VALIDATORS, ValidatorIndex(index), rules(index), recovered)
    replica.step(Started(), NOW)
    return replica


def give(replica: Replica, message: Message, sender: int = 1) -> list[Effect]:
    return replica.step(Received(KEYS[sender].public_key, message), NOW)


def blame(effects: list[Effect]) -> list[str]:
    return [effect.error.code for effect in effects if isinstance(effect, Penalise)]


def votes(effects: list[Effect]) -> list[int]:
    sent = (effect.message for effect in effects if isinstance(effect, Broadcast))
    return [message.round for message in sent if isinstance(message, Vote)]


def held(replica: Replica) -> int:
    return {name: current for name, current, _ in replica.limits()}["proposals_held"]


def with_standing(made: Block, *faults: Fault) -> Block:
    return Block.make(
        cluster_id=made.cluster_id,
        epoch=made.epoch,
        round=made.round,
        qc=made.qc,
        tc=made.tc,
        certified=made.certified,
        payload=made.payload,
        author=made.author,
        time_ms=made.time_ms,
        standing=faults,
    )


# --- proposals before their parents ------------------------------------------------------------------


def test_a_proposal_that_overtook_its_parent_is_held_and_voted_for_when_that_has_come() -> None:
    replica = replica_of()
    assert votes(give(replica, propose(TWO), 2)) == []
    assert held(replica) == 1
    assert votes(give(replica, propose(ONE))) == [2]
    assert held(replica) == 0


def test_a_held_proposal_of_who_does_not_lead_is_blamed_on_its_sender_and_makes_room() -> None:
    replica = replica_of()
    wrong = block(2, certify(ONE), author=3)
    assert blame(give(replica, propose(wrong), 3)) == []
    assert held(replica) == 1
    give(replica, propose(TWO), 2)
    effects = give(replica, propose(ONE))
    assert blame(effects) == ["block-leader"]
    assert votes(effects) == [2], "the leader's own is not crowded out"
    assert held(replica) == 0


def test_two_held_proposals_of_one_author_are_evidence_and_take_one_place() -> None:
    replica = replica_of()
    give(replica, propose(TWO), 2)
    effects = give(replica, propose(block(2, certify(ONE), payload=b"other")), 2)
    [kept] = [effect for effect in effects if isinstance(effect, KeepEvidence)]
    assert (kept.evidence.offence, kept.evidence.accused) == (Offence.DOUBLE_PROPOSAL, 2)
    assert held(replica) == 1


def test_a_held_proposal_that_a_certificate_names_waits_in_the_tree_as_others_do() -> None:
    replica = replica_of()
    give(replica, propose(TWO), 2)
    give(replica, Certificates(certify(TWO), None, None))
    assert held(replica) == 0
    effects = give(replica, Blocks((propose(ONE),)))
    assert not blame(effects)
    assert replica.proposal(TWO.id) == propose(TWO)


def test_what_is_held_is_bounded_in_bytes_and_the_largest_makes_room() -> None:
    sizes = {1: 3_000, 2: 1_000, 3: 2_000}
    made = {a: block(2, certify(ONE), payload=b"x" * size, author=a) for a, size in sizes.items()}
    room = sum(len(made[author].encoded) for author in (2, 3))
    replica = replica_of(held_bytes_max=room)
    for author in (1, 2, 3):
        assert blame(give(replica, propose(made[author]), author)) == []
    limits = {name: (current, bound) for name, current, bound in replica.limits()}
    assert limits["proposals_held_bytes"] == (room, room)
    assert held(replica) == 2
    effects = give(replica, propose(ONE))
    assert blame(effects) == ["block-leader"], "of validator 3; that of 1 is gone, 2 leads"
    assert {name: current for name, current, _ in replica.limits()}["proposals_held_bytes"] == 0


def test_what_is_held_of_an_older_round_makes_room_for_the_current_one() -> None:
    small, large = block(2, certify(ONE)), block(3, certify(TWO), payload=b"x" * 5_000)
    replica = replica_of(held_bytes_max=len(large.encoded))
    give(replica, propose(small), 2)
    give(replica, propose(large), 3)
    assert held(replica) == 1
    give(replica, propose(ONE))
    give(replica, propose(TWO), 2)
    assert held(replica) == 0
    assert replica.proposal(large.id) == propose(large)


def test_held_proposals_are_forgotten_with_their_rounds() -> None:
    replica = replica_of()
    give(replica, propose(TWO), 2)
    give(replica, Certificates(certify(ONE), give_up(9, (1, 1, 1)), None))
    assert held(replica) == 0


def test_a_round_given_up_while_its_proposal_is_held_misses_the_parent() -> None:
    replica = replica_of()
    give(replica, propose(TWO), 2)
    replica.step(PendingPayload(True), NOW)
    replica.step(TimerFired(Timer(TimerKind.ROUND, Round(2))), NOW)
    assert [reason.name for reason, _ in replica.view().timeouts_by_reason] == ["PARENT_MISSING"]


def test_a_round_that_a_tc_opens_needs_no_parent_to_tell_its_leader() -> None:
    replica = replica_of()
    wrong = block(3, certify(ONE), give_up(2, (1, 1, 1)), author=2)
    assert blame(give(replica, propose(wrong), 2)) == ["block-leader"]
    give(replica, propose(FAILED), 3)
    assert held(replica) == 0
    assert votes(give(replica, propose(ONE))) == [3]


# --- who leads ----------------------------------------------------------------------------------------


def test_whoever_failed_is_left_out_of_the_rounds_that_a_qc_opens() -> None:
    replica = replica_of()
    for made in (ONE, FAILED):
        give(replica, propose(made), made.author)
    give(replica, Certificates(certify(FAILED), None, None))
    view = replica.view()
    assert view.left_out == (2,)
    assert view.leader == NEXT.author
    assert votes(give(replica, propose(NEXT), NEXT.author)) == [4]


def test_the_leader_is_the_same_whoever_signed_the_certificate_that_opens_the_round() -> None:
    """Each replica makes its QC of the votes that reached it first: the signers of a QC that is in no block
    yet are nobody's common knowledge."""
    leaders = set()
    for signers in ((0, 1, 2), (1, 2, 3), (0, 2, 3)):
        replica = replica_of()
        for made in (ONE, FAILED):
            give(replica, propose(made), made.author)
        give(replica, Certificates(certify(FAILED, signers), None, None))
        leaders.add(replica.view().leader)
    assert leaders == {NEXT.author}


def test_a_leader_proposes_by_the_standing_and_writes_it_into_its_block() -> None:
    replica = replica_of(int(NEXT.author))
    for made in (ONE, FAILED):
        give(replica, propose(made), made.author)
    replica.step(PendingPayload(True), NOW)
    give(replica, Certificates(certify(FAILED, (0, 1, 3)), None, None))
    effects = replica.step(PayloadReady(Round(4), b"new"), NOW)
    [sent] = [e.message for e in effects if isinstance(e, Broadcast) and isinstance(e.message, Proposal)]
    assert sent.block.standing == (Fault(ValidatorIndex(2), Round(2), 1, True),)


def test_a_standing_that_the_chain_does_not_show_gets_no_vote() -> None:
    slander = with_standing(TWO, Fault(ValidatorIndex(1), Round(1), 1, True))
    concealed = with_standing(FAILED)
    for made in (slander, concealed):
        replica = replica_of()
        give(replica, propose(ONE))
        assert votes(give(replica, propose(made), made.author)) == []
        refusal = replica.view().refusal
        assert refusal is not None
        assert "standing" in refusal


def test_a_fault_of_a_validator_that_there_is_not_is_blamed_on_its_sender() -> None:
    replica = replica_of()
    give(replica, propose(ONE))
    strange = with_standing(TWO, Fault(ValidatorIndex(4), Round(1), 1, True))
    assert blame(give(replica, propose(strange), 2)) == ["block-standing"]


# --- a round that a QC and a TC open ------------------------------------------------------------------

BY_TC = block(4, certify(ONE), give_up(3, (1, 1, 1)))
"""Round 4 once more, of whoever saw round 3 given up and not certified."""


def test_a_round_that_both_a_qc_and_a_tc_open_has_a_leader_by_each_and_the_first_gets_the_vote() -> None:
    assert (NEXT.author, BY_TC.author) == (1, 0)
    for first, second in ((NEXT, BY_TC), (BY_TC, NEXT)):
        replica = replica_of()
        for made in (ONE, FAILED):
            give(replica, propose(made), made.author)
        give(replica, Certificates(certify(ONE), give_up(3, (1, 1, 1)), None))
        effects = give(replica, propose(first), first.author)
        effects += give(replica, propose(second), second.author)
        assert votes(effects) == [4]
        assert not blame(effects)
        assert not [effect for effect in effects if isinstance(effect, KeepEvidence)]
        assert replica.proposal(second.id) == propose(second)


def test_a_second_proposal_of_either_leader_of_such_a_round_is_evidence() -> None:
    for first, second in ((NEXT, BY_TC), (BY_TC, NEXT)):
        for liar in (NEXT, BY_TC):
            replica = replica_of(3)
            for made in (ONE, FAILED, first, second):
                give(replica, propose(made), made.author)
            other = block(4, liar.qc, liar.tc, b"other", before=FAILED.standing if liar is NEXT else ())
            effects = give(replica, propose(other), liar.author)
            [kept] = [effect for effect in effects if isinstance(effect, KeepEvidence)]
            assert (kept.evidence.offence, kept.evidence.accused) == (Offence.DOUBLE_PROPOSAL, liar.author)


def test_whoever_voted_for_the_leader_by_a_tc_proposes_no_rival_when_the_qc_comes() -> None:
    """It could not vote for its own block any more: all it could do is split the votes of others."""
    replica = replica_of(int(NEXT.author))
    for made in (ONE, FAILED):
        give(replica, propose(made), made.author)
    give(replica, Certificates(certify(ONE), give_up(3, (1, 1, 1)), None))
    assert votes(give(replica, propose(BY_TC), BY_TC.author)) == [4]
    replica.step(PendingPayload(True), NOW)
    effects = give(replica, Certificates(certify(FAILED), None, None))
    assert replica.view().leader == NEXT.author
    assert not [effect for effect in effects if isinstance(effect, RequestPayload)]


# --- starts and borders -----------------------------------------------------------------------------------


def test_after_a_start_the_certified_root_tells_who_leads() -> None:
    """All that a restart or a catch-up leaves is one block: it is enough."""
    recovered = RecoveredState(
        ROOT,
        FAILED.time_ms,
        root=FAILED,
        root_height=Height(1),
        certified=header_certificate(1, FAILED.id),
        high_qc=certify(FAILED),
    )
    replica = Replica(config_of(), VALIDATORS, ValidatorIndex(0), rules(0), recovered)
    replica.step(Started(), NOW)
    assert replica.view().left_out == (2,)
    assert replica.view().leader == NEXT.author


def test_an_epoch_begins_with_nobody_left_out() -> None:  # C4
    replica = replica_of()
    assert replica.view().left_out == ()
    schedule = LeaderSchedule(VALIDATORS)
    first = standing_after((), ROOT, Round(1), ValidatorIndex(1), schedule, VALIDATORS)
    assert first == ()


def test_while_the_deciding_block_is_missing_the_view_names_the_turn() -> None:
    replica = replica_of()
    give(replica, Certificates(certify(TWO), None, None))
    view = replica.view()
    assert (view.round, view.leader, view.left_out) == (3, 3, ())


# --- answering before forgetting ---------------------------------------------------------------------


def test_blocks_that_the_next_step_forgets_are_still_sent_to_who_asked_before_it() -> None:
    """Whether the tree holds a block is asked before the step that answers; to forget it at the beginning of
    that step left the request without an answer, from tree or storage."""
    replica, blocks = replica_of(), chain(5)
    for made in blocks:
        give(replica, propose(made), made.author)
    give(replica, Certificates(None, None, header_certificate(3, blocks[2].id)))
    first = blocks[0].id
    assert replica.proposal(first) is not None
    effects = give(replica, BlocksRequest(first, 8))
    sent = [effect.message for effect in effects if isinstance(effect, Send)]
    assert sent == [Blocks((propose(blocks[0]),))]
    give(replica, timeout(1, 1))
    assert replica.proposal(first) is None
