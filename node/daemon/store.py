"""The database on disk: two LMDB environments, `chain/` and `state/` (DESIGN 10, rule C17).

It holds everything that is read; the journal in front of it holds what is not here yet. The only file
that imports lmdb. Thread rules, because LMDB enforces none of them and breaking them hangs silently:

- `apply` begins and commits its write transactions inside one call; call it in one worker thread at
  a time (`trio.to_thread.run_sync` with a limiter of 1). It never keeps a write transaction.
- A `Reader` keeps its view of the state from one `apply` to the next (beginning one costs twice a lookup), so
  one thread at a time uses it. Executing a block reads the state: no old pages are pinned for long.
- A snapshot may move between threads; its own lock keeps two threads from using it at once. Each has
  an age limit, because an old view keeps every page freed since from being used again.

The engine is LMDB 0.9 (`lib_version=0`): its format is the one other tools read. A store must be
opened after a fork, and once per process.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import lmdb
from lmdb.verify import VerifyError, verify

from node.daemon import durability
from node.daemon.failpoints import hit
from node.daemon.snapshots import SnapshotPool
from node.daemon.store_check import check
from node.storage import (
    SCAN_BYTES,
    ChainTable,
    Contents,
    SnapshotExpired,
    SnapshotLimit,
    StateTable,
    StorageError,
    StoreFailed,
    StoreForeign,
    StoreFull,
    Table,
    TablesOfOne,
    Write,
    last_writes,
)

FORMAT = 3
MAP_BYTES_SETTING = "storage.map_bytes"
DEFAULT_MAP_BYTES = 256 * 1024**3
"""Address space reserved for each environment; the file takes only what is used."""

_LMDB_ENGINE = 0
FORMAT_TABLE, FORMAT_KEY = b"isthmus", b"format"
_SPARE_READERS = 62


@dataclass(frozen=True, slots=True)
class Environment:
    """One open LMDB environment with its tables; for those who import lmdb."""

    name: str
    path: Path
    env: lmdb.Environment
    tables: Mapping[Table, lmdb._Database]

    def used_bytes(self) -> int:
        """The file's high-water mark; pages freed below it are used again."""
        return (self.env.info()["last_pgno"] + 1) * self.env.stat()["psize"]

    def begin(self) -> "_Places":
        """A new transaction that only reads; it ends when it is aborted, or with the last who knows it."""
        transaction = self.env.begin()
        return {table: (transaction, database) for table, database in self.tables.items()}


_Places = dict[Table, tuple["lmdb.Transaction[bytes]", lmdb._Database]]
"""Where to read each table: in a transaction that only reads."""


class LmdbReader:
    """Point reads of the latest committed data, for execution on the main thread."""

    __slots__ = ("_begin", "_places", "_seen", "_store")

    def __init__(self, store: "Store", begin: Callable[[], _Places]) -> None:
        """Not for callers: `Store.reader` makes one."""
        self._store, self._begin, self._seen = store, begin, -1
        self._places: _Places = {}

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The value at `key`, or None; sees every `apply` that returned before this call."""
        try:
            if self._seen != self._store.applied:
                # The count first: what is applied meanwhile is looked at again.
                self._seen, self._places = self._store.applied, self._begin()
            place = self._places.get(table)
            if place is None:
                return self._store.chain_value(table, key)
            transaction, database = place
            return transaction.get(key, None, database)
        except lmdb.Error as error:
            raise _unreadable(table, error) from error


class LmdbSnapshot:
    """One unchanging view of both environments. Made by `Store.snapshot`."""

    def __init__(self, chain: Environment, state: Environment) -> None:
        """The state first: what it rests on was in the chain before, so the chain view holds it too."""
        self._lock = threading.Lock()
        self._ended: str | None = None
        try:
            self._places = state.begin() | chain.begin()
        except lmdb.ReadersFullError as error:
            raise SnapshotLimit("the database has no free reader: try again") from error

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The value at `key`, or None; raises SnapshotExpired."""
        with self._lock:
            transaction, database = self._place(table)
            try:
                return transaction.get(key, db=database)
            except lmdb.Error as error:
                raise _unreadable(table, error) from error

    def scan(
        self, table: Table, start: bytes, *, limit: int, reverse: bool = False, limit_bytes: int = SCAN_BYTES
    ) -> list[tuple[bytes, bytes]]:
        """As `tables.Snapshot.scan` says; raises SnapshotExpired."""
        found: list[tuple[bytes, bytes]] = []
        if limit < 1:
            return found
        with self._lock:
            transaction, database = self._place(table)
            try:
                with transaction.cursor(db=database) as cursor:
                    if _seek(cursor, start, reverse):
                        for item in cursor.iterprev() if reverse else cursor.iternext():
                            found.append(item)
                            limit_bytes -= len(item[0]) + len(item[1])
                            if len(found) >= limit or limit_bytes <= 0:
                                break
            except lmdb.Error as error:
                raise _unreadable(table, error) from error
        return found

    def count(self, table: Table) -> int:
        """How many entries the table has; raises SnapshotExpired."""
        with self._lock:
            transaction, database = self._place(table)
            return transaction.stat(database)["entries"]

    def end(self, reason: str) -> None:
        """Give the pages back; reading afterwards raises SnapshotExpired with `reason`."""
        with self._lock:
            if self._ended is None:
                self._ended = reason
                for transaction, _ in self._places.values():
                    transaction.abort()
                self._places = {}

    def _place(self, table: Table) -> "tuple[lmdb.Transaction[bytes], lmdb._Database]":
        if self._ended is not None:
            raise SnapshotExpired(self._ended)
        return self._places[table]


