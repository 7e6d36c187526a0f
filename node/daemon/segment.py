"""One journal file as bytes: a header block, then groups, each at a block of its own.

A group is what one append wrote: all of its records or none of them count. Its header holds the
segment's nonce, the sequence number of its first record, its sizes and a checksum over all of it:

    header block   magic(8) format(4) segment id(8) first seq(8) size(8) nonce(16) crc(4)
    group          nonce(16) first seq(8) body bytes(4) records(4) check(4) | (length(4) record)*

- The nonce is drawn when a file becomes a segment, so bytes left by its former life never parse, and
  no content chosen by a client can look like a group.
- Groups start at multiples of BLOCK_BYTES and are padded with zeros: writing one never rewrites a
  block that holds an acknowledged one, and later groups are found behind a damaged one by stepping.
- A group without records is a mark; it proves that what is before it had been synced.
- The checksum is a CRC32 of the fields before it and the body. From format 2 on a record of LARGE_BYTES or
  more has its 16-byte GMAC under the segment's nonce in its place there (NIST SP 800-38D, a zero IV): nothing
  is authenticated by it, but it is eight times as fast, and of a batch the CRC was what a journal cost most.

All integers are big-endian. Every format, whatever comes after it, has this header block: so that software
which does not know it can say so, instead of calling it damaged.
"""

import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from struct import Struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from node.daemon.durability import BLOCK_BYTES, reserve, sync_directory, sync_file, write_all
from node.daemon.failpoints import hit
from node.storage import StorageError

MAGIC = b"ISTHJRNL"
FORMAT = 2
"""Of new segments."""
FORMATS = (1, 2)
"""Of those that are read, and gone on with after a start."""
NONCE_BYTES = 16
LARGE_BYTES = 16 * 1024
"""Records from this size on are neither copied nor put through the CRC."""
_ZERO_IV = bytes(12)

_SEGMENT = Struct(">8sIQQQ16s")
_GROUP = Struct(">16sQII")
_U32 = Struct(">I")
_GROUP_HEADER_BYTES = _GROUP.size + _U32.size
_RECORD_HEADER_BYTES = _U32.size
_SEARCH_BYTES = 256 * BLOCK_BYTES
DATA_START = BLOCK_BYTES
"""Where the first group of a segment starts."""


class UnreadableHeader(Exception):
    """The header block is not one of ours; `str()` says in what way."""


class JournalForeign(StorageError):
    """A whole journal in a format that this program does not know. Nothing was changed."""

    code = "journal_foreign"


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """Which segment a file is: its number, its first sequence number, its size, its nonce and its format."""

    segment_id: int
    first_seq: int
    size_bytes: int
    nonce: bytes
    format: int = FORMAT

    def encode(self) -> bytes:
        """The header block, BLOCK_BYTES long."""
        numbers = self.segment_id, self.first_seq, self.size_bytes
        fields = _SEGMENT.pack(MAGIC, self.format, *numbers, self.nonce)
        return (fields + _U32.pack(zlib.crc32(fields))).ljust(BLOCK_BYTES, b"\0")


@dataclass(frozen=True, slots=True)
class Group:
    """One group as read: where it is and what it holds. `end` is where the next one starts."""

    offset: int
    end: int
    first_seq: int
    record_count: int
    body: bytes

    @property
    def next_seq(self) -> int:
        """The sequence number after the last record."""
        return self.first_seq + self.record_count

    def records(self) -> Iterator[tuple[int, bytes]]:
        """(sequence number, record) in order."""
        position = 0
        for seq in range(self.first_seq, self.next_seq):
            start = position + _RECORD_HEADER_BYTES
            position = start + _U32.unpack_from(self.body, position)[0]
            yield seq, self.body[start:position]


def padded_group_bytes(record_count: int, content_bytes: int) -> int:
    """The room a group of `record_count` records with `content_bytes` in total takes in its segment."""
    size = _GROUP_HEADER_BYTES + record_count * _RECORD_HEADER_BYTES + content_bytes
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def encode_group(header: SegmentHeader, first_seq: int, records: Sequence[bytes]) -> list[bytes]:
    """The bytes of one group, padded to whole blocks, in pieces to write one behind the other: large records
    are pieces of their own, and not copied."""
    body_bytes = sum(map(len, records)) + len(records) * _RECORD_HEADER_BYTES
    fields = _GROUP.pack(header.nonce, first_seq, body_bytes, len(records))
    pieces: list[bytes] = []
    run = [fields, _U32.pack(_check_of(header, fields, records))]
    for record in records:
        run.append(_U32.pack(len(record)))
        if len(record) < LARGE_BYTES:
            run.append(record)
        else:
            pieces += (b"".join(run), record)
            run = []
    run.append(bytes(-(_GROUP_HEADER_BYTES + body_bytes) % BLOCK_BYTES))
    pieces.append(b"".join(run))
    return pieces


