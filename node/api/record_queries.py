"""Records for readers: the newest version, all versions, and the state keys that prove them.

A record's versions are ordinary state leaves (`node/ledger/apps/records.py`), so "this is the newest",
"this was version 3" and "there is no such record" are each a proof about one key.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from consensus import CodecError, LocalError
from node.api.faults import Fault, fault
from node.api.queries import proven_header, state_height, state_proof
from node.api.views import ProvenHeader, StateEntry
from node.ledger.apps import record_queries
from node.ledger.apps.record_queries import Lookup
from node.ledger.apps.records import Entry
from node.ledger.state import Space
from node.storage import Snapshot, StateTable


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


def record(snapshot: Snapshot, record_id: str, *, with_proof: bool) -> RecordAnswer:
    """The newest version. Raises ApiFault NOT_FOUND, unless a proof of absence was asked for."""
    height = state_height(snapshot)
    found = record_queries.current(_States(snapshot), record_id)
    if found.stored is None and not with_proof:
        raise _no_record(record_id, height)
    header = proven_header(snapshot, height) if with_proof else None
    return RecordAnswer(record_id, height, _entry(snapshot, found, with_proof), header)


def history(
    snapshot: Snapshot, record_id: str, *, before: int | None, limit: int, with_proof: bool
) -> HistoryAnswer:
    """Up to `limit` versions with numbers below `before` (None: from the newest on), newest first.

    Raises ApiFault NOT_FOUND.
    """
    height = state_height(snapshot)
    newest = None if before is None else before - 1
    found = record_queries.history(_States(snapshot), record_id, newest=newest, limit=limit)
    if not found and record_queries.current(_States(snapshot), record_id).stored is None:
        raise _no_record(record_id, height)
    entries = tuple(_entry(snapshot, lookup, with_proof) for lookup in found)
    header = proven_header(snapshot, height) if with_proof else None
    last = found[-1].entry if found else None
    return HistoryAnswer(record_id, height, entries, last is not None and last.number > 1, header)


def record_state_key(snapshot: Snapshot, record_id: str) -> bytes:
    """The state key whose value, or whose absence, says what the newest version of a record is."""
    return record_queries.current(_States(snapshot), record_id).key


class _States:
    """A snapshot as the ledger's queries read it."""

    __slots__ = ("_snapshot",)

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def get(self, space: Space, key: bytes) -> bytes | None:
        """The value of a state leaf; records need no other space."""
        if space is not Space.STATE:
            raise LocalError(f"records are not read from {space.name}")
        return self._snapshot.get(StateTable.STATE, key)


def _entry(snapshot: Snapshot, found: Lookup, with_proof: bool) -> StateEntry:
    proof = state_proof(snapshot, found.key) if with_proof else None
    return StateEntry(found.key, found.stored, proof)


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
