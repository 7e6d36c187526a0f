"""Certificates: what a quorum of signatures proves, and the only code that believes one.

A quorum certificate (QC) proves that a block can be extended and, by the commit information inside the
votes, that an ancestor is committed. A timeout certificate (TC) proves that a round may be left without
a QC. A header certificate proves a ledger header; it is the only one that leaves a cluster. Every
signature of a certificate is verified (C6), each with the same verifier and through one cache.
Sources: Jolteon (arXiv 2106.10362) section 3; DiemBFT v4; consensus.md C6, C10, C21.
"""

from collections.abc import Callable
from functools import lru_cache

from consensus.codec import Value, as_array, as_bytes, as_digest, as_int, as_tuple, encode_trusted
from consensus.errors import InvalidCertificate
from consensus.keys import SIGNATURE_BYTES, Digest, SignatureCache, digest
from consensus.validators import (
    VALIDATORS_MAX,
    Epoch,
    Height,
    Round,
    ValidatorSet,
    bitmap_indices,
)
from consensus.values import immutable

_VOTE_DOMAIN = "isthmus/vote/v1"
_TIMEOUT_DOMAIN = "isthmus/timeout/v1"
_HEADER_DOMAIN = "isthmus/header-signature/v1"
_GENESIS_DOMAIN = "isthmus/epoch-root/v1"
_BITMAP_BYTES_MAX = (VALIDATORS_MAX + 7) // 8
_SIGNATURES_BYTES_MAX = VALIDATORS_MAX * SIGNATURE_BYTES
_DIGESTS_KEPT = 256
"""All who agree sign one digest, which is worked out once and not for each of them."""


def vote_digest(
    cluster_id: bytes,
    epoch: int,
    round: int,
    block_id: bytes,
    parent_id: bytes,
    parent_round: int,
    commit_id: bytes | None,
) -> Digest:
    """What a vote signs: functions of the block only (C5, C21); `commit_id` is what its QC commits."""
    fields = (cluster_id, epoch, round, block_id, parent_id, parent_round, commit_id)
    return _signed(_VOTE_DOMAIN, fields)


def timeout_digest(cluster_id: bytes, epoch: int, round: int, hqc_round: int) -> Digest:
    """What a timeout signs: the round it gives up and the round of the highest QC it holds."""
    return _signed(_TIMEOUT_DOMAIN, (cluster_id, epoch, round, hqc_round))


def header_digest(
    cluster_id: bytes, incarnation: int, epoch: int, height: int, block_id: bytes, header_hash: bytes
) -> Digest:
    """What a header signature signs. Height and incarnation stand in the clear, so that two signed
    headers of one height convict a key without the headers themselves (C3)."""
    fields = (cluster_id, incarnation, epoch, height, block_id, header_hash)
    return _signed(_HEADER_DOMAIN, fields)


@lru_cache(maxsize=_DIGESTS_KEPT)
def _signed(domain: str, fields: tuple[Value, ...]) -> Digest:
    return digest(domain, encode_trusted(fields))


