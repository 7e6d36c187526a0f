"""A (sender, id) runs at most once while unexpired, remembered on disk and forgotten in time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import LocalError, as_tuple, decode
from node.ledger.codes import Code
from node.ledger.replay import (
    ID_BYTES,
    bucket_key,
    chunk_key,
    extend_digest,
    id_key,
    replay_id,
)
from node.ledger.state import Space
from tests.node.ledger.world import ALICE, ANNA, World, make_genesis, put_args

WIDTH_MS = 60_000


def small_world() -> World:
    """Buckets of one second, a cap of five."""
    return World(make_genesis(replay_cap_ms=5_000, replay_bucket_ms=1_000))


def buckets_of(world: World) -> dict[bytes, tuple[object, ...]]:
    state = world.store.spaces[Space.STATE]
    return {key: decode(value) for key, value in state.items() if key.startswith(b"replay/")}


def check_chunks(world: World) -> None:
    """Every living bucket's leaf is what its chunks fold to, and each id is found by a point read."""
    replay = world.store.spaces[Space.REPLAY]
    for key, leaf in buckets_of(world).items():
        running, count, last = as_tuple(leaf, 3, "leaf")
        bucket = int.from_bytes(key[-8:], "big")
        chunks = []
        height = last
        while height:
            chunk = replay[chunk_key(bucket, height)]
            chunks.append(chunk[8:])
            height = int.from_bytes(chunk[:8], "big")
        folded = bytes(32)
        for ids in reversed(chunks):
            folded = extend_digest(folded, ids)
        assert folded == running
        assert sum(map(len, chunks)) == count * ID_BYTES
        for ids in chunks:
            for start in range(0, len(ids), ID_BYTES):
                assert replay[id_key(ids[start : start + ID_BYTES])] == bucket.to_bytes(8, "big")


@pytest.mark.parametrize("flush", [True, False])
def test_a_replay_is_refused_in_the_same_block_in_the_next_and_from_disk(flush: bool) -> None:
    world = World()
    first = world.put(ALICE, "acme/a")
    world.execute(first, first, flush=flush)
    for _ in range(3):
        assert world.execute(first, flush=flush).skipped == ((0, Code.REPLAYED),)


def test_the_same_id_is_refused_with_another_content_or_expiry_but_not_of_another_sender() -> None:
    world = World()
    unique_id = bytes(16)
    world.execute(world.sign(ALICE, "put", put_args("acme/a"), unique_id=unique_id))
    other = world.sign(
        ALICE, "put", put_args("acme/b"), unique_id=unique_id, expires_at_ms=world.now_ms + 300_000
    )
    annas = world.sign(ANNA, "put", put_args("acme/c"), unique_id=unique_id)
    execution = world.execute(other, annas)
    assert execution.skipped == ((0, Code.REPLAYED),)
    assert [receipt.ok for receipt in execution.receipts] == [True]


def test_a_failed_transaction_uses_up_its_id() -> None:
    world = World()
    failing = world.supersede(ALICE, "acme/a", 1, b"x")
    assert world.execute(failing).receipts[0].status == Code.RECORD_UNKNOWN
    world.execute(world.put(ALICE, "acme/a"))
    assert world.execute(failing).skipped == ((0, Code.REPLAYED),)


def test_ids_are_bound_to_the_state_bucket_by_bucket() -> None:
    world = World()
    expires_at_ms = world.now_ms + 100_000
    made = [world.sign(ALICE, "put", put_args(f"a/{i}"), expires_at_ms=expires_at_ms) for i in range(5)]
    world.execute(*made[:3])
    world.execute(*made[3:])
    bucket = expires_at_ms // WIDTH_MS
    first, second = (
        b"".join(replay_id(t.sender, t.unique_id) for t in transactions)
        for transactions in (made[:3], made[3:])
    )
    running = extend_digest(extend_digest(bytes(32), first), second)
    assert buckets_of(world) == {bucket_key(bucket): (running, 5, 2)}
    replay = world.store.spaces[Space.REPLAY]
    assert replay[chunk_key(bucket, 1)] == bytes(8) + first
    assert replay[chunk_key(bucket, 2)] == (1).to_bytes(8, "big") + second
    check_chunks(world)