class Store:
    """The tables of one node on disk. Open it with `Store.open`."""

    def __init__(
        self, directory: Path, chain: Environment, state: Environment, snapshots: SnapshotPool[LmdbSnapshot]
    ) -> None:
        """Not for callers."""
        self._directory = directory
        self._chain = chain
        self._state = state
        self._environments = chain, state
        self.snapshots = snapshots
        """The open snapshots: `len()` now, `.limit` at most."""
        self.applied = 0  # how often `apply` has come to its end
        self.commits = 0
        """Of both environments since they were opened, a sync each."""
        self._failure: str | None = None

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        map_bytes: int = DEFAULT_MAP_BYTES,
        max_snapshots: int = 64,
        max_snapshot_age_ms: int = 30_000,
        clock_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
        fsync: bool = True,
    ) -> "Store":
        """Open or create both environments in `directory`.

        `map_bytes` bounds each of them. `fsync=False` is for measurements only. Raises StoreForeign
        for files that are not ours or newer, StoreFull, StoreFailed.
        """
        chain = _open_environment("chain", directory, ChainTable, map_bytes, max_snapshots, fsync)
        try:
            state = _open_environment("state", directory, StateTable, map_bytes, max_snapshots, fsync)
        except StorageError:
            chain.env.close()
            raise
        pool: SnapshotPool[LmdbSnapshot] = SnapshotPool(max_snapshots, max_snapshot_age_ms, clock_ms)
        return cls(directory, chain, state, pool)

    def apply(self, chain: Collection[Write], state: Collection[Write]) -> None:
        """Commit `chain`, then `state`, each all or nothing and synced. An empty one costs nothing.

        Snapshots over their age are ended first, and what a killed reader held is given back: a backup that
        was cut off would keep every page that is freed from then on. Raises StoreFull (what failed is not
        visible, and a later call may succeed), StoreFailed (stop the process), ValueError for a bad key or
        table, before anything was written.
        """
        if self._failure is not None:
            raise StoreFailed(self._failure)
        chain_contents = last_writes(chain, ChainTable)
        state_contents = last_writes(state, StateTable)
        self.snapshots.end_old()
        for place in self._environments:
            place.env.reader_check()
        if chain_contents:
            self._commit(self._chain, chain_contents, "store-before-chain")
        if state_contents:
            self._commit(self._state, state_contents, "store-before-state")
        self.applied += 1
        hit("store-after-state")

    def snapshot(self) -> AbstractContextManager[LmdbSnapshot]:
        """One view of both environments until the block ends or its age limit; raises SnapshotLimit."""
        return self.snapshots.lend(lambda: LmdbSnapshot(self._chain, self._state))

    def reader(self) -> LmdbReader:
        """Reads that always see what the latest `apply` committed."""
        return LmdbReader(self, self._state.begin)

    def chain_value(self, table: Table, key: bytes) -> bytes | None:
        """The value at `key` as of now, or None: a view of its own, for nobody reads the chain regularly."""
        with self._chain.env.begin(self._chain.tables[table]) as transaction:
            return transaction.get(key)

    def size_bytes(self) -> int:
        """What both databases take on disk."""
        return sum((place.path / "data.mdb").stat().st_size for place in self._environments)

    def used_ratio(self) -> float:
        """How full the fuller of the two maps is, 0 to 1."""
        return max(place.used_bytes() / place.env.info()["map_size"] for place in self._environments)

    def disk_free_bytes(self) -> int:
        """What the file system still gives to this user."""
        return durability.free_bytes(self._directory)

    def check(self) -> list[str]:
        """What is wrong with the contents, one sentence each; `verify_files` comes first."""
        return check(self)

    def close(self) -> None:
        """End all snapshots and close the files; no thread may be inside `apply` or a read."""
        self.snapshots.end_all()
        self._failure = "the database is closed"
        for environment in self._environments:
            environment.env.close()

    def _commit(self, place: Environment, contents: Mapping[Table, Contents], before: str) -> None:
        """One write transaction from begin to commit in this thread."""
        try:
            with place.env.begin(write=True) as transaction:
                for table, entries in contents.items():
                    _write_table(transaction, place.tables[table], entries)
                hit(before)
        except lmdb.MapFullError as error:
            used, limit = place.used_bytes(), place.env.info()["map_size"]
            words = f"the {place.name} database is full: {used} of {limit} bytes are used; raise "
            words += f"{MAP_BYTES_SETTING} in the configuration and start the node again"
            raise StoreFull(words) from error
        except lmdb.Error as error:
            if durability.is_disk_full(error.code, place.path):
                words = f"the disk under {place.path} is full: {self.disk_free_bytes()} bytes are free; free"
                raise StoreFull(f"{words} some space, then start the node again") from error
            self._failure = f"the {place.name} database in {place.path} could not be written: {error}"
            raise StoreFailed(self._failure) from error
        self.commits += 1


