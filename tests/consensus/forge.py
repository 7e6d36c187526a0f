"""Signed things made by hand, right or wrong, for tests that need one message and no cluster."""

from consensus import (
    Block,
    Digest,
    Epoch,
    GuardRecord,
    HeaderCertificate,
    HeaderSignature,
    Height,
    LeaderSchedule,
    Proposal,
    QuorumCertificate,
    Round,
    SafetyRecord,
    SafetyRules,
    SigningKey,
    Standing,
    Timeout,
    TimeoutCertificate,
    TimeoutReason,
    ValidatorIndex,
    Vote,
    bitmap_of,
    header_digest,
    proposal_digest,
    standing_after,
    timeout_digest,
    vote_digest,
)
from tests.consensus.cluster import CLUSTER_ID, ROOT, START_MS, keys_of, validators_of

KEYS = keys_of(4)
VALIDATORS = validators_of(KEYS)
E0 = Epoch(0)


def rules(
    index: int = 0, record: SafetyRecord | None = None, guard: GuardRecord | None = None
) -> SafetyRules:
    """A signer that has signed nothing, unless told otherwise."""
    return SafetyRules(
        KEYS[index],
        CLUSTER_ID,
        ValidatorIndex(index),
        record or SafetyRecord.initial(E0, 1, Height(0)),
        guard or GuardRecord.initial(E0),
    )


def block(
    round: int,
    qc: QuorumCertificate = ROOT,
    tc: TimeoutCertificate | None = None,
    payload: bytes = b"",
    certified: HeaderCertificate | None = None,
    author: int | None = None,
    time_ms: int | None = None,
    before: Standing = (),
) -> Block:
    """A block of the leader of its round, on one whose standing is `before`."""
    schedule = LeaderSchedule(VALIDATORS)
    turn = schedule.leader_of(Round(round), before if tc is None else None)
    leader = turn if author is None else ValidatorIndex(author)
    return Block.make(
        cluster_id=CLUSTER_ID,
        epoch=E0,
        round=Round(round),
        qc=qc,
        tc=tc,
        certified=certified,
        payload=payload,
        author=leader,
        time_ms=START_MS + round if time_ms is None else time_ms,
        standing=standing_after(before, qc, Round(round), leader, schedule, VALIDATORS),
    )


def propose(made: Block, signer: int | None = None) -> Proposal:
    """A block signed by its author, or by somebody else."""
    key = KEYS[made.author if signer is None else signer]
    return Proposal(made, key.sign(proposal_digest(CLUSTER_ID, made.epoch, made.round, made.id)))


def vote(made: Block, author: int, key: SigningKey | None = None) -> Vote:
    """A vote for a block."""
    fields = (made.epoch, made.round, made.id, made.qc.block_id, made.qc.round, made.commit_id)
    signature = (key or KEYS[author]).sign(vote_digest(CLUSTER_ID, *fields))
    return Vote(*fields, ValidatorIndex(author), signature)


def certify(made: Block, signers: tuple[int, ...] = (0, 1, 2)) -> QuorumCertificate:
    """The QC of a block by these signers."""
    votes = [vote(made, signer) for signer in signers]
    return QuorumCertificate(
        made.epoch,
        made.round,
        made.id,
        made.qc.block_id,
        made.qc.round,
        made.commit_id,
        bitmap_of(signers, 4),
        b"".join(v.signature for v in votes),
    )


def give_up(round: int, hqcs: tuple[int, ...] = (0, 0, 0)) -> TimeoutCertificate:
    """The TC of a round; validator i reports `hqcs[i]`."""
    signatures = [
        KEYS[index].sign(timeout_digest(CLUSTER_ID, 0, round, hqc)) for index, hqc in enumerate(hqcs)
    ]
    return TimeoutCertificate(
        E0,
        Round(round),
        bitmap_of(range(len(hqcs)), 4),
        tuple(Round(hqc) for hqc in hqcs),
        b"".join(signatures),
    )


def timeout(
    round: int, author: int, hqc: QuorumCertificate = ROOT, tc: TimeoutCertificate | None = None
) -> Timeout:
    """A timeout by one validator."""
    signature = KEYS[author].sign(timeout_digest(CLUSTER_ID, 0, round, hqc.round))
    reason = TimeoutReason.PROPOSAL_NOT_RECEIVED
    return Timeout(E0, Round(round), hqc, tc, reason, None, ValidatorIndex(author), signature)


def header(height: int, author: int, block_id: bytes = bytes(32), content: int = 0) -> HeaderSignature:
    """A header signature; `content` chooses the header."""
    header_hash = Digest(bytes((content,)) * 32)
    signature = KEYS[author].sign(header_digest(CLUSTER_ID, 0, 0, height, block_id, header_hash))
    index = ValidatorIndex(author)
    return HeaderSignature(0, E0, Height(height), Digest(block_id), header_hash, index, signature)


def header_certificate(
    height: int, block_id: bytes, content: int = 0, signers: tuple[int, ...] = (0, 1, 2)
) -> HeaderCertificate:
    """A certified header."""
    signed = [header(height, signer, block_id, content) for signer in signers]
    return HeaderCertificate(
        0,
        E0,
        Height(height),
        Digest(block_id),
        signed[0].header_hash,
        bitmap_of(signers, 4),
        b"".join(s.signature for s in signed),
    )


def chain(length: int) -> list[Block]:
    """Blocks of rounds 1, 2, ... each certified by the next."""
    blocks: list[Block] = []
    qc = ROOT
    for round in range(1, length + 1):
        blocks.append(block(round, qc, payload=b"p%d" % round))
        qc = certify(blocks[-1])
    return blocks
