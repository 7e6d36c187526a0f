"""Large records in groups: written without being copied, checked by their tags, and still found damaged; and
segments of the format before, which are read and gone on with."""

import os
import random
import zlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from node.daemon.durability import BLOCK_BYTES, write_pieces
from node.daemon.journal import Journal, JournalCorrupt
from node.daemon.journal_end import read_end
from node.daemon.segment import (
    DATA_START,
    LARGE_BYTES,
    JournalForeign,
    SegmentHeader,
    encode_group,
    read_header,
    scan_groups,
)

NONCE = bytes(range(16))
SEGMENT_BYTES = 64 * BLOCK_BYTES
GROUP_BYTES = 36


def of_size(size: int) -> bytes:
    return random.Random(size).randbytes(size)


RECORDS = [of_size(n) for n in (10, LARGE_BYTES - 1, LARGE_BYTES, 3 * LARGE_BYTES + 7, 0, 5)]


def _open(directory: Path) -> Journal:
    return Journal.open(directory, segment_bytes=SEGMENT_BYTES, max_record_bytes=32 * BLOCK_BYTES)


def test_the_checksum_takes_large_records_by_their_tags_and_of_format_1_as_they_are() -> None:
    body = b"".join(len(record).to_bytes(4, "big") + record for record in RECORDS)
    fields = NONCE + (7).to_bytes(8, "big") + len(body).to_bytes(4, "big") + (6).to_bytes(4, "big")
    stood_for = fields
    for record in RECORDS:
        tag = AESGCM(NONCE).encrypt(bytes(12), b"", record)
        stood_for += len(record).to_bytes(4, "big") + (record if len(record) < 16_384 else tag)
    for version, checked in ((1, fields + body), (2, stood_for)):
        header = SegmentHeader(0, 1, SEGMENT_BYTES, NONCE, version)
        group = b"".join(encode_group(header, 7, RECORDS))
        assert len(group) % BLOCK_BYTES == 0
        assert group[: GROUP_BYTES + len(body)] == fields + zlib.crc32(checked).to_bytes(4, "big") + body
        assert not any(group[GROUP_BYTES + len(body) :])


def test_large_records_are_not_copied() -> None:
    pieces = encode_group(SegmentHeader(0, 1, SEGMENT_BYTES, NONCE), 1, RECORDS)
    assert [piece for piece in pieces if any(piece is record for record in RECORDS)] == RECORDS[2:4]
    assert len(pieces) == 5


def test_every_changed_byte_of_a_large_record_is_found(tmp_path: Path) -> None:
    with closing(_open(tmp_path)) as journal:
        journal.append(RECORDS)
        journal.append([b"behind"])
    (path,) = tmp_path.glob("journal-*.seg")
    content = path.read_bytes()
    start = content.index(RECORDS[3])
    for place in (start - 1, start, start + 4_099, start + len(RECORDS[3]) - 1):
        path.write_bytes(content[:place] + bytes((content[place] ^ 1,)) + content[place + 1 :])
        with pytest.raises(JournalCorrupt, match="cannot be read at byte 4096"):
            _open(tmp_path)
    path.write_bytes(content)
    with closing(_open(tmp_path)) as journal:
        assert [data for _, data in journal.records()] == [*RECORDS, b"behind"]


def test_a_journal_of_the_format_before_is_read_and_gone_on_with(tmp_path: Path) -> None:
    with closing(_open(tmp_path)):
        pass
    (path,) = tmp_path.glob("journal-*.seg")
    header = SegmentHeader(0, 1, SEGMENT_BYTES, NONCE, 1)
    old = header.encode() + b"".join(encode_group(header, 1, RECORDS))
    path.write_bytes(old.ljust(SEGMENT_BYTES, b"\0"))
    with closing(_open(tmp_path)) as journal:
        assert [data for _, data in journal.records()] == RECORDS
        journal.append(RECORDS[2:3])
    with path.open("rb") as file:
        found = read_header(file.fileno())
        counts = [group.record_count for group in scan_groups(file.fileno(), found)]
    assert (found.format, counts) == (1, [6, 0, 1, 0]), "the marks of two starts beside the records"
    with closing(_open(tmp_path)) as journal:
        assert [data for _, data in journal.records()] == [*RECORDS, RECORDS[2]]
        while len(list(tmp_path.glob("journal-*.seg"))) == 1:
            journal.append(RECORDS[3:4])
    newest = max(tmp_path.glob("journal-*.seg"))
    with newest.open("rb") as file:
        assert read_header(file.fileno()).format == 2