def _check_of(header: SegmentHeader, fields: bytes, records: Sequence[bytes | memoryview]) -> int:
    """The checksum of a group."""
    check = zlib.crc32(fields)
    has_tags = header.format >= 2
    for record in records:
        check = zlib.crc32(_U32.pack(len(record)), check)
        if has_tags and len(record) >= LARGE_BYTES:
            record = _cipher(header.nonce).encrypt(_ZERO_IV, b"", record)
        check = zlib.crc32(record, check)
    return check


@lru_cache(maxsize=4)
def _cipher(nonce: bytes) -> AESGCM:
    return AESGCM(nonce)


def create_file(spare: Path, path: Path, header: SegmentHeader) -> int:
    """Turn `spare` (a file to reuse, or a name not taken) into the empty segment `path`; its descriptor.

    The header is synced before the file gets its name: a file with a segment's name is always whole.
    Raises OSError.
    """
    fd = os.open(spare, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(fd).st_size != header.size_bytes:
            os.ftruncate(fd, 0)
        reserve(fd, header.size_bytes)
        write_all(fd, header.encode(), 0)
        sync_file(fd)
        hit("journal-before-name")
        spare.rename(path)
        sync_directory(path.parent)
    except OSError:
        os.close(fd)
        raise
    return fd


def read_header(fd: int) -> SegmentHeader:
    """The header of an open segment file; raises UnreadableHeader, JournalForeign, OSError."""
    block = os.pread(fd, _SEGMENT.size + _U32.size, 0)
    if len(block) < _SEGMENT.size + _U32.size:
        raise UnreadableHeader(f"the file ends after {len(block)} bytes")
    magic, version, segment_id, first_seq, size_bytes, nonce = _SEGMENT.unpack_from(block)
    if magic != MAGIC:
        raise UnreadableHeader("it does not start with a journal header")
    if _U32.unpack_from(block, _SEGMENT.size)[0] != zlib.crc32(block[: _SEGMENT.size]):
        raise UnreadableHeader("its header does not match its checksum")
    if version not in FORMATS:
        raise JournalForeign(
            f"the journal has format {version} and this program reads formats up to {FORMAT}: nothing is "
            "damaged, start the release of isthmus that wrote it; deploy/UPGRADE.md says how to go back to "
            "an older one"
        )
    return SegmentHeader(segment_id, first_seq, size_bytes, nonce, version)


def starts_here(fd: int, header: SegmentHeader, offset: int) -> bool:
    """Whether a group of this segment was begun at `offset`, complete or not."""
    return os.pread(fd, NONCE_BYTES, offset) == header.nonce


def read_group(fd: int, header: SegmentHeader, offset: int) -> Group | None:
    """The group at `offset`, or None when there is no complete and undamaged one; raises OSError."""
    block = os.pread(fd, BLOCK_BYTES, offset)
    if len(block) < _GROUP_HEADER_BYTES or not block.startswith(header.nonce):
        return None
    _, first_seq, body_bytes, record_count = _GROUP.unpack_from(block)
    end = offset + padded_group_bytes(0, body_bytes)
    if end > header.size_bytes:
        return None
    body = block[_GROUP_HEADER_BYTES : _GROUP_HEADER_BYTES + body_bytes]
    if len(body) < body_bytes:
        body += os.pread(fd, body_bytes - len(body), offset + len(block))
    records = _records_in(body, record_count)
    if records is None:
        return None
    if _check_of(header, block[: _GROUP.size], records) != _U32.unpack_from(block, _GROUP.size)[0]:
        return None
    return Group(offset, end, first_seq, record_count, body)


def _records_in(body: bytes, count: int) -> list[memoryview] | None:
    """The records of a body; None when it is not made of so many."""
    records: list[memoryview] = []
    view, position = memoryview(body), 0
    for _ in range(count):
        start = position + _RECORD_HEADER_BYTES
        if start > len(body):
            return None
        position = start + _U32.unpack_from(body, position)[0]
        records.append(view[start:position])
    return records if position == len(body) else None


def scan_groups(fd: int, header: SegmentHeader) -> Iterator[Group]:
    """The undamaged groups from the start of the segment up to the first that is not; raises OSError."""
    offset = DATA_START
    while (group := read_group(fd, header, offset)) is not None:
        yield group
        offset = group.end


def find_group_behind(fd: int, header: SegmentHeader, offset: int) -> Group | None:
    """The first undamaged group at or behind `offset`, wherever it is; raises OSError.

    Its existence proves that everything before it was synced, because a group is only ever written
    after the one before it was.
    """
    for start in range(offset, header.size_bytes, _SEARCH_BYTES):
        window = os.pread(fd, min(_SEARCH_BYTES, header.size_bytes - start), start)
        if header.nonce not in window:
            continue
        for position in range(0, len(window), BLOCK_BYTES):
            if window.startswith(header.nonce, position):
                group = read_group(fd, header, start + position)
                if group is not None:
                    return group
    return None
