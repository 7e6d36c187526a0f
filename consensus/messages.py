"""What replicas say to each other, and the only place where their bytes become types.

A message is `[kind, fields...]` in the canonical codec. Votes, timeouts and header signatures carry
signatures over domain-separated digests (certificates.py); a proposal carries its author's signature
over the block id. Votes carry rounds, never certificates (C16): certificates travel in proposals, in
timeouts and on demand. Decoding checks shape and limits only; nothing decoded is believed yet.
"""

from enum import IntEnum
from typing import TypeAlias

from consensus.blocks import BLOCK_BYTES_MAX, Block, proposal_digest
from consensus.certificates import (
    HeaderCertificate,
    QuorumCertificate,
    TimeoutCertificate,
    header_digest,
    timeout_digest,
    vote_digest,
)
from consensus.codec import (
    Value,
    as_array,
    as_bytes,
    as_digest,
    as_int,
    as_signature,
    as_tuple,
    decode,
    encode_trusted,
)
from consensus.errors import CodecError, MalformedMessage
from consensus.keys import Digest, Signature
from consensus.validators import Epoch, Height, Round, ValidatorIndex
from consensus.values import immutable

BLOCKS_COUNT_MAX = 64
"""Blocks one request may ask for: one reply bridges a second of rounds, and its headers stay small."""
BLOCKS_BYTES_MAX = 4 * 1024 * 1024
"""Encoded blocks in one reply, about: enough for four of the largest, little enough to queue."""
MESSAGE_BYTES_MAX = BLOCKS_BYTES_MAX + BLOCK_BYTES_MAX
_ITEMS_MAX = 1024
"""A timeout with two certificates has under 400 items, the longest list of blocks under 200."""


class MessageKind(IntEnum):
    """The first item of every encoded message."""

    PROPOSAL = 1
    VOTE = 2
    TIMEOUT = 3
    HEADER_SIGNATURE = 4
    STATUS = 5
    CERTIFICATES_REQUEST = 6
    CERTIFICATES = 7
    BLOCKS_REQUEST = 8
    BLOCKS = 9


class TimeoutReason(IntEnum):
    """Why a replica gave a round up (C9); for operators and for leaving out batch authors. Unsigned."""

    PROPOSAL_NOT_RECEIVED = 1
    PARENT_MISSING = 2
    PAYLOAD_UNAVAILABLE = 3
    PROPOSAL_REFUSED = 4
    NO_QUORUM = 5
    """Voted, and not enough others did."""
    FOLLOWED = 6
    """A blocking set gave the round up first."""


_KIND_MAX = max(MessageKind)
_REASON_MAX = max(TimeoutReason)


@immutable(frozen=True, slots=True)
class Proposal:
    """A block with its author's signature over `proposal_digest` (C21)."""

    block: Block
    signature: Signature

    def digest(self) -> Digest:
        """What the author signed."""
        block = self.block
        return proposal_digest(block.cluster_id, block.epoch, block.round, block.id)

    def to_value(self) -> tuple[Value, ...]:
        """`[block bytes, signature]`."""
        return (self.block.encoded, self.signature)

    @staticmethod
    def from_value(value: Value) -> "Proposal":
        """The inverse of `to_value`; raises CodecError."""
        block, signature = as_tuple(value, 2, "proposal")
        data = as_bytes(block, "block", max_length=BLOCK_BYTES_MAX)
        return Proposal(Block.decode(data), as_signature(signature, "signature"))


@immutable(frozen=True, slots=True)
class Vote:
    """`author` supports a block: functions of the block only (C5)."""

    epoch: Epoch
    round: Round
    block_id: Digest
    parent_id: Digest
    parent_round: Round
    commit_id: Digest | None
    author: ValidatorIndex
    signature: Signature

    def digest(self, cluster_id: bytes) -> Digest:
        """What the author signed; votes with equal digests make one certificate."""
        return vote_digest(
            cluster_id,
            self.epoch,
            self.round,
            self.block_id,
            self.parent_id,
            self.parent_round,
            self.commit_id,
        )

    @property
    def is_consistent(self) -> bool:
        """Whether a correct replica can have signed these fields: the commit rule decides `commit_id`."""
        if self.round <= self.parent_round:
            return False
        return self.commit_id == (self.parent_id if self.round == self.parent_round + 1 else None)

    def to_value(self) -> tuple[Value, ...]:
        """`[epoch, round, block id, parent id, parent round, commit id, author, signature]`."""
        return (
            self.epoch,
            self.round,
            self.block_id,
            self.parent_id,
            self.parent_round,
            self.commit_id,
            self.author,
            self.signature,
        )

    @staticmethod
    def from_value(value: Value) -> "Vote":
        """The inverse of `to_value`; raises CodecError."""
        epoch, round, block, parent, parent_round, commit, author, signature = as_tuple(value, 8, "vote")
        return Vote(
            Epoch(as_int(epoch, "vote epoch")),
            Round(as_int(round, "vote round", low=1)),
            as_digest(block, "vote block id"),
            as_digest(parent, "vote parent id"),
            Round(as_int(parent_round, "vote parent round")),
            None if commit is None else as_digest(commit, "vote commit id"),
            ValidatorIndex(as_int(author, "vote author")),
            as_signature(signature, "signature"),
        )


