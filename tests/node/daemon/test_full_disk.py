"""No room, or a disk that refuses: a sentence, nothing half visible, and no second try after a failure."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.daemon.journal import Journal, JournalFailed
from node.daemon.reading import open_view
from node.daemon.store import Store
from node.storage import ChainTable, StoreFull, Write

ROOT = Path(__file__).parents[3]
DISK_BYTES = 1024 * 1024


def _run_limited(kind: str, directory: Path) -> list[str]:
    child = subprocess.run(
        [sys.executable, "-m", "tests.node.daemon.full_disk_child", kind, str(directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return child.stdout.splitlines()


def test_a_journal_that_could_not_write_refuses_everything_and_loses_nothing(tmp_path: Path) -> None:
    refusals = _run_limited("journal", tmp_path)
    assert refusals[0].startswith("JournalFailed: ")
    assert "raise the file size limit (ulimit -f)" in refusals[0]
    assert refusals[1] == refusals[2] == refusals[0], "a write is never tried again after a failure"
    assert refusals[3] == "done"
    journal = Journal.open(tmp_path, segment_bytes=1 << 20, max_record_bytes=1 << 16)
    assert list(journal.records()) == [(1, b"fits")]
    assert journal.torn_tail is not None
    journal.close()


def test_a_store_whose_file_may_not_grow_shows_nothing_of_what_failed(tmp_path: Path) -> None:
    refusals = _run_limited("store", tmp_path)
    assert refusals[0].startswith("StoreFailed: the chain database")
    assert refusals[1] == refusals[0], "a write is never tried again after a failure"
    assert refusals[2] == "b'1'"
    store = Store.open(tmp_path)
    assert store.reader().get(ChainTable.META, b"step") == b"1"
    assert store.check() == []
    store.close()


def test_a_guard_that_could_not_write_keeps_its_bound_and_refuses(tmp_path: Path) -> None:
    refusals = _run_limited("guard", tmp_path)
    assert refusals[0].startswith("GuardFailed: the guard")
    assert refusals[1] == refusals[0]
    assert refusals[2] == "b'bound 1'"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte; only root can mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_stops_the_journal_before_it_promises_anything(small_disk: Path) -> None:
    journal = Journal.open(small_disk, segment_bytes=DISK_BYTES // 2, max_record_bytes=100_000)
    acknowledged = 0

    def fill() -> None:
        nonlocal acknowledged
        while acknowledged < 20:
            acknowledged = journal.append([bytes(100_000)])

    with pytest.raises(
        JournalFailed, match=r"the disk is full .* free some space, then start the node again"
    ):
        fill()
    assert 0 < acknowledged < 20
    with pytest.raises(JournalFailed):
        journal.append([b"small"])
    journal.close()
    reopened = Journal.open(small_disk, segment_bytes=DISK_BYTES // 2, max_record_bytes=100_000)
    assert reopened.last_seq == acknowledged
    reopened.close()


def test_a_full_disk_is_named_by_the_store_and_it_goes_on_once_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(DISK_BYTES // 2))
    store = Store.open(small_disk / "data")
    store.apply([Write(ChainTable.META, b"step", b"1")], [])
    large = [Write(ChainTable.META, b"step", b"2"), Write(ChainTable.BLOCKS, b"k", bytes(700_000))]
    with pytest.raises(StoreFull, match=r"the disk under .* is full: .* free some space"):
        store.apply(large, [])
    assert store.reader().get(ChainTable.META, b"step") == b"1"
    ballast.unlink()
    store.apply(large, [])
    assert store.reader().get(ChainTable.META, b"step") == b"2"
    store.close()


def test_a_copy_to_a_full_disk_is_a_sentence(small_disk: Path, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "data")
    store.apply([Write(ChainTable.BLOCKS, b"k", bytes(2 * DISK_BYTES))], [])
    store.close()
    with open_view(tmp_path / "data") as view, pytest.raises(StoreFull, match="cannot be copied"):
        view.copy_to(small_disk)
