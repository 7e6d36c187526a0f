"""The databases of a node that may be running, read by another process: one consistent view, and copies.

LMDB lets any number of processes read beside the one that writes. Nothing is created here and nothing
written but a reader's slot. A view pins the pages that are freed while it is open, so a long copy of a busy
node makes its database grow by what it writes meanwhile.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from node.daemon import durability
from node.daemon.store import FORMAT, FORMAT_KEY, FORMAT_TABLE, Environment, LmdbSnapshot
from node.storage import ChainTable, StateTable, StoreFailed, StoreForeign, StoreFull, TablesOfOne

_ENGINE = 0
_ATTEMPTS = 1000
"""At moments when no state was committed while the view was taken; a commit takes milliseconds."""


class StoredView:
    """Both databases at one moment: the chain at or at most one commit ahead of the state, as after a crash
    (C17). Made by `open_view`."""

    def __init__(self, state: Environment, chain: Environment) -> None:
        """Not for callers."""
        self._environments = state, chain
        self.snapshot = LmdbSnapshot(chain, state)
        self._copied = state.env.begin(), chain.env.begin()

    def is_steady(self, before: int) -> bool:
        """Whether no state was committed since transaction `before`, so that the two views fit."""
        return self._environments[0].env.info()["last_txnid"] == before

    def copy_to(self, folder: Path) -> None:
        """A compact copy of both, in `folder`, which exists. Raises StoreFailed, StoreFull."""
        for environment, transaction in zip(self._environments, self._copied, strict=True):
            copy_environment(environment, transaction, folder / environment.name)

    def end(self) -> None:
        """Give the pages back."""
        self.snapshot.end("this view was closed")
        for transaction in self._copied:
            transaction.abort()


@contextmanager
def open_view(data_dir: Path) -> Iterator[StoredView]:
    """A view of the databases in `data_dir` while the block runs; another process may be writing. Raises
    StoreFailed, StoreForeign. Not for a process that has them open itself."""
    state = _open("state", data_dir, StateTable)
    try:
        chain = _open("chain", data_dir, ChainTable)
        try:
            view = _steady_view(state, chain)
            try:
                yield view
            finally:
                view.end()
        finally:
            chain.env.close()
    finally:
        state.env.close()


def copy_environment(environment: Environment, transaction: "lmdb.Transaction[bytes]", target: Path) -> None:
    """A compact copy of one database as `transaction` sees it, synced. Raises StoreFailed, StoreFull."""
    try:
        target.mkdir(mode=0o700)
        environment.env.copy(str(target), compact=True, txn=transaction)
    except (OSError, lmdb.Error) as error:
        number = error.errno if isinstance(error, OSError) else error.code
        words = f"the {environment.name} database cannot be copied to {target}: {error}"
        if number is not None and durability.is_disk_full(number, target.parent):
            raise StoreFull(f"{words}; {durability.free_bytes(target.parent)} bytes are free") from error
        raise StoreFailed(words) from error


def compact_chain(data_dir: Path) -> tuple[int, int]:
    """Rewrite the chain database of a stopped node without the pages that nobody uses; answers with its size
    in bytes before and after. Complete or not at all. Raises StoreFailed, StoreFull.

    A compact copy counts its transactions anew, and the lock file counts those of the old one for as long as
    anybody has that open, a backup that is being made for example: a start beside it would look for the
    newest transaction in the wrong place. So the lock file goes with the file that it was for; who reads the
    old one keeps both.
    """
    chain = _open("chain", data_dir, ChainTable)
    path, target = chain.path / "data.mdb", data_dir / "compact.partial"
    before = path.stat().st_size
    try:
        _remove_leftover(target)
        with chain.env.begin() as transaction:
            copy_environment(chain, transaction, target)
    finally:
        chain.env.close()
    (target / "data.mdb").replace(path)
    (chain.path / "lock.mdb").unlink(missing_ok=True)
    durability.sync_directory(chain.path)
    target.rmdir()
    return before, path.stat().st_size


def _remove_leftover(target: Path) -> None:
    """Of a copy that was interrupted."""
    if target.exists():
        (target / "data.mdb").unlink(missing_ok=True)
        target.rmdir()


def _steady_view(state: Environment, chain: Environment) -> StoredView:
    for _ in range(_ATTEMPTS):
        before = state.env.info()["last_txnid"]
        view = StoredView(state, chain)
        if view.is_steady(before):
            return view
        view.end()
    raise StoreFailed("the node commits too fast for a consistent view: try again at a quieter moment")


def _open(name: str, data_dir: Path, kind: TablesOfOne) -> Environment:
    path = data_dir / name
    if not (path / "data.mdb").exists():
        raise StoreFailed(f"there is no database in {path}: has the node ever run?")
    env: lmdb.Environment | None = None
    try:
        env = lmdb.Environment(
            str(path), readonly=True, create=False, max_dbs=len(kind) + 1, lib_version=_ENGINE
        )
        marks = env.open_db(FORMAT_TABLE, create=False)
        with env.begin() as transaction:
            if transaction.get(FORMAT_KEY, db=marks) != str(FORMAT).encode():
                raise StoreForeign(
                    f"{path} has another database format than {FORMAT}: "
                    "use the version of isthmus that wrote it"
                )
        tables = {table: env.open_db(table.value.encode(), create=False) for table in kind}
        return Environment(name, path, env, tables)
    except (lmdb.Error, StoreForeign) as error:
        if env is not None:
            env.close()
        if isinstance(error, StoreForeign):
            raise
        raise StoreFailed(f"the database in {path} cannot be read: {error}") from error
