"""The journal: order, torn tails against damage, reuse of files, and every refusal in words."""

import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.daemon.durability import BLOCK_BYTES
from node.daemon.journal import Journal, JournalCorrupt, JournalFailed, JournalFull
from node.daemon.segment import DATA_START, read_header, scan_groups

MAX_RECORD_BYTES = 3 * BLOCK_BYTES
SEGMENT_BYTES = 16 * BLOCK_BYTES
GROUP_HEADER_BYTES = 36
RECORD_HEADER_BYTES = 4

records_of_a_group = st.lists(
    st.one_of(st.binary(max_size=40), st.integers(0, 9000).map(lambda n: random.Random(n).randbytes(n))),
    min_size=1,
    max_size=3,
)


def _open(directory: Path, segment_bytes: int = SEGMENT_BYTES, max_segments: int = 64) -> Journal:
    return Journal.open(
        directory,
        segment_bytes=segment_bytes,
        max_record_bytes=min(MAX_RECORD_BYTES, segment_bytes - 2 * BLOCK_BYTES),
        max_segments=max_segments,
    )


def _numbered(groups: Sequence[Sequence[bytes]]) -> list[tuple[int, bytes]]:
    return list(enumerate((record for group in groups for record in group), start=1))


def _recovered(directory: Path) -> list[tuple[int, bytes]]:
    journal = _open(directory)
    records = list(journal.records())
    journal.close()
    return records


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a group lies; `content_end` is where its padding begins."""

    start: int
    content_end: int
    end: int


@dataclass(frozen=True, slots=True)
class Image:
    """The single segment file of a journal whose process was killed after its last append."""

    name: str
    content: bytes
    extents: tuple[Extent, ...]

    def write(self, directory: Path, content: bytes) -> None:
        (directory / self.name).write_bytes(content)


def _killed_after(groups: Sequence[Sequence[bytes]]) -> Image:
    """Built with a segment that is large enough for all groups."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        journal = _open(directory, segment_bytes=64 * BLOCK_BYTES)
        for group in groups:
            journal.append(group)
        (path,) = directory.iterdir()
        content = path.read_bytes()
        fd = os.open(path, os.O_RDONLY)
        extents = tuple(
            Extent(group.offset, group.offset + GROUP_HEADER_BYTES + len(group.body), group.end)
            for group in scan_groups(fd, read_header(fd))
            if group.record_count
        )
        os.close(fd)
        journal.close()
        return Image(path.name, content, extents)


GROUPS = (
    (b"first block", b"safety record 1"),
    (b"second block" * 700, b"safety record 2"),
    (b"", b"x"),
    (b"last block" * 900, b"safety record 4", b"batch" * 10),
)
KILLED = _killed_after(GROUPS)


def test_the_image_has_a_group_for_each_append() -> None:
    assert len(KILLED.extents) == len(GROUPS)
    assert KILLED.extents[-1].end - KILLED.extents[-1].start == 3 * BLOCK_BYTES


@settings(max_examples=60, deadline=None)
@given(groups=st.lists(records_of_a_group, max_size=12), is_closed=st.booleans())
def test_records_come_back_in_order_after_a_close_and_after_a_kill(
    groups: list[list[bytes]], is_closed: bool
) -> None:
    with TemporaryDirectory() as name:
        journal = _open(Path(name))
        appended = [journal.append(group) for group in groups]
        expected = _numbered(groups)
        assert appended == [sum(map(len, groups[: i + 1])) for i in range(len(groups))]
        assert list(journal.records()) == expected
        if is_closed:
            journal.close()
        reopened = _open(Path(name))
        assert list(reopened.records()) == expected
        assert reopened.torn_tail is None
        assert (reopened.first_seq, reopened.last_seq) == (1, len(expected))
        assert list(reopened.records(after_seq=3)) == expected[3:]
        reopened.close()
        journal.close()


@settings(max_examples=150, deadline=None)
@given(cut=st.integers(KILLED.extents[-1].start, KILLED.extents[-1].end))
def test_a_file_cut_off_inside_the_last_group_gives_back_the_groups_before_it(cut: int) -> None:
    with TemporaryDirectory() as name:
        KILLED.write(Path(name), KILLED.content[:cut])
        journal = _open(Path(name))
        whole = len(GROUPS) if cut >= KILLED.extents[-1].content_end else len(GROUPS) - 1
        assert list(journal.records()) == _numbered(GROUPS[:whole])
        assert journal.torn_tail is not None
        assert journal.append([b"goes on"]) == len(_numbered(GROUPS[:whole])) + 1
        journal.close()
        assert _recovered(Path(name))[-1][1] == b"goes on"


