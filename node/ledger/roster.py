"""The roster: who validates in an epoch, who runs each validator, and with which keys.

One state leaf, `governance/validators`, holds the current roster, so that the whole of it is provable; of it
agreement needs the consensus keys and weights alone (`Roster.validator_set`, whose hash headers carry).
`Roster = [1, epoch, [[name, organisation, consensus_key, node_key, weight, operator_key], ...]]`.
The order is that of the validators' indices in their epoch.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from consensus import (
    VALIDATORS_MAX,
    CodecError,
    Epoch,
    LocalError,
    PublicKey,
    Validator,
    ValidatorSet,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_text,
    as_tuple,
    decode,
    encode,
)
from node.ledger.names import NAME_CHARACTERS_MAX, check_name
from node.ledger.state import Space, StateReader

ROSTER_VERSION = 1
ROSTER_KEY = b"governance/validators"
"""The state key of the current roster."""
ROSTER_BYTES_MAX = 64 * 1024
"""A full set of the longest names takes about 32 KiB."""


@dataclass(frozen=True, slots=True)
class ValidatorRecord:
    """A validator: who runs it, the keys it signs and connects with (two different ones, C18), its weight,
    and the admin key that speaks for it in governance (F13)."""

    name: str
    organisation: str
    consensus_key: PublicKey
    node_key: PublicKey
    weight: int
    operator_key: PublicKey

    @property
    def keys(self) -> tuple[PublicKey, PublicKey, PublicKey]:
        """Consensus, node and operator key."""
        return (self.consensus_key, self.node_key, self.operator_key)

    def to_value(self) -> tuple[Value, ...]:
        """The fields in order."""
        return (
            self.name,
            self.organisation,
            self.consensus_key,
            self.node_key,
            self.weight,
            self.operator_key,
        )

    @staticmethod
    def from_value(value: Value) -> "ValidatorRecord":
        """The inverse of `to_value`; raises CodecError. Weights are judged by the set they come to."""
        name, organisation, consensus_key, node_key, weight, operator_key = as_tuple(value, 6, "validator")
        try:
            return ValidatorRecord(
                check_name(as_text(name, "name", max_length=NAME_CHARACTERS_MAX), "validator name"),
                check_name(as_text(organisation, "organisation"), "organisation"),
                PublicKey(as_bytes(consensus_key, "consensus key", length=32)),
                PublicKey(as_bytes(node_key, "node key", length=32)),
                as_int(weight, "weight"),
                PublicKey(as_bytes(operator_key, "operator key", length=32)),
            )
        except ValueError as error:
            raise CodecError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Roster:
    """The validators of one epoch. Raises ValueError for a set that agreement could not use, and when a name
    or a key occurs twice: every key has one holder and one use."""

    epoch: Epoch
    validators: tuple[ValidatorRecord, ...]

    def __post_init__(self) -> None:
        self.validator_set()
        names = {validator.name for validator in self.validators}
        keys = {key for validator in self.validators for key in validator.keys}
        if len(names) != len(self.validators):
            raise ValueError("two validators share one name")
        if len(keys) != 3 * len(self.validators):
            raise ValueError("a key occurs twice among the validators")

    def validator_set(self) -> ValidatorSet:
        """The signers of the epoch, in order."""
        return ValidatorSet(self.epoch, tuple(Validator(v.consensus_key, v.weight) for v in self.validators))

    def by_name(self, name: str) -> ValidatorRecord | None:
        """The validator of that name, or None."""
        return next((validator for validator in self.validators if validator.name == name), None)

    def operated_by(self, key: bytes) -> ValidatorRecord | None:
        """The validator whose operator holds this key, or None."""
        return next((validator for validator in self.validators if validator.operator_key == key), None)

    def signed_by(self, key: bytes) -> ValidatorRecord | None:
        """The validator whose consensus or node key this is, or None."""
        return next((v for v in self.validators if key in (v.consensus_key, v.node_key)), None)

    def operator_weight(self, keys: Iterable[bytes]) -> int:
        """The summed weight of the validators that these keys operate, each counted once."""
        known = frozenset(keys)
        return sum(validator.weight for validator in self.validators if validator.operator_key in known)

    @property
    def total_weight(self) -> int:
        """The weight of all."""
        return sum(validator.weight for validator in self.validators)

    def encode(self) -> bytes:
        """The canonical bytes of the state leaf."""
        validators = tuple(validator.to_value() for validator in self.validators)
        return encode((ROSTER_VERSION, self.epoch, validators))

    @staticmethod
    @lru_cache(maxsize=64)
    def decode(data: bytes) -> "Roster":
        """The roster in a state leaf; raises CodecError. Cached by the bytes, of which it is a function."""
        version, epoch, validators = as_tuple(decode(data, max_bytes=ROSTER_BYTES_MAX), 3, "roster")
        if version != ROSTER_VERSION:
            raise CodecError(f"roster version {version!a:.20} is not {ROSTER_VERSION}")
        records = tuple(map(ValidatorRecord.from_value, as_array(validators, VALIDATORS_MAX, "validators")))
        try:
            return Roster(Epoch(as_int(epoch, "epoch")), records)
        except ValueError as error:
            raise CodecError(str(error)) from error


def load_roster(reader: StateReader) -> Roster:
    """The current roster at the reader's version of the state. Raises LocalError when it is missing."""
    stored = reader.get(Space.STATE, ROSTER_KEY)
    if stored is None:
        raise LocalError("the state holds no roster of validators; it was written by older software")
    return Roster.decode(stored)
