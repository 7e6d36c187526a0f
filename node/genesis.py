"""Genesis: the one document a cluster's members agree on by hand, and the identity that follows from it.

`cluster_id = H("isthmus/genesis/v1", body)` is permanent (F1). The body holds the parameters, the first
validators with their operators, the first members, the policies and the state root these come to, so
that software which would begin with another state refuses instead of diverging. People read and write
JSON; what is hashed is the canonical encoding. Files are the CLI's business.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from nacl.bindings import crypto_core_ed25519_is_valid_point

from consensus import (
    Digest,
    Epoch,
    PublicKey,
    Validator,
    ValidatorSet,
    digest,
    encode,
    root_id,
)
from node.ledger.apps import Apps
from node.ledger.beginning import Beginning, begin, state_root_of
from node.ledger.members import MEMBERS_MAX, Member, initial_leaves
from node.ledger.names import check_name
from node.ledger.params import Params
from node.ledger.policy import Policy, policy_key
from node.ledger.roster import ROSTER_KEY, Roster, ValidatorRecord
from node.proofs.header import EMPTY_LIST_ROOT, NO_PARENT, Header

GENESIS_VERSION = 1
GENESIS_JSON_BYTES_MAX = 8 * 1024 * 1024
_DOMAIN = "isthmus/genesis/v1"


class GenesisError(ValueError):
    """The document's fault: `code` is stable, `str()` says where and what to write instead."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class Genesis:
    """A cluster's beginning. Make it with `Genesis.new` or `Genesis.from_json`.

    Raises GenesisError for names or keys that occur twice, weights no set can have, names of the wrong
    form, or applications and policies that this software does not know.
    """

    name: str
    params: Params
    validators: tuple[ValidatorRecord, ...]
    members: tuple[Member, ...]
    policies: tuple[tuple[str, Policy], ...]
    """("app.method", policy), sorted; one for every method of the enabled applications."""
    version: int = GENESIS_VERSION

    @staticmethod
    def new(
        name: str,
        params: Params,
        validators: Iterable[ValidatorRecord],
        members: Iterable[Member],
        policies: Iterable[tuple[str, Policy]] = (),
    ) -> "Genesis":
        """A genesis with its members in the order of their keys, and default policies where none is given."""
        try:
            defaults = Apps(params.apps).default_policies()
        except ValueError as error:
            raise GenesisError("unknown-app", str(error)) from error
        named = {f"{app}.{method}": policy for app, method, policy in defaults} | dict(policies)
        ordered = tuple(sorted(members, key=lambda member: member.public_key))
        return Genesis(name, params, tuple(validators), ordered, tuple(sorted(named.items())))

    def __post_init__(self) -> None:
        if self.version != GENESIS_VERSION:
            raise GenesisError("version", f"genesis version {self.version} is not {GENESIS_VERSION}")
        try:
            check_name(self.name, "cluster name")
            for validator in self.validators:
                check_name(validator.name, "validator name")
                check_name(validator.organisation, "organisation")
            methods = {f"{app}.{m}" for app, m, _ in Apps(self.params.apps).default_policies()}
            self.validator_set()
        except ValueError as error:
            raise GenesisError("invalid", str(error)) from error
        _refuse_duplicates(self.validators, self.members)
        if len(self.members) > MEMBERS_MAX:
            raise GenesisError("too-many", f"at most {MEMBERS_MAX} members, not {len(self.members)}")
        for named, _ in self.policies:
            if named not in methods:
                raise GenesisError("unknown-key", f"policies: {_unknown(named, methods)}")
        if len(self.policies) != len(methods):
            raise GenesisError("invalid", "every method of the enabled applications needs one policy")

    @cached_property
    def state_root(self) -> Digest:
        """state_root of header 0."""
        return state_root_of(self.initial_state())

    @cached_property
    def body(self) -> bytes:
        """The canonical bytes that are hashed: `[version, name, params, [validator, ...], [member, ...],
        [[app.method, policy], ...], state_root]`."""
        return encode(
            (
                self.version,
                self.name,
                self.params.to_value(),
                tuple(validator.to_value() for validator in self.validators),
                tuple(member.to_value() for member in self.members),
                tuple((named, policy.to_value()) for named, policy in self.policies),
                self.state_root,
            )
        )

    @cached_property
    def cluster_id(self) -> Digest:
        """The cluster's permanent identity, which everything signed carries."""
        return digest(_DOMAIN, self.body)

    def roster(self) -> Roster:
        """The validators of epoch 0, in the order of the document."""
        return Roster(Epoch(0), self.validators)

    def validator_set(self) -> ValidatorSet:
        """The signers of epoch 0."""
        return ValidatorSet(Epoch(0), tuple(Validator(v.consensus_key, v.weight) for v in self.validators))

    def initial_state(self) -> tuple[tuple[bytes, bytes], ...]:
        """The state leaves of height 0: members, organisations, policies and the roster, sorted by key."""
        policies = [
            (policy_key(*named.split(".", 1)), encode(policy.to_value())) for named, policy in self.policies
        ]
        roster = (ROSTER_KEY, self.roster().encode())
        return tuple(sorted((*initial_leaves(self.members), *policies, roster)))

    def genesis_header(self) -> Header:
        """Header 0. Its block id stands for no block: it is the root id above no header. Epoch 0's agreement
        starts from the root id above this header, which can only be known once it is hashed (C4)."""
        return Header.make(
            incarnation=0,
            cluster_id=self.cluster_id,
            epoch=0,
            height=0,
            parent_hash=NO_PARENT,
            block_id=root_id(self.cluster_id, 0, NO_PARENT),
            time_ms=self.params.created_ms,
            tx_root=EMPTY_LIST_ROOT,
            receipt_root=EMPTY_LIST_ROOT,
            state_root=self.state_root,
            history_root=EMPTY_LIST_ROOT,
            validators_hash=self.validator_set().hash(),
        )

    def beginning(self) -> Beginning:
        """What a new home stores, and the tip its ledger starts from."""
        return begin(self.initial_state(), self.genesis_header())

    def to_json(self) -> str:
        """The document for people; `from_json` reads it back. `cluster_id` is there to be compared."""
        document = {
            "version": self.version,
            "name": self.name,
            "cluster_id": self.cluster_id.hex(),
            "params": {field.name: getattr(self.params, field.name) for field in fields(Params)},
            "validators": [_to_object(validator) for validator in self.validators],
            "members": [_to_object(member) for member in self.members],
            "policies": {named: _to_object(policy) for named, policy in self.policies},
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str) -> "Genesis":
        """The genesis a document describes. `cluster_id`, `version` and `policies` may be left out; a
        `cluster_id` that is there must be the right one. Raises GenesisError."""
        if len(text) > GENESIS_JSON_BYTES_MAX:
            raise GenesisError("too-large", f"{len(text)} characters exceed {GENESIS_JSON_BYTES_MAX}")
        try:
            document = json.loads(text, object_pairs_hook=_refuse_repeated_keys)
        except GenesisError:
            raise
        except (ValueError, RecursionError) as error:
            raise GenesisError("json", f"the genesis is no JSON: {error}") from error
        top = _object(
            document,
            "genesis",
            ("name", "params", "validators", "members"),
            ("version", "cluster_id", "policies"),
        )
        if top.get("version", GENESIS_VERSION) != GENESIS_VERSION:
            raise GenesisError("version", f"genesis version {top['version']!r} is not {GENESIS_VERSION}")
        genesis = Genesis.new(
            _text(top["name"], "name"),
            _params(top["params"]),
            [_validator(v, f"validators[{i}]") for i, v in enumerate(_list(top["validators"], "validators"))],
            [_member(m, f"members[{i}]") for i, m in enumerate(_list(top["members"], "members"))],
            _policies(top.get("policies", {})),
        )
        stated = top.get("cluster_id")
        if stated is not None and stated != genesis.cluster_id.hex():
            raise GenesisError(
                "cluster-id",
                f"the document states cluster_id {stated!r:.80} but its content comes to "
                f"{genesis.cluster_id.hex()}; it was changed after it was made, or made by other software",
            )
        return genesis


