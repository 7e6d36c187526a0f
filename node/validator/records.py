"""What one journal record holds, and its bytes: the durable history of consensus (C1).

A record is either one `Persist` of the replica, whole, or one batch. Replaying the records in order over
what the database knows gives exactly the state in which nothing that was sent is forgotten.
"""

from dataclasses import replace
from typing import TypeAlias

from consensus import (
    CodecError,
    Digest,
    HeaderCertificate,
    LocalError,
    Persist,
    Proposal,
    QuorumCertificate,
    SafetyRecord,
    TimeoutCertificate,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_tuple,
    decode,
    encode_around,
    encode_trusted,
    immutable,
)

_PERSIST, _BATCH = 1, 2
RECORD_BYTES_MAX = 32 * 1024 * 1024
"""Largest record the journal takes; those of blocks stay far below it."""
BLOCKS_BYTES_MAX = 8 * 1024 * 1024
"""Encoded blocks in one record, about: a Persist may carry as many as the block tree holds."""
_PROPOSALS_MAX = 4096


@immutable(frozen=True, slots=True)
class PersistRecord:
    """A replica's `Persist`; None and () mean unchanged."""

    record: SafetyRecord | None
    proposals: tuple[Proposal, ...]
    high_qc: QuorumCertificate | None
    high_tc: TimeoutCertificate | None
    certified: HeaderCertificate | None


@immutable(frozen=True, slots=True)
class BatchRecord:
    """A batch this node acknowledged, or its own."""

    digest: Digest
    data: bytes


JournalRecord: TypeAlias = PersistRecord | BatchRecord


def encode_persist(persist: Persist) -> bytes:
    """The record of a `Persist`."""
    return encode_trusted(
        (
            _PERSIST,
            None if persist.record is None else persist.record.to_value(),
            tuple(proposal.to_value() for proposal in persist.proposals),
            None if persist.high_qc is None else persist.high_qc.to_value(),
            None if persist.high_tc is None else persist.high_tc.to_value(),
            None if persist.certified is None else persist.certified.to_value(),
        )
    )


def split_persist(persist: Persist) -> tuple[list[bytes], Persist]:
    """Records of blocks alone, to be written before the record of the Persist that is left: what is signed is
    never on disk without its blocks, and no record is too large."""
    blocks: list[bytes] = []
    rest = list(persist.proposals)
    while len(rest) > _PROPOSALS_MAX or sum(len(p.block.encoded) for p in rest) > BLOCKS_BYTES_MAX:
        taken: list[Value] = []
        size = 0
        while rest and size <= BLOCKS_BYTES_MAX and len(taken) < _PROPOSALS_MAX:
            proposal = rest.pop(0)
            size += len(proposal.block.encoded)
            taken.append(proposal.to_value())
        blocks.append(encode_trusted((_PERSIST, None, tuple(taken), None, None, None)))
    return blocks, replace(persist, proposals=tuple(rest)) if blocks else persist


def encode_start(record: SafetyRecord) -> bytes:
    """The record of a start: the safety record alone, with its raised boot count (C14)."""
    return encode_trusted((_PERSIST, record.to_value(), (), None, None, None))


def encode_batch(digest: Digest, data: bytes) -> bytes:
    """The record of a batch."""
    return encode_around((_BATCH, digest), data)


def decode_record(data: bytes) -> JournalRecord:
    """The inverse; raises LocalError, because nobody but this program wrote it."""
    try:
        value = decode(data, max_bytes=RECORD_BYTES_MAX)
        if type(value) is not tuple or not value:
            raise CodecError("a journal record is a non-empty array")
        if as_int(value[0], "record kind", low=_PERSIST, high=_BATCH) == _BATCH:
            _, digest, batch = as_tuple(value, 3, "batch record")
            return BatchRecord(Digest(as_bytes(digest, "digest", length=32)), as_bytes(batch, "batch"))
        _, record, proposals, high_qc, high_tc, certified = as_tuple(value, 6, "persist record")
        return PersistRecord(
            None if record is None else SafetyRecord.from_value(record),
            tuple(Proposal.from_value(item) for item in as_array(proposals, _PROPOSALS_MAX, "proposals")),
            None if high_qc is None else QuorumCertificate.from_value(high_qc),
            None if high_tc is None else TimeoutCertificate.from_value(high_tc),
            None if certified is None else HeaderCertificate.from_value(certified),
        )
    except CodecError as error:
        raise LocalError(f"a journal record cannot be read: {error}") from error
