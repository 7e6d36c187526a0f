"""What the system says of files and disks, as sentences: whose place it is, what is wrong, the way out.

Each has a stable name (`isthmus explain NAME`). What is not in the table is our bug, not the user's disk.
"""

import errno
from dataclasses import dataclass

from node.cli.exits import Exit


@dataclass(frozen=True, slots=True)
class FileFault:
    """`words` go on behind the file's name; `way_out` is one sentence."""

    name: str
    numbers: tuple[int, ...]
    exit_code: Exit
    words: str
    way_out: str

    @property
    def meaning(self) -> str:
        """What `isthmus explain` tells."""
        return f"A file or folder {self.words}; {self.way_out}."


FILE_FAULTS = (
    FileFault(
        "no-such-file",
        (errno.ENOENT,),
        Exit.USAGE,
        "is not there",
        "name one that is, and make the folder of a new file first",
    ),
    FileFault(
        "is-a-folder", (errno.EISDIR,), Exit.USAGE, "is a folder, and a file is needed", "name a file in it"
    ),
    FileFault(
        "not-a-folder",
        (errno.ENOTDIR,),
        Exit.USAGE,
        "is or lies below a file where a folder is needed",
        "correct the path",
    ),
    FileFault(
        "file-exists", (errno.EEXIST, errno.ENOTEMPTY), Exit.USAGE, "is there already", "name another place"
    ),
    FileFault(
        "no-permission",
        (errno.EACCES, errno.EPERM),
        Exit.STORAGE,
        "may not be read or written by this user",
        "act as the user that the node runs as, or correct its owner and mode (ls -l)",
    ),
    FileFault(
        "disk-without-room",
        (errno.ENOSPC, errno.EDQUOT),
        Exit.STORAGE,
        "cannot be written: the disk or the user's share of it is full",
        "make room (df) and try again; nothing that was there is lost",
    ),
    FileFault(
        "disk-read-only",
        (errno.EROFS,),
        Exit.STORAGE,
        "lies on a disk that is mounted read-only",
        "name a place on another disk, or mount it for writing",
    ),
    FileFault(
        "disk-fails",
        (errno.EIO,),
        Exit.STORAGE,
        "cannot be read or written: the device fails",
        "look at the system's log (dmesg) and replace the disk",
    ),
    FileFault(
        "file-too-large",
        (errno.EFBIG,),
        Exit.STORAGE,
        "would be larger than a file may be",
        "raise the limit (ulimit -f), or name another disk",
    ),
    FileFault(
        "name-too-long",
        (errno.ENAMETOOLONG,),
        Exit.STORAGE,
        "has a name that is too long for the disk",
        "name a shorter path",
    ),
    FileFault(
        "too-many-files",
        (errno.EMFILE, errno.ENFILE),
        Exit.STORAGE,
        "cannot be opened: too many are open",
        "raise the limit (ulimit -n)",
    ),
    FileFault(
        "links-in-a-ring",
        (errno.ELOOP,),
        Exit.USAGE,
        "is reached by links that lead back to themselves",
        "name the file itself",
    ),
    FileFault(
        "reader-gone",
        (errno.EPIPE,),
        Exit.STORAGE,
        "cannot be written: who read it has ended",
        "run the command without the pipe to see all of its answer",
    ),
)
_BY_NUMBER = {number: fault for fault in FILE_FAULTS for number in fault.numbers}


def file_fault(error: OSError) -> FileFault | None:
    """What it is, or None for what no file or disk of the user's explains."""
    return None if error.errno is None else _BY_NUMBER.get(error.errno)


def sentence(error: OSError, fault: FileFault) -> str:
    """The whole sentence, with the place and the stable name."""
    place = error.filename if isinstance(error.filename, str) else None
    if isinstance(error.filename, bytes):
        place = error.filename.decode(errors="replace")
    return f"{place or 'the output'} {fault.words}  ({fault.name})"
