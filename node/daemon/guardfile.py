"""The guard: what this key may already have signed, kept beside the key and never in the data (C14).

The journal knows what was signed, but data can be wiped or an older backup put in its place. The
guard reserves ahead: a bound is raised and synced here before anything is signed beyond it. It is
made together with the key, lives in the key folder, and is in no backup. The payload's meaning is the
caller's; this file keeps the newest one through a crash in the middle of a write.

Two slots of one block each, written one after the other, so that at any moment one is whole, and once a
write is done both hold it:

    slot    magic(8) crc(4) payload bytes(4) counter(8) payload, the rest zeros

The counter of the first slot is even and that of the second is odd; the higher one is the newest.
"""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from node.daemon.durability import (
    BLOCK_BYTES,
    explain,
    sync_data,
    sync_directory,
    sync_file,
    write_all,
)
from node.daemon.failpoints import hit
from node.storage import StorageError

_FAMILY = b"ISTHGRD"
MAGIC = _FAMILY + b"1"
_CHECKED = Struct(">IQ")
_CRC = Struct(">I")
_CHECKED_START = len(MAGIC) + _CRC.size
_PAYLOAD_START = _CHECKED_START + _CHECKED.size
MAX_PAYLOAD_BYTES = BLOCK_BYTES - _PAYLOAD_START
_SLOTS = 2

_WAY_OUT = (
    "This key must never sign again: without the guard nobody knows what it has signed. Make a new key, "
    "let the other validators replace this one through governance, and keep this node as an observer "
    "until then"
)


class GuardMissing(StorageError):
    """There is a key and no guard beside it."""

    code = "guard_missing"


class GuardCorrupt(StorageError):
    """Neither slot can be read."""

    code = "guard_corrupt"


class GuardForeign(StorageError):
    """A slot is of a format that this program does not know."""

    code = "guard_foreign"


class GuardExists(StorageError):
    """A guard is there already; making another would forget what the key has signed."""

    code = "guard_exists"


class GuardFailed(StorageError):
    """The guard could not be read or written; it refuses everything from then on. Stop the process."""

    code = "guard_failed"


@dataclass(frozen=True, slots=True)
class _Slot:
    counter: int
    payload: bytes

    def encode(self) -> bytes:
        checked = _CHECKED.pack(len(self.payload), self.counter) + self.payload
        return (MAGIC + _CRC.pack(zlib.crc32(checked)) + checked).ljust(BLOCK_BYTES, b"\0")


def _decode(block: bytes, index: int) -> _Slot | None:
    """The slot in `block`, or None if it is not whole, or not the one that belongs at `index`."""
    if len(block) != BLOCK_BYTES or not block.startswith(MAGIC):
        return None
    payload_bytes, counter = _CHECKED.unpack_from(block, _CHECKED_START)
    end = _PAYLOAD_START + payload_bytes
    if end > BLOCK_BYTES or counter % _SLOTS != index:
        return None
    if zlib.crc32(block[_CHECKED_START:end]) != _CRC.unpack_from(block, len(MAGIC))[0]:
        return None
    return _Slot(counter, block[_PAYLOAD_START:end])


def _is_foreign(blocks: list[bytes], found: list[_Slot | None], index: int) -> bool:
    """Whether the slot at `index` is of another format: it may hold what nothing else does. A slot of ours
    with rot where the format stands is none, and is known by the other one: but for that place it is whole
    and holds the same payload, as both do once a write is done. No newer release leaves that: what it
    writes first at a start counts one start more."""
    block, other = blocks[index], found[1 - index]
    if not block.startswith(_FAMILY) or block.startswith(MAGIC):
        return False
    ours = _decode(MAGIC + block[len(MAGIC) :], index)
    return ours is None or other is None or ours.payload != other.payload


def _check_size(payload: bytes) -> None:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a guard payload has at most {MAX_PAYLOAD_BYTES} bytes, not {len(payload)}")


