"""Peers' requests: each peer has its share, and what goes wrong in one costs that one its answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import trio

from consensus import Digest
from node.daemon.journal import Journal
from node.daemon.performer import SERVED_AT_ONCE_MAX, SERVED_TO_ONE_MAX, Performer
from node.daemon.postbox import Postbox
from node.daemon.recent import RecentChain
from node.daemon.store import Store
from node.daemon.waiters import Waiters
from node.daemon.workers import Workers
from node.pool.batches import BatchRules
from node.pool.config import PoolConfig
from node.storage import SnapshotExpired, SnapshotLimit, Table
from node.validator import ServeBlocks
from p2p import Network

GREEDY, MODEST = b"g" * 32, b"m" * 32


class SlowStore:
    """A database whose snapshots end as told, once they may."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.may_end = trio.Event()

    @contextmanager
    def snapshot(self) -> Iterator["SlowStore"]:
        trio.from_thread.run(self.may_end.wait)
        yield self

    def get(self, table: Table, key: bytes) -> bytes | None:
        raise self.error


def performer_of(nursery: trio.Nursery, store: SlowStore) -> Performer:
    nobody: Callable[[object], None] = lambda answer: None  # noqa: E731
    return Performer(
        nursery,
        cast(Network, None),
        (),
        Postbox(),
        cast(Store, store),
        cast(Journal, None),
        cast(Workers, None),
        Waiters(0),
        RecentChain(),
        PoolConfig(BatchRules(bytes(32))),
        nobody,
    )


async def test_a_snapshot_that_ended_costs_the_answer_and_not_the_node() -> None:
    for error in (SnapshotExpired("too old"), SnapshotLimit("too many")):
        store = SlowStore(error)
        store.may_end.set()
        async with trio.open_nursery() as nursery:
            performer = performer_of(nursery, store)
            performer.perform(ServeBlocks(GREEDY, Digest(bytes(32)), 1))
        assert (performer.counts.served, performer.counts.dropped_requests) == (0, 1)


async def test_one_peers_flood_leaves_room_for_the_others() -> None:
    store = SlowStore(SnapshotExpired("too old"))
    async with trio.open_nursery() as nursery:
        performer = performer_of(nursery, store)
        for _ in range(2 * SERVED_AT_ONCE_MAX):
            performer.perform(ServeBlocks(GREEDY, Digest(bytes(32)), 1))
        refused = performer.counts.dropped_requests
        assert refused == 2 * SERVED_AT_ONCE_MAX - SERVED_TO_ONE_MAX
        performer.perform(ServeBlocks(MODEST, Digest(bytes(32)), 1))
        assert performer.counts.dropped_requests == refused
        store.may_end.set()
    assert performer.counts.dropped_requests == refused + SERVED_TO_ONE_MAX + 1, "each was begun"
