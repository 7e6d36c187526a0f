"""What one flush puts into the chain, read from its writes."""

from collections.abc import Collection
from dataclasses import dataclass

from bench.sim.checkers.reading import Fields, unpack
from node.storage import ChainTable, Write


@dataclass(frozen=True, slots=True)
class StoredHeight:
    """`body` is `[[transaction, ...], [receipt, ...]]` in bytes."""

    height: int
    header: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class StoredChain:
    """`heights` in the order of their writes; `positions` are (id, height, index) of transactions;
    `proposals` and `certificates` as they stand."""

    heights: tuple[StoredHeight, ...]
    positions: tuple[tuple[bytes, int, int], ...]
    proposals: tuple[bytes, ...]
    certificates: tuple[Fields, ...]

    @staticmethod
    def of(writes: Collection[Write]) -> "StoredChain":
        """The chain's part of a flush; deletions mean nothing here."""
        values: dict[ChainTable, dict[bytes, bytes]] = {}
        for write in writes:
            if write.value is not None and isinstance(write.table, ChainTable):
                values.setdefault(write.table, {})[write.key] = write.value
        bodies = values.get(ChainTable.BODIES, {})
        return StoredChain(
            tuple(
                StoredHeight(int.from_bytes(key, "big"), header, bodies.get(key, b""))
                for key, header in values.get(ChainTable.HEADERS, {}).items()
            ),
            tuple(
                (name, int.from_bytes(place[:8], "big"), int.from_bytes(place[8:], "big"))
                for name, place in values.get(ChainTable.TRANSACTIONS, {}).items()
            ),
            tuple(values.get(ChainTable.BLOCKS, {}).values()),
            tuple(unpack(value) for value in values.get(ChainTable.CERTIFICATES, {}).values()),
        )
