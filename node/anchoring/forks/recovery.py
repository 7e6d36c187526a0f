"""Recovery: how a cluster that forked or stopped for good begins again, without a new identity (F6, C3).

A recovery certificate names the branch that lives on by its tip (the base), the validators and operators of
the next incarnation, and is signed by more than half of the old set's weight that nobody has evidence
against. The old set is the first that was convicted, since every later one was named by it. Where at most a
third of the weight is left unaccused, the operators sign with their admin keys instead, more than two thirds
of them. Whose weight counts must not hang on what each cluster happens to have been shown, or clusters would
part over one recovery: it names the accused keys and the convicted set by which it is judged, and they are
signed with it. That a federation accepts it at all (m > N/2, once an incarnation) is the ledger's business.

    recovery = [2, [header bytes, certificate], incarnation, [[key, weight], ...],
                [[operator key, weight], ...], by, [accused key, ...], [epoch, set hash] | nil,
                signers, signatures, [EpochLink, ...]]
    by 1 VALIDATORS: signers are indices of the old set    2 OPERATORS: of the operators known so far
    signed  H("isthmus/recovery/v2", [cluster id, new incarnation, base epoch, base height, base hash,
                                      [[key, weight], ...], [[operator key, weight], ...], by,
                                      [accused key, ...], [epoch, set hash] | nil])

The new incarnation begins at the height after the base's, in the epoch after the base's; one more for each
recovery on the same base that it replaces, whose new set never certified anything.
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
    as_array,
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

RECOVERY_VERSION = 2
RECOVERY_BYTES_MAX = LINKS_BYTES_MAX + 64 * 1024
_DOMAIN = "isthmus/recovery/v2"
ACCUSED_MAX = 512
"""Keys that evidence may name before a recovery: four full sets."""
REPLACED_MAX = 1024
"""Recoveries on one base."""
_SIGNATURE_BYTES = 64
_DEPTH_MAX = 5
_ITEMS_MAX = 512 * 1024


class RecoveredBy(IntEnum):
    """Whose signatures it carries."""

    VALIDATORS = 1
    OPERATORS = 2


@dataclass(frozen=True, slots=True)
class RecoveryCertificate:
    """The chosen tip, who goes on from there in which incarnation, by whose accusation, and the signatures;
    `convicted` is the epoch and hash of the first convicted set. `links` lead from the first set of the old
    incarnation to the base's, for clients that hold another."""

    base: Certified
    incarnation: int
    validators: ValidatorSet
    operators: ValidatorSet
    by: RecoveredBy
    accused: tuple[PublicKey, ...]
    convicted: tuple[int, Digest] | None
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
        *,
        accused: Collection[PublicKey] = (),
        convicted: ValidatorSet | None = None,
        replaces: int = 0,
    ) -> "RecoveryCertificate":
        """One that nobody has signed yet; `replaces` counts the recoveries on this base that came to nothing.
        Raises ValueError for keys that make no set."""
        epoch = Epoch(base.header.epoch + 1 + replaces)
        return RecoveryCertificate(
            base,
            base.header.incarnation + 1 + replaces,
            ValidatorSet(epoch, validators),
            ValidatorSet(epoch, operators),
            by,
            tuple(sorted(accused)),
            None if convicted is None else (convicted.epoch, convicted.hash()),
            b"",
            b"",
            links,
        )

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
            self.accused,
            self.convicted,
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

    def check_bound(self, accused: Collection[PublicKey], convicted: ValidatorSet | None) -> None:
        """What it is judged by holds for whoever knows of these `accused` keys, of whom the first were of the
        set `convicted`. Raises Refused RECOVERY_EVIDENCE."""
        unproven = [key for key in self.accused if key not in accused]
        if unproven:
            raise Refused(
                Code.RECOVERY_EVIDENCE,
                f"no evidence is known here against {unproven[0].hex()}; bring it first",
            )
        first = None if convicted is None else (convicted.epoch, convicted.hash())
        if first != self.convicted:
            named, known = (
                "no set" if found is None else f"set {found[1].hex()[:12]} of epoch {found[0]}"
                for found in (self.convicted, first)
            )
            raise Refused(
                Code.RECOVERY_EVIDENCE, f"it is judged by the conviction of {named}, here by that of {known}"
            )

    def check_replaces(
        self, operators: ValidatorSet, accused: Collection[PublicKey], cache: SignatureCache
    ) -> None:
        """It replaces a recovery on the same base of which nothing came: the operators whom that one named
        signed, and there is nobody to accuse. Raises Refused RECOVERY_*."""
        self._check_new_set(accused)
        if self.accused or self.convicted is not None or self.links:
            raise Refused(Code.RECOVERY_EVIDENCE, "what it replaces was judged by the evidence already")
        if self.by is not RecoveredBy.OPERATORS:
            raise Refused(Code.RECOVERY_SIGNERS, "only operators replace a recovery that came to nothing")
        self._check_operators(operators, cache)

    def check_signed(
        self,
        old: ValidatorSet,
        operators: ValidatorSet,
        accused: Collection[PublicKey],
        cache: SignatureCache,
    ) -> None:
        """Enough of those who may sign did: `old` is `signing_set(...)`, `accused` are all keys known to be.
        Whose weight counts follows from those that it names. Raises Refused RECOVERY_*. Signatures are
        verified last."""
        self._check_new_set(accused)
        named = frozenset(self.accused)
        unaccused = [
            index for index, validator in enumerate(old.validators) if validator.public_key not in named
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
            if any(old.validators[index].public_key in accused for index in signers):
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
        self._check_operators(operators, cache)

    def _check_new_set(self, accused: Collection[PublicKey]) -> None:
        for validator in self.validators.validators:
            if validator.public_key in accused:
                raise Refused(
                    Code.RECOVERY_ACCUSED, f"the new set names the accused key {validator.public_key.hex()}"
                )

    def _check_operators(self, operators: ValidatorSet, cache: SignatureCache) -> None:
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
        """`[2, base, incarnation, members, operators, by, accused, convicted, signers, signatures, links]`"""
        return (
            RECOVERY_VERSION,
            self.base.to_value(),
            self.incarnation,
            self.validators.to_value()[1],
            self.operators.to_value()[1],
            int(self.by),
            self.accused,
            self.convicted,
            self.signers,
            self.signatures,
            links_value(self.links),
        )

    @staticmethod
    def from_value(value: Value) -> "RecoveryCertificate":
        """The inverse of `to_value`; raises CodecError."""
        fields = as_tuple(value, 11, "recovery")
        version, base, incarnation, validators, operators, by, accused, convicted = fields[:8]
        signers, signatures, links = fields[8:]
        if version != RECOVERY_VERSION:
            raise CodecError(f"recovery version {version!a:.20} is not {RECOVERY_VERSION}")
        certified = Certified.from_value(base)
        old = certified.header.incarnation
        begins = as_int(incarnation, "incarnation", low=old + 1, high=old + REPLACED_MAX)
        epoch = certified.header.epoch + begins - old
        keys = tuple(
            PublicKey(as_bytes(key, "accused key", length=32))
            for key in as_array(accused, ACCUSED_MAX, "accused keys")
        )
        if list(keys) != sorted(set(keys)):
            raise CodecError("accused keys ascend, each once")
        return RecoveryCertificate(
            certified,
            begins,
            ValidatorSet.from_value((epoch, validators)),
            ValidatorSet.from_value((epoch, operators)),
            RecoveredBy(as_int(by, "by", low=1, high=max(RecoveredBy))),
            keys,
            None if convicted is None else _convicted(convicted),
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


def _convicted(value: Value) -> tuple[int, Digest]:
    epoch, set_hash = as_tuple(value, 2, "convicted set")
    return as_int(epoch, "convicted epoch"), Digest(as_bytes(set_hash, "set hash", length=32))


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
