"""Lies in the right form: messages that a validator never signed by its rules, signed with its real key, and
certificates that look like a quorum's.
"""

from dataclasses import replace
from random import Random

from bench.sim.host import Host
from bench.sim.world import World
from consensus import (
    Block,
    Digest,
    Epoch,
    HeaderCertificate,
    HeaderSignature,
    Height,
    Proposal,
    QuorumCertificate,
    Round,
    Signature,
    Timeout,
    TimeoutCertificate,
    TimeoutReason,
    ValidatorIndex,
    Vote,
    bitmap_of,
)
from node.ledger.transactions import Transaction
from node.pool.batches import Batch

UNSIGNED = Signature(bytes(64))


def noise(random: Random) -> Digest:
    """A digest of nothing."""
    return Digest(random.randbytes(32))


# --- signed again ---------------------------------------------------------------------------------------


def propose(host: Host, block: Block) -> Proposal:
    """The block with the host's signature as its author."""
    unsigned = Proposal(block, UNSIGNED)
    return replace(unsigned, signature=host.key.sign(unsigned.digest()))


def remade(
    block: Block,
    *,
    epoch: int | None = None,
    round: int | None = None,
    qc: QuorumCertificate | None = None,
    tc: TimeoutCertificate | None = None,
    keep_tc: bool = True,
    certified: HeaderCertificate | None = None,
    payload: bytes | None = None,
    time_ms: int | None = None,
    author: ValidatorIndex | None = None,
) -> Block:
    """The block with other fields, encoded anew. `tc` replaces its TC; `keep_tc` False drops it."""
    return Block.make(
        cluster_id=block.cluster_id,
        epoch=block.epoch if epoch is None else Epoch(epoch),
        round=block.round if round is None else Round(round),
        qc=block.qc if qc is None else qc,
        tc=tc if tc is not None or not keep_tc else block.tc,
        certified=block.certified if certified is None else certified,
        payload=block.payload if payload is None else payload,
        author=block.author if author is None else author,
        time_ms=block.time_ms if time_ms is None else time_ms,
        standing=block.standing,
    )


def sign_vote(host: Host, vote: Vote) -> Vote:
    """The vote with the host's signature of what it says now."""
    own = replace(vote, author=host.index_in_set)
    return replace(own, signature=host.key.sign(own.digest(host.world.genesis.cluster_id)))


def vote_for(host: Host, block: Block) -> Vote:
    """A vote for any block, whatever was voted for before."""
    unsigned = Vote(
        block.epoch,
        block.round,
        block.id,
        block.qc.block_id,
        block.qc.round,
        block.commit_id,
        host.index_in_set,
        UNSIGNED,
    )
    return sign_vote(host, unsigned)


def sign_timeout(host: Host, timeout: Timeout) -> Timeout:
    """The timeout with the host's signature of what it says now."""
    own = replace(timeout, author=host.index_in_set)
    return replace(own, signature=host.key.sign(own.digest(host.world.genesis.cluster_id)))


def timeout_beside(
    host: Host,
    block: Block,
    reason: TimeoutReason = TimeoutReason.NO_QUORUM,
    blamed: ValidatorIndex | None = None,
) -> Timeout:
    """A timeout of the block's round with the certificates that opened it: valid whenever the block is."""
    unsigned = Timeout(
        block.epoch,
        block.round,
        block.qc,
        block.tc,
        reason,
        blamed,
        host.index_in_set,
        UNSIGNED,
    )
    return sign_timeout(host, unsigned)


def sign_header(host: Host, signed: HeaderSignature) -> HeaderSignature:
    """The header signature with the host's signature of what it says now."""
    own = replace(signed, author=host.index_in_set)
    return replace(own, signature=host.key.sign(own.digest(host.world.genesis.cluster_id)))


def header_of(host: Host, height: int, block_id: Digest, header_hash: Digest) -> HeaderSignature:
    """A signed header of any height."""
    epoch = host.validator.replica.view().epoch
    unsigned = HeaderSignature(0, epoch, Height(height), block_id, header_hash, host.index_in_set, UNSIGNED)
    return sign_header(host, unsigned)


