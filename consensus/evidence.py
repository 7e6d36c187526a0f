"""Proof that a validator broke the rules: two statements it signed that no correct replica signs both.

Evidence is positive and portable: anybody who knows the validator set of the epoch verifies it offline,
with no view of the chain. Kinds (C20): two votes or two proposals of one (epoch, round); two header
signatures of one (incarnation, height) with different hashes (C3); a vote that raised the lock to q and
a timeout of the same or a later round that claims a highest QC below q. Two timeouts of one round with
different hqc are legal and no evidence.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from consensus.blocks import proposal_digest
from consensus.certificates import timeout_digest
from consensus.codec import Value, as_bytes, as_digest, as_int, as_signature, as_tuple, decode, encode_trusted
from consensus.errors import InvalidMessage
from consensus.keys import (
    DIGEST_BYTES,
    ED25519,
    Digest,
    PublicKey,
    Signature,
    SignatureScheme,
    digest,
)
from consensus.messages import HeaderSignature, Proposal, Timeout, Vote
from consensus.validators import Epoch, Round, ValidatorIndex, ValidatorSet

_EVIDENCE_DOMAIN = "isthmus/evidence/v1"
_EVIDENCE_VERSION = 1
EVIDENCE_BYTES_MAX = 2048
"""Two statements without certificates: the largest real evidence has under 600 bytes."""


class Offence(IntEnum):
    """What the two statements prove together."""

    DOUBLE_VOTE = 1
    DOUBLE_PROPOSAL = 2
    DOUBLE_HEADER = 3
    LOCK_VIOLATION = 4


@dataclass(frozen=True, slots=True)
class ProposalClaim:
    """A proposal reduced to what its author signed."""

    epoch: Epoch
    round: Round
    block_id: Digest
    author: ValidatorIndex
    signature: Signature

    @staticmethod
    def of(proposal: Proposal) -> "ProposalClaim":
        """The signed part of a proposal."""
        block = proposal.block
        return ProposalClaim(block.epoch, block.round, block.id, block.author, proposal.signature)

    def digest(self, cluster_id: bytes) -> Digest:
        """What the author signed."""
        return proposal_digest(cluster_id, self.epoch, self.round, self.block_id)

    def to_value(self) -> tuple[Value, ...]:
        """`[epoch, round, block id, author, signature]`."""
        return (self.epoch, self.round, self.block_id, self.author, self.signature)

    @staticmethod
    def from_value(value: Value) -> "ProposalClaim":
        """The inverse of `to_value`; raises CodecError."""
        epoch, round, block_id, author, signature = as_tuple(value, 5, "proposal claim")
        return ProposalClaim(
            Epoch(as_int(epoch, "epoch")),
            Round(as_int(round, "round", low=1)),
            as_digest(block_id, "block id"),
            ValidatorIndex(as_int(author, "author")),
            as_signature(signature, "signature"),
        )


@dataclass(frozen=True, slots=True)
class TimeoutClaim:
    """A timeout reduced to what its author signed."""

    epoch: Epoch
    round: Round
    hqc_round: Round
    author: ValidatorIndex
    signature: Signature

    @staticmethod
    def of(timeout: Timeout) -> "TimeoutClaim":
        """The signed part of a timeout."""
        return TimeoutClaim(
            timeout.epoch, timeout.round, timeout.hqc_round, timeout.author, timeout.signature
        )

    def digest(self, cluster_id: bytes) -> Digest:
        """What the author signed."""
        return timeout_digest(cluster_id, self.epoch, self.round, self.hqc_round)

    def to_value(self) -> tuple[Value, ...]:
        """`[epoch, round, hqc round, author, signature]`."""
        return (self.epoch, self.round, self.hqc_round, self.author, self.signature)

    @staticmethod
    def from_value(value: Value) -> "TimeoutClaim":
        """The inverse of `to_value`; raises CodecError."""
        epoch, round, hqc_round, author, signature = as_tuple(value, 5, "timeout claim")
        return TimeoutClaim(
            Epoch(as_int(epoch, "epoch")),
            Round(as_int(round, "round", low=1)),
            Round(as_int(hqc_round, "hqc round")),
            ValidatorIndex(as_int(author, "author")),
            as_signature(signature, "signature"),
        )


Statement: TypeAlias = Vote | ProposalClaim | HeaderSignature | TimeoutClaim


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two conflicting statements of `accused` (index and key); make it with `Evidence.of`."""

    offence: Offence
    epoch: Epoch
    accused: ValidatorIndex
    accused_key: PublicKey
    first: Statement
    second: Statement

    @staticmethod
    def of(validators: ValidatorSet, first: Statement, second: Statement) -> "Evidence | None":
        """Evidence from two statements, in either order, or None when both may have been signed."""
        offence = _offence_of(first, second)
        if offence is None or not validators.contains(first.author):
            return None
        # one name for one offence: the order of arrival must not matter
        if offence is not Offence.LOCK_VIOLATION and _encoded(second) < _encoded(first):
            first, second = second, first
        key = validators.validators[first.author].public_key
        return Evidence(offence, first.epoch, first.author, key, first, second)

    @property
    def id(self) -> Digest:
        """Names the evidence; equal for everybody who holds the same two statements."""
        return digest(_EVIDENCE_DOMAIN, self.encode())

    def verify(self, cluster_id: bytes, validators: ValidatorSet, scheme: SignatureScheme = ED25519) -> None:
        """Raises InvalidMessage unless both signatures are good and the statements conflict."""
        if validators.epoch != self.epoch or not validators.contains(self.accused):
            raise InvalidMessage("evidence-epoch", f"epoch {self.epoch}, set of epoch {validators.epoch}")
        if validators.validators[self.accused].public_key != self.accused_key:
            raise InvalidMessage("evidence-key", f"validator {self.accused} has another key")
        if Evidence.of(validators, self.first, self.second) != self:
            raise InvalidMessage("evidence-statements", "the two statements do not conflict")
        for statement in (self.first, self.second):
            if not scheme.verify(self.accused_key, statement.digest(cluster_id), statement.signature):
                raise InvalidMessage("evidence-signature", f"not signed by validator {self.accused}")

    def encode(self) -> bytes:
        """`[version, offence, epoch, accused, accused key, first, second]`, canonical."""
        return encode_trusted(
            (
                _EVIDENCE_VERSION,
                int(self.offence),
                self.epoch,
                self.accused,
                self.accused_key,
                self.first.to_value(),
                self.second.to_value(),
            )
        )

    @staticmethod
    def decode(data: bytes) -> "Evidence":
        """The evidence these bytes encode, not yet verified; raises CodecError."""
        value = decode(data, max_bytes=EVIDENCE_BYTES_MAX)
        version, kind, epoch, accused, key, first, second = as_tuple(value, 7, "evidence")
        as_int(version, "evidence version", low=_EVIDENCE_VERSION, high=_EVIDENCE_VERSION)
        offence = Offence(as_int(kind, "offence", low=1, high=max(Offence)))
        return Evidence(
            offence,
            Epoch(as_int(epoch, "evidence epoch")),
            ValidatorIndex(as_int(accused, "accused")),
            PublicKey(as_bytes(key, "accused key", length=DIGEST_BYTES)),
            _statement(offence, first, first_of_two=True),
            _statement(offence, second, first_of_two=False),
        )


