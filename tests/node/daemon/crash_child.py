"""A process that the crash tests start and that a failpoint kills; run as `python -m`.

It prints a number after each step that its storage acknowledged, so that the test knows what must
still be there.
"""

import sys
from pathlib import Path

from node.daemon.guardfile import GuardFile
from node.daemon.journal import Journal
from node.daemon.keylock import KeyInUse, KeyLock
from node.daemon.store import Store
from node.storage import ChainTable, StateTable, Write

STEPS = 20
SEGMENT_BYTES = 4 * 4096
"""A header block and three groups: every few steps a segment is rolled and one is retired."""
KEPT_STEPS = 5


def group(step: int) -> list[bytes]:
    """What step number `step` (from 1) appends: two records."""
    return [b"block %d" % step, b"safety record %d" % step * 20]


def open_journal(directory: Path) -> Journal:
    """The journal with the small sizes of these tests."""
    return Journal.open(directory, segment_bytes=SEGMENT_BYTES, max_record_bytes=4096, max_segments=8)


def _acknowledge(step: int) -> None:
    print(step, flush=True)


def _run_journal(directory: Path) -> None:
    journal = open_journal(directory)
    for step in range(1, STEPS + 1):
        journal.append(group(step))
        _acknowledge(step)
        journal.trim(max(0, 2 * (step - KEPT_STEPS)))


def _run_guard(directory: Path) -> None:
    guard = GuardFile.create(directory / "guard", b"0")
    for step in range(1, STEPS + 1):
        guard.store(b"%d" % step)
        _acknowledge(step)


def _run_store(directory: Path) -> None:
    store = Store.open(directory)
    for step in range(1, STEPS + 1):
        value = b"%d" % step
        store.apply([Write(ChainTable.META, b"step", value)], [Write(StateTable.META, b"step", value)])
        _acknowledge(step)


def _run_lock(directory: Path) -> None:
    try:
        KeyLock.acquire(directory)
    except KeyInUse as refusal:
        print(refusal, flush=True)
        return
    print("locked", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    {"journal": _run_journal, "guard": _run_guard, "store": _run_store, "lock": _run_lock}[sys.argv[1]](
        Path(sys.argv[2])
    )
