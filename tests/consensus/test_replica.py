"""Through the door of one replica: bad input is blamed, good input is counted once, nothing raises."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import (
    Block,
    Blocks,
    BlocksRequest,
    Broadcast,
    Certificates,
    CertificatesRequest,
    Certified,
    ChainSynced,
    Commit,
    Digest,
    Diverged,
    Effect,
    Epoch,
    Evidence,
    FellBehind,
    GuardRecord,
    HeaderComputed,
    Height,
    KeepEvidence,
    LocalError,
    MalformedMessage,
    Message,
    Offence,
    PayloadChecked,
    PayloadReady,
    PeerConnected,
    PeerError,
    Penalise,
    PendingPayload,
    Persist,
    Persisted,
    Proposal,
    Received,
    RecoveredState,
    Replica,
    RequestPayload,
    Round,
    SafetyRecord,
    Send,
    SetTimer,
    Started,
    Status,
    Timeout,
    Timer,
    TimerFired,
    TimerKind,
    ValidatorIndex,
    ValidatorSet,
    Verdict,
    Vote,
    decode_message,
    encode_message,
    root_certificate,
)
from tests.consensus.cluster import ROOT, START_MS, config_of
from tests.consensus.forge import (
    CLUSTER_ID,
    KEYS,
    VALIDATORS,
    block,
    certify,
    chain,
    give_up,
    header,
    header_certificate,
    propose,
    rules,
    timeout,
    vote,
)

NOW = START_MS + 1_000
FIRST, SECOND, THIRD = chain(3)


def replica_of(index: int = 0, **changes: object) -> Replica:
    """A started replica of validator `index` with nothing on disk."""
    recovered = RecoveredState(ROOT, START_MS)
    replica = Replica(config_of(**changes), VALIDATORS, ValidatorIndex(index), rules(index), recovered)
    replica.step(Started(), NOW)
    return replica


def give(replica: Replica, message: Message, sender: int = 1) -> list[Effect]:
    return replica.step(Received(KEYS[sender].public_key, message), NOW)


def blame(effects: list[Effect]) -> list[str]:
    return [effect.error.code for effect in effects if isinstance(effect, Penalise)]


def of_kind(effects: list[Effect], kind: type[Effect]) -> list[Effect]:
    return [effect for effect in effects if isinstance(effect, kind)]


def timers_in(effects: list[Effect]) -> list[TimerKind]:
    """Those that are set."""
    return [effect.timer.kind for effect in effects if isinstance(effect, SetTimer)]


# --- bad input ---------------------------------------------------------------------------------------

JUNK_QC = replace(certify(FIRST), signatures=certify(FIRST).signatures[:-1] + b"\0")
JUNK_TC = replace(give_up(2), signatures=bytes(192))
JUNK_HEADER = replace(header_certificate(1, FIRST.id), signatures=bytes(192))
OTHER_CLUSTER = Block.make(
    cluster_id=bytes(32),
    epoch=Epoch(0),
    round=Round(1),
    qc=ROOT,
    tc=None,
    certified=None,
    payload=b"",
    author=ValidatorIndex(1),
    time_ms=NOW,
)

BAD: dict[str, tuple[str, Message, int]] = {
    "a vote over another's link": ("vote-link", vote(FIRST, 2), 1),
    "a vote of an unknown validator": ("vote-link", replace(vote(FIRST, 1), author=ValidatorIndex(99)), 1),
    "a vote with a wrong signature": ("vote-signature", vote(FIRST, 1, KEYS[2]), 1),
    "a vote with an impossible commit": ("vote-shape", replace(vote(FIRST, 1), commit_id=None), 1),
    "a vote below its parent": ("vote-shape", replace(vote(FIRST, 1), parent_round=Round(1)), 1),
    "a timeout over another's link": ("timeout-link", timeout(1, 2), 1),
    "a timeout with a wrong signature": (
        "timeout-signature",
        replace(timeout(1, 1), signature=timeout(1, 2).signature),
        1,
    ),
    "a timeout that nothing opens": ("timeout-opening", timeout(5, 1), 1),
    "a timeout with the TC of another round": ("timeout-opening", timeout(5, 1, tc=give_up(2)), 1),
    "a timeout whose QC is below its TC": ("timeout-opening", timeout(3, 1, tc=give_up(2, (1, 0, 0))), 1),
    "a timeout of a certified round": ("timeout-hqc", timeout(1, 1, certify(FIRST)), 1),
    "a timeout with a superfluous TC": ("timeout-tc", timeout(1, 1, tc=give_up(1)), 1),
    "a timeout with a junk QC": ("qc-signature", timeout(2, 1, JUNK_QC), 1),
    "a timeout with a junk TC": ("tc-signature", timeout(3, 1, tc=JUNK_TC), 1),
    "a header signature over another's link": ("header-signature-link", header(1, 2), 1),
    "a header signature that is none": (
        "header-signature-signature",
        replace(header(1, 1), signature=header(2, 1).signature),
        1,
    ),
    "a block of another cluster": ("block-epoch", propose(OTHER_CLUSTER), 1),
    "a block of a validator that does not lead": ("block-leader", propose(block(1, author=2)), 2),
    "a block of an unknown author": ("block-leader", propose(block(1, author=77), 1), 1),
    "a block that its author did not sign": ("block-signature", propose(block(1), 2), 1),
    "a block with a junk QC": ("qc-signature", propose(block(2, JUNK_QC)), 2),
    "a block with a junk TC": ("tc-signature", propose(block(3, tc=JUNK_TC)), 3),
    "a block with a junk header certificate": (
        "header-signature",
        propose(block(1, certified=JUNK_HEADER)),
        1,
    ),
    "a block whose parent is too old": ("block-parent", propose(block(3)), 3),
    "a block below the lock in its TC": ("block-parent", propose(block(3, tc=give_up(2, (0, 1, 0)))), 3),
    "a block no later than its parent": ("block-time", propose(block(1, time_ms=START_MS)), 1),
    "a free-standing junk QC": ("qc-signature", Certificates(JUNK_QC, None, None), 1),
    "a free-standing junk TC": ("tc-signature", Certificates(None, JUNK_TC, None), 1),
    "a TC without the QC it needs": ("tc-without-qc", Certificates(None, give_up(2, (1, 0, 0)), None), 1),
    "a free-standing junk header": ("header-signature", Certificates(None, None, JUNK_HEADER), 1),
    "a header of another incarnation": (
        "header-signature",
        Certificates(None, None, replace(header_certificate(1, FIRST.id), incarnation=1)),
        1,
    ),
    "a QC of another epoch": (
        "cert-epoch",
        Certificates(replace(certify(FIRST), epoch=Epoch(1)), None, None),
        1,
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_blamed_on_its_sender_and_changes_nothing(what: str) -> None:
    code, message, sender = BAD[what]
    replica = replica_of()
    before = replica.view()
    effects = give(replica, message, sender)
    assert blame(effects) == [code]
    penalty = effects[0]
    assert isinstance(penalty, Penalise)
    assert penalty.peer == penalty.error.peer == KEYS[sender].public_key
    after = replica.view()
    assert replace(after, signature_cache_hits=0, signature_cache_misses=0) == replace(
        before, signature_cache_hits=0, signature_cache_misses=0
    )


IGNORED: dict[str, tuple[Message, int]] = {
    "a vote far ahead": (replace(vote(FIRST, 1), round=Round(999), parent_round=Round(998)), 1),
    "a vote of another epoch": (replace(vote(FIRST, 1), epoch=Epoch(1)), 1),
    "a timeout of another epoch": (replace(timeout(1, 1), epoch=Epoch(1)), 1),
    "a header far above": (header(10_000, 1), 1),
    "a status of another epoch": (Status(Epoch(1), Round(9), Round(8), Round(0), Height(0), Height(0)), 1),
    "blocks that nobody asked for": (Blocks((propose(FIRST),)), 1),
    "a request for an unknown block": (BlocksRequest(Digest(bytes(32)), 64), 1),
}


@pytest.mark.parametrize("what", IGNORED)
def test_what_is_not_for_us_is_ignored_without_blame(what: str) -> None:
    message, sender = IGNORED[what]
    assert give(replica_of(), message, sender) == []


def test_an_observers_link_carries_no_votes() -> None:  # C18
    effects = replica_of().step(Received(b"\7" * 32, vote(FIRST, 1)), NOW)
    assert blame(effects) == ["vote-link"]


def test_a_junk_signature_is_refused_even_in_a_certificate_of_a_known_round() -> None:  # C6
    """Otherwise those who hold their own QC accept a block that nodes catching up refuse."""
    replica = replica_of()
    give(replica, Certificates(certify(FIRST), None, None))
    junk = replace(certify(FIRST, (0, 1, 3)), signatures=certify(FIRST, (0, 1, 3)).signatures[:-1] + b"\0")
    assert blame(give(replica, propose(block(2, junk)), 2)) == ["qc-signature"]


MESSAGES: list[Message] = [message for _, message, _ in BAD.values()] + [
    propose(FIRST),
    propose(SECOND),
    vote(SECOND, 1),
    timeout(2, 1, certify(FIRST)),
    header(1, 1),
    Certificates(certify(SECOND), give_up(2), header_certificate(1, FIRST.id)),
    Blocks((propose(SECOND), propose(FIRST))),
    BlocksRequest(FIRST.id, 3),
    CertificatesRequest(Round(1)),
]


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(MESSAGES), st.integers(0, 4), st.integers(0, 4000)), max_size=8))
def test_nothing_from_the_network_raises(events: list[tuple[Message, int, int]]) -> None:
    """Any order of good, bad and bit-flipped messages from anybody."""
    replica = replica_of()
    for message, sender, flip in events:
        data = bytearray(encode_message(message))
        if flip % 2:
            data[flip % len(data)] ^= 1 << flip % 8
        try:
            decoded = decode_message(bytes(data))
        except MalformedMessage:
            continue
        peer = b"\7" * 32 if sender == 4 else KEYS[sender].public_key
        for effect in replica.step(Received(peer, decoded), NOW):
            if isinstance(effect, Penalise):
                assert isinstance(effect.error, PeerError)
    for name, current, bound in replica.limits():
        assert current <= bound, name


# --- floods ------------------------------------------------------------------------------------------


def flood_votes(replica: Replica) -> None:
    for round in range(1, 400):
        give(replica, vote(block(round, tc=give_up(max(round - 1, 1))), 1), 1)


def flood_headers(replica: Replica) -> None:
    for height in range(1, 900):
        give(replica, header(height, 1), 1)


def flood_proposals(replica: Replica) -> None:
    for number in range(100):
        give(replica, propose(block(1, payload=b"%d" % number)), 1)


def flood_late_proposals(replica: Replica) -> None:
    """The leader of a failed round, which was a while ago, equivocates without end."""
    give(replica, Certificates(None, give_up(4), None))
    for number in range(100):
        give(replica, propose(block(1, payload=b"%d" % number)), 1)


def flood_orphans(replica: Replica) -> None:
    for made in chain(40)[2:]:
        give(replica, propose(made), int(made.author))


def flood_peers(replica: Replica) -> None:
    for number in range(3_000):
        peer = number.to_bytes(32, "big")
        replica.step(Received(peer, CertificatesRequest(Round(1))), NOW)
        replica.step(Received(peer, BlocksRequest(FIRST.id, 64)), NOW)


@pytest.mark.parametrize(
    "flood",
    [flood_votes, flood_headers, flood_proposals, flood_late_proposals, flood_orphans, flood_peers],
)
def test_a_flood_fills_nothing_beyond_its_bound(flood: Callable[[Replica], None]) -> None:
    replica = replica_of(orphans_max=8, wants_max=4, peers_max=50, tree_blocks_max=64)
    flood(replica)
    assert any(current > 0 for _, current, _ in replica.limits())
    for name, current, bound in replica.limits():
        assert current <= bound, f"{name}: {current} > {bound}"


def test_a_late_proposal_is_placed_only_when_its_block_is_wanted() -> None:
    """Certified after its round failed, a block is fetched by its id; else it would fill tree and journal."""
    replica = replica_of()
    give(replica, Certificates(None, give_up(4), None))
    give(replica, propose(FIRST))
    assert replica.proposal(FIRST.id) is None
    give(replica, Certificates(certify(FIRST), None, None))
    give(replica, propose(FIRST))
    assert replica.proposal(FIRST.id) == propose(FIRST)


def test_a_missing_block_that_a_commit_has_cut_off_is_asked_for_no_more() -> None:
    """Each such want would keep its place for ever; with all places taken nothing is fetched again."""
    replica = replica_of()
    give(replica, Certificates(certify(FIRST), None, None))  # certified, but too few knew it in time
    wants = dict((name, current) for name, current, _ in replica.limits())["wants"]
    assert wants == 1
    third = block(3, tc=give_up(2))
    fourth = block(4, certify(third), before=third.standing)
    fifth = block(5, certify(fourth), before=fourth.standing)
    for made in (third, fourth, fifth):
        give(replica, propose(made), made.author)
    assert replica.view().committed_round == 3
    wants = dict((name, current) for name, current, _ in replica.limits())["wants"]
    assert wants == 0


def test_orphans_are_bounded_in_bytes_too() -> None:
    replica = replica_of(orphan_bytes_max=2_000)
    flood_orphans(replica)
    limits = {name: (current, bound) for name, current, bound in replica.limits()}
    assert limits["orphan_bytes"][0] <= limits["orphan_bytes"][1] == 2_000


# --- evidence through the door -------------------------------------------------------------------------


def evidence_in(effects: list[Effect]) -> list[Evidence]:
    return [effect.evidence for effect in effects if isinstance(effect, KeepEvidence)]


TWIN = block(1, payload=b"twin")
OFFENCES: dict[Offence, tuple[Message, Message, int]] = {
    Offence.DOUBLE_VOTE: (vote(FIRST, 1), vote(TWIN, 1), 1),
    Offence.DOUBLE_PROPOSAL: (propose(FIRST), propose(TWIN), 1),
    Offence.DOUBLE_HEADER: (header(1, 1, content=1), header(1, 1, content=2), 1),
    Offence.LOCK_VIOLATION: (vote(THIRD, 1), timeout(3, 1, certify(FIRST), give_up(2)), 1),
}


@pytest.mark.parametrize("offence", OFFENCES)
def test_conflicting_messages_leave_portable_evidence_once(offence: Offence) -> None:  # C20
    first, second, sender = OFFENCES[offence]
    replica = replica_of()
    assert evidence_in(give(replica, first, sender)) == []
    found = evidence_in(give(replica, second, sender))
    assert [evidence.offence for evidence in found] == [offence]
    assert evidence_in(give(replica, second, sender)) == []


def checks(replica: Replica) -> tuple[int, int]:
    view = replica.view()
    return view.signature_cache_hits, view.signature_cache_misses


def test_a_timeout_of_a_round_that_is_over_is_answered_and_not_checked() -> None:
    replica = replica_of()
    for author in (1, 2, 3):
        give(replica, timeout(1, author), author)
    assert replica.view().round == 2
    before = checks(replica)
    forged = replace(timeout(1, 1), signature=timeout(1, 2).signature)
    for late, sender in ((timeout(1, 2), 2), (forged, 1)):
        effects = give(replica, late, sender)
        assert [type(sent.message) for sent in effects if isinstance(sent, Send)] == [Certificates]
        assert blame(effects) == []
    assert checks(replica) == before
    assert replica.view().round == 2


def test_a_late_timeout_still_brings_a_higher_certificate() -> None:
    replica = replica_of()
    for author in (1, 2, 3):
        give(replica, timeout(2, author, certify(FIRST)), author)
    give(replica, Certificates(None, give_up(5, (1, 1, 1)), None))
    assert (replica.view().round, replica.view().hqc.round) == (6, 1)
    assert blame(give(replica, timeout(4, 1, certify(THIRD)), 1)) == []
    assert replica.view().hqc.round == 3


def test_a_late_timeout_that_hides_a_lock_is_checked_and_is_evidence() -> None:  # C20
    replica = replica_of()
    first, second, sender = OFFENCES[Offence.LOCK_VIOLATION]
    give(replica, first, sender)
    give(replica, Certificates(certify(THIRD), None, None))
    assert replica.view().round == 4
    assert isinstance(second, Timeout)
    forged = give(replica, replace(second, signature=second.signature[:-1] + b"\0"), sender)
    assert (blame(forged), evidence_in(forged)) == (["timeout-signature"], [])
    (found,) = evidence_in(give(replica, second, sender))
    assert found.offence is Offence.LOCK_VIOLATION


def test_signatures_are_checked_until_a_quorum_is_there_and_then_no_more() -> None:
    replica = replica_of()
    give(replica, propose(FIRST))
    replica.step(PayloadChecked(FIRST.id, Verdict.AVAILABLE, None, ""), NOW)
    replica.step(Persisted(1), NOW)  # our own, which nobody checks
    before = checks(replica)[1]
    for author in (1, 2, 3):
        forged = vote(FIRST, 3, KEYS[2])  # nobody needs it
        assert blame(give(replica, vote(FIRST, author) if author < 3 else forged, author)) == []
    assert replica.view().hqc.round == 1
    assert checks(replica)[1] == before + 2
    for author in (1, 2, 3, 3):
        give(replica, header(1, author, FIRST.id), author)
    assert replica.view().certified_height == 1
    assert checks(replica)[1] == before + 5


# --- durability (C1, C2, C23) --------------------------------------------------------------------------


def test_an_own_vote_counts_only_when_it_is_durable() -> None:  # C2
    replica = replica_of()
    effects = give(replica, propose(FIRST))
    replica.step(PayloadChecked(FIRST.id, Verdict.AVAILABLE, None, ""), NOW)
    assert not of_kind(effects, Broadcast)
    for author in (1, 2):
        give(replica, vote(FIRST, author), author)
    assert replica.view().round == 1
    replica.step(Persisted(1), NOW)
    assert replica.view().round == 2


def test_the_write_comes_before_the_vote_and_holds_the_block() -> None:  # C1
    replica = replica_of()
    give(replica, propose(FIRST))
    effects = replica.step(PayloadChecked(FIRST.id, Verdict.AVAILABLE, None, ""), NOW)
    kinds = [type(effect) for effect in effects]
    assert kinds.index(Persist) < kinds.index(Broadcast)
    (persist,) = [effect for effect in effects if isinstance(effect, Persist)]
    assert persist.proposals == (propose(FIRST),)
    assert persist.record.last_vote == vote(FIRST, 0)
    assert persist.guard is not None


def test_a_leaders_proposal_and_vote_share_one_write() -> None:
    replica = replica_of(1)
    (request,) = of_kind(replica.step(PendingPayload(True), NOW), RequestPayload)
    assert isinstance(request, RequestPayload)
    effects = replica.step(PayloadReady(request.round, b"payload"), NOW)
    written = [effect for effect in effects if isinstance(effect, Persist | Broadcast)]
    assert [type(effect) for effect in written] == [Persist, Broadcast, Broadcast]


def test_a_write_that_was_never_asked_for_is_our_own_fault() -> None:
    with pytest.raises(LocalError):
        replica_of().step(Persisted(1), NOW)


def test_a_false_alarm_falls_back_to_waiting() -> None:
    replica = replica_of(1)
    replica.step(PendingPayload(True), NOW)
    effects = replica.step(PayloadReady(Round(1), b""), NOW)
    assert not of_kind(effects, Broadcast)
    again = replica.step(PendingPayload(True), NOW)
    assert len(of_kind(again, RequestPayload)) == 1


def test_an_answer_to_an_earlier_question_is_not_proposed() -> None:
    """A late QC moved the parent while the data plane was answering for the old one."""
    replica = replica_of(2)
    replica.step(PendingPayload(True), NOW)
    give(replica, propose(FIRST))
    for author in (0, 1, 3):
        give(replica, timeout(1, author), author)
    assert replica.view().round == 2
    effects = give(replica, Certificates(certify(FIRST), None, None))
    (request,) = [effect for effect in effects if isinstance(effect, RequestPayload)]
    assert [b.id for b in request.ancestors] == [FIRST.id]
    assert not of_kind(replica.step(PayloadReady(Round(2), FIRST.payload), NOW), Broadcast)
    effects = replica.step(PayloadReady(Round(2), b"new"), NOW)
    (sent,) = [e.message for e in effects if isinstance(e, Broadcast) and isinstance(e.message, Proposal)]
    assert (sent.block.payload, sent.block.parent_id) == (b"new", FIRST.id)


# --- recovery ------------------------------------------------------------------------------------------


def test_stored_signatures_are_sent_again_and_never_signed_anew() -> None:  # C15
    safety = rules(0)
    stored = safety.sign_vote(FIRST)
    assert safety.take_raised_guard() is not None  # on disk, like the record
    recovered = RecoveredState(ROOT, START_MS, proposals=(propose(FIRST),))
    replica = Replica(config_of(), VALIDATORS, ValidatorIndex(0), safety, recovered)
    effects = replica.step(Started(), NOW)
    assert [e.message for e in effects if isinstance(e, Broadcast) and isinstance(e.message, Vote)] == [
        stored
    ]
    assert not of_kind(effects, Persist)


def test_recovered_blocks_are_committed_again_from_the_certified_root() -> None:
    blocks = chain(4)
    shuffled = tuple(propose(blocks[i]) for i in (2, 0, 3, 1))
    recovered = RecoveredState(ROOT, START_MS, proposals=shuffled, high_qc=certify(blocks[3]))
    replica = Replica(config_of(), VALIDATORS, ValidatorIndex(0), rules(0), recovered)
    (commit,) = [e for e in replica.step(Started(), NOW) if isinstance(e, Commit)]
    assert [c.block.round for c in commit.blocks] == [1, 2, 3]
    later = RecoveredState(
        ROOT,
        blocks[1].time_ms,
        root=blocks[1],
        root_height=Height(2),
        certified=header_certificate(2, blocks[1].id),
        proposals=shuffled,
        high_qc=certify(blocks[3]),
    )
    replica = Replica(config_of(), VALIDATORS, ValidatorIndex(0), rules(0), later)
    (commit,) = [e for e in replica.step(Started(), NOW) if isinstance(e, Commit)]
    assert [(c.block.round, c.height) for c in commit.blocks] == [(3, 3)]


# --- certificates on demand, headers -------------------------------------------------------------------


def test_one_answer_a_peer_and_round() -> None:  # C16
    replica = replica_of()
    request = CertificatesRequest(Round(1))
    assert len(of_kind(give(replica, request), Send)) == 1
    assert give(replica, request) == []
    assert len(of_kind(give(replica, request, 2), Send)) == 1
    replica.step(TimerFired(Timer(TimerKind.STATUS, Round(0))), NOW)
    assert len(of_kind(give(replica, request), Send)) == 1


def test_a_peer_that_is_ahead_is_asked_once() -> None:  # C16
    replica = replica_of()
    ahead = Status(Epoch(0), Round(9), Round(8), Round(0), Height(4), Height(4))
    assert of_kind(give(replica, ahead), Send) == [Send(KEYS[1].public_key, CertificatesRequest(Round(1)))]
    assert give(replica, ahead) == []


def test_a_timer_of_an_earlier_round_means_nothing() -> None:
    replica = replica_of()
    replica.step(PendingPayload(True), NOW)
    give(replica, Certificates(certify(FIRST), None, None))
    assert not of_kind(replica.step(TimerFired(Timer(TimerKind.ROUND, Round(1))), NOW), Broadcast)
    assert of_kind(replica.step(TimerFired(Timer(TimerKind.ROUND, Round(2))), NOW), Persist)


def test_a_quorum_of_header_signatures_certifies_and_commits() -> None:  # C25
    replica = replica_of()
    give(replica, propose(FIRST))
    effects: list[Effect] = []
    for author in (1, 2, 3):
        effects += give(replica, header(1, author, FIRST.id), author)
    assert [e.certificate.height for e in effects if isinstance(e, Certified)] == [1]
    assert [c.block.id for e in effects if isinstance(e, Commit) for c in e.blocks] == [FIRST.id]


def test_who_signs_behind_a_vote_paces_its_guard_as_in_every_step() -> None:
    leader = replica_of(2)
    give(leader, propose(FIRST))
    for author in (0, 1):
        give(leader, vote(FIRST, author), author)
    safety = leader._core.safety
    assert safety is not None
    safety.reserves_ahead = True  # of a step before; an exact one can be afforded now
    completed = give(leader, vote(FIRST, 3), 3)
    assert any(isinstance(effect, Broadcast) for effect in completed)
    assert not safety.reserves_ahead


def test_what_a_signature_or_vote_completes_is_acted_upon_in_the_same_step() -> None:
    """Most end their step early; nobody can know when the next event comes."""
    replica = replica_of()
    for author in (1, 2):
        assert give(replica, header(1, author, FIRST.id), author) == []
    completed = give(replica, header(1, 3, FIRST.id), 3)
    assert TimerKind.RESEND in timers_in(completed)  # it has to fetch the block
    leader = replica_of(2)
    give(leader, propose(FIRST))
    for author in (0, 1):
        assert give(leader, vote(FIRST, author), author) == []
    completed = give(leader, vote(FIRST, 3), 3)
    said = [effect.message for effect in completed if isinstance(effect, Broadcast)]
    assert [type(message) for message in said] == [Proposal, Vote]  # it has a round to lead


def test_no_header_is_signed_below_a_certificate() -> None:  # C25
    replica = replica_of()
    give(replica, propose(FIRST))
    give(replica, Certificates(None, None, header_certificate(1, FIRST.id)))
    computed = HeaderComputed(Height(1), FIRST.id, header(1, 0).header_hash)
    assert not of_kind(replica.step(computed, NOW), Persist)


def test_another_result_than_the_certified_one_is_a_divergence() -> None:  # C3
    replica = replica_of()
    give(replica, propose(FIRST))
    give(replica, Certificates(None, None, header_certificate(1, FIRST.id)))
    computed = HeaderComputed(Height(1), FIRST.id, Digest(b"\5" * 32))
    assert len(of_kind(replica.step(computed, NOW), Diverged)) == 1
    assert not of_kind(replica.step(computed, NOW), Diverged)
    assert replica.view().diverged is not None


def test_a_certified_chain_beside_our_commit_is_reported_and_never_raises() -> None:  # E10
    """More than a third of the weight signed two histories: nothing can be repaired, but it can be said."""
    replica = replica_of()
    for made in (FIRST, SECOND):
        give(replica, propose(made), int(made.author))
    committed = give(replica, Certificates(certify(SECOND), None, None))
    assert of_kind(committed, Commit)
    other = [block(1, payload=b"other")]
    for round in (2, 3):
        other.append(block(round, certify(other[-1]), payload=b"other"))
    give(replica, Certificates(certify(other[2]), None, None))
    replica.step(TimerFired(Timer(TimerKind.RESEND, Round(0))), NOW)
    effects = give(replica, Blocks(tuple(propose(made) for made in reversed(other))))
    assert [e.detail for e in effects if isinstance(e, Diverged)] == [
        "a certified chain leaves our commit out"
    ]
    assert replica.view().committed_round == 1
    assert not of_kind(effects, Commit)


def test_a_restarted_node_that_computes_another_result_signs_no_second_one() -> None:  # C3
    safety = rules(0)
    safety.sign_header(0, Height(1), FIRST.id, header(1, 0).header_hash)
    recovered = RecoveredState(ROOT, START_MS, proposals=(propose(FIRST),))
    replica = Replica(config_of(), VALIDATORS, ValidatorIndex(0), safety, recovered)
    replica.step(Started(), NOW)
    effects = replica.step(HeaderComputed(Height(1), FIRST.id, Digest(b"\5" * 32)), NOW)
    assert len(of_kind(effects, Diverged)) == 1
    assert not of_kind(effects, Persist)


def test_a_certificate_far_above_asks_for_catch_up() -> None:  # C25
    replica = replica_of(certification_lag_max=4)
    effects = give(replica, Certificates(None, None, header_certificate(9, SECOND.id)))
    assert [e.peer for e in effects if isinstance(e, FellBehind)] == [KEYS[1].public_key]


def test_catching_up_to_an_old_target_asks_for_the_newest() -> None:  # C25
    replica = replica_of(certification_lag_max=4)
    give(replica, Certificates(None, None, header_certificate(5, SECOND.id)))
    give(replica, Certificates(None, None, header_certificate(12, THIRD.id)))
    synced = ChainSynced(header_certificate(5, SECOND.id), SECOND, SECOND.time_ms)
    effects = replica.step(synced, NOW)
    assert [e.certificate.height for e in effects if isinstance(e, FellBehind)] == [12]
    assert replica.view().committed_height == 5
    assert not of_kind(replica.step(synced, NOW), FellBehind)


def test_a_certificate_of_the_epoch_before_in_a_block_is_its_authors_fault_for_everybody() -> None:  # C4, C6
    """Also for who happens to hold the very same bytes: they are known to be good, but in another epoch."""
    members = ValidatorSet(Epoch(1), VALIDATORS.validators)
    root = root_certificate(Epoch(1), Digest(b"\6" * 32))
    certified = header_certificate(7, SECOND.id)
    recovered = RecoveredState(
        root, START_MS, root_height=Height(7), certified=certified, epoch_height=Height(7)
    )
    record = SafetyRecord.initial(Epoch(0), 1, Height(7)).enter(Epoch(1))
    replica = Replica(config_of(), members, ValidatorIndex(0), rules(0, record), recovered)
    replica.step(Started(), NOW)
    first = Block.make(
        cluster_id=CLUSTER_ID,
        epoch=Epoch(1),
        round=Round(1),
        qc=root,
        tc=None,
        certified=certified,
        payload=b"",
        author=ValidatorIndex(1),
        time_ms=NOW,
    )
    assert blame(give(replica, propose(first))) == ["cert-epoch"]


def test_an_epoch_starts_from_its_root_and_leaves_the_old_certificate_out() -> None:  # C4, C13
    """Heights go on, rounds restart, and what the old set certified is not embedded in new blocks."""
    members = ValidatorSet(Epoch(1), VALIDATORS.validators[:1])
    root = root_certificate(Epoch(1), Digest(b"\6" * 32))
    certified = header_certificate(7, SECOND.id)
    record = SafetyRecord.initial(Epoch(0), 1, Height(7)).enter(Epoch(1))
    recovered = RecoveredState(
        root, START_MS, root_height=Height(7), certified=certified, epoch_height=Height(7)
    )
    me = ValidatorIndex(0)
    replica = Replica(config_of(), members, me, rules(0, record), recovered)
    replica.step(Started(), NOW)
    replica.step(PendingPayload(True), NOW)
    effects = replica.step(PayloadReady(Round(1), b"first of the epoch"), NOW)
    (sent,) = [e.message for e in effects if isinstance(e, Broadcast) and isinstance(e.message, Proposal)]
    assert (sent.block.epoch, sent.block.round, sent.block.certified) == (1, 1, None)
    replica.step(PendingPayload(False), NOW)
    effects = replica.step(Persisted(1), NOW) + replica.step(Persisted(2), NOW)
    assert [c.height for e in effects if isinstance(e, Commit) for c in e.blocks] == [8]
    status = Status(Epoch(1), Round(1), Round(0), Round(0), Height(7), Height(7))
    assert replica.step(Received(KEYS[1].public_key, status), NOW) == [
        Send(KEYS[1].public_key, Certificates(replica.view().hqc, None, None))
    ]


def test_a_header_certificate_above_the_parent_gets_no_vote() -> None:  # V5
    replica = replica_of()
    early = block(1, certified=header_certificate(1, FIRST.id))
    effects = give(replica, propose(early))
    assert not of_kind(effects, Persist)
    assert "above the parent" in str(replica.view().refusal)


def test_a_new_link_hears_where_we_are_and_what_we_signed() -> None:  # C7
    replica = replica_of()
    give(replica, propose(FIRST))
    replica.step(PayloadChecked(FIRST.id, Verdict.AVAILABLE, None, ""), NOW)
    sent = [e.message for e in replica.step(PeerConnected(KEYS[2].public_key), NOW) if isinstance(e, Send)]
    assert [type(message) for message in sent] == [Status, Vote]
    observer = [e.message for e in replica.step(PeerConnected(b"\1" * 32), NOW) if isinstance(e, Send)]
    assert [type(message) for message in observer] == [Status]


def test_the_block_tree_answers_for_what_it_holds() -> None:
    replica = replica_of()
    give(replica, propose(FIRST))
    (sent,) = of_kind(give(replica, BlocksRequest(FIRST.id, 64)), Send)
    assert sent == Send(KEYS[1].public_key, Blocks((propose(FIRST),)))
    assert replica.proposal(FIRST.id) == propose(FIRST)
    assert replica.proposal(SECOND.id) is None


def test_records_of_the_unit_tests_are_what_a_start_gives() -> None:
    safety = rules(0)
    assert safety.record == SafetyRecord.initial(Epoch(0), 1, Height(0))
    assert safety.guard == GuardRecord.initial(Epoch(0))
