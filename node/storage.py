"""What the database holds, as names, and the contract its two implementations share.

`store.Store` keeps these tables in LMDB, `memory_store.MemoryStore` in dicts (for the simulator and
for tests). Chain and state are separate environments (rule C17): the chain is what was agreed, the
state is what executing it made, and a write to both reaches the chain first, so that after a crash
the chain is at or ahead of the state, never behind. Keys and values are bytes; what they mean is
decided elsewhere.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from enum import Enum
from typing import ClassVar, Protocol

from consensus import immutable

MAX_KEY_BYTES = 511
"""The longest key of either implementation (LMDB's limit); a key has at least one byte."""

HEIGHT_KEY = b"height"
"""StateTable.META: the height the state shows, u64."""

PRUNED_KEY = b"pruned"
"""ChainTable.META: the height, u64, below which blocks, batches and bodies were pruned; absent: none were."""

SCAN_BYTES = 16 * 1024 * 1024
"""One scan returns no more than this in keys and values, but always one entry if there is any."""


def height_key(height: int) -> bytes:
    """A height as a key."""
    return height.to_bytes(8, "big")


def history_key(level: int, index: int) -> bytes:
    """A node of the tree over header hashes."""
    return bytes((level,)) + index.to_bytes(8, "big")


def epoch_key(epoch: int) -> bytes:
    """An epoch as a key."""
    return epoch.to_bytes(8, "big")


class StorageError(Exception):
    """Base of what this node's own files can do wrong; `str()` is a sentence with the way out."""

    code: ClassVar[str] = "storage"


class ChainTable(Enum):
    """Tables of the chain environment; integers in keys are big-endian, so that they sort."""

    __hash__ = object.__hash__  # by identity, as they compare; Enum's own is a call

    BLOCKS = "blocks"
    """Block id -> proposal."""
    BATCHES = "batches"
    """Batch digest -> batch."""
    HEADERS = "headers"
    """Height u64 -> header."""
    CERTIFICATES = "certificates"
    """Height u64 -> certificate of the header of that height."""
    BODIES = "bodies"
    """Height u64 -> what was executed at that height and its receipts."""
    TRANSACTIONS = "transactions"
    """Transaction id -> height u64, index u32."""
    BLOCK_HEIGHTS = "block_heights"
    """Block id -> height u64."""
    HISTORY = "history"
    """Level u8, index u64 -> hash: the tree over all headers."""
    EVIDENCE = "evidence"
    EPOCHS = "epochs"
    """Epoch u64 that begins -> the header and certificate it begins with, and its roster; kept for ever."""
    OUTBOX_LEAVES = "outbox_leaves"
    """Destination cluster id, index u64 -> leaf: everything ever said to it."""
    OUTBOX_NODES = "outbox_nodes"
    """Destination cluster id, level u8, index u64 -> hash: the tree over those leaves."""
    OUTBOX_PLACES = "outbox_places"
    """Destination cluster id, lane and sequence -> index u64 of the newest leaf about it."""
    META = "meta"
    """Name -> value."""

    __hash__ = object.__hash__


class StateTable(Enum):
    """Tables of the state environment."""

    __hash__ = object.__hash__  # by identity, as they compare; Enum's own is a call

    STATE = "state"
    """Key -> value."""
    NODES = "nodes"
    """Sparse Merkle tree node key -> node."""
    REPLAY = "replay"
    META = "meta"
    """Name -> value."""

    __hash__ = object.__hash__


Table = ChainTable | StateTable
TablesOfOne = type[ChainTable] | type[StateTable]
"""All tables of one environment."""


@immutable(frozen=True, slots=True)
class Write:
    """Set `key` to `value` in `table`, or delete it where `value` is None."""

    table: Table
    key: bytes
    value: bytes | None


class StoreFailed(StorageError):
    """The database could not be read or written; our fault or the disk's. Stop the process."""

    code = "store_failed"


class StoreFull(StorageError):
    """The map or the disk is full; nothing of the failed transaction is visible, reading goes on."""

    code = "store_full"


class StoreForeign(StorageError):
    """The files are not this program's, or a newer version's."""

    code = "store_foreign"


class StoreDamaged(StorageError):
    """The files can be read, and what is in them is no whole database. Restarting does not mend it."""

    code = "database_damaged"


class SnapshotLimit(StorageError):
    """Too many snapshots at once; the caller is told to come back."""

    code = "snapshot_limit"


class SnapshotExpired(StorageError):
    """The snapshot outlived its age limit and was ended, so that it does not keep old pages for ever."""

    code = "snapshot_expired"


class Reader(Protocol):
    """Point reads of the latest committed data."""

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The value at `key`, or None."""


class Snapshot(Protocol):
    """One unchanging view of both environments, in which the chain is never behind the state."""

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The value at `key`, or None."""

    def scan(
        self,
        table: Table,
        start: bytes,
        *,
        limit: int,
        reverse: bool = False,
        limit_bytes: int = SCAN_BYTES,
    ) -> list[tuple[bytes, bytes]]:
        """Up to `limit` entries from `start` on, `start` included: upwards, or downwards if `reverse`.

        An empty `start` means the first entry, or the last if `reverse`. It ends early once keys and
        values together reach `limit_bytes`; go on from the last key returned.
        """

    def count(self, table: Table) -> int:
        """How many entries the table has."""


class Database(Protocol):
    """What the daemon and the simulator need of a store."""

    def apply(self, chain: Collection[Write], state: Collection[Write]) -> None:
        """All of `chain` or nothing, synced; then all of `state` or nothing, synced.

        Of several writes to one key the last one counts. Raises StoreFull, StoreFailed, ValueError.
        """

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """A view for one reader; raises SnapshotLimit."""

    def reader(self) -> Reader:
        """Reads that always see what the latest `apply` committed."""


Contents = dict[bytes, bytes | None]
"""Of one table: key -> new value, None for a deletion."""


class WriteSet(Collection[Write]):
    """Writes by table, the last one to a key kept: what a flush holds. A transaction makes some ten of them,
    so they are merged as mappings; a `Write` of its own is made only for who iterates."""

    __slots__ = ("contents",)

    def __init__(self, contents: dict[Table, Contents] | None = None) -> None:
        """`contents` is taken over, and so are its mappings."""
        self.contents: dict[Table, Contents] = {} if contents is None else contents

    @staticmethod
    def of(writes: Iterable[Write]) -> "WriteSet":
        """These writes by table; a `WriteSet` is answered as it is."""
        if isinstance(writes, WriteSet):
            return writes
        made = WriteSet()
        current: Table | None = None
        entries: Contents = {}
        for write in writes:
            if write.table is not current:
                current = write.table
                entries = made.table(current)
            entries[write.key] = write.value
        return made

    def table(self, table: Table) -> Contents:
        """The writes to one table, to be added to."""
        return self.contents.setdefault(table, {})

    def update(self, later: "WriteSet") -> None:
        """Put `later` behind what is here; `later` itself stays as it is."""
        for table, entries in later.contents.items():
            self.table(table).update(entries)

    def __len__(self) -> int:
        return sum(map(len, self.contents.values()))

    def __iter__(self) -> Iterator[Write]:
        for table, entries in self.contents.items():
            for key, value in entries.items():
                yield Write(table, key, value)

    def __contains__(self, write: object) -> bool:
        if not isinstance(write, Write):
            return False
        entries = self.contents.get(write.table, {})
        return write.key in entries and entries[write.key] == write.value


def last_writes(writes: Iterable[Write], tables: TablesOfOne) -> dict[Table, Contents]:
    """The writes by table with the last one to a key kept; raises ValueError for a bad table or key."""
    contents = WriteSet.of(writes).contents
    for table, entries in contents.items():
        if not isinstance(table, tables):
            raise ValueError(f"{table} is not a table of this environment ({tables.__name__})")
        for length in set(map(len, entries)):
            if not 0 < length <= MAX_KEY_BYTES:
                raise ValueError(f"a key has 1 to {MAX_KEY_BYTES} bytes, not {length}")
    return contents