@immutable(frozen=True, slots=True)
class Timeout:
    """`author` gives `round` up and holds `hqc`.

    Signed are epoch, round and `hqc.round`. `tc` is the certificate of round - 1 and is present iff
    `hqc` alone does not open `round`. `reason` and `blamed` (the batch author whose payload was
    missing) are unsigned; the link authenticates them.
    """

    epoch: Epoch
    round: Round
    hqc: QuorumCertificate
    tc: TimeoutCertificate | None
    reason: TimeoutReason
    blamed: ValidatorIndex | None
    author: ValidatorIndex
    signature: Signature

    @property
    def hqc_round(self) -> Round:
        """The signed round of the highest QC the author holds."""
        return self.hqc.round

    def digest(self, cluster_id: bytes) -> Digest:
        """What the author signed."""
        return timeout_digest(cluster_id, self.epoch, self.round, self.hqc.round)

    def to_value(self) -> tuple[Value, ...]:
        """`[epoch, round, hqc, tc, reason, blamed, author, signature]`."""
        return (
            self.epoch,
            self.round,
            self.hqc.to_value(),
            None if self.tc is None else self.tc.to_value(),
            int(self.reason),
            self.blamed,
            self.author,
            self.signature,
        )

    @staticmethod
    def from_value(value: Value) -> "Timeout":
        """The inverse of `to_value`; raises CodecError."""
        epoch, round, hqc, tc, reason, blamed, author, signature = as_tuple(value, 8, "timeout")
        return Timeout(
            Epoch(as_int(epoch, "timeout epoch")),
            Round(as_int(round, "timeout round", low=1)),
            QuorumCertificate.from_value(hqc),
            None if tc is None else TimeoutCertificate.from_value(tc),
            TimeoutReason(as_int(reason, "timeout reason", low=1, high=_REASON_MAX)),
            None if blamed is None else ValidatorIndex(as_int(blamed, "blamed author")),
            ValidatorIndex(as_int(author, "timeout author")),
            as_signature(signature, "signature"),
        )


@immutable(frozen=True, slots=True)
class HeaderSignature:
    """`author` computed the ledger header `header_hash` of `height` by executing `block_id` (C3)."""

    incarnation: int
    epoch: Epoch
    height: Height
    block_id: Digest
    header_hash: Digest
    author: ValidatorIndex
    signature: Signature

    def digest(self, cluster_id: bytes) -> Digest:
        """What the author signed; equal digests make one certificate."""
        return header_digest(
            cluster_id, self.incarnation, self.epoch, self.height, self.block_id, self.header_hash
        )

    def to_value(self) -> tuple[Value, ...]:
        """`[incarnation, epoch, height, block id, header hash, author, signature]`."""
        return (
            self.incarnation,
            self.epoch,
            self.height,
            self.block_id,
            self.header_hash,
            self.author,
            self.signature,
        )

    @staticmethod
    def from_value(value: Value) -> "HeaderSignature":
        """The inverse of `to_value`; raises CodecError."""
        incarnation, epoch, height, block, header, author, signature = as_tuple(value, 7, "header signature")
        return HeaderSignature(
            as_int(incarnation, "incarnation"),
            Epoch(as_int(epoch, "header epoch")),
            Height(as_int(height, "header height", low=1)),
            as_digest(block, "header block id"),
            as_digest(header, "header hash"),
            ValidatorIndex(as_int(author, "header author")),
            as_signature(signature, "signature"),
        )


@immutable(frozen=True, slots=True)
class Status:
    """Where its sender is (C7): sent every second and on connect, so that laggards ask."""

    epoch: Epoch
    round: Round
    hqc_round: Round
    htc_round: Round
    committed_height: Height
    certified_height: Height


@immutable(frozen=True, slots=True)
class CertificatesRequest:
    """Its sender is in `round` and saw us ahead: answer with `Certificates` (C16)."""

    round: Round


@immutable(frozen=True, slots=True)
class Certificates:
    """The highest certificates of the sender; each may be missing."""

    qc: QuorumCertificate | None
    tc: TimeoutCertificate | None
    certified: HeaderCertificate | None


