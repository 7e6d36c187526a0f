"""The journal: the durable record of consensus (DESIGN 10, rules C1, C2, C23).

Everything a signature depends on is here before the signature leaves. One drained group of records
is one write and one sync into a preallocated segment file; the database is filled from it later, off
the critical path, and then the journal is trimmed behind the database.

What recovery can tell apart, and how:

- *A torn tail*: the process or the machine stopped inside the last write. Its group was never
  acknowledged; it is dropped and reported in `torn_tail`.
- *A damaged journal*: something that was acknowledged cannot be read. A group is only written after
  the one before it was synced, so any group behind a damaged one, the mark that opening and closing
  leave behind, or the first sequence number in the next segment's header, proves that it was
  acknowledged. Then `JournalCorrupt` is raised and nothing is guessed.

Damage to the very last group of a process that was killed looks like a torn tail: nothing behind it
says otherwise. The guard file (C14) is for what a journal cannot know about itself.

A journal belongs to one thread, and to one process (`keylock`).
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from node.daemon.durability import explain, reserve, sync_data, sync_directory, write_all, write_pieces
from node.daemon.failpoints import hit
from node.daemon.segment import (
    DATA_START,
    NONCE_BYTES,
    Group,
    SegmentHeader,
    UnreadableHeader,
    create_file,
    encode_group,
    find_group_behind,
    padded_group_bytes,
    read_header,
    scan_groups,
    starts_here,
)
from node.storage import StorageError

DEFAULT_SEGMENT_BYTES = 64 * 1024 * 1024
DEFAULT_MAX_RECORD_BYTES = 8 * 1024 * 1024
DEFAULT_MAX_SEGMENTS = 16
_SPARES_KEPT = 2
"""Trimmed files kept for reuse: their blocks are written already, which halves the time of a sync."""
_SEGMENT_NAME = re.compile(r"journal-(\d{12})\.seg")
_SPARE_NAME = re.compile(r"spare-(\d{12})\.seg")


class JournalFailed(StorageError):
    """A write or sync failed; this journal refuses everything from then on. Stop the process."""

    code = "journal_failed"


class JournalCorrupt(StorageError):
    """Acknowledged records cannot be read. The node must not sign from this data."""

    code = "journal_corrupt"


class JournalFull(StorageError):
    """All segments hold records that were not trimmed yet; nothing was written, trimming helps."""

    code = "journal_full"


@dataclass(slots=True)
class _Segment:
    """A file of the journal: where its next group goes, and with what sequence number."""

    path: Path
    header: SegmentHeader
    end: int
    next_seq: int
    last_group: int = DATA_START
    """Where the last group started when this was recovered."""


class Journal:
    """Append-only groups of records with sequence numbers 1, 2, 3, ... Open it with `Journal.open`."""

    def __init__(
        self, directory: Path, segment_bytes: int, max_record_bytes: int, max_segments: int, fsync: bool
    ) -> None:
        """Not for callers: `open` also recovers."""
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._max_record_bytes = max_record_bytes
        self._max_segments = max_segments
        self._fsync = fsync
        self._segments: list[_Segment] = []
        self._spares: list[Path] = []
        self._fd = -1
        self._failure: str | None = None
        self.torn_tail: str | None = None
        """What was cut off when this journal was opened, in words, or None."""

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
        max_record_bytes: int = DEFAULT_MAX_RECORD_BYTES,
        max_segments: int = DEFAULT_MAX_SEGMENTS,
        start_seq: int = 1,
        fsync: bool = True,
    ) -> "Journal":
        """Open or create the journal in `directory` and recover what it holds.

        `start_seq` numbers the first record if the journal is created now: a caller whose database
        outlived its journal passes the database's position + 1. `fsync=False` is for measurements only.
        What was recovered is synced again before this returns, so that nothing is acted upon that a
        power cut could still take away. Raises JournalCorrupt, JournalForeign, JournalFailed, ValueError.
        """
        if padded_group_bytes(1, max_record_bytes) > segment_bytes - DATA_START:
            raise ValueError(
                f"a journal segment of {segment_bytes} bytes cannot hold a record of {max_record_bytes}"
            )
        if max_segments < 2 or start_seq < 1:
            raise ValueError("a journal has at least 2 segments and counts from 1")
        journal = cls(directory, segment_bytes, max_record_bytes, max_segments, fsync)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_directory(directory.parent)
            journal._recover(start_seq)
        except OSError as error:
            journal._release()
            raise JournalFailed(f"the journal in {directory} cannot be opened: {explain(error)}") from error
        except JournalCorrupt:
            journal._release()
            raise
        return journal

    @property
    def first_seq(self) -> int:
        """The oldest sequence number kept; `last_seq + 1` when there is no record."""
        return self._segments[0].header.first_seq

    @property
    def last_seq(self) -> int:
        """The newest durable sequence number; `first_seq - 1` when there is no record."""
        return self._segments[-1].next_seq - 1

    @property
    def bytes_used(self) -> int:
        """Bytes taken by what was not trimmed; a segment that is not the last counts in full."""
        closed = sum(segment.header.size_bytes for segment in self._segments[:-1])
        return closed + self._segments[-1].end

    @property
    def bytes_limit(self) -> int:
        """Bytes this journal may take; `append` raises JournalFull beyond."""
        return self._max_segments * self._segment_bytes

    def fits_one_group(self, record_count: int, content_bytes: int) -> bool:
        """Whether that many records with that many bytes in total can be one `append`."""
        return padded_group_bytes(record_count, content_bytes) <= self._segment_bytes - DATA_START

    def append(self, records: Sequence[bytes]) -> int:
        """Make `records` durable, all or none, with one write and one sync; the last one's number.

        Raises JournalFull (nothing happened; trim), JournalFailed (stop the process), and ValueError
        for an empty group, a record over the limit or a group that `fits_one_group` refuses.
        """
        if self._failure is not None:
            raise JournalFailed(self._failure)
        if not records:
            raise ValueError("a journal group holds at least one record")
        largest = max(map(len, records))
        if largest > self._max_record_bytes:
            raise ValueError(f"a record of {largest} bytes is over the limit of {self._max_record_bytes}")
        room = padded_group_bytes(len(records), sum(map(len, records)))
        if room > self._segment_bytes - DATA_START:
            raise ValueError(f"a group of {room} bytes cannot fit a segment of {self._segment_bytes}")
        try:
            if self._segments[-1].end + room > self._segments[-1].header.size_bytes:
                self._roll()
            segment = self._segments[-1]
            pieces = encode_group(segment.header, segment.next_seq, records)
            hit("journal-before-write")
            written = write_pieces(self._fd, pieces, segment.end)
            hit("journal-before-sync")
            self._sync()
            hit("journal-after-sync")
        except OSError as error:
            self._failure = (
                f"the journal in {self._directory} could not be written: {explain(error)}. "
                "Nothing that was not acknowledged has left this node"
            )
            raise JournalFailed(self._failure) from error
        segment.end += written
        segment.next_seq += len(records)
        return segment.next_seq - 1

    def records(self, after_seq: int = 0) -> Iterator[tuple[int, bytes]]:
        """(sequence number, record) in order, for all above `after_seq`; one group in memory at a time.

        Do not append or trim while iterating. Raises JournalCorrupt, JournalFailed.
        """
        try:
            for segment in tuple(self._segments):
                if segment.next_seq <= after_seq + 1:
                    continue
                reached = segment.header.first_seq
                for group in self._groups(segment):
                    reached = group.next_seq
                    if reached > after_seq + 1:
                        yield from (item for item in group.records() if item[0] > after_seq)
                if reached != segment.next_seq:
                    raise _corrupt(segment.path, f"records from {reached} on changed while running")
        except OSError as error:
            raise JournalFailed(f"the journal cannot be read: {explain(error)}") from error

    def trim(self, through_seq: int) -> None:
        """Give up segments that hold nothing above `through_seq`, oldest first; the last one stays.

        A crash in the middle leaves a shorter journal without gaps. Records at or below `through_seq`
        may come back at the next start: replaying them must change nothing. Raises JournalFailed, and
        ValueError for a number that was never written.
        """
        if self._failure is not None:
            raise JournalFailed(self._failure)
        if through_seq > self.last_seq:
            raise ValueError(f"cannot trim through {through_seq}, the last record is {self.last_seq}")
        try:
            while len(self._segments) > 1 and self._segments[0].next_seq - 1 <= through_seq:
                self._retire(self._segments[0])
                del self._segments[0]
        except OSError as error:
            self._failure = f"the journal in {self._directory} could not be trimmed: {explain(error)}"
            raise JournalFailed(self._failure) from error

    def close(self) -> None:
        """Leave a mark that proves the last group complete, and close; raises JournalFailed."""
        if self._fd < 0:
            return
        try:
            if self._failure is None:
                self._mark()
        except OSError as error:
            raise JournalFailed(f"the journal could not be closed: {explain(error)}") from error
        finally:
            self._release()
            self._failure = self._failure or f"the journal in {self._directory} is closed"

    def _release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _sync(self) -> None:
        if self._fsync:
            sync_data(self._fd)

    def _groups(self, segment: _Segment) -> Iterator[Group]:
        fd = os.open(segment.path, os.O_RDONLY)
        try:
            yield from scan_groups(fd, segment.header)
        finally:
            os.close(fd)

    # Recovery

    def _recover(self, start_seq: int) -> None:
        names = sorted(entry.name for entry in self._directory.iterdir())
        for name in names:
            if _SPARE_NAME.fullmatch(name):
                self._spares.append(self._directory / name)
        paths = [self._directory / name for name in names if _SEGMENT_NAME.fullmatch(name)]
        if not paths:
            self._start_segment(0, start_seq)
            return
        for path in paths:
            self._recover_segment(path)
        self._recover_tail()

    def _recover_segment(self, path: Path) -> None:
        """Index one segment and check that it continues the one before it."""
        match = _SEGMENT_NAME.fullmatch(path.name)
        segment_id = int(match[1]) if match else -1
        fd = os.open(path, os.O_RDONLY)
        try:
            header = read_header(fd)
            if header.segment_id != segment_id:
                raise _corrupt(path, f"its header says that it is segment {header.segment_id}")
            if self._segments:
                _check_successor(self._segments[-1], header, path)
            segment = _Segment(path, header, DATA_START, header.first_seq)
            for group in scan_groups(fd, header):
                if group.first_seq != segment.next_seq:
                    what = f"record {segment.next_seq} is missing before {group.first_seq}"
                    raise _corrupt(path, what)
                segment.last_group, segment.end, segment.next_seq = group.offset, group.end, group.next_seq
            behind = find_group_behind(fd, header, segment.end)
        except UnreadableHeader as error:
            # A file gets a segment's name only after its header was synced, so this is never a crash.
            raise _corrupt(path, str(error)) from error
        finally:
            os.close(fd)
        if behind is not None:
            what = (
                f"records from {segment.next_seq} on cannot be read at byte {segment.end}, "
                f"though intact ones follow at byte {behind.offset}"
            )
            raise _corrupt(path, what)
        self._segments.append(segment)

    def _recover_tail(self) -> None:
        """Cut what the last write left unfinished, and sync what is kept.

        The last group is written once more before the sync: after a failed sync the kernel may hold
        it in memory as if it were on disk, and would not write it again by itself. The names are synced
        for the same reason: the crash may have come between a new segment's naming and its sync.
        """
        segment = self._segments[-1]
        self._fd = os.open(segment.path, os.O_RDWR)
        if os.fstat(self._fd).st_size < segment.header.size_bytes:
            reserve(self._fd, segment.header.size_bytes)
            self.torn_tail = f"{segment.path.name} was cut off behind byte {segment.end}"
        if starts_here(self._fd, segment.header, segment.end):
            self.torn_tail = (
                f"the group after record {segment.next_seq - 1}, at byte {segment.end} of "
                f"{segment.path.name}, was never completed (a crash in the middle of a write); "
                "it was not acknowledged to anyone and is dropped"
            )
        last_group = os.pread(self._fd, segment.end - segment.last_group, segment.last_group)
        write_all(self._fd, last_group, segment.last_group)
        self._sync()
        sync_directory(self._directory)
        self._mark()

    def _mark(self) -> None:
        """Write a group without records, which proves that all before it had been synced.

        It also overwrites the start of an unfinished group, which could otherwise look damaged once a
        later segment exists. Where not even a mark fits, no group can have been begun.
        """
        segment = self._segments[-1]
        (mark,) = encode_group(segment.header, segment.next_seq, ())
        if segment.end + len(mark) <= segment.header.size_bytes:
            write_all(self._fd, mark, segment.end)
            self._sync()
            segment.end += len(mark)

    # Segment files

    def _roll(self) -> None:
        """Go on in the next segment; raises JournalFull before anything happened, OSError."""
        if len(self._segments) >= self._max_segments:
            raise JournalFull(
                f"the journal holds {self.bytes_used} of {self.bytes_limit} bytes that the database has "
                "not taken over yet"
            )
        last = self._segments[-1]
        self._start_segment(last.header.segment_id + 1, last.next_seq)

    def _start_segment(self, segment_id: int, first_seq: int) -> None:
        """A new last segment: header synced first, then the name, so that a named segment is whole."""
        header = SegmentHeader(segment_id, first_seq, self._segment_bytes, os.urandom(NONCE_BYTES))
        spare = self._directory / f"spare-{segment_id:012d}.seg"
        if self._spares:
            spare = self._spares.pop()
        path = self._directory / f"journal-{segment_id:012d}.seg"
        fd = create_file(spare, path, header)
        self._release()
        self._fd = fd
        self._segments.append(_Segment(path, header, DATA_START, first_seq))

    def _retire(self, segment: _Segment) -> None:
        if len(self._spares) < _SPARES_KEPT and segment.header.size_bytes == self._segment_bytes:
            spare = self._directory / f"spare-{segment.header.segment_id:012d}.seg"
            segment.path.rename(spare)
            self._spares.append(spare)
        else:
            segment.path.unlink()
        hit("journal-after-retire")
        sync_directory(self._directory)


def _corrupt(path: Path, what: str) -> JournalCorrupt:
    return JournalCorrupt(
        f"{path} is damaged: {what}. This is not an interrupted write. Do not sign from this data: "
        "check the disk, move the data folder away (keep the key folder) and start again; the node "
        "then fetches everything from its peers and signs only above what its guard file reserved"
    )


def _check_successor(last: _Segment, header: SegmentHeader, path: Path) -> None:
    if header.segment_id != last.header.segment_id + 1:
        raise _corrupt(path, f"segment {last.header.segment_id + 1} before it is missing")
    if header.first_seq != last.next_seq:
        what = f"records from {last.next_seq} to {header.first_seq - 1} cannot be read at byte {last.end}"
        raise _corrupt(last.path, what)
