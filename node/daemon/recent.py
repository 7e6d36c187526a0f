"""What is final and on its way to the database, read together with it: nobody waits for a sync.

A certified height is final before this node has stored it: a quorum holds it durably. So whoever was told of
a certified receipt reads it, and the state that it made, from the next request on. What is executed here and
not certified yet can be laid on top for who asks for it (the read level `committed`).

A layer is what one flush, or one executed height, changes. Layers are looked through from the newest to the
oldest; nothing is merged on the node's own thread, and scans merge the one table they are about.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from node.storage import (
    HEIGHT_KEY,
    SCAN_BYTES,
    ChainTable,
    Contents,
    Database,
    Snapshot,
    StateTable,
    Table,
    WriteSet,
)
from node.validator.layout import chain_writes, state_writes, tip_writes
from node.validator.line import Settled


@dataclass(frozen=True, slots=True)
class Layer:
    """What leads to `height`, in both environments."""

    height: int
    chain: WriteSet
    state: WriteSet


def executed_layer(settled: Settled) -> Layer:
    """An executed height as a layer, certified or not."""
    state = state_writes(settled.execution)
    state.update(WriteSet.of(tip_writes(settled.tip)))
    return Layer(settled.execution.header.height, chain_writes(settled.execution), state)


class RecentHeights:
    """The flushes under way, which begin and end in the same order."""

    def __init__(self) -> None:
        self._layers: tuple[Layer, ...] = ()  # replaced, never changed: threads read it

    def __len__(self) -> int:
        return len(self._layers)

    def begin(self, layer: Layer) -> None:
        """A flush of this starts."""
        self._layers = (*self._layers, layer)

    def end(self, count: int) -> None:
        """The `count` oldest flushes are on disk."""
        self._layers = self._layers[count:]

    @contextmanager
    def over(self, database: Database, executed: tuple[Layer, ...] = ()) -> Iterator[Snapshot]:
        """A snapshot with the flushes under way laid over it, and on top what is `executed`, oldest first."""
        # Taken before the snapshot: what is stored in between stands in both. Of the chain that is harmless;
        # of the state only what is newer than the snapshot counts, for an older value would hide a newer.
        layers = self._layers
        newest = layers[-1].height if layers else -1
        with database.snapshot() as snapshot:
            layers += tuple(layer for layer in executed if layer.height > newest)
            yield _Overlaid(snapshot, layers) if layers else snapshot


class _Overlaid:
    """A snapshot under newer layers."""

    def __init__(self, below: Snapshot, layers: tuple[Layer, ...]) -> None:
        self._below = below
        height = int.from_bytes(below.get(StateTable.META, HEIGHT_KEY) or b"", "big")
        self._chain = tuple(layer.chain for layer in reversed(layers))
        self._state = tuple(layer.state for layer in reversed(layers) if layer.height > height)
        self._newest_first: dict[Table, tuple[Contents, ...]] = {}

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The newest value, or the stored one."""
        for entries in self._layers_of(table):
            if key in entries:
                return entries[key]
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
        """Entries of all in order of their keys; see `Snapshot.scan`."""
        newer = self._merged(table)
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
        change = 0
        for key, value in self._merged(table).items():
            known = self._below.get(table, key) is not None
            change += (value is not None) - known
        return self._below.count(table) + change

    def _layers_of(self, table: Table) -> tuple[Contents, ...]:
        found = self._newest_first.get(table)
        if found is None:
            layers = self._chain if isinstance(table, ChainTable) else self._state
            found = tuple(layer.contents[table] for layer in layers if table in layer.contents)
            self._newest_first[table] = found
        return found

    def _merged(self, table: Table) -> Contents:
        """All layers of one table as one; kept for the next scan of it."""
        layers = self._layers_of(table)
        if len(layers) < 2:
            return layers[0] if layers else {}
        merged: Contents = {}
        for entries in reversed(layers):
            merged.update(entries)
        self._newest_first[table] = (merged,)
        return merged


def _within(keys: list[bytes], start: bytes, reached: bytes | None, reverse: bool) -> list[bytes]:
    """The keys from `start` on, `start` included, up to `reached` where the scan below stopped."""
    if reverse:
        low = 0 if reached is None else bisect_left(keys, reached)
        return keys[low : bisect_right(keys, start) if start else len(keys)]
    high = len(keys) if reached is None else bisect_right(keys, reached)
    return keys[bisect_left(keys, start) : high]
