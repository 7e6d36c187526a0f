"""Power cuts: what was not synced is lost block by block, in any order, and the journal still recovers.

`kill -9` cannot show this, because the kernel keeps what the process wrote. Here every write and sync
of the journal is recorded while it really happens, and a disk is rebuilt as a power cut could have
left it: all that was synced, and any blocks of what was not.
"""

import os
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.daemon import durability, journal, segment
from node.daemon.durability import BLOCK_BYTES
from node.daemon.journal import Journal

SEGMENT_BYTES = 8 * BLOCK_BYTES


class RecordedDisk:
    """Passes everything through, and remembers what a power cut would keep."""

    def __init__(self, directory: Path, chance: random.Random) -> None:
        self.directory = directory
        self._chance = chance
        self._synced = {path.stat().st_ino: path.read_bytes() for path in directory.iterdir()}
        self._names = self._current_names()
        self._unsynced: list[tuple[int, int, bytes]] = []
        self.images: list[Path] = []

    def _current_names(self) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in self.directory.iterdir()}

    def write_all(self, fd: int, data: bytes, offset: int) -> None:
        durability.write_all(fd, data, offset)
        self._unsynced.append((os.fstat(fd).st_ino, offset, data))

    def sync_data(self, fd: int) -> None:
        durability.sync_data(fd)
        file = os.fstat(fd).st_ino
        content = bytearray(self._synced[file])
        for _, offset, data in (write for write in self._unsynced if write[0] == file):
            content[offset : offset + len(data)] = data
        self._synced[file] = bytes(content)
        self._unsynced = [write for write in self._unsynced if write[0] != file]

    def sync_file(self, fd: int) -> None:
        durability.sync_file(fd)
        file = os.fstat(fd).st_ino
        self._synced[file] = os.pread(fd, os.fstat(fd).st_size, 0)
        self._unsynced = [write for write in self._unsynced if write[0] != file]

    def sync_directory(self, directory: Path) -> None:
        durability.sync_directory(directory)
        self._names = self._current_names()

    def cut_power(self, target: Path) -> Path:
        """Rebuild into `target` what is left."""
        target.mkdir()
        names = self._chance.choice((self._names, self._current_names()))
        for name, file in names.items():
            content = bytearray(self._synced.get(file, b""))
            for _, offset, data in (write for write in self._unsynced if write[0] == file):
                for start in range(0, len(data), BLOCK_BYTES):
                    if self._chance.random() < 0.5 and offset + start < len(content):
                        content[offset + start : offset + start + BLOCK_BYTES] = data[
                            start : start + BLOCK_BYTES
                        ]
            (target / name).write_bytes(content)
        return target


class PowerCut(Exception):
    """Thrown in the middle of an operation."""


class CutAt(RecordedDisk):
    """Throws PowerCut at the write or sync number `countdown`, before or after it happened."""

    def __init__(self, directory: Path, chance: random.Random, countdown: int) -> None:
        super().__init__(directory, chance)
        self._countdown = countdown

    def _tick(self) -> None:
        self._countdown -= 1
        if self._countdown == 0:
            raise PowerCut

    def write_all(self, fd: int, data: bytes, offset: int) -> None:
        self._tick()
        super().write_all(fd, data, offset)
        self._tick()

    def sync_data(self, fd: int) -> None:
        self._tick()
        super().sync_data(fd)
        self._tick()

    def sync_file(self, fd: int) -> None:
        self._tick()
        super().sync_file(fd)
        self._tick()

    def sync_directory(self, directory: Path) -> None:
        self._tick()
        super().sync_directory(directory)
        self._tick()


def _use(disk: RecordedDisk, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(journal, "write_all", disk.write_all)
    patch.setattr(journal, "sync_data", disk.sync_data)
    patch.setattr(journal, "sync_directory", disk.sync_directory)
    patch.setattr(segment, "write_all", disk.write_all)
    patch.setattr(segment, "sync_file", disk.sync_file)
    patch.setattr(segment, "sync_directory", disk.sync_directory)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32), cuts=st.lists(st.integers(1, 40), min_size=1, max_size=5), trims=st.booleans()
)
def test_after_any_chain_of_power_cuts_all_that_was_acknowledged_is_there(
    monkeypatch: pytest.MonkeyPatch, seed: int, cuts: list[int], trims: bool
) -> None:
    """Also when the power fails while the journal recovers from the cut before."""
    chance = random.Random(seed)
    history: list[bytes] = []
    attempt: list[bytes] = []
    with TemporaryDirectory() as name:
        directory = Path(name) / "0"
        directory.mkdir()
        for number, countdown in enumerate(cuts, start=1):
            disk = CutAt(directory, chance, countdown)
            with monkeypatch.context() as patch:
                _use(disk, patch)
                try:
                    opened = Journal.open(
                        directory, segment_bytes=SEGMENT_BYTES, max_record_bytes=9000, max_segments=99
                    )
                    _check_and_continue(opened, history, attempt, chance, trims)
                except PowerCut:
                    pass
            directory = disk.cut_power(Path(name) / str(number))
        final = Journal.open(directory, segment_bytes=SEGMENT_BYTES, max_record_bytes=9000, max_segments=99)
        _check(final, history, attempt)
        final.close()


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