def verify_files(directory: Path) -> list[str]:
    """What is wrong with the files of a store that nobody has open, one sentence each: without the engine,
    which may end the process on a page with rot in it. Raises StoreFailed when there is nothing to check."""
    findings: list[str] = []
    for name in ("chain", "state"):
        try:
            problems: list[str] = verify(str(directory / name))  # type: ignore[no-untyped-call] # lmdb's tool
        except (VerifyError, OSError) as error:
            raise StoreFailed(f"the database in {directory / name} cannot be checked: {error}") from error
        findings += [f"{name}: {problem}" for problem in problems]
    return findings


def _unreadable(table: Table, error: lmdb.Error) -> StoreFailed:
    return StoreFailed(f"the table {table.value} cannot be read ({error}): check the disk")


def _seek(cursor: "lmdb.Cursor[bytes]", start: bytes, reverse: bool) -> bool:
    """Go to the first entry of a scan; False when there is none."""
    if not reverse:
        return cursor.set_range(start) if start else cursor.first()
    if not start or not cursor.set_range(start):
        return cursor.last()
    return cursor.key() == start or cursor.prev()


def _write_table(transaction: "lmdb.Transaction[bytes]", database: lmdb._Database, entries: Contents) -> None:
    """Deletions, then all other entries in the order of their keys in one call."""
    for key in [key for key, value in entries.items() if value is None]:
        transaction.delete(key, db=database)
    written = sorted([(key, value) for key, value in entries.items() if value is not None], key=itemgetter(0))
    if written:
        with transaction.cursor(db=database) as cursor:
            cursor.putmulti(written)


def _open_environment(
    name: str, directory: Path, kind: TablesOfOne, map_bytes: int, max_snapshots: int, fsync: bool
) -> Environment:
    """Open one environment and see that it is ours; raises StoreForeign, StoreFailed, StoreFull."""
    path = directory / name
    env: lmdb.Environment | None = None
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        env = lmdb.Environment(
            str(path),
            map_size=map_bytes,
            mode=0o700,
            max_dbs=len(kind) + 1,
            max_readers=max_snapshots + _SPARE_READERS,
            max_spare_txns=1,
            sync=fsync,
            metasync=fsync,
            lib_version=_LMDB_ENGINE,
        )
        for named in (path, directory, directory.parent):
            durability.sync_directory(named)
        env.reader_check()
        _check_format(env, path)
        return Environment(name, path, env, {table: env.open_db(table.value.encode()) for table in kind})
    except (OSError, lmdb.Error, StoreForeign) as error:
        if env is not None:
            env.close()
        if isinstance(error, StoreForeign):
            raise
        if isinstance(error, OSError):
            words = durability.explain(error)
            raise StoreFailed(f"the database in {path} cannot be opened: {words}") from error
        raise _unopened(path, map_bytes, error) from error


def _unopened(path: Path, map_bytes: int, error: lmdb.Error) -> StorageError:
    """Why an environment did not open, in the type that says whose fault it is."""
    match error:
        case lmdb.InvalidError() | lmdb.VersionMismatchError():
            return StoreForeign(f"{path} does not hold a database of this program (LMDB 0.9): {error}")
        case lmdb.MapFullError():
            return StoreFull(f"the map of {path}, {map_bytes} bytes, is too small: raise {MAP_BYTES_SETTING}")
        case _:
            return StoreFailed(f"the database in {path} cannot be opened: {error}")


def _check_format(env: lmdb.Environment, path: Path) -> None:
    """Mark a new environment as ours, or read the mark of an old one; raises StoreForeign."""
    is_new = env.stat()["entries"] == 0
    try:
        with env.begin(write=True) as transaction:
            database = env.open_db(FORMAT_TABLE, txn=transaction, create=is_new)
            if is_new:
                transaction.put(FORMAT_KEY, str(FORMAT).encode(), db=database)
            marked = transaction.get(FORMAT_KEY, db=database)
    except lmdb.NotFoundError as error:
        raise StoreForeign(f"{path} holds a database that another program made") from error
    if marked != str(FORMAT).encode():
        version = "no" if marked is None else marked.decode("ascii", "replace")
        words = f"{path} has database format {version} and this program reads {FORMAT}"
        raise StoreForeign(f"{words}: use the version of isthmus that wrote it")
