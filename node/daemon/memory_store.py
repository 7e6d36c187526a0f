"""The store's contract in dicts, for the simulator and for tests: the same answers, no disk.

Snapshots are copies of the tables' key lists and share the values, so they cost what the tables hold;
that is fine for simulated chains of a few thousand entries.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager

from node.daemon.snapshots import SnapshotPool
from node.storage import (
    SCAN_BYTES,
    ChainTable,
    SnapshotExpired,
    StateTable,
    Table,
    Write,
    last_writes,
)

Tables = dict[Table, dict[bytes, bytes]]


class MemorySnapshot:
    """One unchanging view of all tables. Made by `MemoryStore.snapshot`."""

    def __init__(self, tables: Mapping[Table, Mapping[bytes, bytes]]) -> None:
        """Copies what `tables` holds now."""
        self._tables = {table: dict(entries) for table, entries in tables.items()}
        self._ended: str | None = None

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The value at `key`, or None; raises SnapshotExpired."""
        return self._entries(table).get(key)

    def scan(
        self,
        table: Table,
        start: bytes,
        *,
        limit: int,
        reverse: bool = False,
        limit_bytes: int = SCAN_BYTES,
    ) -> list[tuple[bytes, bytes]]:
        """As `tables.Snapshot.scan` says; raises SnapshotExpired."""
        entries = self._entries(table)
        keys = sorted(entries)
        if reverse:
            keys = keys[: bisect_right(keys, start)] if start else keys
            keys.reverse()
        else:
            keys = keys[bisect_left(keys, start) :]
        found: list[tuple[bytes, bytes]] = []
        size = 0
        for key in keys[: max(limit, 0)]:
            found.append((key, entries[key]))
            size += len(key) + len(entries[key])
            if size >= limit_bytes:
                break
        return found

    def count(self, table: Table) -> int:
        """How many entries the table has; raises SnapshotExpired."""
        return len(self._entries(table))

    def end(self, reason: str) -> None:
        """Reading afterwards raises SnapshotExpired with `reason`."""
        self._ended = self._ended or reason

    def _entries(self, table: Table) -> dict[bytes, bytes]:
        if self._ended is not None:
            raise SnapshotExpired(self._ended)
        return self._tables[table]


class MemoryReader:
    """Point reads of the latest applied data."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Tables) -> None:
        """Not for callers: `MemoryStore.reader` makes one."""
        self._tables = tables

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The value at `key`, or None."""
        return self._tables[table].get(key)


class MemoryStore:
    """The tables of one simulated node."""

    def __init__(
        self,
        *,
        max_snapshots: int = 64,
        max_snapshot_age_ms: int = 30_000,
        clock_ms: Callable[[], int] = lambda: 0,
    ) -> None:
        """An empty store; snapshots age by `clock_ms`, which stands still unless one is given."""
        self._tables: Tables = {table: {} for table in (*ChainTable, *StateTable)}
        self._snapshots: SnapshotPool[MemorySnapshot] = SnapshotPool(
            max_snapshots, max_snapshot_age_ms, clock_ms
        )

    def apply(self, chain: Collection[Write], state: Collection[Write]) -> None:
        """Take over `chain`, then `state`; raises ValueError before anything changed."""
        chain_contents = last_writes(chain, ChainTable)
        state_contents = last_writes(state, StateTable)
        self._snapshots.end_old()
        for table, entries in (chain_contents | state_contents).items():
            target = self._tables[table]
            for key, value in entries.items():
                if value is None:
                    target.pop(key, None)
                else:
                    target[key] = value

    def snapshot(self) -> AbstractContextManager[MemorySnapshot]:
        """One view of all tables until the block ends or its age limit; raises SnapshotLimit."""
        return self._snapshots.lend(lambda: MemorySnapshot(self._tables))

    def reader(self) -> MemoryReader:
        """Reads that always see what the latest `apply` took over."""
        return MemoryReader(self._tables)