@settings(max_examples=200, deadline=None)
@given(
    position=st.integers(KILLED.extents[-1].start, KILLED.extents[-1].end - 1),
    flip=st.integers(1, 255),
)
def test_a_flipped_byte_in_the_last_group_of_a_killed_process_drops_that_group_only(
    position: int, flip: int
) -> None:
    damaged = bytearray(KILLED.content)
    damaged[position] ^= flip
    is_padding = position >= KILLED.extents[-1].content_end
    with TemporaryDirectory() as name:
        KILLED.write(Path(name), bytes(damaged))
        assert _recovered(Path(name)) == _numbered(GROUPS if is_padding else GROUPS[:-1])


@settings(max_examples=100, deadline=None)
@given(lost=st.sets(st.integers(0, 2), min_size=1), noise=st.binary(min_size=1, max_size=8))
def test_a_write_of_which_any_blocks_are_missing_is_a_torn_tail(lost: set[int], noise: bytes) -> None:
    damaged = bytearray(KILLED.content)
    for block in lost:
        start = KILLED.extents[-1].start + block * BLOCK_BYTES
        damaged[start : start + BLOCK_BYTES] = (noise * BLOCK_BYTES)[:BLOCK_BYTES]
    with TemporaryDirectory() as name:
        KILLED.write(Path(name), bytes(damaged))
        assert _recovered(Path(name)) == _numbered(GROUPS[:-1])


@settings(max_examples=300, deadline=None)
@given(data=st.data(), flip=st.integers(1, 255))
def test_a_flipped_byte_in_an_acknowledged_group_is_damage_and_never_a_shorter_history(
    data: st.DataObject, flip: int
) -> None:
    extent = data.draw(st.sampled_from(KILLED.extents[:-1]))
    position = data.draw(st.integers(extent.start, extent.end - 1))
    damaged = bytearray(KILLED.content)
    damaged[position] ^= flip
    with TemporaryDirectory() as name:
        KILLED.write(Path(name), bytes(damaged))
        if position >= extent.content_end:
            assert _recovered(Path(name)) == _numbered(GROUPS)
            return
        with pytest.raises(
            JournalCorrupt, match=f"at byte {extent.start}, though intact ones follow"
        ) as info:
            _open(Path(name))
        assert "keep the key folder" in str(info.value)


def test_after_a_clean_close_even_damage_to_the_last_group_is_found(tmp_path: Path) -> None:
    journal = _open(tmp_path)
    journal.append([b"acknowledged"])
    journal.close()
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[content.index(b"acknowledged")] ^= 1
    path.write_bytes(content)
    with pytest.raises(JournalCorrupt):
        _open(tmp_path)


def test_a_torn_group_is_named_once_and_never_blamed_later(tmp_path: Path) -> None:
    content = bytearray(KILLED.content)
    content[KILLED.extents[-1].start + BLOCK_BYTES + 5] ^= 1
    KILLED.write(tmp_path, bytes(content))
    journal = _open(tmp_path)
    assert journal.torn_tail is not None
    assert "never completed" in journal.torn_tail
    filler = b"f" * MAX_RECORD_BYTES
    while len(list(tmp_path.glob("journal-*"))) < 3:
        journal.append([filler])
    reopened = _open(tmp_path)
    assert reopened.torn_tail is None
    assert reopened.last_seq == journal.last_seq
    journal.close()
    reopened.close()


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            records_of_a_group,
            st.sampled_from(("crash", "close")),
            st.integers(0, 30).map(lambda kept: ("trim", kept)),
        ),
        max_size=30,
    )
)
def test_files_in_reuse_never_bring_old_records_back(steps: list[object]) -> None:
    """Against a list: whatever is kept is a gapless end of what was appended."""
    appended: list[bytes] = []
    trimmed = 0
    with TemporaryDirectory() as name:
        directory = Path(name) / "0"
        journal = _open(directory)
        for number, step in enumerate(steps, start=1):
            match step:
                case "close":
                    journal.close()
                    journal = _open(directory)
                case "crash":
                    crashed = Path(name) / str(number)
                    shutil.copytree(directory, crashed)
                    journal.close()
                    directory = crashed
                    journal = _open(directory)
                    assert journal.torn_tail is None
                case ("trim", int(kept)):
                    through = max(0, len(appended) - kept)
                    trimmed = max(trimmed, through)
                    journal.trim(through)
                    assert journal.first_seq <= trimmed + 1
                case list(group):
                    appended.extend(group)
                    assert journal.append(group) == len(appended)
            kept_records = [(seq, appended[seq - 1]) for seq in range(journal.first_seq, len(appended) + 1)]
            assert list(journal.records()) == kept_records
        journal.close()


def test_trimming_gives_up_whole_segments_and_reuses_their_files(tmp_path: Path) -> None:
    journal = _open(tmp_path, segment_bytes=5 * BLOCK_BYTES)
    for number in range(20):
        journal.append([b"%d" % number])
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == [f"journal-{number:012d}.seg" for number in range(5)]
    used = journal.bytes_used
    journal.trim(journal.last_seq)
    assert journal.first_seq > 16
    assert journal.bytes_used < used <= journal.bytes_limit
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "journal-000000000004.seg",
        "spare-000000000000.seg",
        "spare-000000000001.seg",
    ]
    for number in range(20, 30):
        journal.append([b"%d" % number])
    assert not list(tmp_path.glob("spare-*"))
    reopened = _open(tmp_path, segment_bytes=5 * BLOCK_BYTES)
    assert list(reopened.records()) == [(n + 1, b"%d" % n) for n in range(journal.first_seq - 1, 30)]
    journal.close()
    reopened.close()


