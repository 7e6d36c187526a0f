"""What only the LMDB store can do wrong: full maps, foreign files, threads, copies, damaged pages."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lmdb
import pytest

from node.daemon.durability import BLOCK_BYTES
from node.daemon.store import Store, verify_files
from node.storage import (
    ChainTable,
    SnapshotExpired,
    StateTable,
    StoreFailed,
    StoreForeign,
    StoreFull,
    Write,
)

THREADS = 4


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "data")
    yield opened
    opened.close()


def _step(number: int) -> tuple[list[Write], list[Write]]:
    value = number.to_bytes(8, "big")
    return [Write(ChainTable.META, b"step", value)], [Write(StateTable.META, b"step", value)]


def test_a_store_keeps_what_it_has_over_a_restart(tmp_path: Path) -> None:
    first = Store.open(tmp_path)
    first.apply(*_step(7))
    first.close()
    second = Store.open(tmp_path)
    assert second.reader().get(StateTable.META, b"step") == (7).to_bytes(8, "big")
    second.close()


def test_a_commit_of_each_database_counts_and_what_is_empty_costs_none(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    begun = store.commits
    for chain, state in (_step(1), (_step(2)[0], []), ([], [])):
        store.apply(chain, state)
    assert store.commits - begun == 3
    store.close()


def test_a_full_map_is_a_sentence_and_shows_nothing_of_what_failed(tmp_path: Path) -> None:
    store = Store.open(tmp_path, map_bytes=64 * BLOCK_BYTES)
    store.apply(*_step(1))
    large = [Write(ChainTable.BATCHES, b"%d" % number, bytes(BLOCK_BYTES)) for number in range(64)]
    with pytest.raises(
        StoreFull, match=r"chain database is full: \d+ of 262144 bytes are used; raise storage.map_bytes"
    ):
        store.apply([*_step(2)[0], *large], _step(2)[1])
    with store.snapshot() as view:
        assert view.get(ChainTable.META, b"step") == (1).to_bytes(8, "big")
        assert view.get(StateTable.META, b"step") == (1).to_bytes(8, "big")
        assert view.count(ChainTable.BATCHES) == 0
    store.apply(*_step(3))
    assert store.reader().get(StateTable.META, b"step") == (3).to_bytes(8, "big")
    assert 0 < store.used_ratio() <= 1
    store.close()
    with_more_room = Store.open(tmp_path, map_bytes=1024 * BLOCK_BYTES)
    with_more_room.apply(large, [])
    with_more_room.close()


def test_a_map_too_small_to_begin_with_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreFull, match=r"is too small: raise storage.map_bytes"):
        Store.open(tmp_path, map_bytes=2 * BLOCK_BYTES)


@pytest.mark.parametrize("name", ["chain", "state"])
def test_a_file_that_is_no_database_is_refused_and_the_other_one_is_let_go(tmp_path: Path, name: str) -> None:
    Store.open(tmp_path).close()
    (tmp_path / name / "data.mdb").write_bytes(b"something else" * 1000)
    for _ in range(2):
        with pytest.raises(StoreForeign, match=f"{name} does not hold a database of this program"):
            Store.open(tmp_path)


def test_a_database_of_another_engine_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chain").mkdir()
    lmdb.Environment(str(tmp_path / "chain"), lib_version=1).close()
    with pytest.raises(StoreForeign, match=r"LMDB 0\.9"):
        Store.open(tmp_path)


def _change_by_hand(path: Path, table: bytes, key: bytes, value: bytes) -> None:
    env = lmdb.Environment(str(path), max_dbs=20, lib_version=0)
    with env.begin(write=True) as transaction:
        transaction.put(key, value, db=env.open_db(table, txn=transaction))
    env.close()


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    _change_by_hand(tmp_path / "chain", b"their table", b"k", b"v")
    with pytest.raises(StoreForeign, match="another program made"):
        Store.open(tmp_path)


def test_a_newer_format_is_refused_with_both_numbers(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    _change_by_hand(tmp_path / "state", b"isthmus", b"format", b"4")
    with pytest.raises(StoreForeign, match="has database format 4 and this program reads 3"):
        Store.open(tmp_path)


@pytest.mark.parametrize("older", [1, 2])
def test_the_formats_before_packs_of_four_levels_and_before_standings_are_refused(
    tmp_path: Path, older: int
) -> None:
    Store.open(tmp_path).close()
    _change_by_hand(tmp_path / "state", b"isthmus", b"format", b"%d" % older)
    with pytest.raises(
        StoreForeign, match=rf"has database format {older} .* the version of isthmus that wrote it"
    ):
        Store.open(tmp_path)


def test_the_same_files_open_once_in_a_process(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="already open in this process"):
        Store.open(tmp_path / "data")
    store.apply(*_step(1))


def test_a_place_that_cannot_be_opened_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreFailed, match="cannot be opened"):
        Store.open(tmp_path / "file")


def test_writes_from_many_threads_neither_hang_nor_mix(store: Store) -> None:
    """Each apply begins and commits in the thread that called it; a transaction that another thread
    had to finish would hang every later one."""

    def write(thread: int) -> None:
        for number in range(10):
            key = b"%d/%d" % (thread, number)
            store.apply([Write(ChainTable.EVIDENCE, key, b"c")], [Write(StateTable.REPLAY, key, b"s")])

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(write, thread) for thread in range(THREADS)]:
            done.result(timeout=60)
    with store.snapshot() as view:
        assert view.count(ChainTable.EVIDENCE) == view.count(StateTable.REPLAY) == 10 * THREADS
    last = threading.Thread(target=lambda: store.apply(*_step(1)))
    last.start()
    last.join(timeout=60)
    assert not last.is_alive()


def test_every_snapshot_holds_a_chain_at_or_ahead_of_its_state_while_writes_go_on(store: Store) -> None:
    stop = threading.Event()
    store.apply(*_step(0))

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            store.apply(*_step(number))

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        seen: set[bytes] = set()
        try:
            while len(seen) < 30 and not writer.done():
                with store.snapshot() as view:
                    chain, state = view.get(ChainTable.META, b"step"), view.get(StateTable.META, b"step")
                    assert chain is not None
                    assert state is not None
                    assert chain >= state
                    assert view.get(ChainTable.META, b"step") == chain
                    seen.add(chain)
        finally:
            stop.set()
        writer.result(timeout=60)
    assert len(seen) == 30


def test_a_snapshot_may_move_to_another_thread(store: Store) -> None:
    store.apply(*_step(5))
    with store.snapshot() as view, ThreadPoolExecutor(THREADS) as pool:
        store.apply(*_step(6))
        answers = [pool.submit(view.get, StateTable.META, b"step") for _ in range(50)]
        assert {answer.result() for answer in answers} == {(5).to_bytes(8, "big")}


def test_pages_are_used_again_once_old_snapshots_are_gone(store: Store) -> None:
    def rewrite() -> None:
        for _ in range(20):
            store.apply([], [Write(StateTable.STATE, b"key", bytes(100 * BLOCK_BYTES))])

    rewrite()
    before = store.size_bytes()
    rewrite()
    assert store.size_bytes() == before


def test_a_closed_store_refuses(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    reader = store.reader()
    with store.snapshot() as view:
        store.close()
        with pytest.raises(SnapshotExpired, match="the database was closed"):
            view.get(ChainTable.META, b"step")
    with pytest.raises(StoreFailed, match="is closed"):
        store.apply(*_step(1))
    with pytest.raises(StoreFailed, match="cannot be read"):
        reader.get(ChainTable.META, b"step")


def test_a_reader_that_reads_now_and_then_does_not_keep_old_pages(store: Store) -> None:
    reader = store.reader()
    entries = [(b"%03d" % number, bytes(1_000)) for number in range(200)]
    sizes = []
    for turn in range(40):
        store.apply(
            [Write(ChainTable.META, key, bytes((turn,)) + value) for key, value in entries],
            [Write(StateTable.STATE, key, bytes((turn,)) + value) for key, value in entries],
        )
        assert turn < 4 or reader.get(ChainTable.META, b"000") == bytes((turn,)) + bytes(1_000)
        if turn % 4 == 0:  # executing a block is what reads the state
            assert reader.get(StateTable.STATE, b"199") == bytes((turn,)) + bytes(1_000)
        sizes.append(store.size_bytes())
    assert sizes[-1] == sizes[12]


def test_rot_in_any_page_in_use_is_found_without_opening_the_files(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.apply([Write(ChainTable.BLOCKS, b"%05d" % number, bytes(500)) for number in range(200)], [])
    store.close()
    assert verify_files(tmp_path) == []
    path = tmp_path / "chain" / "data.mdb"
    content = bytearray(path.read_bytes())
    page = content.index(b"00100") // BLOCK_BYTES * BLOCK_BYTES
    content[page : page + BLOCK_BYTES] = bytes(BLOCK_BYTES)
    path.write_bytes(content)
    findings = verify_files(tmp_path)
    assert findings
    assert all(finding.startswith("chain: ") for finding in findings)


def test_a_check_of_files_that_are_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="cannot be checked"):
        verify_files(tmp_path)


def test_sizes_are_told(store: Store) -> None:
    assert store.size_bytes() > 0
    assert 0 < store.used_ratio() < 0.01
    assert store.disk_free_bytes() > 0
    assert (len(store.snapshots), store.snapshots.limit) == (0, 64)
    with store.snapshot():
        assert len(store.snapshots) == 1


READER = """
import sys
from pathlib import Path
from node.daemon.reading import open_view
with open_view(Path(sys.argv[1])):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_reader_that_was_killed_holds_no_pages_of_a_node_that_runs_on(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    large = [Write(ChainTable.META, b"large", bytes(256 * 1024))]
    store.apply(large, [])
    reading = [sys.executable, "-c", READER, str(tmp_path)]
    with subprocess.Popen(reading, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        reader.kill()
    before = store.size_bytes()
    for _ in range(40):
        store.apply(large, [])
    assert store.size_bytes() - before < 10 * len(large[0].value or b"")
    store.close()
