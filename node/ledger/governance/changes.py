"""Changes: what a proposal may do to the validators, members, policies and rules of its own cluster.

    [1, record]                                              a validator joins
    [2, name]                                                a validator leaves
    [3, name, weight]                                        a validator gets another weight
    [4, name, consensus_key | nil, node_key | nil, operator_key | nil]     a validator gets other keys
    [5, member]                                              a member joins, or gets other roles
    [6, public_key]                                          a member leaves
    [7, app, method, policy]                                 a method gets another policy
    [8, ...] to [15, ...]                                    about other clusters (federation/changes.py)
    [16, name]                                               a feature is in force from the next epoch on

The changes of a proposal are judged together, by the roster they come to: it must be one that agreement can
use, and it must not move too much at once (`moves_too_much`). node/ledger/DESIGN.md says why this is enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from nacl.bindings import crypto_core_ed25519_is_valid_point

from consensus import (
    WEIGHT_MAX,
    CodecError,
    Epoch,
    PublicKey,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_text,
    as_tuple,
)
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.features import FEATURES_MAX, Enabled
from node.ledger.federation.changes import FEDERATION_KINDS, FederationChange, federation_change_of
from node.ledger.members import Member
from node.ledger.names import NAME_CHARACTERS_MAX, check_name
from node.ledger.policy import Policy
from node.ledger.roster import Roster, ValidatorRecord

CHANGES_MAX = 16
"""Most changes of one proposal."""


@dataclass(frozen=True, slots=True)
class AddValidator:
    """A validator joins at the end of the roster."""

    record: ValidatorRecord

    def to_value(self) -> tuple[Value, ...]:
        """`[1, record]`."""
        return (1, self.record.to_value())


@dataclass(frozen=True, slots=True)
class RemoveValidator:
    """A validator leaves."""

    name: str

    def to_value(self) -> tuple[Value, ...]:
        """`[2, name]`."""
        return (2, self.name)


@dataclass(frozen=True, slots=True)
class Reweigh:
    """A validator gets another weight."""

    name: str
    weight: int

    def to_value(self) -> tuple[Value, ...]:
        """`[3, name, weight]`."""
        return (3, self.name, self.weight)


@dataclass(frozen=True, slots=True)
class RotateKeys:
    """A validator gets other keys; None keeps one."""

    name: str
    consensus_key: PublicKey | None
    node_key: PublicKey | None
    operator_key: PublicKey | None

    def to_value(self) -> tuple[Value, ...]:
        """`[4, name, consensus_key | nil, node_key | nil, operator_key | nil]`."""
        return (4, self.name, self.consensus_key, self.node_key, self.operator_key)


@dataclass(frozen=True, slots=True)
class SetMember:
    """A member joins, or what is registered under its key is replaced."""

    member: Member

    def to_value(self) -> tuple[Value, ...]:
        """`[5, member]`."""
        return (5, self.member.to_value())


@dataclass(frozen=True, slots=True)
class RemoveMember:
    """A member leaves."""

    public_key: PublicKey

    def to_value(self) -> tuple[Value, ...]:
        """`[6, public_key]`."""
        return (6, self.public_key)


@dataclass(frozen=True, slots=True)
class SetPolicy:
    """A method gets another policy."""

    app: str
    method: str
    policy: Policy

    def to_value(self) -> tuple[Value, ...]:
        """`[7, app, method, policy]`."""
        return (7, self.app, self.method, self.policy.to_value())


@dataclass(frozen=True, slots=True)
class EnableFeature:
    """A feature is in force from the next epoch on. Any name will do: software that does not know it must
    come to the same ledger up to there (node/ledger/features.py)."""

    name: str

    def to_value(self) -> tuple[Value, ...]:
        """`[16, name]`."""
        return (16, self.name)


ValidatorChange: TypeAlias = AddValidator | RemoveValidator | Reweigh | RotateKeys
Change: TypeAlias = ValidatorChange | SetMember | RemoveMember | SetPolicy | FederationChange | EnableFeature


def changes_of(value: Value) -> tuple[Change, ...]:
    """The changes of a proposal, 1 to CHANGES_MAX. Raises CodecError."""
    items = as_array(value, CHANGES_MAX, "changes")
    if not items:
        raise CodecError("a proposal needs at least one change")
    return tuple(map(change_of, items))


def change_of(value: Value) -> Change:
    """The change that `value` writes; keys must be points of the curve. Raises CodecError."""
    items = as_array(value, 8, "change")
    kind = as_int(items[0], "kind of change") if items else 0
    match kind:
        case 1:
            record = ValidatorRecord.from_value(as_tuple(value, 2, "added validator")[1])
            for own in record.keys:
                _check_key(own, f"of validator {record.name}")
            return AddValidator(replace(record, weight=_weight(record.weight)))
        case 2:
            return RemoveValidator(_name(as_tuple(value, 2, "removed validator")[1]))
        case 3:
            _, name, weight = as_tuple(value, 3, "new weight")
            return Reweigh(_name(name), _weight(weight))
        case 4:
            return _rotation(value)
        case 5:
            member = Member.from_value(as_tuple(value, 2, "member")[1])
            _check_key(member.public_key, f"of member {member.name}")
            return SetMember(member)
        case 6:
            key = as_tuple(value, 2, "removed member")[1]
            return RemoveMember(PublicKey(as_bytes(key, "member key", length=32)))
        case 7:
            _, app, method, policy = as_tuple(value, 4, "policy")
            return SetPolicy(_name(app), _name(method), Policy.from_value(policy))
        case 16:
            return EnableFeature(_name(as_tuple(value, 2, "enabled feature")[1]))
        case _ if kind in FEDERATION_KINDS:
            return federation_change_of(kind, value)
        case _:
            raise CodecError(f"kind of change {kind} is none of 1 to 16")


def _rotation(value: Value) -> RotateKeys:
    _, name, *keys = as_tuple(value, 5, "new keys")
    if all(key is None for key in keys):
        raise CodecError("new keys: all three are nil")
    parsed = [None if key is None else PublicKey(as_bytes(key, "new key", length=32)) for key in keys]
    for new in parsed:
        if new is not None:
            _check_key(new, "to rotate to")
    return RotateKeys(_name(name), *parsed)


def _check_key(key: bytes, whose: str) -> None:
    if not crypto_core_ed25519_is_valid_point(key):
        raise CodecError(f"key {key.hex()} {whose} is no Ed25519 public key")


def _weight(value: Value) -> int:
    return as_int(value, "weight", low=1, high=WEIGHT_MAX)


def _name(value: Value) -> str:
    try:
        return check_name(as_text(value, "name", max_length=NAME_CHARACTERS_MAX), "name")
    except ValueError as error:
        raise CodecError(str(error)) from error


def apply_changes(roster: Roster, changes: Sequence[Change]) -> Roster | None:
    """The roster of the next epoch, None when no change needs one: neither about validators nor about
    features, which come with an epoch.

    Raises RejectedTransaction: VALIDATOR_UNKNOWN, NO_CHANGE, or SET_REFUSED for a roster that agreement could
    not use: empty, too large, a name or key that occurs twice.
    """
    about = [change for change in changes if isinstance(change, ValidatorChange)]
    enables = bool(enabled_names(changes))
    if not about and not enables:
        return None
    records = list(roster.validators)
    for change in about:
        _apply(records, change)
    if tuple(records) == roster.validators and not enables:
        raise RejectedTransaction(Code.NO_CHANGE, f"the validators of epoch {roster.epoch} are these already")
    try:
        return Roster(Epoch(roster.epoch + 1), tuple(records))
    except ValueError as error:
        raise RejectedTransaction(Code.SET_REFUSED, str(error)) from error


def _apply(records: list[ValidatorRecord], change: ValidatorChange) -> None:
    if isinstance(change, AddValidator):
        records.append(change.record)
        return
    position = next((i for i, record in enumerate(records) if record.name == change.name), None)
    if position is None:
        raise RejectedTransaction(Code.VALIDATOR_UNKNOWN, change.name)
    record = records[position]
    match change:
        case RemoveValidator():
            del records[position]
        case Reweigh():
            records[position] = replace(record, weight=change.weight)
        case RotateKeys():
            records[position] = replace(
                record,
                consensus_key=change.consensus_key or record.consensus_key,
                node_key=change.node_key or record.node_key,
                operator_key=change.operator_key or record.operator_key,
            )


def enabled_names(changes: Sequence[Change]) -> tuple[str, ...]:
    """The features that `changes` enable, in their order."""
    return tuple(change.name for change in changes if isinstance(change, EnableFeature))


def features_after(
    enabled: Sequence[Enabled], changes: Sequence[Change], epoch: Epoch
) -> tuple[Enabled, ...]:
    """What is enabled after `changes`, whose features are in force from `epoch` on. Raises
    RejectedTransaction: NO_CHANGE for what is enabled already, FEATURES_FULL."""
    after = list(enabled)
    for name in enabled_names(changes):
        if any(feature.name == name for feature in after):
            raise RejectedTransaction(Code.NO_CHANGE, f"feature {name} is enabled already")
        after.append(Enabled(name, epoch))
    if len(after) > FEATURES_MAX:
        raise RejectedTransaction(Code.FEATURES_FULL, f"{len(after)} of at most {FEATURES_MAX}")
    return tuple(after)


def joining_keys(roster: Roster, changes: Sequence[Change]) -> tuple[PublicKey, ...]:
    """The consensus keys that `changes` bring and that sign nothing in `roster`: those that must be ready."""
    signing = {validator.consensus_key for validator in roster.validators}
    return tuple(key for key in brought_keys(changes) if key not in signing)


def brought_keys(changes: Sequence[Change]) -> tuple[PublicKey, ...]:
    """The consensus keys that `changes` bring, in their order."""
    keys: list[PublicKey] = []
    for change in changes:
        if isinstance(change, AddValidator):
            keys.append(change.record.consensus_key)
        elif isinstance(change, RotateKeys) and change.consensus_key is not None:
            keys.append(change.consensus_key)
    return tuple(keys)


def moves_too_much(old: Roster, new: Roster) -> bool:
    """Whether more than a third of the voting power changes hands: less than two thirds are where they were,
    counted as the smaller of the old and the new share of whoever keeps all three keys. Nobody has shown that
    a new node or operator key is held: without the first a validator is not heard, without the second it has
    no say."""
    shares = {validator.keys: validator.weight for validator in old.validators}
    kept = sum(
        min(shares.get(v.keys, 0) * new.total_weight, v.weight * old.total_weight) for v in new.validators
    )
    return 3 * kept < 2 * old.total_weight * new.total_weight
