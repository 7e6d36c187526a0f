"""Recovery: how a cluster that forked or stopped for good begins again, without a new identity (F6, C3).

A recovery certificate names the branch that lives on by its tip (the base), the validators and operators of
the next incarnation, and is signed by more than half of the old set's weight that nobody has evidence
against. The old set is the first that was convicted, since every later one was named by it. Where at most a
third of the weight is left unaccused, the operators sign with their admin keys instead, more than two thirds
of them. That a federation accepts it at all (m > N/2, once an incarnation) is the ledger's business.

    recovery = [1, [header bytes, certificate], [[key, weight], ...], [[operator key, weight], ...],
                by, signers, signatures, [EpochLink, ...]]
    by 1 VALIDATORS: signers are indices of the old set    2 OPERATORS: of the operators known so far
    signed  H("isthmus/recovery/v1", [cluster id, new incarnation, base epoch, base height, base hash,
                                      [[key, weight], ...], [[operator key, weight], ...], by])

The new incarnation begins in the epoch after the base's, at the height after the base's.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum

from consensus import (
    VALIDATORS_MAX,
    CodecError,
    Digest,
    Epoch,
    PublicKey,
    SignatureCache,
    Validator,
    ValidatorSet,
    Value,
    as_bytes,
    as_int,
    as_tuple,
    bitmap_indices,
    decode,
    digest,
    encode,
)
from node.anchoring.cluster.certified import Certified
from node.anchoring.cluster.epochs import LINKS_BYTES_MAX, EpochLink, links_from_value, links_value
from node.anchoring.refusals import Code, Refused

RECOVERY_VERSION = 1
RECOVERY_BYTES_MAX = LINKS_BYTES_MAX + 64 * 1024
_DOMAIN = "isthmus/recovery/v1"
_SIGNATURE_BYTES = 64
_DEPTH_MAX = 5
_ITEMS_MAX = 512 * 1024


class RecoveredBy(IntEnum):
    """Whose signatures it carries."""

    VALIDATORS = 1
    OPERATORS = 2


@dataclass(frozen=True, slots=True)
class RecoveryCertificate:
    """The chosen tip, who goes on from there, and the signatures; `links` lead from the first set of the old
    incarnation to the base's, for clients that hold another."""

    base: Certified
    validators: ValidatorSet
    operators: ValidatorSet
    by: RecoveredBy
    signers: bytes
    signatures: bytes
    links: tuple[EpochLink, ...] = ()

    @staticmethod
    def proposed(
        base: Certified,
        validators: tuple[Validator, ...],
        operators: tuple[Validator, ...],
        by: RecoveredBy,
        links: tuple[EpochLink, ...] = (),
    ) -> "RecoveryCertificate":
        """One that nobody has signed yet. Raises ValueError for keys that make no set."""
        epoch = Epoch(base.header.epoch + 1)
        return RecoveryCertificate(
            base, ValidatorSet(epoch, validators), ValidatorSet(epoch, operators), by, b"", b"", links
        )

    @property
    def incarnation(self) -> int:
        """The incarnation it begins."""
        return self.base.header.incarnation + 1

    def digest(self) -> Digest:
        """What each signer signs."""
        header = self.base.header
        fields = (
            header.cluster_id,
            self.incarnation,
            header.epoch,
            header.height,
            header.hash,
            self.validators.to_value()[1],
            self.operators.to_value()[1],
            int(self.by),
        )
        return digest(_DOMAIN, encode(fields))

    def check_base_claims(self, cluster_id: bytes, incarnation: int, validators: ValidatorSet) -> None:
        """All about the base that costs no signature: its origin, and that it lies above the links. Raises
        Refused LINK_HEIGHT and what `Certified.check_claims` refuses."""
        self.base.check_claims(cluster_id, incarnation, validators)
        height = self.base.header.height
        if self.links and height <= self.links[-1].ending.header.height:
            raise Refused(
                Code.LINK_HEIGHT,
                f"base {height} is not above the last end {self.links[-1].ending.header.height}",
            )

    def check_signed(
        self,
        old: ValidatorSet,
        operators: ValidatorSet,
        accused: Collection[PublicKey],
        cache: SignatureCache,
    ) -> None:
        """Enough of those who may sign did: `old` is `signing_set(...)`. Raises Refused RECOVERY_*.
        Signatures are verified last."""
        for validator in self.validators.validators:
            if validator.public_key in accused:
                raise Refused(
                    Code.RECOVERY_ACCUSED, f"the new set names the accused key {validator.public_key.hex()}"
                )
        unaccused = [
            index for index, validator in enumerate(old.validators) if validator.public_key not in accused
        ]
        left = old.weight_of(unaccused)
        total = old.total_weight
        if self.by is RecoveredBy.VALIDATORS:
            if 3 * left <= total:
                raise Refused(
                    Code.RECOVERY_WEIGHT,
                    f"only {left} of {total} weight is unaccused; the operators must sign",
                )
            signers = self._signers_of(old)
            if not frozenset(signers) <= frozenset(unaccused):
                raise Refused(Code.RECOVERY_ACCUSED, "an accused validator signed")
            signed = old.weight_of(signers)
            if 2 * signed <= left:
                raise Refused(
                    Code.RECOVERY_WEIGHT, f"weight {signed} is not more than half of the unaccused {left}"
                )
            self._check_signatures(old, signers, cache)
            return
        if 3 * left > total:
            raise Refused(
                Code.RECOVERY_WEIGHT,
                f"{left} of {total} weight is unaccused; its validators sign, not the operators",
            )
        signers = self._signers_of(operators)
        signed = operators.weight_of(signers)
        if not operators.is_quorum(signed):
            raise Refused(
                Code.RECOVERY_WEIGHT, f"operators' weight {signed} of {operators.total_weight} is no quorum"
            )
        self._check_signatures(operators, signers, cache)

    def _signers_of(self, signing: ValidatorSet) -> list[int]:
        """The indices that claim to have signed, one signature each."""
        indices = list(bitmap_indices(self.signers))
        if (
            len(self.signers) != (len(signing) + 7) // 8
            or len(indices) * _SIGNATURE_BYTES != len(self.signatures)
            or (indices and indices[-1] >= len(signing))
        ):
            raise Refused(
                Code.RECOVERY_SIGNERS,
                f"{len(indices)} signers of {len(signing)}, {len(self.signatures)} signature bytes",
            )
        return indices

    def _check_signatures(self, signing: ValidatorSet, indices: Sequence[int], cache: SignatureCache) -> None:
        message = self.digest()
        for position, index in enumerate(indices):
            start = position * _SIGNATURE_BYTES
            signature = self.signatures[start : start + _SIGNATURE_BYTES]
            if not cache.verify(signing.validators[index].public_key, message, signature):
                raise Refused(Code.RECOVERY_SIGNERS, f"the signature of signer {index} is wrong")

    def to_value(self) -> tuple[Value, ...]:
        """`[1, base, members, operators, by, signers, signatures, [EpochLink, ...]]`."""
        return (
            RECOVERY_VERSION,
            self.base.to_value(),
            self.validators.to_value()[1],
            self.operators.to_value()[1],
            int(self.by),
            self.signers,
            self.signatures,
            links_value(self.links),
        )

    @staticmethod
    def from_value(value: Value) -> "RecoveryCertificate":
        """The inverse of `to_value`; raises CodecError."""
        version, base, validators, operators, by, signers, signatures, links = as_tuple(value, 8, "recovery")
        if version != RECOVERY_VERSION:
            raise CodecError(f"recovery version {version!a:.20} is not {RECOVERY_VERSION}")
        certified = Certified.from_value(base)
        epoch = certified.header.epoch + 1
        return RecoveryCertificate(
            certified,
            ValidatorSet.from_value((epoch, validators)),
            ValidatorSet.from_value((epoch, operators)),
            RecoveredBy(as_int(by, "by", low=1, high=max(RecoveredBy))),
            as_bytes(signers, "signers", max_length=(VALIDATORS_MAX + 7) // 8),
            as_bytes(signatures, "signatures", max_length=VALIDATORS_MAX * _SIGNATURE_BYTES),
            links_from_value(links),
        )

    def encode(self) -> bytes:
        """The canonical bytes."""
        return encode(self.to_value())

    @staticmethod
    def decode(data: bytes) -> "RecoveryCertificate":
        """The inverse of `encode`; raises CodecError."""
        return RecoveryCertificate.from_value(
            decode(data, max_bytes=RECOVERY_BYTES_MAX, max_depth=_DEPTH_MAX, max_items=_ITEMS_MAX)
        )


def signing_set(sets: Sequence[ValidatorSet], convicted: ValidatorSet | None) -> ValidatorSet:
    """Whose weight decides: the convicted set, through which `sets`, the way to the base, must lead; without
    evidence the base's own. A set behind a fork was named by those who forked and may be anybody.

    Raises Refused RECOVERY_BASE.
    """
    if convicted is None:
        return sets[-1]
    for passed in sets:
        if passed.epoch == convicted.epoch and passed.hash() == convicted.hash():
            return convicted
    raise Refused(
        Code.RECOVERY_BASE,
        f"the way to the base, epoch {sets[0].epoch} to {sets[-1].epoch}, does not lead through the "
        f"convicted set of epoch {convicted.epoch}; give all links",
    )
