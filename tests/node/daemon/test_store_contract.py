"""One contract, two stores: LMDB on disk and dicts in memory give the same answers."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.daemon.memory_store import MemoryStore
from node.daemon.store import Store
from node.daemon.store_check import check
from node.storage import (
    ChainTable,
    Database,
    SnapshotExpired,
    SnapshotLimit,
    StateTable,
    Table,
    Write,
)

AGE_MS = 1000


class Clock:
    """Milliseconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_ms = 0

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["lmdb", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Database]:
    if request.param == "memory":
        yield MemoryStore(max_snapshots=3, max_snapshot_age_ms=AGE_MS, clock_ms=clock)
        return
    on_disk = Store.open(tmp_path, max_snapshots=3, max_snapshot_age_ms=AGE_MS, clock_ms=clock)
    yield on_disk
    on_disk.close()


def _put(table: Table, *keys: bytes) -> list[Write]:
    return [Write(table, key, b"value of " + key) for key in keys]


def test_a_reader_sees_each_apply_and_nothing_else(store: Database) -> None:
    reader = store.reader()
    assert reader.get(ChainTable.BLOCKS, b"id") is None
    store.apply([Write(ChainTable.BLOCKS, b"id", b"block")], [Write(StateTable.STATE, b"id", b"")])
    assert reader.get(ChainTable.BLOCKS, b"id") == b"block"
    assert reader.get(StateTable.STATE, b"id") == b""
    assert reader.get(ChainTable.BATCHES, b"id") is None
    store.apply([Write(ChainTable.BLOCKS, b"id", None)], [])
    assert reader.get(ChainTable.BLOCKS, b"id") is None


def test_the_two_meta_tables_are_two_tables(store: Database) -> None:
    store.apply([Write(ChainTable.META, b"m", b"chain")], [Write(StateTable.META, b"m", b"state")])
    assert store.reader().get(ChainTable.META, b"m") == b"chain"
    assert store.reader().get(StateTable.META, b"m") == b"state"


def test_a_new_store_has_no_entry_in_any_table(store: Database) -> None:
    with store.snapshot() as view:
        assert [table for table in (*ChainTable, *StateTable) if view.count(table)] == []


def test_the_last_write_to_a_key_counts(store: Database) -> None:
    store.apply(
        [
            Write(ChainTable.META, b"a", b"1"),
            Write(ChainTable.EVIDENCE, b"e", b"e"),
            Write(ChainTable.META, b"a", None),
            Write(ChainTable.META, b"b", None),
            Write(ChainTable.META, b"b", b"2"),
        ],
        [],
    )
    assert store.reader().get(ChainTable.META, b"a") is None
    assert store.reader().get(ChainTable.META, b"b") == b"2"


@pytest.mark.parametrize("key", [b"", b"k" * 512])
def test_a_key_that_lmdb_cannot_hold_is_refused_before_anything_is_written(
    store: Database, key: bytes
) -> None:
    good = [Write(ChainTable.META, b"good", b"1")]
    with pytest.raises(ValueError, match="a key has 1 to 511 bytes"):
        store.apply(good, [Write(StateTable.STATE, key, b"")])
    assert store.reader().get(ChainTable.META, b"good") is None
    store.apply(good, [Write(StateTable.STATE, b"k" * 511, b"longest")])
    assert store.reader().get(StateTable.STATE, b"k" * 511) == b"longest"


def test_a_table_of_the_other_environment_is_refused(store: Database) -> None:
    with pytest.raises(ValueError, match="is not a table of this environment"):
        store.apply([Write(StateTable.META, b"m", b"")], [])
    with pytest.raises(ValueError, match="is not a table of this environment"):
        store.apply([], [Write(ChainTable.META, b"m", b"")])


def test_a_snapshot_does_not_change_while_writes_go_on(store: Database) -> None:
    store.apply(_put(ChainTable.BLOCKS, b"1", b"2"), _put(StateTable.STATE, b"1"))
    with store.snapshot() as view:
        store.apply(
            [*_put(ChainTable.BLOCKS, b"3"), Write(ChainTable.BLOCKS, b"1", None)],
            [Write(StateTable.STATE, b"1", b"changed")],
        )
        assert view.get(ChainTable.BLOCKS, b"1") == b"value of 1"
        assert view.get(StateTable.STATE, b"1") == b"value of 1"
        assert view.count(ChainTable.BLOCKS) == 2
        assert [key for key, _ in view.scan(ChainTable.BLOCKS, b"", limit=9)] == [b"1", b"2"]
    with store.snapshot() as view:
        assert [key for key, _ in view.scan(ChainTable.BLOCKS, b"", limit=9)] == [b"2", b"3"]
        assert view.get(StateTable.STATE, b"1") == b"changed"


