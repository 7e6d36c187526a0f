"""Reading what is on its way to the database: one view, never older than what was told, never two heights."""

import random

from node.daemon.memory_store import MemoryStore
from node.daemon.recent import Layer, RecentHeights
from node.storage import HEIGHT_KEY, ChainTable, Contents, StateTable, Table, WriteSet, height_key

KEY, OTHER = b"key", b"other"


def layer(height: int, chain: Contents | None = None, state: Contents | None = None) -> Layer:
    """What leads to `height`; the state says so itself."""
    meta: dict[Table, Contents] = {StateTable.META: {HEIGHT_KEY: height_key(height)}}
    return Layer(
        height,
        WriteSet({ChainTable.HEADERS: {height_key(height): b"header %d" % height, **(chain or {})}}),
        WriteSet({StateTable.STATE: dict(state or {}), **meta}),
    )


def stored(store: MemoryStore, one: Layer) -> None:
    store.apply(one.chain, one.state)


def test_state_and_chain_of_a_flush_are_readable_together_before_it_is_stored() -> None:
    store, recent = MemoryStore(), RecentHeights()
    stored(store, layer(1, state={KEY: b"old", OTHER: b"kept"}))
    recent.begin(layer(2, state={KEY: b"new"}))
    with recent.over(store) as snapshot:
        assert snapshot.get(StateTable.STATE, KEY) == b"new"
        assert snapshot.get(StateTable.STATE, OTHER) == b"kept"
        assert snapshot.get(StateTable.META, HEIGHT_KEY) == height_key(2)
        assert snapshot.get(ChainTable.HEADERS, height_key(2)) == b"header 2"
        assert snapshot.scan(StateTable.STATE, b"", limit=9) == [(KEY, b"new"), (OTHER, b"kept")]


def test_the_newest_layer_counts_and_a_deletion_hides_what_is_below() -> None:
    store, recent = MemoryStore(), RecentHeights()
    stored(store, layer(1, state={KEY: b"1", OTHER: b"1"}))
    changes: list[Contents] = [{KEY: b"2"}, {KEY: None}, {OTHER: b"4"}]
    for height, state in enumerate(changes, 2):
        recent.begin(layer(height, state=state))
    with recent.over(store) as snapshot:
        assert snapshot.get(StateTable.STATE, KEY) is None
        assert snapshot.scan(StateTable.STATE, b"", limit=9) == [(OTHER, b"4")]
        assert snapshot.count(StateTable.STATE) == 1
    recent.end(2)
    assert len(recent) == 1


def test_a_snapshot_newer_than_the_layers_is_not_made_older_by_them() -> None:
    recent = RecentHeights()

    class StoredMeanwhile(MemoryStore):
        """Two heights reach the disk between the look at the layers and the view of the database."""

        def snapshot(self):  # type: ignore[no-untyped-def]  # as the method it replaces
            for height in (2, 3):
                stored(self, layer(height, state={KEY: b"%d" % height}))
            return super().snapshot()

    recent.begin(layer(2, state={KEY: b"2"}))
    with recent.over(StoredMeanwhile()) as snapshot:
        assert snapshot.get(StateTable.META, HEIGHT_KEY) == height_key(3)
        assert snapshot.get(StateTable.STATE, KEY) == b"3"


def test_executed_heights_lie_on_top_and_only_those_that_no_flush_has() -> None:
    store, recent = MemoryStore(), RecentHeights()
    stored(store, layer(1, state={KEY: b"1"}))
    executed = (layer(2, state={KEY: b"2"}), layer(3, state={OTHER: b"3"}), layer(4, state={KEY: b"4"}))
    with recent.over(store, executed) as snapshot:
        assert (snapshot.get(StateTable.STATE, KEY), snapshot.get(StateTable.STATE, OTHER)) == (b"4", b"3")
    recent.begin(layer(3, state={KEY: b"certified", OTHER: b"3"}))
    with recent.over(store, executed[:2]) as snapshot:
        assert snapshot.get(StateTable.STATE, KEY) == b"certified"
    with recent.over(store) as snapshot:
        assert snapshot.get(StateTable.META, HEIGHT_KEY) == height_key(3)


def test_scans_of_any_page_size_and_direction_give_what_one_merged_table_would() -> None:
    rng = random.Random(3)
    for _ in range(200):
        store, recent = MemoryStore(), RecentHeights()
        truth: dict[bytes, bytes] = {}
        for height in range(1, 5):
            state: Contents = {
                bytes([rng.randrange(97, 115)]): rng.choice([None, b"%d" % height]) for _ in range(6)
            }
            for key, value in state.items():
                truth.pop(key, None)
                if value is not None:
                    truth[key] = value
            if height == 1:
                stored(store, layer(height, state=state))
            else:
                recent.begin(layer(height, state=state))
        reverse, limit = rng.random() < 0.5, rng.randrange(1, 5)
        with recent.over(store) as snapshot:
            found: list[tuple[bytes, bytes]] = []
            start = b""
            while page := snapshot.scan(StateTable.STATE, start, limit=limit + 1, reverse=reverse):
                fresh = page[1:] if start else page
                found += fresh
                if not fresh:
                    break
                start = page[-1][0]
            assert found == sorted(truth.items(), reverse=reverse)
