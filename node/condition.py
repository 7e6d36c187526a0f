"""What a node says of itself to those it is linked with, so that one node's `why` tells of all of them.

A cluster is run by many organisations, and each can ask its own node only. What another node lacks, or how
much room its disk has, nobody can see from outside: it is told, believed as its word, and decides nothing.
"""

from dataclasses import dataclass

from consensus import CodecError, MalformedMessage, Value, as_int, as_tuple, decode, encode_trusted

CONDITION_BYTES_MAX = 128
"""The longest one has 41."""
COUNT_MAX = 2**32 - 1
"""Whoever has more of something says so many."""
SIZE_MAX = 2**63 - 1
HEIGHT_MAX = 2**63 - 1
PERMILLE_MAX = 1000
_KIND = 1
_FIELDS = 10


@dataclass(frozen=True, slots=True)
class Condition:
    """A node's own words about itself; sizes are bytes."""

    disk_free_bytes: int
    is_disk_low: bool
    """It has less than its reserve: it refuses clients (C17)."""
    map_used_permille: int
    missing_batches: int
    """Ordered, not here, and fetched."""
    pending_transactions: int
    inbox: int
    """Inputs that wait for its loop."""
    is_diverged: bool
    never_signs: bool
    """Its guard is lost (C14)."""
    sync_target: int | None
    """The height it catches up to; None when it does not."""


def encode_condition(condition: Condition) -> bytes:
    """The canonical bytes: `[1, free, low, map, missing, pending, inbox, diverged, never signs, target]`."""
    return encode_trusted(
        (
            _KIND,
            condition.disk_free_bytes,
            int(condition.is_disk_low),
            condition.map_used_permille,
            condition.missing_batches,
            condition.pending_transactions,
            condition.inbox,
            int(condition.is_diverged),
            int(condition.never_signs),
            condition.sync_target,
        )
    )


def decode_condition(data: bytes) -> Condition:
    """The inverse. Raises MalformedMessage, which does not know the sender yet."""
    try:
        value = decode(data, max_bytes=CONDITION_BYTES_MAX, max_depth=1, max_items=_FIELDS)
        return _from_fields(as_tuple(value, _FIELDS, "condition"))
    except CodecError as error:
        raise MalformedMessage("condition-malformed", str(error)) from error


def _from_fields(fields: tuple[Value, ...]) -> Condition:
    kind, free, low, used, missing, pending, inbox, diverged, never_signs, target = fields
    as_int(kind, "kind of condition", low=_KIND, high=_KIND)
    return Condition(
        as_int(free, "free bytes", high=SIZE_MAX),
        _as_bool(low, "disk low"),
        as_int(used, "used part of the map", high=PERMILLE_MAX),
        as_int(missing, "missing batches", high=COUNT_MAX),
        as_int(pending, "pending transactions", high=COUNT_MAX),
        as_int(inbox, "inbox", high=COUNT_MAX),
        _as_bool(diverged, "diverged"),
        _as_bool(never_signs, "never signs"),
        None if target is None else as_int(target, "target height", high=HEIGHT_MAX),
    )


def _as_bool(value: Value, what: str) -> bool:
    return as_int(value, what, high=1) == 1
