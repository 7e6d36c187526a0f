"""Members: whose signatures the ledger listens to.

A member is an Ed25519 key registered by an organisation with roles. Each is one state leaf under its key,
so membership and its absence are provable. Trust does not expire by clock; it is changed by transaction.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from consensus import (
    CodecError,
    PublicKey,
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

ROLES_MAX = 16
MEMBERS_MAX = 4096
"""Most members of a cluster; it bounds the organisations, too."""
ORGANISATIONS_MAX = MEMBERS_MAX
_PREFIX = b"members/"
ORGANISATIONS_KEY = b"organisations"
"""The leaf with all organisations and how many members each has, sorted by name: the universe of policies
that name none."""


@dataclass(frozen=True, slots=True)
class Member:
    """A registered key. Raises ValueError for names of the wrong form; roles are sorted and distinct."""

    public_key: PublicKey
    organisation: str
    roles: tuple[str, ...]
    name: str

    def __post_init__(self) -> None:
        if len(self.public_key) != 32:
            raise ValueError(f"a member's public key has 32 bytes, not {len(self.public_key)}")
        check_name(self.organisation, "organisation")
        check_name(self.name, "member name")
        for role in self.roles:
            check_name(role, "role")
        if not 1 <= len(self.roles) <= ROLES_MAX or list(self.roles) != sorted(set(self.roles)):
            raise ValueError(f"member {self.name} needs 1 to {ROLES_MAX} different roles, sorted")

    def to_value(self) -> tuple[Value, ...]:
        """`[public_key, organisation, [role, ...], name]`."""
        return (self.public_key, self.organisation, self.roles, self.name)

    @staticmethod
    def from_value(value: Value) -> "Member":
        """The inverse of `to_value`; raises CodecError."""
        key, organisation, roles, name = as_tuple(value, 4, "member")
        try:
            return Member(
                PublicKey(as_bytes(key, "member key", length=32)),
                as_text(organisation, "organisation", max_length=NAME_CHARACTERS_MAX),
                tuple(as_text(role, "role") for role in as_array(roles, ROLES_MAX, "roles")),
                as_text(name, "member name", max_length=NAME_CHARACTERS_MAX),
            )
        except ValueError as error:
            raise CodecError(str(error)) from error


def member_key(public_key: bytes) -> bytes:
    """The state key of a member's leaf."""
    return _PREFIX + public_key


def find_member(reader: StateReader, public_key: bytes) -> Member | None:
    """The member with this key at the reader's version of the state, or None."""
    stored = reader.get(Space.STATE, member_key(public_key))
    return None if stored is None else decode_member(stored)


@lru_cache(maxsize=4096)
def decode_member(stored: bytes) -> Member:
    """The member in a stored leaf; cached by the bytes, of which it is a function."""
    return Member.from_value(decode(stored))


def organisations_of(stored: bytes | None) -> dict[str, int]:
    """The organisations in their stored leaf with the number of their members, sorted by name."""
    if stored is None:
        return {}
    pairs = (as_tuple(p, 2, "organisation") for p in as_array(decode(stored), ORGANISATIONS_MAX, "names"))
    return {as_text(name, "organisation"): as_int(count, "members", low=1) for name, count in pairs}


def encode_organisations(counts: dict[str, int]) -> bytes:
    """The leaf: `[[name, number of members], ...]` of those that have members, sorted by name."""
    return encode(tuple((name, count) for name, count in sorted(counts.items()) if count > 0))


def initial_leaves(members: Iterable[Member]) -> tuple[tuple[bytes, bytes], ...]:
    """The state leaves that `members` come to, unsorted."""
    known = tuple(members)
    counts: dict[str, int] = {}
    for member in known:
        counts[member.organisation] = counts.get(member.organisation, 0) + 1
    leaves = [(member_key(member.public_key), encode(member.to_value())) for member in known]
    return (*leaves, (ORGANISATIONS_KEY, encode_organisations(counts)))
