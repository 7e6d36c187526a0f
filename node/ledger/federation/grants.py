"""Who of another cluster may read what of ours: nobody, until operators say so (F15).

    federation/readers/<id hex>   [grant, ...]
    grant                         [prefix, list 0 | 1, [organisation, ...], [role, ...], [member key, ...]]

A grant covers the resources whose name (`records/docs/readme`) begins with its prefix, for members of that
cluster that fit all of its lists; an empty list fits everybody. Whoever may read a resource may also hear
that it is not there. Listing is granted apart: it shows names that were not asked for.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from consensus import (
    CodecError,
    PublicKey,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_text,
    as_tuple,
    encode_trusted,
)
from node.anchoring.questions import RESOURCE_CHARACTERS_MAX
from node.ledger.federation.keys import readers_key
from node.ledger.federation.records import Get, read
from node.ledger.members import Member
from node.ledger.names import check_name

GRANTS_MAX = 32
"""Grants to one cluster."""
LISTED_MAX = 64
"""Organisations, roles or keys that one grant may name."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Members that fit may read what begins with `prefix`; `may_list`: they may also search there."""

    prefix: str
    may_list: bool = False
    organisations: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    keys: tuple[PublicKey, ...] = ()

    def to_value(self) -> Value:
        """`[prefix, list 0 | 1, [organisation, ...], [role, ...], [key, ...]]`."""
        return (self.prefix, int(self.may_list), self.organisations, self.roles, self.keys)

    @staticmethod
    def from_value(value: Value) -> "Grant":
        """The inverse of `to_value`; raises CodecError."""
        prefix, listing, organisations, roles, keys = as_tuple(value, 5, "grant")
        text = as_text(prefix, "prefix", max_length=RESOURCE_CHARACTERS_MAX)
        if not text or not text.isascii() or not text.isprintable():
            raise CodecError("a grant's prefix is the beginning of a resource's name: application/resource")
        return Grant(
            text,
            as_int(listing, "may list", high=1) == 1,
            _names(organisations, "organisation"),
            _names(roles, "role"),
            tuple(
                PublicKey(as_bytes(key, "member key", length=32))
                for key in as_array(keys, LISTED_MAX, "keys")
            ),
        )

    def fits(self, member: Member) -> bool:
        """Whether it is for this member."""
        return (
            (not self.organisations or member.organisation in self.organisations)
            and (not self.roles or any(role in self.roles for role in member.roles))
            and (not self.keys or member.public_key in self.keys)
        )


def grants_from_value(value: Value) -> tuple[Grant, ...]:
    """`[grant, ...]`; raises CodecError."""
    return tuple(map(Grant.from_value, as_array(value, GRANTS_MAX, "grants")))


def stored_grants(grants: Iterable[Grant]) -> bytes:
    """The bytes of a cluster's leaf."""
    return encode_trusted(tuple(grant.to_value() for grant in grants))


def grants_of(get: Get, cluster_id: bytes) -> tuple[Grant, ...]:
    """What operators granted to members of a cluster."""
    return read(get, readers_key(cluster_id), grants_from_value) or ()


def may_read(grants: Iterable[Grant], member: Member, resource: str) -> bool:
    """Whether a grant covers the resource for this member."""
    return any(resource.startswith(grant.prefix) and grant.fits(member) for grant in grants)


def listable(grants: Iterable[Grant], member: Member) -> tuple[str, ...]:
    """Prefixes of names that this member may be shown, sorted, none of which begins with another."""
    found: list[str] = []
    for prefix in sorted(grant.prefix for grant in grants if grant.may_list and grant.fits(member)):
        if not found or not prefix.startswith(found[-1]):
            found.append(prefix)
    return tuple(found)


def _names(value: Value, what: str) -> tuple[str, ...]:
    try:
        return tuple(check_name(item, what) for item in as_array(value, LISTED_MAX, what))
    except ValueError as error:
        raise CodecError(str(error)) from error
