"""A process whose files may not grow beyond a limit, for the tests of writes that fail; `python -m`.

It fills one kind of storage until that refuses, and prints the type and text of each refusal.
"""

import resource
import sys
from collections.abc import Callable
from pathlib import Path

from node.daemon.guardfile import GuardFile
from node.daemon.journal import Journal
from node.daemon.store import Store
from node.storage import ChainTable, StorageError, Write

LIMIT_BYTES = 128 * 1024


def _report(action: Callable[[], object]) -> None:
    try:
        action()
    except StorageError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
    else:
        print("done", flush=True)


def _fill_journal(directory: Path) -> None:
    journal = Journal.open(directory, segment_bytes=1 << 20, max_record_bytes=1 << 16)
    _limit()
    journal.append([b"fits"])
    for _ in range(2):
        _report(lambda: journal.append([b"too much" * 8000] * 3))
    _report(lambda: journal.append([b"small"]))
    _report(journal.close)


def _fill_store(directory: Path) -> None:
    store = Store.open(directory)
    store.apply([Write(ChainTable.META, b"step", b"1")], [])
    _limit()
    large = [Write(ChainTable.META, b"step", b"2"), Write(ChainTable.BLOCKS, b"k", bytes(300_000))]
    for _ in range(2):
        _report(lambda: store.apply(large, []))
    print(store.reader().get(ChainTable.META, b"step"), flush=True)
    store.close()


def _fill_guard(directory: Path) -> None:
    guard = GuardFile.create(directory / "guard", b"bound 1")
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    for _ in range(2):
        _report(lambda: guard.store(b"bound 2"))
    print(guard.payload, flush=True)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, resource.RLIM_INFINITY))


if __name__ == "__main__":
    {"journal": _fill_journal, "store": _fill_store, "guard": _fill_guard}[sys.argv[1]](Path(sys.argv[2]))
