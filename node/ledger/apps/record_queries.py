"""Reading records: every answer names the one state key it stands on, so that it can be proven.

A `Lookup` holds the key and the bytes stored there; a sparse Merkle proof for that key under a certified
state_root proves presence with exactly these bytes, or absence. Works on any `StateReader`: a database
snapshot for the API, or the overlay.
"""

from dataclasses import dataclass

from node.ledger.apps import records
from node.ledger.apps.app import app_prefix
from node.ledger.apps.records import VERSIONS_MAX, Entry, check_record_id
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.state import Space, StateReader

HISTORY_PAGE_MAX = 100
"""Most versions answered at once."""
_PREFIX = app_prefix(records.NAME)


@dataclass(frozen=True, slots=True)
class Lookup:
    """One state leaf: `key` is to be proven; `stored` its bytes, `entry` what they say, None if absent."""

    record_id: str
    key: bytes
    stored: bytes | None
    entry: Entry | None


def current(reader: StateReader, record_id: str) -> Lookup:
    """The newest version; absence of this key proves that there is no such record.

    Raises RejectedTransaction(INVALID_ARGUMENTS) for what no record can be called; so do the others.
    """
    return _look_up(reader, record_id, records.current_key(check_record_id(record_id)))


def version(reader: StateReader, record_id: str, number: int) -> Lookup:
    """Version `number` (from 1). The newest is found under the current key; for a number never reached
    the key is that of a superseded version, whose absence proves it."""
    if not 1 <= number <= VERSIONS_MAX:
        raise RejectedTransaction(Code.INVALID_ARGUMENTS, f"a version is 1 to {VERSIONS_MAX}, not {number}")
    return _version_below(reader, current(reader, record_id), number)


def history(
    reader: StateReader, record_id: str, *, newest: int | None = None, limit: int = HISTORY_PAGE_MAX
) -> tuple[Lookup, ...]:
    """Versions, newest first, from `newest` (default: the current one) downwards; empty when there is no
    record. At most `limit` (bounded by HISTORY_PAGE_MAX) are answered: go on below the last number."""
    head = current(reader, record_id)
    if head.entry is None:
        return ()
    first = head.entry.number if newest is None else min(newest, head.entry.number)
    last = max(1, first - min(limit, HISTORY_PAGE_MAX) + 1)
    return tuple(_version_below(reader, head, number) for number in range(first, last - 1, -1))


def _version_below(reader: StateReader, head: Lookup, number: int) -> Lookup:
    if head.entry is not None and head.entry.number == number:
        return head
    return _look_up(reader, head.record_id, records.version_key(head.record_id, number))


def _look_up(reader: StateReader, record_id: str, key: bytes) -> Lookup:
    full = _PREFIX + key
    stored = reader.get(Space.STATE, full)
    return Lookup(record_id, full, stored, None if stored is None else Entry.decode(stored))