def test_a_journal_of_a_newer_format_is_not_called_damaged_and_nothing_of_it_is_changed(
    tmp_path: Path,
) -> None:
    with closing(_open(tmp_path)) as journal:
        journal.append(RECORDS)
    (path,) = tmp_path.glob("journal-*.seg")
    with path.open("rb") as file:
        found = read_header(file.fileno())
    newer = replace(found, format=3).encode() + path.read_bytes()[DATA_START:]
    path.write_bytes(newer)
    with pytest.raises(
        JournalForeign, match=r"format 3 .* up to 2: nothing is damaged, start the release"
    ) as refused:
        _open(tmp_path)
    assert refused.value.code == "journal_foreign"
    assert path.read_bytes() == newer
    told = read_end(tmp_path)
    assert "format 3" in told.foreign
    assert not told.damage
    path.write_bytes(b"rot" + newer[3:])
    told = read_end(tmp_path)
    assert "it does not start with a journal header" in told.damage
    assert not told.foreign


def test_a_body_that_is_not_made_of_its_records_is_no_group(tmp_path: Path) -> None:
    """Its checksum fits: only a length inside is wrong."""
    header = SegmentHeader(0, 1, SEGMENT_BYTES, NONCE)
    body = (9).to_bytes(4, "big") + b"12345678"
    fields = NONCE + (1).to_bytes(8, "big") + len(body).to_bytes(4, "big") + (1).to_bytes(4, "big")
    group = fields + zlib.crc32(fields + body).to_bytes(4, "big") + body
    file = tmp_path / "segment"
    file.write_bytes(header.encode() + group.ljust(SEGMENT_BYTES - DATA_START, b"\0"))
    with file.open("rb") as opened:
        assert list(scan_groups(opened.fileno(), header)) == []


def test_more_pieces_than_one_write_takes_are_written_in_order(tmp_path: Path) -> None:
    pieces = [number.to_bytes(2, "big") * (1 + number % 3) for number in range(1_500)]
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        assert write_pieces(fd, pieces, 5) == sum(map(len, pieces))
        assert os.pread(fd, 1 << 20, 5) == b"".join(pieces)
    finally:
        os.close(fd)


def test_a_last_group_of_which_any_block_is_missing_was_never_written(tmp_path: Path) -> None:
    """A power cut keeps the blocks of an unsynced write in any order; the first tells that it was begun."""
    with closing(_open(tmp_path)) as journal:
        journal.append([b"before"])
    (path,) = tmp_path.glob("journal-*.seg")
    with path.open("rb") as file:
        header = read_header(file.fileno())
    whole = path.read_bytes()
    start = 3 * BLOCK_BYTES  # behind the header, the group, and the mark of the end
    group = b"".join(encode_group(header, 2, RECORDS))
    for missing in range(BLOCK_BYTES, len(group) - BLOCK_BYTES, BLOCK_BYTES):
        torn = group[:missing] + bytes(BLOCK_BYTES) + group[missing + BLOCK_BYTES :]
        path.write_bytes(whole[:start] + torn + whole[start + len(torn) :])
        with closing(_open(tmp_path)) as journal:
            assert [data for _, data in journal.records()] == [b"before"]
            assert journal.torn_tail is not None
    path.write_bytes(whole[:start] + group + whole[start + len(group) :])
    with closing(_open(tmp_path)) as journal:
        assert [data for _, data in journal.records()] == [b"before", *RECORDS]