@immutable(frozen=True, slots=True)
class QuorumCertificate:
    """A quorum voted for `block_id` in (epoch, round). `signatures` are joined in index order.

    `parent_id`, `parent_round`: the block's parent, the block its own QC certified. `commit_id`: the
    parent's id when the rounds are consecutive, which this certificate then commits, else None.
    """

    epoch: Epoch
    round: Round
    block_id: Digest
    parent_id: Digest
    parent_round: Round
    commit_id: Digest | None
    signers: bytes
    signatures: bytes

    @property
    def is_root(self) -> bool:
        """Whether this is an epoch's unsigned root certificate (C4)."""
        return self.round == 0

    def digest(self, cluster_id: bytes) -> Digest:
        """The digest each signer signed."""
        return vote_digest(
            cluster_id,
            self.epoch,
            self.round,
            self.block_id,
            self.parent_id,
            self.parent_round,
            self.commit_id,
        )

    def verify(
        self, cluster_id: bytes, validators: ValidatorSet, cache: SignatureCache, root_id: bytes
    ) -> None:
        """Raises InvalidCertificate. A root certificate must be exactly the epoch's own (`root_id`)."""
        _check_epoch(self.epoch, validators)
        if self.is_root:
            if self != root_certificate(validators.epoch, Digest(root_id)):
                raise InvalidCertificate("qc-root", "a round 0 certificate that is not the epoch's root")
            return
        consecutive = self.round == self.parent_round + 1
        if self.round <= self.parent_round or (self.commit_id is not None) != consecutive:
            raise InvalidCertificate("qc-shape", f"round {self.round}, parent round {self.parent_round}")
        if consecutive and self.commit_id != self.parent_id:
            raise InvalidCertificate("qc-commit", "the committed block is not the parent")
        message = self.digest(cluster_id)
        verify_signatures(validators, self.signers, self.signatures, lambda _: message, cache, "qc")

    def to_value(self) -> tuple[Value, ...]:
        """`[epoch, round, block_id, parent_id, parent_round, commit_id, signers, signatures]`."""
        return (
            self.epoch,
            self.round,
            self.block_id,
            self.parent_id,
            self.parent_round,
            self.commit_id,
            self.signers,
            self.signatures,
        )

    @staticmethod
    def from_value(value: Value) -> "QuorumCertificate":
        """The inverse of `to_value`; raises CodecError."""
        epoch, round, block, parent, parent_round, commit, signers, signatures = as_tuple(value, 8, "qc")
        return QuorumCertificate(
            Epoch(as_int(epoch, "qc epoch")),
            Round(as_int(round, "qc round")),
            as_digest(block, "qc block id"),
            as_digest(parent, "qc parent id"),
            Round(as_int(parent_round, "qc parent round")),
            None if commit is None else as_digest(commit, "qc commit id"),
            as_bytes(signers, "qc signers", max_length=_BITMAP_BYTES_MAX),
            as_bytes(signatures, "qc signatures", max_length=_SIGNATURES_BYTES_MAX),
        )


def root_id(cluster_id: bytes, epoch: int, last_header_hash: bytes) -> Digest:
    """The block id an epoch starts from: bound to the header that ended the epoch before (C4)."""
    return digest(_GENESIS_DOMAIN, encode_trusted((cluster_id, epoch, last_header_hash)))


def root_certificate(epoch: Epoch, block_id: Digest) -> QuorumCertificate:
    """The unsigned certificate of round 0 that an epoch's first block extends (C4)."""
    return QuorumCertificate(epoch, Round(0), block_id, block_id, Round(0), None, b"", b"")


@immutable(frozen=True, slots=True)
class TimeoutCertificate:
    """A quorum gave up `round`; `hqc_rounds` holds each signer's highest QC round, in index order.

    The highest QC itself travels beside the TC (in the block or the timeout): what is signed are the
    rounds, and a block carrying this TC must extend a QC of at least `max_hqc_round`.
    """

    epoch: Epoch
    round: Round
    signers: bytes
    hqc_rounds: tuple[Round, ...]
    signatures: bytes

    @property
    def max_hqc_round(self) -> Round:
        """The highest QC round any signer reported."""
        return max(self.hqc_rounds, default=Round(0))

    def verify(self, cluster_id: bytes, validators: ValidatorSet, cache: SignatureCache) -> None:
        """Raises InvalidCertificate; each signature is over its own signer's hqc_round (L3)."""
        _check_epoch(self.epoch, validators)
        if self.max_hqc_round >= self.round:
            raise InvalidCertificate(
                "tc-hqc", f"hqc round {self.max_hqc_round} in a TC of round {self.round}"
            )
        if len(self.hqc_rounds) * SIGNATURE_BYTES != len(self.signatures):
            raise InvalidCertificate("tc-shape", "hqc rounds and signatures differ in number")
        messages = [timeout_digest(cluster_id, self.epoch, self.round, hqc) for hqc in self.hqc_rounds]
        verify_signatures(
            validators, self.signers, self.signatures, lambda position: messages[position], cache, "tc"
        )

    def to_value(self) -> tuple[Value, ...]:
        """`[epoch, round, signers, [hqc_round, ...], signatures]`."""
        return (self.epoch, self.round, self.signers, tuple(self.hqc_rounds), self.signatures)

    @staticmethod
    def from_value(value: Value) -> "TimeoutCertificate":
        """The inverse of `to_value`; raises CodecError."""
        epoch, round, signers, hqc_rounds, signatures = as_tuple(value, 5, "tc")
        return TimeoutCertificate(
            Epoch(as_int(epoch, "tc epoch")),
            Round(as_int(round, "tc round", low=1)),
            as_bytes(signers, "tc signers", max_length=_BITMAP_BYTES_MAX),
            tuple(Round(as_int(r, "hqc round")) for r in as_array(hqc_rounds, VALIDATORS_MAX, "hqc rounds")),
            as_bytes(signatures, "tc signatures", max_length=_SIGNATURES_BYTES_MAX),
        )


