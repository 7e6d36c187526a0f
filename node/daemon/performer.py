"""Outputs into actions: frames to the network, timers, and everything that takes time to a task of its own.

`perform` never waits and never raises for what a peer or client did. Tasks answer by leaving an input in
the postbox. Each kind of task has its own bound; peers' requests beyond theirs are dropped, because peers
ask again.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar, assert_never

import structlog
import trio

from node import wire
from node.daemon.askers import Askers
from node.daemon.journal import Journal
from node.daemon.postbox import Postbox
from node.daemon.recent import Layer, RecentHeights
from node.daemon.serving import blocks_answer, sync_answer
from node.daemon.store import Store
from node.daemon.timers import Timers
from node.daemon.waiters import Waiters
from node.daemon.workers import Workers
from node.pool.config import PoolConfig
from node.storage import ChainTable, SnapshotExpired, SnapshotLimit, StoreFull, WriteSet
from node.validator import (
    Answer,
    Append,
    BatchLoaded,
    BroadcastFrame,
    CheckBatch,
    CheckChunk,
    CheckSignatures,
    ChunkChecked,
    DiskLow,
    EnterEpoch,
    Flush,
    Flushed,
    ForwardGossip,
    LoadBatch,
    Output,
    PublishFrame,
    Punish,
    Resume,
    SendFrame,
    ServeBlocks,
    ServeSync,
    SignaturesChecked,
    StartTimer,
    StopTimer,
    Tell,
    TimerExpired,
    together,
)
from p2p import Network, PeerId

SERVED_AT_ONCE_MAX = 32
"""Peers' requests answered from storage at a time; more are dropped, peers ask elsewhere and again."""
SERVED_TO_ONE_MAX = 8
"""Of these for one peer, so that one's flood does not keep another from catching up: an honest one has two
ranges and some walks under way."""
FLUSH_PAUSE_SECONDS = 0.04
"""Answers leave before storing competes with them for the interpreter and the disk, and what is certified
meanwhile shares two syncs. Nobody who reads waits for it (recent.py)."""
FLUSH_BUSY_WRITES = 256
"""Entries that came in such a pause, above which more come soon and are waited for: a flush of ten times the
size costs half as much an entry, because entries share pages of the database."""
FLUSH_BUSY_PAUSE_SECONDS = 0.5
FLUSH_GROUP_MAX = 8
"""Flushes that are not waited beyond when busy: half of those that may be under way."""
FULL_RETRY_SECONDS = 2.0
"""Between two tries to store when the disk is full; the journal holds everything meanwhile."""

_Request = TypeVar("_Request", ServeSync, ServeBlocks)
_log = structlog.get_logger("isthmus")


@dataclass(slots=True)
class PerformerCounts:
    """What was done, for metrics."""

    flushes: int = 0
    flushed_writes: int = 0
    faults: int = 0
    served: int = 0
    dropped_requests: int = 0


