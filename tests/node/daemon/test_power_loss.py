"""Power cuts: what was not synced is lost block by block, in any order, and the journal still recovers.

`kill -9` cannot show this, because the kernel keeps what the process wrote. Here every write and sync
of the journal is recorded while it really happens, and a disk is rebuilt as a power cut could have
left it: all that was synced, and any blocks of what was not.
"""

import contextlib
import errno
import os
import random
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from node.daemon import durability, guardfile, journal, segment
from node.daemon.durability import BLOCK_BYTES
from node.daemon.guardfile import GuardFile
from node.daemon.journal import Journal, JournalFailed

SEGMENT_BYTES = 8 * BLOCK_BYTES


class Crash(Exception):
    """The process ends here."""


class RecordedDisk:
    """Passes everything through, remembers what a power cut would keep, and ends the process when due."""

    def __init__(self, directory: Path, chance: random.Random) -> None:
        self.directory = directory
        self._chance = chance
        self._synced = {path.stat().st_ino: path.read_bytes() for path in directory.iterdir()}
        self._names = self._current_names()
        self._unsynced: list[tuple[int, int, bytes]] = []
        self._countdown = 0
        self._fails_syncs = False

    def arm(self, countdown: int, fails_syncs: bool) -> None:
        """Crash at the `countdown`-th chance, or let the first sync from then on fail and lose its writes."""
        self._countdown = countdown
        self._fails_syncs = fails_syncs

    def _due(self) -> bool:
        self._countdown -= 1
        if self._countdown == 0 and not self._fails_syncs:
            raise Crash
        return self._countdown <= 0

    def _current_names(self) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in self.directory.iterdir()}

    def write_all(self, fd: int, data: bytes, offset: int) -> None:
        self._due()
        durability.write_all(fd, data, offset)
        self._unsynced.append((os.fstat(fd).st_ino, offset, data))
        self._due()

    def write_pieces(self, fd: int, pieces: Sequence[bytes], offset: int) -> int:
        self._due()
        written = durability.write_pieces(fd, pieces, offset)
        self._unsynced.append((os.fstat(fd).st_ino, offset, b"".join(pieces)))
        self._due()
        return written

    def sync_data(self, fd: int) -> None:
        is_due = self._due()
        file = os.fstat(fd).st_ino
        mine = [write for write in self._unsynced if write[0] == file]
        self._unsynced = [write for write in self._unsynced if write[0] != file]
        if is_due:
            # As Linux does it: the pages count as clean from now on, and the next sync succeeds.
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        content = bytearray(self._synced.get(file, bytes(os.fstat(fd).st_size)))
        for _, offset, data in mine:
            content[offset : offset + len(data)] = data
        self._synced[file] = bytes(content)
        self._due()

    def sync_directory(self, directory: Path) -> None:
        if self._due():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if directory == self.directory:
            self._names = self._current_names()
        self._due()

    def cut_power(self, target: Path) -> "RecordedDisk":
        """What is left, in the folder `target`."""
        target.mkdir()
        names = self._chance.choice((self._names, self._current_names()))
        for name, file in names.items():
            if file not in self._synced:
                continue
            content = bytearray(self._synced[file])
            for _, offset, data in (write for write in self._unsynced if write[0] == file):
                for start in range(0, len(data), BLOCK_BYTES):
                    if self._chance.random() < 0.5:
                        block = data[start : start + BLOCK_BYTES]
                        content[offset + start : offset + start + len(block)] = block
            (target / name).write_bytes(content)
        return RecordedDisk(target, self._chance)

    def record(self, patch: pytest.MonkeyPatch) -> None:
        """See all that the journal and the guard do."""
        for module in (journal, segment, guardfile):
            for name in ("write_all", "write_pieces", "sync_data", "sync_directory"):
                if hasattr(module, name):
                    patch.setattr(module, name, getattr(self, name))
            if hasattr(module, "sync_file"):
                patch.setattr(module, "sync_file", self.sync_data)


