"""A few numbers shared by the bench and one node's process: which fault is on, and how often it struck.

A file of eight-byte words, mapped into both processes. The bench writes the first two, the launcher the
others; every word has one writer, so nothing is ever locked.
"""

import mmap
import os
import struct
from enum import IntEnum
from pathlib import Path

_WORD = struct.Struct("<q")
_WORDS = 6


class Disk(IntEnum):
    """What the node's disk does; each includes the ones before.

    LOW: little room is left. FULL: files cannot grow, so the database refuses and no new journal file can be
    made. DEAD: not even a write into the journal's reserved room succeeds.
    """

    GOOD = 0
    LOW = 1
    FULL = 2
    DEAD = 3


class Switches:
    """The words of one node."""

    def __init__(self, path: Path) -> None:
        """Map the file, creating it with everything off."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, _WORDS * _WORD.size)
            self._map = mmap.mmap(descriptor, _WORDS * _WORD.size)
        finally:
            os.close(descriptor)

    def _get(self, word: int) -> int:
        number: int = _WORD.unpack_from(self._map, word * _WORD.size)[0]
        return number

    def _set(self, word: int, number: int) -> None:
        _WORD.pack_into(self._map, word * _WORD.size, number)

    @property
    def disk(self) -> Disk:
        """What the disk does now."""
        return Disk(self._get(0))

    @disk.setter
    def disk(self, mode: Disk) -> None:
        self._set(0, mode)

    @property
    def clock_ahead_ms(self) -> int:
        """How far the node's wall clock is ahead of the true one."""
        return self._get(1)

    @clock_ahead_ms.setter
    def clock_ahead_ms(self, ahead_ms: int) -> None:
        self._set(1, ahead_ms)

    @property
    def low_answers(self) -> int:
        """Questions for free space that were answered with "hardly any"."""
        return self._get(2)

    @property
    def refused_commits(self) -> int:
        """Commits of the database that were refused for want of room."""
        return self._get(3)

    @property
    def refused_writes(self) -> int:
        """Writes and new files of journal and guard that failed or were cut short: each must end the node."""
        return self._get(4)

    @property
    def shifted_readings(self) -> int:
        """Readings of a clock that was wrong."""
        return self._get(5)

    def count_low_answer(self) -> None:
        """One more; the launcher's."""
        self._set(2, self.low_answers + 1)

    def count_refused_commit(self) -> None:
        """One more; the launcher's."""
        self._set(3, self.refused_commits + 1)

    def count_refused_write(self) -> None:
        """One more; the launcher's."""
        self._set(4, self.refused_writes + 1)

    def count_shifted_reading(self) -> None:
        """One more; the launcher's."""
        self._set(5, self.shifted_readings + 1)
