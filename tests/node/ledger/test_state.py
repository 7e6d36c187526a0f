"""The overlay shows what a dictionary with all layers applied would show, and stays bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import LocalError
from node.ledger.state import BlockState, Overlay, Space
from tests.node.ledger.world import Store

KEYS = (b"a", b"b", b"c")
CHANGES = st.dictionaries(st.sampled_from(KEYS), st.none() | st.binary(max_size=3), max_size=3)
STEPS = st.lists(st.tuples(CHANGES, CHANGES, CHANGES) | st.integers(0, 6), max_size=20)


@given(STEPS)
def test_reading_through_any_number_of_layers_equals_a_flushed_store(steps: list[object]) -> None:
    reader, model = Store(), Store()
    overlay = Overlay(reader, layers_max=50)
    block = BlockState(overlay)  # one that writes nothing, while layers come and go under it
    layers: list[tuple[int, tuple[dict[bytes, bytes | None], ...]]] = []
    height = 0
    for step in steps:
        if isinstance(step, tuple):
            height += 1
            overlay.push(height, step)
            layers.append((height, step))
            model.apply(as_writes(step))
        else:
            target = height - step
            for layer_height, writes in layers:
                if layer_height <= target:
                    reader.apply(as_writes(writes))
            layers = [layer for layer in layers if layer[0] > target]
            overlay.drop_through(target)
        for space in Space:
            for key in KEYS:
                assert overlay.get(space, key) == model.get(space, key)
        for key in KEYS:
            assert block.get_state(key) == model.get(Space.STATE, key)
            assert block.get(key) == model.get(Space.NODES, key)
            assert block.get_replay(key) == model.get(Space.REPLAY, key)
        assert overlay.layers_held == len(layers)
        assert overlay.entries_held == sum(len(changed) for _, writes in layers for changed in writes)
        assert overlay.bytes_held == sum(
            len(k) + len(v or b"") for _, writes in layers for changed in writes for k, v in changed.items()
        )


def as_writes(layer: tuple[dict[bytes, bytes | None], ...]) -> tuple[tuple[Space, bytes, bytes | None], ...]:
    return tuple((s, k, v) for s, changed in zip(Space, layer, strict=True) for k, v in changed.items())


def test_nothing_is_kept_of_dropped_layers() -> None:
    overlay = Overlay(Store(), layers_max=4)
    for height in range(1, 1_000):
        overlay.push(height, ({b"%d" % height: b"x", b"same": b"%d" % height}, {}, {}))
        overlay.drop_through(height - 3)
        assert overlay.layers_held <= 4
        assert sum(map(len, overlay.merged)) <= 8  # those of the layers held, and at most as many again
    overlay.drop_through(2_000)
    assert overlay.merged == ({}, {}, {})
    assert overlay.entries_held == overlay.bytes_held == overlay.layers_held == 0


def test_a_full_overlay_and_a_lower_height_are_our_own_fault() -> None:
    overlay = Overlay(Store(), layers_max=2)
    overlay.push(5, ({}, {}, {}))
    with pytest.raises(LocalError, match="does not follow"):
        overlay.push(5, ({}, {}, {}))
    overlay.push(6, ({}, {}, {}))
    assert not overlay.has_room
    assert overlay.limits()[0] == ("ledger_overlay_layers", 2, 2)
    with pytest.raises(LocalError, match="wait for the flush"):
        overlay.push(7, ({}, {}, {}))


def test_a_block_sees_its_own_writes_first_then_layers_then_the_store() -> None:
    store = Store(((Space.STATE, b"a", b"stored"), (Space.STATE, b"b", b"stored"), (Space.NODES, b"n", b"s")))
    overlay = Overlay(store)
    overlay.push(1, ({b"b": b"layer", b"c": None}, {b"n": None}, {b"r": b"layer"}))
    block = BlockState(overlay)
    assert [block.get_state(key) for key in (b"a", b"b", b"c")] == [b"stored", b"layer", None]
    assert (block.get(b"n"), block.get_replay(b"r")) == (None, b"layer")
    block.state[b"a"] = None
    block.replay[b"r"] = b"own"
    block.nodes[b"n"] = b"own"
    assert (block.get_state(b"a"), block.get_replay(b"r"), block.get(b"n")) == (None, b"own", b"own")
    assert overlay.get(Space.STATE, b"a") == b"stored"


def test_bytes_held_close_the_door_before_the_layers_do() -> None:
    overlay = Overlay(Store(), layers_max=100, bytes_max=10)
    overlay.push(1, ({b"key": b"123456"}, {}, {}))
    assert overlay.has_room
    overlay.push(2, ({b"key": b"123456"}, {}, {}))
    assert not overlay.has_room
    assert overlay.limits()[1] == ("ledger_overlay_bytes", 18, 10)
    overlay.drop_through(1)
    assert overlay.has_room
