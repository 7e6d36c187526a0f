"""Who may sign in an epoch, and how much of them is enough.

All quorum arithmetic of the project is here, on integer weights, never on a node count: with n = 6 a
"2f + 1 of n" rule gives 3, which is unsafe. Two quorums always share more than a third of the weight,
so at least one correct validator; a blocking set always holds at least one correct validator.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NewType

from consensus.codec import Value, as_array, as_bytes, as_int, as_tuple, encode
from consensus.errors import CodecError
from consensus.keys import PUBLIC_KEY_BYTES, Digest, PublicKey, digest

Epoch = NewType("Epoch", int)
Round = NewType("Round", int)
Height = NewType("Height", int)
"""The number of a ledger header: dense, counted from 0 (genesis), apart from rounds."""
ValidatorIndex = NewType("ValidatorIndex", int)
"""A validator's position in its epoch's set; meaningless without the epoch."""

VALIDATORS_MAX = 128
WEIGHT_MAX = 1_000_000
_SET_DOMAIN = "isthmus/validators/v1"


@dataclass(frozen=True, slots=True)
class Validator:
    """One signer: its Ed25519 consensus key and its voting weight (1 to WEIGHT_MAX)."""

    public_key: PublicKey
    weight: int


@dataclass(frozen=True, slots=True)
class ValidatorSet:
    """The ordered signers of one epoch. Raises ValueError when empty, too large or with equal keys."""

    epoch: Epoch
    validators: tuple[Validator, ...]
    total_weight: int = field(init=False)
    _index: dict[bytes, ValidatorIndex] = field(init=False, repr=False, compare=False)
    _weights: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.validators) <= VALIDATORS_MAX:
            raise ValueError(f"a validator set has 1 to {VALIDATORS_MAX} members, not {len(self.validators)}")
        index = {v.public_key: ValidatorIndex(i) for i, v in enumerate(self.validators)}
        if len(index) != len(self.validators):
            raise ValueError("two validators share one key")
        for validator in self.validators:
            if not 1 <= validator.weight <= WEIGHT_MAX:
                raise ValueError(f"a weight is 1 to {WEIGHT_MAX}, not {validator.weight}")
        weights = tuple(validator.weight for validator in self.validators)
        object.__setattr__(self, "_weights", weights)
        object.__setattr__(self, "total_weight", sum(weights))
        object.__setattr__(self, "_index", index)

    def __len__(self) -> int:
        return len(self.validators)

    def is_quorum(self, weight: int) -> bool:
        """More than two thirds of the weight."""
        return 3 * weight > 2 * self.total_weight

    def is_blocking(self, weight: int) -> bool:
        """More than one third of the weight: nothing can be certified against it (C10)."""
        return 3 * weight > self.total_weight

    def index_of(self, public_key: bytes) -> ValidatorIndex | None:
        """The position of a key, or None when it is not a member."""
        return self._index.get(public_key)

    def contains(self, index: int) -> bool:
        """Whether `index` is a position in this set."""
        return 0 <= index < len(self.validators)

    def weight_of(self, indices: Iterable[int]) -> int:
        """The summed weight of distinct positions (the caller guarantees that they are distinct)."""
        return sum(map(self._weights.__getitem__, indices))

    def hash(self) -> Digest:
        """`validators_hash` of headers: the members and weights in order, without the epoch."""
        return digest(_SET_DOMAIN, encode(self.to_value()[1]))

    def to_value(self) -> tuple[Value, ...]:
        """`[epoch, [[public key, weight], ...]]`."""
        return (self.epoch, tuple((v.public_key, v.weight) for v in self.validators))

    @staticmethod
    def from_value(value: Value) -> "ValidatorSet":
        """The inverse of `to_value`; raises CodecError."""
        epoch, members = as_tuple(value, 2, "validator set")
        validators = []
        for member in as_array(members, VALIDATORS_MAX, "validators"):
            key, weight = as_tuple(member, 2, "validator")
            public_key = PublicKey(as_bytes(key, "validator key", length=PUBLIC_KEY_BYTES))
            validators.append(Validator(public_key, as_int(weight, "weight", low=1, high=WEIGHT_MAX)))
        try:
            return ValidatorSet(Epoch(as_int(epoch, "epoch")), tuple(validators))
        except ValueError as error:
            raise CodecError(str(error)) from error


# --- signer bitmaps --------------------------------------------------------------------------------


def bitmap_of(indices: Iterable[int], size: int) -> bytes:
    """The bitmap of `indices` for a set of `size` members: bit i is byte i // 8, value 1 << (i % 8)."""
    bits = bytearray((size + 7) // 8)
    for index in indices:
        bits[index // 8] |= 1 << (index % 8)
    return bytes(bits)


def bitmap_indices(bitmap: bytes) -> Iterator[int]:
    """The positions set in a bitmap, ascending."""
    for position, byte in enumerate(bitmap):
        while byte:
            low = byte & -byte
            yield position * 8 + low.bit_length() - 1
            byte ^= low