class GuardFile:
    """The newest payload and the file it is in. Open it under the key's lock, with `GuardFile.open`."""

    def __init__(self, path: Path, fd: int, slot: _Slot, damaged_slot: bool) -> None:
        """Not for callers."""
        self._path = path
        self._fd = fd
        self._slot = slot
        self._failure: str | None = None
        self.damaged_slot = damaged_slot
        """Whether a slot could not be read when this was opened, by rot or by a crash while it was written.
        It may have held the newer payload: the caller goes on as if that had reserved as much as any one
        step may."""

    @classmethod
    def create(cls, path: Path, payload: bytes) -> "GuardFile":
        """Make the guard of a new key, 0600, synced before this returns.

        Raises GuardExists, GuardFailed, and ValueError for a payload over MAX_PAYLOAD_BYTES.
        """
        _check_size(payload)
        slots = tuple(_Slot(counter, payload) for counter in range(_SLOTS))
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise GuardExists(f"{path} exists already and may not be replaced. {_WAY_OUT}") from error
        except OSError as error:
            raise GuardFailed(f"the guard {path} cannot be made: {explain(error)}") from error
        try:
            write_all(fd, b"".join(slot.encode() for slot in slots), 0)
            sync_file(fd)
            sync_directory(path.parent)
        except OSError as error:
            os.close(fd)
            path.unlink()
            raise GuardFailed(f"the guard {path} cannot be made: {explain(error)}") from error
        return cls(path, fd, slots[-1], damaged_slot=False)

    @classmethod
    def open(cls, path: Path) -> "GuardFile":
        """Read the guard and sync it, so that what was read outlives a power cut.

        Raises GuardMissing, GuardCorrupt, GuardForeign, GuardFailed.
        """
        try:
            fd = os.open(path, os.O_RDWR)
        except FileNotFoundError as error:
            raise GuardMissing(f"the guard {path} is missing. {_WAY_OUT}") from error
        except OSError as error:
            raise GuardFailed(f"the guard {path} cannot be opened: {explain(error)}") from error
        try:
            sync_data(fd)
            blocks = [os.pread(fd, BLOCK_BYTES, i * BLOCK_BYTES) for i in range(_SLOTS)]
        except OSError as error:
            os.close(fd)
            raise GuardFailed(f"the guard {path} cannot be read: {explain(error)}") from error
        found = [_decode(block, index) for index, block in enumerate(blocks)]
        if any(_is_foreign(blocks, found, index) for index in range(_SLOTS)):
            os.close(fd)
            raise GuardForeign(
                f"the guard {path} is of a format that this program does not know: nothing is lost, "
                "start the release of isthmus that wrote it, and never put another guard in its place"
            )
        whole = [slot for slot in found if slot is not None]
        if not whole:
            os.close(fd)
            raise GuardCorrupt(f"both slots of the guard {path} are damaged. {_WAY_OUT}")
        newest = max(whole, key=lambda slot: slot.counter)
        return cls(path, fd, newest, damaged_slot=len(whole) < _SLOTS)

    @property
    def payload(self) -> bytes:
        """What `store` kept last."""
        return self._slot.payload

    @property
    def counter(self) -> int:
        """How often the guard was written, counted from its making."""
        return self._slot.counter

    def store(self, payload: bytes) -> None:
        """Keep `payload`, durable when this returns, first in the slot that does not count now and then in
        the other: whichever slot rots later, what is left is not older than this.

        Raises GuardFailed (stop the process; nothing may be signed beyond the old payload), ValueError.
        """
        _check_size(payload)
        if self._failure is not None:
            raise GuardFailed(self._failure)
        try:
            for _ in range(_SLOTS):
                slot = _Slot(self._slot.counter + 1, payload)
                hit("guard-before-write")
                write_all(self._fd, slot.encode(), slot.counter % _SLOTS * BLOCK_BYTES)
                sync_data(self._fd)
                hit("guard-after-sync")
                self._slot = slot
        except OSError as error:
            self._failure = f"the guard {self._path} could not be written: {explain(error)}"
            raise GuardFailed(self._failure) from error

    def close(self) -> None:
        """Close the file; `store` refuses from then on."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._failure = self._failure or f"the guard {self._path} is closed"