def test_a_full_journal_writes_nothing_and_goes_on_once_trimmed(tmp_path: Path) -> None:
    journal = _open(tmp_path, segment_bytes=5 * BLOCK_BYTES, max_segments=2)
    for _ in range(8):
        journal.append([b"record"])
    with pytest.raises(JournalFull, match="that the database has not taken over yet"):
        journal.append([b"record"])
    assert journal.last_seq == 8
    journal.trim(8)
    assert journal.append([b"room again"]) == 9
    journal.close()


def test_a_new_journal_beside_an_older_database_counts_on_from_it(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=1 << 16, max_record_bytes=100, start_seq=5001)
    assert (journal.first_seq, journal.last_seq) == (5001, 5000)
    assert journal.append([b"record"]) == 5001
    journal.close()
    reopened = Journal.open(tmp_path, segment_bytes=1 << 16, max_record_bytes=100, start_seq=1)
    assert list(reopened.records()) == [(5001, b"record")]
    reopened.close()


def test_segments_of_an_older_size_are_still_read_and_go_away_when_trimmed(tmp_path: Path) -> None:
    small = _open(tmp_path, segment_bytes=4 * BLOCK_BYTES)
    for _ in range(6):
        small.append([b"old size"])
    small.close()
    large = _open(tmp_path, segment_bytes=8 * BLOCK_BYTES)
    for _ in range(10):
        large.append([b"new size"])
    large.trim(large.last_seq)
    large.append([b"new size"])
    assert {path.stat().st_size for path in tmp_path.glob("journal-*")} == {8 * BLOCK_BYTES}
    large.close()


def _three_segments(directory: Path) -> list[Path]:
    journal = _open(directory, segment_bytes=4 * BLOCK_BYTES)
    for number in range(7):
        journal.append([b"%d" % number])
    journal.close()
    paths = sorted(directory.iterdir())
    assert len(paths) > 2
    return paths


def test_a_segment_missing_in_the_middle_is_damage(tmp_path: Path) -> None:
    _three_segments(tmp_path)[1].unlink()
    with pytest.raises(JournalCorrupt, match="segment 1 before it is missing"):
        _open(tmp_path)


@pytest.mark.parametrize("position", [0, 8, 12, 20, 28, 36, 50])
def test_a_damaged_segment_header_is_damage_and_never_an_empty_segment(tmp_path: Path, position: int) -> None:
    path = _three_segments(tmp_path)[-1]
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(JournalCorrupt, match=path.name):
        _open(tmp_path)


def test_a_segment_under_another_name_is_damage(tmp_path: Path) -> None:
    path = _three_segments(tmp_path)[-1]
    path.rename(path.with_name("journal-000000000009.seg"))
    with pytest.raises(JournalCorrupt, match="its header says that it is segment"):
        _open(tmp_path)


def test_a_closed_segment_that_lost_its_end_is_damage(tmp_path: Path) -> None:
    path = _three_segments(tmp_path)[0]
    os.truncate(path, DATA_START + BLOCK_BYTES)
    with pytest.raises(JournalCorrupt, match="records from 2 to 3 cannot be read"):
        _open(tmp_path)


def test_what_a_caller_may_not_append_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    journal = _open(tmp_path)
    with pytest.raises(ValueError, match="at least one record"):
        journal.append([])
    with pytest.raises(ValueError, match="over the limit of"):
        journal.append([bytes(MAX_RECORD_BYTES + 1)])
    six = [bytes(MAX_RECORD_BYTES)] * 6
    assert not journal.fits_one_group(6, 6 * MAX_RECORD_BYTES)
    with pytest.raises(ValueError, match="cannot fit a segment"):
        journal.append(six)
    with pytest.raises(ValueError, match="cannot trim through 1"):
        journal.trim(1)
    assert journal.append([b"fine"]) == 1
    journal.close()


def test_sizes_that_cannot_work_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot hold a record"):
        Journal.open(tmp_path, segment_bytes=8192, max_record_bytes=8192)
    with pytest.raises(ValueError, match="at least 2 segments"):
        Journal.open(tmp_path, max_segments=1)


def test_a_closed_journal_refuses_and_closing_twice_is_fine(tmp_path: Path) -> None:
    journal = _open(tmp_path)
    journal.close()
    journal.close()
    with pytest.raises(JournalFailed, match="is closed"):
        journal.append([b"late"])
    with pytest.raises(JournalFailed, match="is closed"):
        journal.trim(0)


def test_a_place_that_cannot_be_opened_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JournalFailed, match="cannot be opened"):
        _open(tmp_path / "file" / "journal")