# --- certificates ---------------------------------------------------------------------------------------


def one_bit_off(data: bytes, random: Random) -> bytes:
    """The same with one bit turned."""
    changed = bytearray(data)
    changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def junk_qc(qc: QuorumCertificate, random: Random) -> QuorumCertificate:
    """One signature of it is wrong (C6); the root has none, so it names another block."""
    if qc.is_root:
        return replace(qc, block_id=noise(random))
    return replace(qc, signatures=one_bit_off(qc.signatures, random))


def own_qc(host: Host, qc: QuorumCertificate, round: int, block_id: Digest) -> QuorumCertificate:
    """A certificate of any block that only its forger signed, in everybody's name."""
    count = len(host.world.genesis.validators)
    parent = Round(round - 1)
    vote = sign_vote(
        host,
        Vote(
            qc.epoch,
            Round(round),
            block_id,
            qc.block_id,
            parent,
            qc.block_id,
            host.index_in_set,
            UNSIGNED,
        ),
    )
    return replace(
        qc,
        round=Round(round),
        block_id=block_id,
        parent_id=qc.block_id,
        parent_round=parent,
        commit_id=qc.block_id,
        signers=bitmap_of(list(range(count)), count),
        signatures=vote.signature * count,
    )


def junk_tc(tc: TimeoutCertificate, random: Random) -> TimeoutCertificate:
    """One signature of it is wrong."""
    return replace(tc, signatures=one_bit_off(tc.signatures, random))


def modest_tc(tc: TimeoutCertificate) -> TimeoutCertificate:
    """Its signers seem to have held nothing, so that any old block could be extended (L3)."""
    return replace(tc, hqc_rounds=tuple(Round(0) for _ in tc.hqc_rounds))


def own_tc(host: Host, epoch: Epoch, round: int, hqc_round: int) -> TimeoutCertificate:
    """A timeout certificate that only its forger signed, in everybody's name."""
    count = len(host.world.genesis.validators)
    root = host.validator.replica.view().hqc
    unsigned = Timeout(
        epoch,
        Round(round),
        replace(root, round=Round(hqc_round)),
        None,
        TimeoutReason.NO_QUORUM,
        None,
        host.index_in_set,
        UNSIGNED,
    )
    signature = sign_timeout(host, unsigned).signature
    signers = bitmap_of(list(range(count)), count)
    return TimeoutCertificate(epoch, Round(round), signers, (Round(hqc_round),) * count, signature * count)


def junk_header(certificate: HeaderCertificate, random: Random) -> HeaderCertificate:
    """A quorum's signatures under another header."""
    return replace(certificate, header_hash=noise(random))


# --- batches --------------------------------------------------------------------------------------------


def batch_of(
    host: Host,
    *transactions: bytes,
    author: int | None = None,
    created_ms: int | None = None,
    life_ms: int = 30_000,
    cluster_id: bytes | None = None,
) -> Batch:
    """A batch as the host, or `author`, might seal it now."""
    made_ms = host.world.now_ms if created_ms is None else created_ms
    return Batch.make(
        cluster_id=host.world.genesis.cluster_id if cluster_id is None else cluster_id,
        author=host.index_in_set if author is None else ValidatorIndex(author),
        epoch=Epoch(0),
        created_ms=made_ms,
        expires_at_ms=made_ms + life_ms,
        transactions=transactions,
    )


def forged(transaction: Transaction) -> bytes:
    """The transaction with one bit of its signature turned."""
    return transaction.encoded[:-1] + bytes((transaction.encoded[-1] ^ 1,))


def unregistered(world: World, transaction: Transaction) -> Transaction:
    """The same, properly signed by somebody who is no member: a validator."""
    return Transaction.sign(
        world.setting.validators[0],
        world.genesis.cluster_id,
        transaction.unique_id,
        transaction.expires_at_ms,
        transaction.app,
        transaction.method,
        transaction.args,
    )
