"""One process per key (C14): two processes that sign with one key will sign two different things.

The lock is the kernel's, on a file in the key folder, so it ends with the process that holds it,
however that ended, and a file left behind means nothing. The holder writes its number into the file
for the message only. Locks taken with `flock` are shared with forked children: start workers by spawn.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from node.daemon.durability import explain
from node.storage import StorageError

LOCK_NAME = "lock"
_PID_BYTES_MAX = 20


class KeyInUse(StorageError):
    """Another process holds this key folder."""

    code = "key_in_use"


class KeyUnreadable(StorageError):
    """A key file or its folder is missing or cannot be opened."""

    code = "key_unreadable"


class KeyLock:
    """The exclusive right of this process to sign with the keys of one folder; a context manager."""

    def __init__(self, path: Path, fd: int) -> None:
        """Not for callers: `acquire`."""
        self.path = path
        self._fd = fd

    @classmethod
    def acquire(cls, folder: Path) -> "KeyLock":
        """Take the lock of a key folder or raise KeyInUse at once; raises KeyUnreadable."""
        path = folder / LOCK_NAME
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise KeyUnreadable(f"the key folder {folder} cannot be locked: {explain(error)}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)
        except BlockingIOError as error:
            holder = os.pread(fd, _PID_BYTES_MAX, 0).decode("ascii", "replace")
            os.close(fd)
            who = f"process {holder}" if holder else "another process"
            raise KeyInUse(
                f"the key in {folder} is already used by {who}: stop it first. Two processes with one key "
                "would contradict each other, and the other validators would count that as misbehaviour"
            ) from error
        except OSError as error:
            os.close(fd)
            raise KeyUnreadable(f"the key folder {folder} cannot be locked: {explain(error)}") from error
        return cls(path, fd)

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