def _refuse_duplicates(validators: Iterable[ValidatorRecord], members: Iterable[Member]) -> None:
    """Every name and every key has one holder. An operator may also be a member; no other key is shared:
    a consensus key that signs anything else would give up what its signatures prove."""
    names: dict[str, str] = {}
    keys: dict[bytes, str] = {}
    for validator in validators:
        _claim(names, validator.name, "validator name", f"validator {validator.name}")
        _claim(keys, validator.consensus_key, "key", f"consensus_key of {validator.name}")
        _claim(keys, validator.node_key, "key", f"node_key of {validator.name}")
    operators = dict(keys)
    for validator in validators:
        _claim(operators, validator.operator_key, "key", f"operator_key of {validator.name}")
    member_names: dict[str, str] = {}
    for member in members:
        _claim(member_names, f"{member.organisation}/{member.name}", "member name", f"member {member.name}")
        _claim(keys, member.public_key, "key", f"public_key of member {member.name}")


def _claim(taken: dict[Any, str], value: Any, what: str, holder: str) -> None:
    if type(value) is bytes and not (len(value) == 32 and crypto_core_ed25519_is_valid_point(value)):
        raise GenesisError("key", f"{holder}: {value.hex()} is no Ed25519 public key; copy it again")
    if value in taken:
        shown = value.hex() if type(value) is bytes else value
        raise GenesisError("duplicate", f"{what} {shown} occurs twice: {taken[value]} and {holder}")
    taken[value] = holder


