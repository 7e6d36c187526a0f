"""What is certified and on its way to the database, read together with it: no receipt waits for a sync.

A certified height is final before this node has stored it: a quorum holds it durably. Clients get their
receipts at once, from the chain entries of the flushes under way laid over a snapshot. The state is not laid
over: queries of state see stored heights only, each with its certificate.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from node.storage import SCAN_BYTES, Contents, Database, Snapshot, Table, Write, WriteSet

_Entries = dict[Table, Contents]


class RecentChain:
    """The chain entries of the flushes under way, which begin and end in the same order."""

    def __init__(self) -> None:
        self._flushes: deque[WriteSet] = deque()
        self._entries: _Entries = {}

    def begin(self, chain: Iterable[Write]) -> None:
        """A flush of these entries starts."""
        self._flushes.append(WriteSet.of(chain))
        self._lay()

    def end(self, count: int) -> None:
        """The `count` oldest flushes are on disk."""
        for _ in range(count):
            self._flushes.popleft()
        self._lay()

    def _lay(self) -> None:
        # Made anew each time: threads may be reading the ones before.
        laid = WriteSet()
        for chain in self._flushes:
            laid.update(chain)
        self._entries = laid.contents

    @contextmanager
    def over(self, database: Database) -> Iterator[Snapshot]:
        """A snapshot with the flushes under way laid over it."""
        # Taken before the snapshot: what is stored in between stands in both, which is harmless.
        entries = self._entries
        with database.snapshot() as snapshot:
            yield _Overlaid(snapshot, entries) if entries else snapshot


class _Overlaid:
    """A snapshot under newer entries."""

    def __init__(self, below: Snapshot, entries: _Entries) -> None:
        self._below = below
        self._entries = entries

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The newer value, or the stored one."""
        newer = self._entries.get(table)
        if newer is not None and key in newer:
            return newer[key]
        return self._below.get(table, key)

    def scan(
        self,
        table: Table,
        start: bytes,
        *,
        limit: int,
        reverse: bool = False,
        limit_bytes: int = SCAN_BYTES,
    ) -> list[tuple[bytes, bytes]]:
        """Entries of both in order of their keys; see `Snapshot.scan`."""
        newer = self._entries.get(table)
        if not newer:
            return self._below.scan(table, start, limit=limit, reverse=reverse, limit_bytes=limit_bytes)
        deleted = sum(1 for value in newer.values() if value is None)
        stored = self._below.scan(
            table, start, limit=limit + deleted, reverse=reverse, limit_bytes=limit_bytes
        )
        # Newer keys beyond what the scan below reached belong to a later page.
        reached = stored[-1][0] if stored and len(stored) == limit + deleted else None
        merged: dict[bytes, bytes | None] = dict(stored)
        for key in _within(sorted(newer), start, reached, reverse):
            merged[key] = newer[key]
        found: list[tuple[bytes, bytes]] = []
        size = 0
        for key in sorted(merged, reverse=reverse):
            value = merged[key]
            if value is None:
                continue
            if len(found) == limit or (found and size >= limit_bytes):
                break
            found.append((key, value))
            size += len(key) + len(value)
        return found

    def count(self, table: Table) -> int:
        """Stored entries and those that are only newer."""
        newer = self._entries.get(table, {})
        change = 0
        for key, value in newer.items():
            known = self._below.get(table, key) is not None
            change += (value is not None) - known
        return self._below.count(table) + change


def _within(keys: list[bytes], start: bytes, reached: bytes | None, reverse: bool) -> list[bytes]:
    """The keys from `start` on, `start` included, up to `reached` where the scan below stopped."""
    if reverse:
        low = 0 if reached is None else bisect_left(keys, reached)
        return keys[low : bisect_right(keys, start) if start else len(keys)]
    high = len(keys) if reached is None else bisect_right(keys, reached)
    return keys[bisect_left(keys, start) : high]
