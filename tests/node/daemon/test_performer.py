"""The hands of a node: what is stored is told, a full disk is waited out, peers' requests have a bound."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import structlog.testing
import trio

from consensus import Digest
from node.daemon import performer
from node.daemon.daemon import Node
from node.daemon.performer import SERVED_AT_ONCE_MAX, SERVED_TO_ONE_MAX, Performer
from node.daemon.postbox import Postbox
from node.daemon.store import Store
from node.storage import HEIGHT_KEY, ChainTable, StateTable, StoreFull, Write, height_key
from node.validator import (
    Append,
    BatchChecked,
    BatchLoaded,
    CheckBatch,
    CheckChunk,
    CheckSignatures,
    ChunkChecked,
    DiskLow,
    Flush,
    Flushed,
    Input,
    LoadBatch,
    Punish,
    Resume,
    SendFrame,
    ServeBlocks,
    SignaturesChecked,
    Tell,
)
from tests.node.daemon.running import config_of, running_node, written
from tests.node.daemon.test_workers import forged

NAME = Digest(bytes(range(32)))
STRANGER = b"\x07" * 32


class FullTwice(Store):
    """The real database, on a disk that is full for the first two writes."""

    refusals = 2

    def apply(self, chain: Sequence[Write] = (), state: Sequence[Write] = ()) -> None:
        if self.refusals:
            self.refusals -= 1
            raise StoreFull("no room for this write")
        super().apply(chain, state)


class Hands:
    """A performer of its own beside a running node, with a postbox that nobody else reads."""

    def __init__(self, node: Node, nursery: trio.Nursery, store: Store) -> None:
        self.postbox = Postbox()
        opened = node.opened
        self.performer = Performer(
            nursery,
            node.network,
            lambda keys: (),
            self.postbox,
            store,
            opened.journal,
            node.workers,
            node.waiters,
            node.recent,
            node.performer._rules,
            node.answered,
        )

    async def next(self) -> Input:
        """What the hands tell the validator next."""
        await self.postbox.wait()
        (item,) = self.postbox.take(1)
        return item


async def test_tasks_answer_by_leaving_an_input(tmp_path: Path) -> None:
    async with running_node(config_of(written(tmp_path / "net"))) as node, trio.open_nursery() as nursery:
        hands = Hands(node, nursery, node.opened.store)
        hands.performer.perform(LoadBatch(NAME))
        assert await hands.next() == BatchLoaded(NAME, None)
        hands.performer.perform(CheckSignatures(7, (forged(1),)))
        assert await hands.next() == SignaturesChecked(7, (False,))
        hands.performer.perform(CheckBatch(NAME, b"no batch"))
        answer = await hands.next()
        assert isinstance(answer, BatchChecked)
        assert answer.fault
        hands.performer.perform(CheckChunk(8, bytes(512), 512))
        assert await hands.next() == ChunkChecked(8, "transaction 0: the signature is wrong")


async def test_a_flush_is_told_once_it_is_readable(tmp_path: Path) -> None:
    async with running_node(config_of(written(tmp_path / "net"))) as node, trio.open_nursery() as nursery:
        hands = Hands(node, nursery, node.opened.store)
        flush = Flush(1, (Write(ChainTable.BATCHES, NAME, b"body"),), (), 0, 0)
        hands.performer.perform(flush)
        assert await hands.next() == Flushed(1)
        hands.performer.perform(LoadBatch(NAME))
        assert await hands.next() == BatchLoaded(NAME, b"body")
        assert (hands.performer.counts.flushes, hands.performer.counts.flushed_writes) == (1, 1)


async def test_flushes_asked_for_in_a_row_are_stored_together_and_told_in_order(tmp_path: Path) -> None:
    async with running_node(config_of(written(tmp_path / "net"))) as node, trio.open_nursery() as nursery:
        hands = Hands(node, nursery, node.opened.store)
        names = [Digest(bytes((number,)) * 32) for number in range(4)]
        for number, name in enumerate(names, 1):
            body = (Write(ChainTable.BATCHES, name, b"body"), Write(ChainTable.BATCHES, NAME, name))
            hands.performer.perform(Flush(number, body, (), 0, 0))
        with node.recent.over(node.opened.store) as snapshot:  # readable at once
            assert [snapshot.get(ChainTable.BATCHES, name) for name in names] == [b"body"] * 4
            assert snapshot.get(ChainTable.BATCHES, NAME) == names[-1]
        assert [await hands.next() for _ in names] == [Flushed(number) for number in range(1, 5)]
        assert (hands.performer.counts.flushes, hands.performer.counts.flushed_writes) == (1, 5)
        reader = node.opened.store.reader()
        assert [reader.get(ChainTable.BATCHES, name) for name in names] == [b"body"] * 4
        assert reader.get(ChainTable.BATCHES, NAME) == names[-1]


def _large_flush(number: int) -> Flush:
    entries = performer.FLUSH_BUSY_WRITES
    names = [Digest(number.to_bytes(2, "big") + entry.to_bytes(30, "big")) for entry in range(entries)]
    return Flush(number, tuple(Write(ChainTable.BATCHES, name, b"body") for name in names), (), number, 0)


async def test_a_busy_node_waits_longer_for_company_until_a_group_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(performer, "FLUSH_PAUSE_SECONDS", 0)
    monkeypatch.setattr(performer, "FLUSH_BUSY_PAUSE_SECONDS", 3600)
    async with running_node(config_of(written(tmp_path / "net"))) as node, trio.open_nursery() as nursery:
        hands = Hands(node, nursery, node.opened.store)
        for number in range(1, performer.FLUSH_GROUP_MAX):
            hands.performer.perform(_large_flush(number))
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert hands.performer.counts.flushes == 0
        hands.performer.perform(_large_flush(performer.FLUSH_GROUP_MAX))
        for number in range(1, performer.FLUSH_GROUP_MAX + 1):
            assert await hands.next() == Flushed(number)
        assert hands.performer.counts.flushes == 1


async def test_readers_do_not_wait_until_a_height_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(performer, "FLUSH_PAUSE_SECONDS", 3600)
    async with running_node(config_of(written(tmp_path / "net"))) as node, trio.open_nursery() as nursery:
        hands = Hands(node, nursery, node.opened.store)
        state = (Write(StateTable.STATE, NAME, b"new"), Write(StateTable.META, HEIGHT_KEY, height_key(1)))
        hands.performer.perform(Flush(1, (Write(ChainTable.HEADERS, height_key(1), b"header"),), state, 1, 0))
        assert await node.waiters.wait_readable(1) == 1
        with node.recent.over(node.opened.store) as snapshot:
            assert snapshot.get(StateTable.STATE, NAME) == b"new"
            assert snapshot.get(StateTable.META, HEIGHT_KEY) == height_key(1)
        assert (node.waiters.stored_height, hands.performer.counts.flushes) == (0, 0)
        nursery.cancel_scope.cancel()


async def test_a_full_disk_refuses_payload_until_the_flush_went_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(performer, "FULL_RETRY_SECONDS", 0.01)
    store = FullTwice.open(tmp_path / "small", map_bytes=2**20)
    assert isinstance(store, FullTwice)
    try:
        config = config_of(written(tmp_path / "net"))
        async with running_node(config) as node, trio.open_nursery() as nursery:
            hands = Hands(node, nursery, store)
            hands.performer.perform(Flush(1, (Write(ChainTable.BATCHES, NAME, b"body"),), (), 0, 0))
            told = [await hands.next() for _ in range(4)]
        # Clients are let in again once it was stored, not between two tries.
        assert told == [DiskLow(True), DiskLow(True), DiskLow(False), Flushed(1)]
        assert store.reader().get(ChainTable.BATCHES, NAME) == b"body"
    finally:
        store.close()


async def test_one_peers_requests_and_those_of_all_are_dropped_beyond_their_bounds(tmp_path: Path) -> None:
    async with running_node(config_of(written(tmp_path / "net"))) as node:
        async with trio.open_nursery() as nursery:
            hands = Hands(node, nursery, node.opened.store)
            counts = hands.performer.counts
            for _ in range(SERVED_TO_ONE_MAX + 3):
                hands.performer.perform(ServeBlocks(STRANGER, NAME, 1))
            assert (hands.performer.requests_under_way, counts.dropped_requests) == (SERVED_TO_ONE_MAX, 3)
            for number in range(SERVED_AT_ONCE_MAX):
                hands.performer.perform(ServeBlocks(number.to_bytes(32, "big"), NAME, 1))
            assert hands.performer.requests_under_way == SERVED_AT_ONCE_MAX
            assert counts.dropped_requests == 3 + SERVED_TO_ONE_MAX
        assert hands.performer.requests_under_way == 0
        assert counts.served + counts.dropped_requests == SERVED_TO_ONE_MAX + 3 + SERVED_AT_ONCE_MAX


async def test_what_goes_to_nobody_is_harmless_and_faults_are_told(tmp_path: Path) -> None:
    async with running_node(config_of(written(tmp_path / "net"))) as node, trio.open_nursery() as nursery:
        hands = Hands(node, nursery, node.opened.store)
        hands.performer.perform(SendFrame(STRANGER, 1, b"body"))
        with structlog.testing.capture_logs() as told:
            hands.performer.perform(Punish(STRANGER, "bad-vote", "it is not of this round", 1))
            hands.performer.perform(Tell("event", "words"))
        assert [entry["event"] for entry in told] == ["peer_fault", "event"]
        assert told[0]["detail"] == "it is not of this round"
        assert hands.performer.counts.faults == 1


@pytest.mark.parametrize("output", [Append(1, b""), Resume()])
async def test_what_is_the_drivers_is_refused(tmp_path: Path, output: Append | Resume) -> None:
    async with running_node(config_of(written(tmp_path / "net"))) as node, trio.open_nursery() as nursery:
        hands = Hands(node, nursery, node.opened.store)
        with pytest.raises(AssertionError, match="driver"):
            hands.performer.perform(output)