class Performer:
    """One node's hands."""

    def __init__(
        self,
        nursery: trio.Nursery,
        network: Network,
        enter_epoch: Callable[[tuple[bytes, ...]], tuple[PeerId, ...]],
        postbox: Postbox,
        store: Store,
        journal: Journal,
        workers: Workers,
        waiters: Waiters,
        recent: RecentHeights,
        rules: PoolConfig,
        answered: Callable[[Answer], None],
    ) -> None:
        """`enter_epoch` accepts these node keys and answers with those to broadcast to."""
        self._nursery = nursery
        self._network = network
        self._enter_epoch = enter_epoch
        self._validators: tuple[PeerId, ...] = ()
        self._postbox = postbox
        self._store = store
        self._journal = journal
        self._workers = workers
        self._waiters = waiters
        self._recent = recent
        self._rules = rules
        self._answered = answered
        self._serving: dict[bytes, int] = {}  # requests under way, by peer
        self.askers = Askers()
        self._threads = trio.CapacityLimiter(4)
        self.writer = trio.CapacityLimiter(1)
        """Whoever writes to the database takes it: one thread at a time."""
        self._flushes: deque[Flush] = deque()
        self._group_is_full = trio.Event()
        self.timers = Timers(lambda name: postbox.put(TimerExpired(name)))
        self.counts = PerformerCounts()

    @property
    def requests_under_way(self) -> int:
        """Peers' requests being answered from storage, at most SERVED_AT_ONCE_MAX."""
        return sum(self._serving.values())

    def perform(self, output: Output) -> None:
        """Carry out one output, or start the task that does."""
        network = self._network
        match output:
            case SendFrame(peer, topic, body, key):
                network.send(PeerId(peer), topic, body, key=key)
            case BroadcastFrame(topic, body, key):
                network.broadcast(topic, body, key=key, to=self._validators)
            case StartTimer(name, delay_ms):
                self.timers.start(name, delay_ms)
            case StopTimer(name):
                self.timers.stop(name)
            case PublishFrame(topic, body):
                network.publish(topic, body)
            case ForwardGossip(peer, topic, gossip_id):
                network.accept_gossip(PeerId(peer), topic, gossip_id)
            case Punish():
                self._punish(output)
            case Answer():
                self._answered(output)
            case Tell(event, detail):
                _log.info(event, detail=detail)
            case EnterEpoch(_, validators):
                self._validators = self._enter_epoch(validators)
            case Append() | Resume():
                raise AssertionError("appends and resumptions are the driver's")
            case _:
                self._start(output)

    def _start(
        self, output: CheckBatch | CheckSignatures | CheckChunk | Flush | LoadBatch | ServeSync | ServeBlocks
    ) -> None:
        start = self._nursery.start_soon
        match output:
            case CheckBatch(_, data):
                checked = self._workers.check_small_batch(data)
                if checked is None:
                    start(self._check_batch, output)
                else:
                    self._postbox.put(checked)
            case CheckSignatures(ticket, transactions):
                valid = self._workers.check_few_signatures(transactions)
                if valid is None:
                    start(self._check_signatures, output)
                else:
                    self._postbox.put(SignaturesChecked(ticket, valid))
            case CheckChunk():
                start(self._check_chunk, output)
            case Flush():
                self._begin_flush(output)
            case LoadBatch():
                start(self._load_batch, output)
            case ServeSync(peer, request):
                self.askers.note(peer, request.from_height, int(1000 * trio.current_time()))
                self._serve(self._serve_sync, output)
            case ServeBlocks():
                self._serve(self._serve_blocks, output)
            case _:
                assert_never(output)

    def _punish(self, fault: Punish) -> None:
        self.counts.faults += 1
        _log.warning("peer_fault", peer=fault.peer.hex()[:12], code=fault.code, detail=fault.detail)
        if fault.gossip is None:
            self._network.report(PeerId(fault.peer), fault.code, fault.weight)
        else:
            self._network.reject_gossip(PeerId(fault.peer), *fault.gossip, fault.weight)

    # --- checks ----------------------------------------------------------------------------------------

    async def _check_batch(self, item: CheckBatch) -> None:
        self._postbox.put(await self._workers.check_batch(item.data))

    async def _check_signatures(self, item: CheckSignatures) -> None:
        valid = await self._workers.check_signatures(item.transactions)
        self._postbox.put(SignaturesChecked(item.ticket, valid))

    async def _check_chunk(self, item: CheckChunk) -> None:
        fault = await self._workers.check_chunk(item.chunk, item.transaction_bytes)
        self._postbox.put(ChunkChecked(item.ticket, fault))

    # --- storage ---------------------------------------------------------------------------------------

    def _begin_flush(self, flush: Flush) -> None:
        """Who waits for a receipt is told before anything is stored (recent.py), without waiting a turn."""
        self._recent.begin(Layer(flush.height, WriteSet.of(flush.chain), WriteSet.of(flush.state)))
        self._waiters.certified(
            (receipt for execution in flush.executions for receipt in execution.receipts), flush.height
        )
        self._flushes.append(flush)
        if len(self._flushes) == 1:
            self._nursery.start_soon(self._store_flushes)
        elif len(self._flushes) >= FLUSH_GROUP_MAX:
            self._group_is_full.set()

    async def _store_flushes(self) -> None:
        """Until none is left: one task at a time, for one may not overtake another."""
        while self._flushes:
            await self._gather()
            group = tuple(self._flushes)
            flush = together(group)
            await self._apply(flush)
            self._journal.trim(flush.journal_seq)
            self.counts.flushes += 1
            self.counts.flushed_writes += len(flush.chain) + len(flush.state)
            self._recent.end(len(group))
            self._waiters.stored(flush.height)
            for stored in group:
                self._flushes.popleft()
                self._postbox.put(Flushed(stored.number))

    async def _gather(self) -> None:
        """Let flushes come together: for a moment, or longer while many entries come."""
        await trio.sleep(FLUSH_PAUSE_SECONDS)
        if sum(len(flush.chain) + len(flush.state) for flush in self._flushes) < FLUSH_BUSY_WRITES:
            return
        self._group_is_full = trio.Event()
        if len(self._flushes) >= FLUSH_GROUP_MAX:
            return
        with trio.move_on_after(FLUSH_BUSY_PAUSE_SECONDS - FLUSH_PAUSE_SECONDS):
            await self._group_is_full.wait()

    async def _apply(self, flush: Flush) -> None:
        """Commit and sync; on a full disk again and again."""
        refused = False
        while True:
            try:
                await trio.to_thread.run_sync(
                    self._store.apply, flush.chain, flush.state, limiter=self.writer
                )
                break
            except StoreFull as error:
                # Everything is in the journal; payload is refused until there is room (C17).
                _log.error("disk_full", detail=str(error))
                refused = True
                self._postbox.put(DiskLow(True))
                await trio.sleep(FULL_RETRY_SECONDS)
        if refused:
            self._postbox.put(DiskLow(False))

    async def _load_batch(self, item: LoadBatch) -> None:
        data = await trio.to_thread.run_sync(
            self._store.reader().get, ChainTable.BATCHES, item.digest, limiter=self._threads
        )
        self._postbox.put(BatchLoaded(item.digest, data))

    # --- peers' requests -------------------------------------------------------------------------------

    def _serve(self, answer: Callable[[_Request], Awaitable[None]], item: _Request) -> None:
        under_way = self._serving.get(item.peer, 0)
        if under_way >= SERVED_TO_ONE_MAX or self.requests_under_way >= SERVED_AT_ONCE_MAX:
            self.counts.dropped_requests += 1
            return
        self._serving[item.peer] = under_way + 1
        self._nursery.start_soon(self._serve_counted, answer, item)

    async def _serve_counted(self, answer: Callable[[_Request], Awaitable[None]], item: _Request) -> None:
        try:
            await answer(item)
            self.counts.served += 1
        except (SnapshotLimit, SnapshotExpired):
            self.counts.dropped_requests += 1
        finally:
            self._serving[item.peer] -= 1
            if not self._serving[item.peer]:
                del self._serving[item.peer]

    async def _serve_sync(self, item: ServeSync) -> None:
        def read() -> tuple[wire.Code, bytes]:
            with self._store.snapshot() as snapshot:
                return wire.frame_of_pool(sync_answer(snapshot, self._rules, item.request))

        topic, body = await trio.to_thread.run_sync(read, limiter=self._threads)
        self._network.send(PeerId(item.peer), topic, body)

    async def _serve_blocks(self, item: ServeBlocks) -> None:
        def read() -> tuple[wire.Code, bytes] | None:
            with self._store.snapshot() as snapshot:
                blocks = blocks_answer(snapshot, item.block_id, item.count)
            return None if blocks is None else wire.frame_of_agreement(blocks)

        frame = await trio.to_thread.run_sync(read, limiter=self._threads)
        if frame is not None:
            self._network.send(PeerId(item.peer), *frame)