@immutable(frozen=True, slots=True)
class BlocksRequest:
    """Wanted: `block_id` and its ancestors, at most `count` (1 to BLOCKS_COUNT_MAX) blocks."""

    block_id: Digest
    count: int


@immutable(frozen=True, slots=True)
class Blocks:
    """An answer to `BlocksRequest`: the block asked for, its parent, and so on; never empty."""

    proposals: tuple[Proposal, ...]


Message: TypeAlias = (
    Proposal
    | Vote
    | Timeout
    | HeaderSignature
    | Status
    | CertificatesRequest
    | Certificates
    | BlocksRequest
    | Blocks
)


def encode_message(message: Message) -> bytes:
    """The canonical bytes of a message, `[kind, fields...]`."""
    fields: tuple[Value, ...]
    match message:
        case Proposal():
            fields = (int(MessageKind.PROPOSAL), *message.to_value())
        case Vote():
            fields = (int(MessageKind.VOTE), *message.to_value())
        case Timeout():
            fields = (int(MessageKind.TIMEOUT), *message.to_value())
        case HeaderSignature():
            fields = (int(MessageKind.HEADER_SIGNATURE), *message.to_value())
        case Status(epoch, round, hqc, htc, committed, certified):
            fields = (int(MessageKind.STATUS), epoch, round, hqc, htc, committed, certified)
        case CertificatesRequest(round):
            fields = (int(MessageKind.CERTIFICATES_REQUEST), round)
        case Certificates(qc, tc, certificate):
            fields = (
                int(MessageKind.CERTIFICATES),
                None if qc is None else qc.to_value(),
                None if tc is None else tc.to_value(),
                None if certificate is None else certificate.to_value(),
            )
        case BlocksRequest(block_id, count):
            fields = (int(MessageKind.BLOCKS_REQUEST), block_id, count)
        case Blocks(proposals):
            fields = (int(MessageKind.BLOCKS), tuple(p.to_value() for p in proposals))
    return encode_trusted(fields)


def decode_whole(data: bytes) -> Message:
    """What `reading.decode_message` does, for any message, from its first byte to its last."""
    try:
        value = decode(data, max_bytes=MESSAGE_BYTES_MAX, max_items=_ITEMS_MAX)
        if type(value) is not tuple or not value:
            raise CodecError("a message is a non-empty array")
        return _from_fields(as_int(value[0], "message kind", low=1, high=_KIND_MAX), value[1:])
    except CodecError as error:
        raise MalformedMessage("message-malformed", str(error)) from error


def _from_fields(kind: int, fields: tuple[Value, ...]) -> Message:
    match kind:
        case MessageKind.VOTE:
            return Vote.from_value(fields)
        case MessageKind.PROPOSAL:
            return Proposal.from_value(fields)
        case MessageKind.TIMEOUT:
            return Timeout.from_value(fields)
        case MessageKind.HEADER_SIGNATURE:
            return HeaderSignature.from_value(fields)
        case MessageKind.STATUS:
            epoch, round, hqc, htc, committed, certified = as_tuple(fields, 6, "status")
            return Status(
                Epoch(as_int(epoch, "status epoch")),
                Round(as_int(round, "status round", low=1)),
                Round(as_int(hqc, "status hqc round")),
                Round(as_int(htc, "status htc round")),
                Height(as_int(committed, "committed height")),
                Height(as_int(certified, "certified height")),
            )
        case MessageKind.CERTIFICATES_REQUEST:
            (wanted,) = as_tuple(fields, 1, "certificates request")
            return CertificatesRequest(Round(as_int(wanted, "wanted round", low=1)))
        case MessageKind.CERTIFICATES:
            qc, tc, header = as_tuple(fields, 3, "certificates")
            return Certificates(
                None if qc is None else QuorumCertificate.from_value(qc),
                None if tc is None else TimeoutCertificate.from_value(tc),
                None if header is None else HeaderCertificate.from_value(header),
            )
        case MessageKind.BLOCKS_REQUEST:
            block_id, count = as_tuple(fields, 2, "blocks request")
            limit = as_int(count, "block count", low=1, high=BLOCKS_COUNT_MAX)
            return BlocksRequest(as_digest(block_id, "wanted block id"), limit)
        case _:  # BLOCKS, the only kind that is left
            (listed,) = as_tuple(fields, 1, "blocks")
            items = as_array(listed, BLOCKS_COUNT_MAX, "blocks")
            if not items:
                raise CodecError("an answer of blocks is not empty")
            return Blocks(tuple(Proposal.from_value(item) for item in items))
