"""What "on disk" means, for every file this node promises to remember.

A record counts as durable after `sync_data` returned and not before. A failed sync is never tried
again: the kernel may have dropped the dirty pages and answer the second call with success, so the
process stops and recovers from what is really there. Directories are synced too, because a new or
renamed file is only as durable as its name.
"""

import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

BLOCK_BYTES = 4096
"""The unit that two independent records never share: the largest sector in common use, and the page
size of the kernel's cache, so that writing one record cannot tear another that was acknowledged."""

_NEARLY_NOTHING_BYTES = 1024 * 1024
_PIECES_MAX = 512
"""In one write; systems take 1,024 (IOV_MAX)."""


def sync_data(fd: int) -> None:
    """Bring the file's bytes to stable media; raises OSError.

    macOS answers `fsync` from the drive's volatile cache, only F_FULLFSYNC reaches the media.
    """
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(fd)


def sync_file(fd: int) -> None:
    """Bring a new file's bytes, size and blocks to stable media; raises OSError."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fsync(fd)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable; raises OSError."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes, offset: int) -> None:
    """Write `data` at `offset`, going on after a short write until the kernel names its reason."""
    written = os.pwrite(fd, data, offset)
    while written < len(data):
        step = os.pwrite(fd, memoryview(data)[written:], offset + written)
        if step == 0:
            raise OSError(errno.EIO, "the file takes no more bytes")
        written += step


def write_pieces(fd: int, pieces: Sequence[bytes], offset: int) -> int:
    """Write the pieces one behind the other from `offset` on, without joining them; how many bytes."""
    written = 0
    for start in range(0, len(pieces), _PIECES_MAX):
        some = pieces[start : start + _PIECES_MAX]
        size = sum(map(len, some))
        done = os.pwritev(fd, some, offset + written)
        if done < size:
            write_all(fd, b"".join(some)[done:], offset + written + done)
        written += size
    return written


def reserve(fd: int, size_bytes: int) -> None:
    """Give the file its full size, with the blocks reserved where the file system can; OSError if full."""
    if sys.platform == "darwin":
        os.ftruncate(fd, size_bytes)
        return
    try:
        os.posix_fallocate(fd, 0, size_bytes)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        os.ftruncate(fd, size_bytes)


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """A folder to fill, which gets the name `path` once the block ended well and all in it is synced.

    When the block fails nothing is left, so that a copy that filled the disk gives it back. After a crash
    `path` does not exist, and what was written lies beside it under a name that ends in `.partial`. Raises
    FileExistsError when either name is taken, OSError.
    """
    partial = path.with_name(path.name + ".partial")
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    partial.mkdir(mode=0o700)
    try:
        yield partial
        _sync_all_in(partial)
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)  # what is raised already is the reason
        raise
    sync_directory(path.parent)


def _sync_all_in(folder: Path) -> None:
    for entry in sorted(folder.rglob("*"), reverse=True):
        if entry.is_dir():
            sync_directory(entry)
            continue
        fd = os.open(entry, os.O_RDWR)
        try:
            sync_file(fd)
        finally:
            os.close(fd)
    sync_directory(folder)


def free_bytes(directory: Path) -> int:
    """What the file system under `directory` still gives to this user; raises OSError."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def is_disk_full(error_number: int, directory: Path) -> bool:
    """Whether a write failed for lack of room.

    Libraries report a write that the disk took only in part as EIO: then the room left decides.
    """
    if error_number in (errno.ENOSPC, errno.EDQUOT):
        return True
    return error_number == errno.EIO and free_bytes(directory) < _NEARLY_NOTHING_BYTES


def explain(error: OSError) -> str:
    """The reason of a failed operation in words, with the way out where there is a usual one."""
    reason = error.strerror or str(error)
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"the disk is full ({reason}): free some space, then start the node again"
        case errno.EFBIG:
            return f"the file may not grow further ({reason}): raise the file size limit (ulimit -f)"
        case errno.EIO:
            return f"the disk reports a fault ({reason}): check the device before starting again"
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return f"the files cannot be written ({reason}): check the mount and the owner of the folder"
        case _:
            return reason
