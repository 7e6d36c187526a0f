"""Recovery: how a cluster that forked or stopped for good begins again, without a new identity (F6, C3).

A recovery certificate names the branch that lives on by its tip (the base), the validators and operators of
the next incarnation, and is signed by more than half of the old set's weight that it does not accuse. The
old set is the first that was convicted, since every later one was named by it. Where at most a third of the
weight is left unaccused, the operators sign with their admin keys instead, more than two thirds of them.
Whose weight counts must not hang on what each cluster happens to have been shown, or clusters would part
over one recovery: it names the accused keys and the convicted set by which it is judged, and they are signed
with it. So is which validators sign: no two clusters hold one recovery on different validators' word. Of the
operators any quorum does, whom some know sooner than others. What becomes of evidence that it does not name,
and of two recoveries: `node/anchoring/client/recovering.py`. That it is approved is the ledger's business.

    recovery = [3, [header bytes, certificate], incarnation, [[key, weight], ...],
                [[operator key, weight], ...], by, [accused key, ...], [epoch, set hash] | nil,
                signers, signatures, [EpochLink, ...]]
    by 1 VALIDATORS: signers are indices of the old set    2 OPERATORS: of the operators known so far
    signed  H("isthmus/recovery/v3", [cluster id, new incarnation, base epoch, base height, base hash,
                                      [[key, weight], ...], [[operator key, weight], ...], by,
                                      [accused key, ...], [epoch, set hash] | nil, signers | empty for by 2])

The new incarnation is the one after the base's or, where recoveries of that were made before, any later one
up to the 16th: the higher number stands. It begins at the height after the base's; its first epoch is as far
above the base's as its number is above the base's incarnation.
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

RECOVERY_VERSION = 3
RECOVERY_BYTES_MAX = LINKS_BYTES_MAX + 64 * 1024
_DOMAIN = "isthmus/recovery/v3"
ACCUSED_MAX = 512
"""Keys that evidence may name before a recovery: four full sets."""
RECOVERIES_MAX = 16
"""Recoveries of one incarnation."""
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
        signers: bytes = b"",
    ) -> "RecoveryCertificate":
        """One that nobody has signed yet; `replaces` counts the recoveries of this incarnation that it
        replaces, `signers` is the bitmap of the validators who will sign it. Raises ValueError for keys that
        make no set."""
        epoch = Epoch(base.header.epoch + 1 + replaces)
        return RecoveryCertificate(
            base,
            base.header.incarnation + 1 + replaces,
            ValidatorSet(epoch, validators),
            ValidatorSet(epoch, operators),
            by,
            tuple(sorted(accused)),
            None if convicted is None else (convicted.epoch, convicted.hash()),
            signers,
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
            self.signers if self.by is RecoveredBy.VALIDATORS else b"",
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

    def check_bound(
        self, old: ValidatorSet, accused: Collection[PublicKey], convicted: ValidatorSet | None
    ) -> None:
        """What it names is known to whoever holds these `accused` keys, of whom the first were of the set
        `convicted`: each key that it says is accused is, they outweigh a third of the `old` set, which is
        `signing_set(...)`, and no set earlier than the known one is said to be convicted. More may be known.
        Raises Refused RECOVERY_EVIDENCE."""
        known = frozenset(accused)
        unproven = [key for key in self.accused if key not in known]
        if unproven:
            raise Refused(
                Code.RECOVERY_EVIDENCE,
                f"no evidence is known here against {unproven[0].hex()}; bring it first",
            )
        if self.convicted is None:
            if self.accused:
                raise Refused(Code.RECOVERY_EVIDENCE, "it accuses keys and says of no set that it forked")
            return
        named = frozenset(self.accused)
        weight = sum(member.weight for member in old.validators if member.public_key in named)
        if 3 * weight <= old.total_weight or convicted is None or rank_of(convicted) > self.convicted:
            raise Refused(
                Code.RECOVERY_EVIDENCE,
                f"no evidence is known here against set {self.convicted[1].hex()[:12]} of epoch "
                f"{self.convicted[0]}; bring it first",
            )

    def check_signed(self, old: ValidatorSet, operators: ValidatorSet, cache: SignatureCache) -> None:
        """Enough of those who may sign did: `old` is `signing_set(...)`. Whose weight counts follows from the
        keys that it accuses itself. Raises Refused RECOVERY_*. Signatures are verified last."""
        named = frozenset(self.accused)
        for validator in self.validators.validators:
            if validator.public_key in named:
                raise Refused(
                    Code.RECOVERY_ACCUSED, f"the new set names the accused key {validator.public_key.hex()}"
                )
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
            if any(old.validators[index].public_key in named for index in signers):
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

    def signer_keys(self, old: ValidatorSet) -> tuple[PublicKey, ...]:
        """The validators of the `old` set who signed. Raises Refused RECOVERY_SIGNERS."""
        return tuple(old.validators[index].public_key for index in self._signers_of(old))

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
        """`[3, base, incarnation, members, operators, by, accused, convicted, signers, signatures, links]`"""
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
        begins = as_int(incarnation, "incarnation", low=old + 1, high=old + RECOVERIES_MAX)
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
            None if convicted is None else rank_from_value(convicted),
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


def rank_of(convicted: ValidatorSet) -> tuple[int, Digest]:
    """Which of two convicted sets was the first: the one of lower rank. Two of one epoch follow from a fork
    before them; everybody takes the same one until that is known."""
    return convicted.epoch, convicted.hash()


def rank_from_value(value: Value) -> tuple[int, Digest]:
    """`[epoch, set hash]`; raises CodecError."""
    epoch, set_hash = as_tuple(value, 2, "convicted set")
    return as_int(epoch, "convicted epoch"), Digest(as_bytes(set_hash, "set hash", length=32))


def signing_set(sets: Sequence[ValidatorSet], convicted: tuple[int, Digest] | None) -> ValidatorSet:
    """Whose weight decides: the set that is said to be `convicted`, through which `sets`, the way to the
    base, must lead; where none is, the base's own. A set behind a fork was named by those who forked and may
    be anybody.

    Raises Refused RECOVERY_BASE.
    """
    if convicted is None:
        return sets[-1]
    for passed in sets:
        if rank_of(passed) == convicted:
            return passed
    raise Refused(
        Code.RECOVERY_BASE,
        f"the way to the base, epoch {sets[0].epoch} to {sets[-1].epoch}, does not lead through the "
        f"convicted set of epoch {convicted[0]}; give all links",
    )


def is_tainted(
    named: Collection[PublicKey],
    judged_by: tuple[int, Digest] | None,
    accused: Collection[PublicKey],
    convicted: ValidatorSet | None,
) -> bool:
    """Whether what is known says of a recovery what it did not say itself: of the validators `named` as its
    signers and successors one is accused, or the first convicted set is another than it was judged by."""
    first = None if convicted is None else rank_of(convicted)
    known = frozenset(accused)
    return first != judged_by or any(key in known for key in named)