def test_an_ended_bucket_leaves_the_state_at_once_and_the_disk_in_bounded_steps() -> None:
    world = small_world()
    for block in range(3):
        world.execute(
            *[
                world.sign(ALICE, "put", put_args(f"b{block}/{i}"), expires_at_ms=world.now_ms + 3_000)
                for i in range(1_500)
            ],
            after_ms=10,
        )
    replay = world.store.spaces[Space.REPLAY]
    assert sum(key[:1] == b"i" for key in replay) == 4_500
    execution = world.execute(after_ms=10_000)
    assert buckets_of(world) == {}
    pruned = sum(space is Space.REPLAY and value is None for space, _, value in execution.state_writes)
    assert 0 < pruned < 2_000
    for _ in range(3):
        world.execute(after_ms=10)
    assert replay == {}


def test_an_id_may_be_used_again_once_its_bucket_has_ended_and_is_remembered_anew() -> None:
    world = small_world()
    unique_id = b"\x07" * 16
    crowd = [
        world.sign(ANNA, "put", put_args(f"crowd/{i}"), expires_at_ms=world.now_ms + 3_000)
        for i in range(2_000)
    ]
    first = world.sign(ALICE, "put", put_args("a/1"), unique_id=unique_id, expires_at_ms=world.now_ms + 3_000)
    world.execute(first, after_ms=10)
    world.execute(*crowd, after_ms=10)
    world.execute(after_ms=10_000)
    identity = id_key(replay_id(first.sender, unique_id))
    assert identity in world.store.spaces[Space.REPLAY], "the older chunk waits for its turn"
    second = world.sign(
        ALICE, "put", put_args("a/2"), unique_id=unique_id, expires_at_ms=world.now_ms + 5_000
    )
    assert world.execute(second, after_ms=10).receipts[0].ok
    for _ in range(4):
        world.execute(after_ms=10)
    assert identity in world.store.spaces[Space.REPLAY], "deleting the old chunk spares the new use"
    assert world.execute(second, after_ms=10).skipped == ((0, Code.REPLAYED),)
    check_chunks(world)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, 9), st.integers(1, 6_500)), max_size=8), st.integers(1, 7_000)
        ),
        max_size=12,
    ),
)
def test_acceptance_is_that_of_a_model_that_keeps_everything_unexpired(
    blocks: list[tuple[list[tuple[int, int]], int]],
) -> None:
    world = small_world()
    last_bucket: dict[int, int] = {}
    for index, (calls, after_ms) in enumerate(blocks):
        time_ms = world.now_ms + after_ms
        transactions, expected = [], []
        for position, (unique, life_ms) in enumerate(calls):
            transactions.append(
                world.sign(
                    ALICE,
                    "put",
                    put_args(f"n{index}/{position}"),
                    unique_id=bytes(15) + bytes((unique,)),
                    expires_at_ms=time_ms - 500 + life_ms,
                )
            )
            expires_at_ms = transactions[-1].expires_at_ms
            if expires_at_ms <= time_ms:
                expected.append(Code.EXPIRED)
            elif expires_at_ms > time_ms + 5_000:
                expected.append(Code.EXPIRY_TOO_FAR)
            elif last_bucket.get(unique, -1) >= time_ms // 1_000:
                expected.append(Code.REPLAYED)
            else:
                expected.append(Code.OK)
                last_bucket[unique] = expires_at_ms // 1_000
        execution = world.execute(*transactions, after_ms=after_ms)
        found = dict(execution.skipped)
        for (position, _), receipt in zip(execution.leaves, execution.receipts, strict=True):
            found[position] = Code(receipt.status)
        assert [found[position] for position in range(len(expected))] == expected
        check_chunks(world)
        assert len(buckets_of(world)) <= 7
        living = set(buckets_of(world))
        assert living == {bucket_key(b) for b in last_bucket.values() if b >= time_ms // 1_000}


def test_a_missing_chunk_is_corruption_and_stops_the_process() -> None:
    world = small_world()
    transaction = world.sign(ALICE, "put", put_args("a/1"), expires_at_ms=world.now_ms + 3_000)
    world.execute(transaction, after_ms=10)
    bucket = transaction.expires_at_ms // 1_000
    del world.store.spaces[Space.REPLAY][chunk_key(bucket, 1)]
    with pytest.raises(LocalError, match="chunk"):
        world.execute(after_ms=10_000)


def test_memory_of_a_long_run_is_bounded_by_the_window() -> None:
    world = small_world()
    for block in range(60):
        world.execute(
            *[
                world.sign(ALICE, "put", put_args(f"b{block}/{i}"), expires_at_ms=world.now_ms + 4_000)
                for i in range(20)
            ],
            after_ms=1_000,
        )
        assert len(world.store.spaces[Space.REPLAY]) <= 7 * 21 + 1
        assert world.ledger.overlay.entries_held == 0