ends = st.tuples(st.integers(1, 45), st.sampled_from(("power", "kill", "sync")))
early_ends = st.tuples(st.integers(1, 8), st.sampled_from(("power", "kill")))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), crashes=st.lists(ends, min_size=1, max_size=7), trims=st.booleans())
@example(seed=0, crashes=[(21, "power"), (35, "power"), (8, "sync"), (10, "power")], trims=False)
def test_after_any_chain_of_crashes_all_that_was_acknowledged_is_there(
    monkeypatch: pytest.MonkeyPatch, seed: int, crashes: list[tuple[int, str]], trims: bool
) -> None:
    """Power cuts, kills and failing syncs, also while the journal recovers from the one before."""
    chance = random.Random(seed)
    history: list[bytes] = []
    attempt: list[bytes] = []
    with TemporaryDirectory() as name:
        (Path(name) / "0").mkdir()
        disk = RecordedDisk(Path(name) / "0", chance)
        for number, (countdown, end) in enumerate(crashes, start=1):
            disk.arm(countdown, end == "sync")
            with monkeypatch.context() as patch, contextlib.suppress(Crash, JournalFailed):
                disk.record(patch)
                opened = _open(disk.directory)
                _check_and_continue(opened, history, attempt, chance, trims)
            if end == "power":
                disk = disk.cut_power(Path(name) / str(number))
        final = _open(disk.cut_power(Path(name) / "final").directory)
        _check(final, history, attempt)
        final.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), crashes=st.lists(early_ends, min_size=1, max_size=4))
def test_a_guard_never_forgets_a_bound_that_was_acknowledged(
    monkeypatch: pytest.MonkeyPatch, seed: int, crashes: list[tuple[int, str]]
) -> None:
    bound = 0
    with TemporaryDirectory() as name:
        (Path(name) / "0").mkdir()
        GuardFile.create(Path(name) / "0" / "guard", b"0").close()
        disk = RecordedDisk(Path(name) / "0", random.Random(seed))
        for number, (countdown, end) in enumerate(crashes, start=1):
            disk.arm(countdown, fails_syncs=False)
            with monkeypatch.context() as patch, contextlib.suppress(Crash):
                disk.record(patch)
                guard = GuardFile.open(disk.directory / "guard")
                assert int(guard.payload) in (bound, bound + 1)
                bound = int(guard.payload)
                while True:
                    guard.store(b"%d" % (bound + 1))
                    bound += 1
            if end == "power":
                disk = disk.cut_power(Path(name) / str(number))
        final = GuardFile.open(disk.cut_power(Path(name) / "final").directory / "guard")
        assert int(final.payload) in (bound, bound + 1)
        final.close()


def _open(directory: Path) -> Journal:
    return Journal.open(directory, segment_bytes=SEGMENT_BYTES, max_record_bytes=9000, max_segments=99)


def _check(opened: Journal, history: list[bytes], attempt: list[bytes]) -> None:
    """`history` was acknowledged and is there; of `attempt`, the group being written, all or nothing."""
    records = list(opened.records())
    beyond = [record for seq, record in records if seq > len(history)]
    assert beyond in ([], attempt)
    history.extend(beyond)
    attempt.clear()
    assert records == [(seq, history[seq - 1]) for seq in range(opened.first_seq, len(history) + 1)]
    assert opened.last_seq == len(history)


def _check_and_continue(
    opened: Journal, history: list[bytes], attempt: list[bytes], chance: random.Random, trims: bool
) -> None:
    _check(opened, history, attempt)
    for _ in range(20):
        attempt[:] = [chance.randbytes(chance.randrange(9000)) for _ in range(chance.randrange(1, 3))]
        opened.append(tuple(attempt))
        history.extend(attempt)
        attempt.clear()
        if trims:
            opened.trim(max(0, opened.last_seq - 4))
