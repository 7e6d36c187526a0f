"""C20: what convicts, what does not, and that nobody can be framed."""

from dataclasses import replace

import pytest

from consensus import CodecError, Evidence, InvalidMessage, Offence, ProposalClaim, TimeoutClaim
from consensus.evidence import EvidenceLog
from tests.consensus.cluster import CLUSTER_ID
from tests.consensus.forge import VALIDATORS, block, certify, chain, header, propose, timeout, vote

FIRST, SECOND, THIRD = chain(3)
TWIN = block(1, payload=b"twin")


def evidence_of(first: object, second: object) -> Evidence | None:
    return Evidence.of(VALIDATORS, first, second)  # type: ignore[arg-type]  # tests pass any statement


CONVICTING = {
    Offence.DOUBLE_VOTE: (vote(FIRST, 2), vote(TWIN, 2)),
    Offence.DOUBLE_PROPOSAL: (ProposalClaim.of(propose(FIRST)), ProposalClaim.of(propose(TWIN))),
    Offence.DOUBLE_HEADER: (header(3, 2, content=1), header(3, 2, content=2)),
    Offence.LOCK_VIOLATION: (vote(THIRD, 2), TimeoutClaim.of(timeout(3, 2, certify(FIRST)))),
}


@pytest.mark.parametrize("offence", CONVICTING)
def test_two_conflicting_statements_convict(offence: Offence) -> None:
    evidence = evidence_of(*CONVICTING[offence])
    assert evidence is not None
    assert evidence.offence is offence
    evidence.verify(CLUSTER_ID, VALIDATORS)
    assert Evidence.decode(evidence.encode()) == evidence


@pytest.mark.parametrize("offence", [o for o in Offence if o is not Offence.LOCK_VIOLATION])
def test_the_order_of_arrival_does_not_change_the_name(offence: Offence) -> None:
    first, second = CONVICTING[offence]
    one, other = evidence_of(first, second), evidence_of(second, first)
    assert one is not None
    assert one == other


INNOCENT = {
    "the same vote twice": (vote(FIRST, 2), vote(FIRST, 2)),
    "votes of two rounds": (vote(FIRST, 2), vote(SECOND, 2)),
    "votes of two validators": (vote(FIRST, 2), vote(TWIN, 3)),
    "two timeouts with rising hqc": (
        TimeoutClaim.of(timeout(3, 2, certify(FIRST))),
        TimeoutClaim.of(timeout(3, 2, certify(SECOND))),
    ),
    "a timeout before the vote": (vote(THIRD, 2), TimeoutClaim.of(timeout(2, 2, certify(FIRST)))),
    "a timeout at the lock": (vote(THIRD, 2), TimeoutClaim.of(timeout(3, 2, certify(SECOND)))),
    "headers of two heights": (header(3, 2, content=1), header(4, 2, content=2)),
    "headers of two incarnations": (header(3, 2, content=1), replace(header(3, 2, content=2), incarnation=1)),
    "a vote and a proposal": (vote(FIRST, 1), ProposalClaim.of(propose(TWIN))),
}


@pytest.mark.parametrize("what", INNOCENT)
def test_what_a_correct_replica_does_is_no_evidence(what: str) -> None:
    assert evidence_of(*INNOCENT[what]) is None


def test_nobody_is_framed_with_a_forged_signature() -> None:
    evidence = evidence_of(vote(FIRST, 2), vote(TWIN, 2, key=None))
    forged = evidence_of(vote(FIRST, 2), replace(vote(TWIN, 3), author=vote(FIRST, 2).author))
    assert evidence is not None
    assert forged is not None
    with pytest.raises(InvalidMessage) as caught:
        forged.verify(CLUSTER_ID, VALIDATORS)
    assert caught.value.code == "evidence-signature"
    with pytest.raises(InvalidMessage):
        evidence.verify(bytes(32), VALIDATORS)


def test_evidence_names_the_key_and_the_offence_it_proves() -> None:
    evidence = evidence_of(vote(FIRST, 2), vote(TWIN, 2))
    assert evidence is not None
    wrong = (
        replace(evidence, accused_key=VALIDATORS.validators[3].public_key),
        replace(evidence, first=evidence.second),
        replace(evidence, offence=Offence.DOUBLE_HEADER),
        replace(evidence, epoch=type(evidence.epoch)(1)),
        replace(evidence, accused=type(evidence.accused)(9)),
    )
    for claim in wrong:
        with pytest.raises(InvalidMessage):
            claim.verify(CLUSTER_ID, VALIDATORS)


def test_damaged_evidence_does_not_decode() -> None:
    evidence = evidence_of(vote(FIRST, 2), vote(TWIN, 2))
    assert evidence is not None
    with pytest.raises(CodecError):
        Evidence.decode(evidence.encode()[:-1])
    with pytest.raises(CodecError):
        Evidence.decode(bytes(5000))


def test_an_offence_is_reported_once_and_the_log_is_bounded() -> None:
    log = EvidenceLog(2)
    made = [
        evidence_of(ProposalClaim.of(propose(FIRST)), ProposalClaim.of(propose(TWIN))),
        evidence_of(vote(FIRST, 2), vote(TWIN, 2)),
        evidence_of(vote(FIRST, 3), vote(TWIN, 3)),
    ]
    assert [log.add(e) for e in made if e is not None] == [True, True, True]
    assert made[2] is not None
    assert not log.add(made[2])
    assert len(log) == 2
