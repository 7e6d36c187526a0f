"""How organisations that trust nobody with their keys make one genesis together.

One of them writes a `Plan`: the cluster's name, its shared parameters, the time of header 0. Each adds an
`Entry` for its own validator, made on its own machine: public keys, weight, where others dial it, and the
members it registers, signed by its operator key for exactly this plan. Whoever holds the plan and all the
entries computes the same genesis, whatever the order, so nobody has to be believed: everybody collects for
himself and compares one hash.

The operator key signs, because it will answer for the validator in governance (F13). The consensus key signs
nothing but agreement, not even here: a key claimed by two is refused, and one that its claimer does not hold
makes a validator that never votes, on its claimer's own account.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from consensus import Digest, PublicKey, Signature, SigningKey, digest, encode, verify
from node.genesis import Genesis
from node.knobs import is_host
from node.ledger.members import Member
from node.ledger.names import check_name
from node.ledger.params import Params
from node.ledger.roster import ValidatorRecord

PLAN_FORMAT = "isthmus-genesis-plan/1"
ENTRY_FORMAT = "isthmus-genesis-entry/1"
DOCUMENT_BYTES_MAX = 1024 * 1024
ENTRIES_MAX = 128
ENTRY_MEMBERS_MAX = 256
_PLAN_DOMAIN = "isthmus/genesis-plan/v1"
_ENTRY_DOMAIN = "isthmus/genesis-entry/v1"


class CeremonyError(Exception):
    """A plan or an entry is not what it should be: a sentence with the way out; `code` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class Plan:
    """What all agree on before there is a genesis: the cluster's name and its parameters."""

    name: str
    params: Params

    def __post_init__(self) -> None:
        """Raises ValueError for a name that no genesis can have."""
        check_name(self.name, "cluster name")

    @property
    def hash(self) -> bytes:
        """32 bytes that every entry names, so that none can be used in another cluster."""
        return digest(_PLAN_DOMAIN, encode((self.name, self.params.to_value())))

    def to_json(self) -> str:
        """The document for people, with its hash to be read out over another channel."""
        params = {field.name: getattr(self.params, field.name) for field in fields(Params)}
        document = {"format": PLAN_FORMAT, "name": self.name, "hash": self.hash.hex(), "params": params}
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str) -> "Plan":
        """The inverse of `to_json`; raises CeremonyError."""
        top = _document(text, PLAN_FORMAT, ("name", "hash", "params"))
        given = _object(top["params"], "params", tuple(field.name for field in fields(Params)))
        try:
            params = Params(**{**given, "apps": _texts(given["apps"], "apps")})
        except (TypeError, ValueError) as error:
            raise CeremonyError("params", f"the plan's params: {error}") from error
        try:
            plan = Plan(_text(top, "name"), params)
        except ValueError as error:
            raise CeremonyError("name", f"the plan: {error}") from error
        if top["hash"] != plan.hash.hex():
            raise CeremonyError(
                "plan-hash",
                f"the plan states the hash {top['hash']!r:.80} and comes to {plan.hash.hex()}; it was "
                "changed after it was made: get it again from whoever made it",
            )
        return plan