@immutable(frozen=True, slots=True)
class HeaderCertificate:
    """A quorum signed the ledger header of `height`: final, and the only proof other clusters see.

    It commits `block_id` and all its ancestors (C25) and, through `parent_hash`, all earlier headers.
    """

    incarnation: int
    epoch: Epoch
    height: Height
    block_id: Digest
    header_hash: Digest
    signers: bytes
    signatures: bytes

    def digest(self, cluster_id: bytes) -> Digest:
        """The digest each signer signed."""
        return header_digest(
            cluster_id, self.incarnation, self.epoch, self.height, self.block_id, self.header_hash
        )

    def verify(self, cluster_id: bytes, validators: ValidatorSet, cache: SignatureCache) -> None:
        """Raises InvalidCertificate."""
        _check_epoch(self.epoch, validators)
        message = self.digest(cluster_id)
        verify_signatures(validators, self.signers, self.signatures, lambda _: message, cache, "header")

    def to_value(self) -> tuple[Value, ...]:
        """`[incarnation, epoch, height, block_id, header_hash, signers, signatures]`."""
        return (
            self.incarnation,
            self.epoch,
            self.height,
            self.block_id,
            self.header_hash,
            self.signers,
            self.signatures,
        )

    @staticmethod
    def from_value(value: Value) -> "HeaderCertificate":
        """The inverse of `to_value`; raises CodecError."""
        incarnation, epoch, height, block, header, signers, signatures = as_tuple(value, 7, "certificate")
        return HeaderCertificate(
            as_int(incarnation, "incarnation"),
            Epoch(as_int(epoch, "certificate epoch")),
            Height(as_int(height, "certificate height")),
            as_digest(block, "certificate block id"),
            as_digest(header, "header hash"),
            as_bytes(signers, "certificate signers", max_length=_BITMAP_BYTES_MAX),
            as_bytes(signatures, "certificate signatures", max_length=_SIGNATURES_BYTES_MAX),
        )


def _check_epoch(epoch: int, validators: ValidatorSet) -> None:
    if epoch != validators.epoch:
        raise InvalidCertificate("cert-epoch", f"epoch {epoch}, expected {validators.epoch}")


def verify_signatures(
    validators: ValidatorSet,
    signers: bytes,
    signatures: bytes,
    message_of: Callable[[int], bytes],
    cache: SignatureCache,
    what: str,
) -> None:
    """Structure and weight first, then every signature (C6); `message_of` takes the signer's position
    among the signers. Raises InvalidCertificate with `what` in its code."""
    if len(signers) != (len(validators) + 7) // 8:
        raise InvalidCertificate(f"{what}-bitmap", f"{len(signers)} bytes for {len(validators)} validators")
    indices = list(bitmap_indices(signers))
    if indices and indices[-1] >= len(validators):
        raise InvalidCertificate(f"{what}-signer", f"signer {indices[-1]} of {len(validators)} validators")
    if len(indices) * SIGNATURE_BYTES != len(signatures):
        raise InvalidCertificate(
            f"{what}-count", f"{len(indices)} signers, {len(signatures)} signature bytes"
        )
    weight = validators.weight_of(indices)
    if not validators.is_quorum(weight):
        raise InvalidCertificate(
            f"{what}-weight", f"weight {weight} of {validators.total_weight} is no quorum"
        )
    members, verify = validators.validators, cache.verify
    for position, index in enumerate(indices):
        start = position * SIGNATURE_BYTES
        signature = signatures[start : start + SIGNATURE_BYTES]
        if not verify(members[index].public_key, message_of(position), signature):
            raise InvalidCertificate(f"{what}-signature", f"the signature of validator {index} is wrong")