# --- JSON for people: every value is checked once, here, with its place in the document ------------


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        repeated = next(key for i, (key, _) in enumerate(pairs) if key in [k for k, _ in pairs[:i]])
        raise GenesisError("duplicate", f"the key {repeated!r:.80} is written twice in one object")
    return found


def _unknown(key: object, known: Iterable[str]) -> str:
    options = sorted(known)
    close = get_close_matches(str(key), options, n=1)
    return f"unknown key {key!r:.80}" + (
        f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(options)}"
    )


def _object(value: Any, where: str, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Any]:
    required, optional = tuple(required), tuple(optional)
    if type(value) is not dict:
        raise GenesisError("type", f"{where} must be an object, not {value!r:.40}")
    for key in value:
        if key not in required and key not in optional:
            raise GenesisError("unknown-key", f"{where}: {_unknown(key, required + optional)}")
    for key in required:
        if key not in value:
            raise GenesisError("missing-key", f"{where}: {key!r} is missing")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if type(value) is not list or not value:
        raise GenesisError("type", f"{where} must be a list that is not empty")
    return value


def _text(value: Any, where: str) -> str:
    if type(value) is not str:
        raise GenesisError("type", f"{where} must be text, not {value!r:.40}")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if type(value) is not list:
        raise GenesisError("type", f"{where} must be a list of texts, not {value!r:.40}")
    return tuple(sorted(_text(item, where) for item in value))


def _key(value: Any, where: str) -> PublicKey:
    try:
        key = bytes.fromhex(_text(value, where))
    except ValueError as error:
        raise GenesisError("key", f"{where} must be 64 hex digits, not {value!r:.80}") from error
    if len(key) != 32 or key.hex() != value:
        raise GenesisError("key", f"{where} must be 64 lower-case hex digits, not {value!r:.80}")
    return PublicKey(key)


def _params(value: Any) -> Params:
    names = [field.name for field in fields(Params)]
    given = dict(_object(value, "params", ("created_ms",), names))
    if "apps" in given:
        given["apps"] = _texts(given["apps"], "params.apps")
    try:
        return Params(**given)
    except ValueError as error:
        raise GenesisError("invalid", f"params: {error}") from error


def _validator(value: Any, where: str) -> ValidatorRecord:
    given = _object(value, where, [field.name for field in fields(ValidatorRecord)])
    weight = given["weight"]
    if type(weight) is not int:
        raise GenesisError("type", f"{where}.weight must be a whole number, not {weight!r:.40}")
    return ValidatorRecord(
        _text(given["name"], f"{where}.name"),
        _text(given["organisation"], f"{where}.organisation"),
        _key(given["consensus_key"], f"{where}.consensus_key"),
        _key(given["node_key"], f"{where}.node_key"),
        weight,
        _key(given["operator_key"], f"{where}.operator_key"),
    )


def _member(value: Any, where: str) -> Member:
    given = _object(value, where, [field.name for field in fields(Member)])
    try:
        return Member(
            _key(given["public_key"], f"{where}.public_key"),
            _text(given["organisation"], f"{where}.organisation"),
            _texts(given["roles"], f"{where}.roles"),
            _text(given["name"], f"{where}.name"),
        )
    except GenesisError:
        raise
    except ValueError as error:
        raise GenesisError("invalid", f"{where}: {error}") from error


def _policies(value: Any) -> list[tuple[str, Policy]]:
    if type(value) is not dict:
        raise GenesisError("type", f"policies must be an object, not {value!r:.40}")
    found = []
    for named, triple in value.items():
        where = f"policies.{named:.80}"
        given = _object(triple, where, ("rule",), ("organisations", "roles"))
        try:
            policy = Policy(
                _text(given["rule"], f"{where}.rule"),
                _texts(given.get("organisations", []), f"{where}.organisations"),
                _texts(given.get("roles", []), f"{where}.roles"),
            )
        except GenesisError:
            raise
        except ValueError as error:
            raise GenesisError("invalid", f"{where}: {error}") from error
        found.append((named, policy))
    return found


def _to_object(thing: ValidatorRecord | Member | Policy) -> dict[str, Any]:
    """A flat dataclass as a JSON object: keys as hex, tuples as lists."""
    shown: dict[str, Any] = {}
    for field in fields(thing):
        value = getattr(thing, field.name)
        shown[field.name] = (
            value.hex() if type(value) is bytes else list(value) if type(value) is tuple else value
        )
    return shown
