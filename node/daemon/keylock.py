"""One process per key (C14): two processes that sign with one key will sign two different things.

The lock is the kernel's, on a file in the key folder, so it ends with the process that holds it,
however that ended, and a file left behind means nothing. The holder writes its number into the file
for the message only. Locks taken with `flock` are shared with forked children: start workers by spawn.
"""

import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from node.daemon.durability import explain
from node.storage import StorageError

LOCK_NAME = "lock"
_PID_BYTES_MAX = 20
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeyInUse(StorageError):
    """Another process holds this key folder."""

    code = "key_in_use"


class KeyTooOpen(StorageError):
    """Somebody else on this machine may read a private key."""

    code = "key_too_open"


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


def check_key_modes(path: Path) -> None:
    """See that only this user can read the private key at `path` (0600) and enter its folder (0700).

    Raises KeyTooOpen with the command that mends it, KeyUnreadable.
    """
    try:
        key_mode = stat.S_IMODE(path.stat().st_mode)
        folder_mode = stat.S_IMODE(path.parent.stat().st_mode)
    except OSError as error:
        raise KeyUnreadable(f"the key {path} cannot be read: {explain(error)}") from error
    if key_mode & _OPEN_TO_OTHERS:
        raise KeyTooOpen(
            f"the private key {path} has mode {key_mode:04o}, so others on this machine may reach it: "
            f"run chmod 600 {path}"
        )
    if folder_mode & _OPEN_TO_OTHERS:
        raise KeyTooOpen(
            f"the key folder {path.parent} has mode {folder_mode:04o}, so others on this machine may reach "
            f"it: run chmod 700 {path.parent}"
        )