def _encoded(statement: Statement) -> bytes:
    return encode_trusted(statement.to_value())


def _statement(offence: Offence, value: Value, *, first_of_two: bool) -> Statement:
    match offence:
        case Offence.DOUBLE_VOTE:
            return Vote.from_value(value)
        case Offence.DOUBLE_PROPOSAL:
            return ProposalClaim.from_value(value)
        case Offence.DOUBLE_HEADER:
            return HeaderSignature.from_value(value)
        case Offence.LOCK_VIOLATION:
            return Vote.from_value(value) if first_of_two else TimeoutClaim.from_value(value)


def _offence_of(first: Statement, second: Statement) -> Offence | None:
    if first.author != second.author:
        return None
    match first, second:
        case Vote(), Vote():
            same = (first.epoch, first.round) == (second.epoch, second.round)
            differ = _signed_part(first) != _signed_part(second)
            return Offence.DOUBLE_VOTE if same and differ else None
        case ProposalClaim(), ProposalClaim():
            same = (first.epoch, first.round) == (second.epoch, second.round)
            return Offence.DOUBLE_PROPOSAL if same and first.block_id != second.block_id else None
        case HeaderSignature(), HeaderSignature():
            same = (first.incarnation, first.height) == (second.incarnation, second.height)
            return Offence.DOUBLE_HEADER if same and first.header_hash != second.header_hash else None
        case Vote(), TimeoutClaim():
            later = first.epoch == second.epoch and second.round >= first.round
            return Offence.LOCK_VIOLATION if later and second.hqc_round < first.parent_round else None
        case _:
            return None


def _signed_part(vote: Vote) -> tuple[Value, ...]:
    return (vote.block_id, vote.parent_id, vote.parent_round, vote.commit_id)


class EvidenceLog:
    """Evidence already reported, so that each offence is reported once; bounded, oldest out first."""

    __slots__ = ("_reported", "limit")

    def __init__(self, limit: int) -> None:
        self._reported: dict[Digest, Evidence] = {}
        self.limit = limit

    def add(self, evidence: Evidence) -> bool:
        """Whether this evidence is new."""
        if evidence.id in self._reported:
            return False
        self._reported[evidence.id] = evidence
        if len(self._reported) > self.limit:
            del self._reported[next(iter(self._reported))]
        return True

    def __len__(self) -> int:
        return len(self._reported)

    def __iter__(self) -> Iterator[Evidence]:
        return iter(self._reported.values())