@dataclass(frozen=True, slots=True)
class Entry:
    """One organisation's part: its validator, where others dial it, and the members it registers."""

    plan_hash: bytes
    validator: ValidatorRecord
    host: str
    port: int
    members: tuple[Member, ...]
    signature: Signature

    def __post_init__(self) -> None:
        try:
            check_name(self.validator.name, "validator name")
            check_name(self.validator.organisation, "organisation")
            check_name(_operator_name(self.validator), "the operator's name")
        except ValueError as error:
            raise CeremonyError("name", str(error)) from error

    @staticmethod
    def sign(
        plan: Plan,
        operator: SigningKey,
        validator: ValidatorRecord,
        host: str,
        port: int,
        members: Iterable[Member],
    ) -> "Entry":
        """An entry of `validator`, whose operator key is that of `operator`."""
        ordered = tuple(sorted(members, key=lambda member: member.public_key))
        entry = Entry(plan.hash, validator, host, port, ordered, Signature(bytes(64)))
        return replace(entry, signature=operator.sign(entry.digest()))

    def digest(self) -> Digest:
        """What the operator signs."""
        members = tuple(member.to_value() for member in self.members)
        return digest(
            _ENTRY_DOMAIN, encode((self.plan_hash, self.validator.to_value(), self.host, self.port, members))
        )

    def to_json(self) -> str:
        """The document that is sent to the others; it holds nothing secret."""
        document = {
            "format": ENTRY_FORMAT,
            "plan": self.plan_hash.hex(),
            "validator": {
                field.name: _shown(getattr(self.validator, field.name)) for field in fields(ValidatorRecord)
            },
            "host": self.host,
            "port": self.port,
            "members": [
                {field.name: _shown(getattr(member, field.name)) for field in fields(Member)}
                for member in self.members
            ],
            "signature": self.signature.hex(),
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    @staticmethod
    def from_json(text: str) -> "Entry":
        """The inverse of `to_json`; raises CeremonyError. The signature is checked by `collect`."""
        top = _document(text, ENTRY_FORMAT, ("plan", "validator", "host", "port", "members", "signature"))
        host, port, listed = _text(top, "host"), top["port"], top["members"]
        if not is_host(host):
            raise CeremonyError("host", f"host: an address or DNS name without port, not {host!a:.80}")
        if type(port) is not int or not 0 < port < 65_536:
            raise CeremonyError("port", f"port: a number from 1 to 65535, not {port!r:.40}")
        if type(listed) is not list or len(listed) > ENTRY_MEMBERS_MAX:
            raise CeremonyError("members", f"members: a list of at most {ENTRY_MEMBERS_MAX}")
        return Entry(
            _bytes(top["plan"], "plan", 32),
            _validator(top["validator"]),
            host,
            port,
            tuple(_member(item, f"members[{place}]") for place, item in enumerate(listed)),
            Signature(_bytes(top["signature"], "signature", 64)),
        )


def collect(plan: Plan, entries: Sequence[Entry]) -> Genesis:
    """The genesis of a plan and all its entries, the same in whatever order they come.

    Operators are registered as members, so that they can also write. Raises CeremonyError for an entry of
    another plan or with a wrong signature, and GenesisError for what two entries cannot both claim.
    """
    if not 0 < len(entries) <= ENTRIES_MAX:
        raise CeremonyError("entries", f"a genesis has 1 to {ENTRIES_MAX} entries, not {len(entries)}")
    ordered = sorted(entries, key=lambda entry: entry.validator.name)
    members: list[Member] = []
    for entry in ordered:
        record = entry.validator
        if entry.plan_hash != plan.hash:
            raise CeremonyError(
                "other-plan",
                f"the entry of {record.name} is for the plan {entry.plan_hash.hex()}, this one is "
                f"{plan.hash.hex()}; its organisation must join again with this plan",
            )
        if not verify(record.operator_key, entry.digest(), entry.signature):
            raise CeremonyError(
                "signature",
                f"the entry of {record.name} is not signed by its operator key; it was changed on its way, "
                "or was not made with that key: get it again from its organisation",
            )
        for member in entry.members:
            if member.organisation != record.organisation:
                raise CeremonyError(
                    "organisation",
                    f"the entry of {record.name} ({record.organisation}) registers {member.name} for "
                    f"{member.organisation}; an organisation speaks for its own members only",
                )
        operator = Member(record.operator_key, record.organisation, ("admin",), _operator_name(record))
        known = any(member.public_key == record.operator_key for member in entry.members)
        members += entry.members if known else (*entry.members, operator)
    return Genesis.new(plan.name, plan.params, [entry.validator for entry in ordered], members)


def _operator_name(record: ValidatorRecord) -> str:
    """What the operator of a validator is called as a member."""
    return f"operator-{record.name}"


# --- JSON, checked once ------------------------------------------------------------------------------


def _document(text: str, form: str, keys: tuple[str, ...]) -> dict[str, Any]:
    if len(text) > DOCUMENT_BYTES_MAX:
        raise CeremonyError("too-large", f"{len(text)} characters exceed {DOCUMENT_BYTES_MAX}")
    try:
        document = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise CeremonyError("json", f"this is no JSON document: {error}") from error
    top = _object(document, "the document", ("format", *keys))
    if top["format"] != form:
        raise CeremonyError("format", f"the document is {top['format']!r:.60}, expected {form!r}")
    return top


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is written twice in one object")
    return found


def _object(value: Any, where: str, keys: tuple[str, ...]) -> dict[str, Any]:
    if type(value) is not dict or sorted(value) != sorted(keys):
        raise CeremonyError("shape", f"{where} must be an object with the keys {', '.join(keys)}")
    return value


def _text(holder: Mapping[str, Any], key: str) -> str:
    value = holder[key]
    if type(value) is not str:
        raise CeremonyError("shape", f"{key} must be text, not {value!r:.40}")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if type(value) is not list or not all(type(item) is str for item in value):
        raise CeremonyError("shape", f"{where} must be a list of texts, not {value!r:.40}")
    return tuple(value)


def _bytes(value: Any, where: str, length: int) -> bytes:
    try:
        found = bytes.fromhex(value)
    except (TypeError, ValueError):
        found = b""
    if len(found) != length or found.hex() != value:
        raise CeremonyError("shape", f"{where} must be {2 * length} lower-case hex digits, not {value!r:.80}")
    return found


def _validator(value: Any) -> ValidatorRecord:
    given = _object(value, "validator", tuple(field.name for field in fields(ValidatorRecord)))
    if type(given["weight"]) is not int:
        raise CeremonyError("shape", f"validator.weight must be a number, not {given['weight']!r:.40}")
    return ValidatorRecord(
        _text(given, "name"),
        _text(given, "organisation"),
        PublicKey(_bytes(given["consensus_key"], "validator.consensus_key", 32)),
        PublicKey(_bytes(given["node_key"], "validator.node_key", 32)),
        given["weight"],
        PublicKey(_bytes(given["operator_key"], "validator.operator_key", 32)),
    )


def _member(value: Any, where: str) -> Member:
    given = _object(value, where, tuple(field.name for field in fields(Member)))
    try:
        return Member(
            PublicKey(_bytes(given["public_key"], f"{where}.public_key", 32)),
            _text(given, "organisation"),
            _texts(given["roles"], f"{where}.roles"),
            _text(given, "name"),
        )
    except ValueError as error:
        raise CeremonyError("member", f"{where}: {error}") from error


def _shown(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return list(value) if isinstance(value, tuple) else value