@pytest.mark.parametrize(
    ("start", "limit", "reverse", "expected"),
    [
        (b"", 9, False, [b"b", b"bb", b"d"]),
        (b"", 2, False, [b"b", b"bb"]),
        (b"", 9, True, [b"d", b"bb", b"b"]),
        (b"b", 9, False, [b"b", b"bb", b"d"]),
        (b"c", 9, False, [b"d"]),
        (b"c", 9, True, [b"bb", b"b"]),
        (b"d", 1, True, [b"d"]),
        (b"e", 9, False, []),
        (b"e", 1, True, [b"d"]),
        (b"a", 9, True, []),
        (b"a", 0, False, []),
        (b"", -1, True, []),
    ],
)
def test_scans_start_with_their_key_and_go_both_ways(
    store: Database, start: bytes, limit: int, reverse: bool, expected: list[bytes]
) -> None:
    store.apply(_put(ChainTable.META, b"d", b"bb", b"b"), [])
    with store.snapshot() as view:
        found = view.scan(ChainTable.META, start, limit=limit, reverse=reverse)
        assert found == [(key, b"value of " + key) for key in expected]
        assert view.scan(ChainTable.EVIDENCE, start, limit=limit, reverse=reverse) == []


def test_a_scan_is_bounded_in_bytes_and_still_moves_on(store: Database) -> None:
    store.apply([], [Write(StateTable.NODES, b"%d" % n, bytes(1000)) for n in range(5)])
    with store.snapshot() as view:
        assert len(view.scan(StateTable.NODES, b"", limit=9, limit_bytes=2500)) == 3
        assert len(view.scan(StateTable.NODES, b"", limit=9, limit_bytes=1)) == 1


def test_no_more_snapshots_than_allowed_at_once(store: Database) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(store.snapshot())
        with pytest.raises(SnapshotLimit, match="3 queries are being answered already"):
            stack.enter_context(store.snapshot())
    with store.snapshot() as view:
        assert view.count(ChainTable.META) == 0


def test_a_closed_snapshot_refuses(store: Database) -> None:
    with store.snapshot() as view:
        pass
    with pytest.raises(SnapshotExpired, match="was closed"):
        view.get(ChainTable.META, b"k")
    with pytest.raises(SnapshotExpired, match="was closed"):
        view.scan(ChainTable.META, b"", limit=1)
    with pytest.raises(SnapshotExpired, match="was closed"):
        view.count(ChainTable.META)


@pytest.mark.parametrize("ended_by", ["apply", "snapshot"])
def test_a_snapshot_over_its_age_is_ended_by_the_next_write_or_snapshot(
    store: Database, clock: Clock, ended_by: str
) -> None:
    def use() -> None:
        if ended_by == "apply":
            store.apply(_put(ChainTable.META, b"k"), [])
        else:
            with store.snapshot():
                pass

    with store.snapshot() as view:
        clock.now_ms = AGE_MS
        use()
        assert view.count(ChainTable.EVIDENCE) == 0
        clock.now_ms = AGE_MS + 1
        use()
        with pytest.raises(SnapshotExpired, match="took longer than 1000 ms"):
            view.count(ChainTable.EVIDENCE)


def _height(height: int) -> bytes:
    return height.to_bytes(8, "big")


def test_a_check_finds_nothing_in_a_sound_store(store: Database) -> None:
    assert check(store) == []
    heights = [_height(height) for height in range(7, 12)]
    store.apply(
        [
            *_put(ChainTable.HEADERS, *heights),
            *_put(ChainTable.CERTIFICATES, heights[0], *heights[2:4]),  # a later one proves the lower heights
            *_put(ChainTable.BODIES, *heights),
        ],
        _put(StateTable.STATE, b"a", b"b"),
    )
    assert check(store) == []


@pytest.mark.parametrize(
    ("write", "finding"),
    [
        (Write(ChainTable.HEADERS, _height(9), None), "chain/headers misses 1 heights"),
        (Write(ChainTable.BODIES, _height(12), b""), "chain/bodies has height 12, which has no header"),
        (Write(ChainTable.CERTIFICATES, b"x", b""), "chain/certificates has keys that are not heights"),
    ],
)
def test_a_check_names_heights_that_do_not_fit(store: Database, write: Write, finding: str) -> None:
    heights = [_height(height) for height in range(7, 12)]
    store.apply([*_put(ChainTable.HEADERS, *heights), *_put(ChainTable.BODIES, *heights)], [])
    store.apply([write], [])
    assert [text for text in check(store) if text.startswith(finding)]


keys = st.binary(min_size=1, max_size=3)
table_writes = st.lists(st.tuples(st.booleans(), keys, st.none() | st.binary(max_size=5)), max_size=12)


@settings(max_examples=40, deadline=None)
@given(groups=st.lists(table_writes, max_size=5), start=st.binary(max_size=3), reverse=st.booleans())
def test_both_stores_answer_alike(
    groups: list[list[tuple[bool, bytes, bytes | None]]], start: bytes, reverse: bool
) -> None:
    with TemporaryDirectory() as name:
        on_disk = Store.open(Path(name), fsync=False)
        in_memory = MemoryStore()
        for group in groups:
            chain = [Write(ChainTable.META, key, value) for is_chain, key, value in group if is_chain]
            state = [Write(StateTable.META, key, value) for is_chain, key, value in group if not is_chain]
            on_disk.apply(chain, state)
            in_memory.apply(chain, state)

        def answers(database: Database) -> list[object]:
            with database.snapshot() as view:
                tables: tuple[Table, ...] = (ChainTable.META, StateTable.META)
                return [
                    (
                        view.scan(table, start, limit=7, reverse=reverse),
                        view.count(table),
                        view.get(table, b"0"),
                    )
                    for table in tables
                ]

        assert answers(on_disk) == answers(in_memory)
        on_disk.close()
