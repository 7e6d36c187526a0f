"""Records for readers: the newest version, all versions, and the state keys that prove them.

A record's versions are ordinary state leaves (`node/ledger/apps/records.py`), so "this is the newest",
"this was version 3" and "there is no such record" are each a proof about one key.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from consensus import CodecError
from node.api.faults import Fault, fault
from node.api.queries import proven_header, state_entry, state_height
from node.api.views import ProvenHeader, StateEntry
from node.daemon.tables import Snapshot
from node.ledger.apps.app import app_prefix
from node.ledger.apps.records import NAME, Entry, current_key, version_key

_PREFIX = app_prefix(NAME)


@dataclass(frozen=True, slots=True)
class RecordAnswer:
    """A record's newest version at `height`; with a proof, also the proven absence of a record."""

    record_id: str
    height: int
    entry: StateEntry
    header: ProvenHeader | None

    def readable(self) -> Mapping[str, object]:
        """The decoded version."""
        return {"decoded": version_fields(self.entry.value)}


@dataclass(frozen=True, slots=True)
class HistoryAnswer:
    """Versions of a record at `height`, newest first; `more` says that older ones follow."""

    record_id: str
    height: int
    entries: tuple[StateEntry, ...]
    more: bool
    header: ProvenHeader | None

    def readable(self) -> Mapping[str, object]:
        """The decoded versions."""
        return {"decoded": [version_fields(entry.value) for entry in self.entries]}


def record_state_key(record_id: str) -> bytes:
    """The state key of a record's newest version."""
    return _PREFIX + current_key(record_id)


def record(snapshot: Snapshot, record_id: str, *, with_proof: bool) -> RecordAnswer:
    """The newest version. Raises ApiFault NOT_FOUND, unless a proof of absence was asked for."""
    height = state_height(snapshot)
    entry = state_entry(snapshot, record_state_key(record_id), with_proof=with_proof)
    if entry.value is None and not with_proof:
        raise _no_record(record_id, height)
    return RecordAnswer(record_id, height, entry, proven_header(snapshot, height) if with_proof else None)


def history(
    snapshot: Snapshot, record_id: str, *, below: int | None, limit: int, with_proof: bool
) -> HistoryAnswer:
    """Up to `limit` versions with numbers below `below` (None: from the newest on), newest first.

    Raises ApiFault NOT_FOUND.
    """
    height = state_height(snapshot)
    newest = state_entry(snapshot, record_state_key(record_id), with_proof=with_proof)
    if newest.value is None:
        raise _no_record(record_id, height)
    newest_number = Entry.decode(newest.value).number
    first = newest_number if below is None else min(newest_number, below - 1)
    entries = []
    for number in range(first, max(first - limit, 0), -1):
        key = _PREFIX + version_key(record_id, number)
        entries.append(
            newest if number == newest_number else state_entry(snapshot, key, with_proof=with_proof)
        )
    header = proven_header(snapshot, height) if with_proof else None
    return HistoryAnswer(record_id, height, tuple(entries), first - limit > 0, header)


def version_fields(value: bytes | None) -> dict[str, object] | None:
    """A stored version by field name; None for no record or a format this program does not read."""
    if value is None:
        return None
    try:
        entry = Entry.decode(value)
    except CodecError:
        return None
    content = entry.content
    return {
        "version": entry.number,
        "owner": entry.owner,
        "author": entry.author,
        "sha256": content.sha256,
        "size": content.size,
        "schema": content.schema,
        "location": content.location,
        "links": content.links,
        "labels": dict(content.labels),
        "previous": entry.previous,
        "tx_id": entry.tx_id,
        "height": entry.height,
        "time_ms": entry.time_ms,
    }


def _no_record(record_id: str, height: int) -> Exception:
    return fault(Fault.NOT_FOUND, f"There is no record {record_id!r} at height {height}.")
