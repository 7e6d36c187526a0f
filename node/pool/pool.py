"""The data plane of one validator: every batch from its arrival until it is executed or expired.

`BatchPool` is told what happened through its `on_*` methods and answers with effects in order. `now_ms` is
the wall clock; it dates own batches and is otherwise only used for waits. A batch may be named in a block
once a quorum holds it, and voted for once this node holds it durably; it leaves only by execution or expiry.
Own acknowledgements count once the batch is on disk (C2).
Source: consensus.md C9, C21 to C24; Narwhal (arXiv 2105.11827) for digests instead of bodies.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from consensus import (
    Block,
    CommittedBlock,
    Digest,
    PayloadChecked,
    PayloadReady,
    PeerError,
    PublicKey,
    Round,
    ValidatorIndex,
    ValidatorSet,
    Verdict,
)
from node.ledger.transactions import Transaction
from node.pool.alarm import Alarm
from node.pool.announcing import Announcer
from node.pool.arrivals import Arrivals
from node.pool.attesting import Attesting
from node.pool.batches import Batch, BatchReport, batch_digest
from node.pool.checking import PayloadChecks
from node.pool.config import PoolConfig
from node.pool.contents import ContentsCache
from node.pool.delivery import Delivery
from node.pool.effects import Answer, ForgetBatches, Penalise, PoolEffect
from node.pool.exclusion import Exclusions
from node.pool.fetching import Fetcher
from node.pool.messages import (
    FetchedBatch,
    PoolMessage,
)
from node.pool.ordered import OrderedBlocks
from node.pool.proposing import Slot, build_payload
from node.pool.sealing import Sealer
from node.pool.shelf import Shelf
from node.pool.spreading import Spreading
from node.pool.verdicts import Verdicts


class BatchPool:
    """One validator's data plane in one epoch; `me` is None for an observer, which seals nothing."""

    def __init__(
        self,
        config: PoolConfig,
        validators: ValidatorSet,
        me: ValidatorIndex | None,
        own_key: PublicKey | None = None,
    ) -> None:
        self._config = config
        self._validators = validators
        self._me = me
        self.alarm = Alarm()
        self._shelf = Shelf(config, validators)
        self._ordered = OrderedBlocks(config)
        self.contents = ContentsCache(config)
        self._checks = PayloadChecks(config, self._shelf, self._ordered)
        self._fetcher = Fetcher(config)
        self._delivery = Delivery(config, self._shelf, self._ordered, self._fetcher)
        self._spreading = Spreading(config, self._shelf, validators, me)
        self._verdicts = Verdicts(config, validators, self._shelf, self._checks, self._spreading)
        self.attesting = Attesting(
            config, validators, me, self._shelf, self._ordered, self._verdicts, self._spreading.connected
        )
        rooms = (self._shelf, self._ordered, self._checks, self._fetcher, self._delivery, self._spreading)
        self.arrivals = Arrivals(config, validators, *rooms, self.attesting)
        self._exclusions = Exclusions(config.exclusion_base_ms, config.exclusion_max_ms)
        self.sealer = Sealer(config, me, validators.epoch, self._shelf, self._spreading, own_key)
        self._committed_ms = 0
        self._finished_ms = 0  # elapsed, when `_finish` last looked at everything
        self._announcer = Announcer(self._shelf)

    # --- what clients and peers bring ------------------------------------------------------------------

    def on_transactions(self, transactions: Iterable[Transaction], now_ms: int) -> list[PoolEffect]:
        """Transactions that `Admission` let in, signatures checked: seal them now or with company."""
        self.alarm.advance(now_ms)
        self.sealer.add(transactions)
        return self._finish([], now_ms)

    def on_chunk(self, ticket: int, data: bytes, transaction_bytes: int, now_ms: int) -> list[PoolEffect]:
        """A client's bytes, on a benchmark cluster: answered once sealed (`ChunksAnswered`)."""
        self.alarm.advance(now_ms)
        return self._finish(self.sealer.add_chunk(ticket, data, transaction_bytes), now_ms)

    def on_chunk_verified(self, ticket: int, fault: str | None, now_ms: int) -> list[PoolEffect]:
        """The answer to `VerifyChunk`: `fault` is None when every signature is good."""
        self.alarm.advance(now_ms)
        return self._finish(self.sealer.chunk_verified(ticket, fault), now_ms)

    def on_message(self, peer: bytes, message: PoolMessage, now_ms: int) -> list[PoolEffect]:
        """A message of the batch protocol from the link of `peer` (catch-up has its own machine)."""
        elapsed = self.alarm.advance(now_ms)
        cluster_ms = max(now_ms, self._committed_ms)
        try:
            effects = self.arrivals.on_message(peer, message, elapsed, cluster_ms)
            if isinstance(message, FetchedBatch):
                effects += self._checks.judge_with(batch_digest(message.data))
        except PeerError as error:
            effects = [Penalise(peer, error.blamed_on(peer))]
        return self._finish(effects, now_ms)

    def on_peer_connected(self, peer: bytes, now_ms: int) -> list[PoolEffect]:
        """A link came up: tell a validator what we hold and push what is ours (C9)."""
        self.alarm.advance(now_ms)
        index = self._validators.index_of(peer)
        if index is None or index == self._me:
            return []
        self._fetcher.on_connected(peer)
        return self._finish(self._spreading.on_connected(peer, index), now_ms)

    def on_peer_disconnected(self, peer: bytes, now_ms: int) -> list[PoolEffect]:
        """A link went down: nothing is asked of it or pushed to it any more."""
        self.alarm.advance(now_ms)
        self._fetcher.on_disconnected(peer)
        self._spreading.connected.pop(peer, None)
        return self._finish([], now_ms)

    # --- answers of the driver -------------------------------------------------------------------------

    def on_batch_verified(self, report: BatchReport, now_ms: int) -> list[PoolEffect]:
        """The answer to `VerifyBatch`."""
        elapsed = self.alarm.advance(now_ms)
        return self._finish(self.attesting.on_report(report, elapsed), now_ms)

    def on_persisted(self, digests: Sequence[Digest], now_ms: int) -> list[PoolEffect]:
        """The answer to `PersistBatch`: from now on our acknowledgement counts and is sent (C2)."""
        self.alarm.advance(now_ms)
        effects: list[PoolEffect] = []
        for name in digests:
            held = self._shelf.get(name)
            if held is not None:
                self._spreading.on_durable(held)
                effects += self._checks.judge_with(name)
        return self._finish(effects, now_ms)

    def on_read(self, name: Digest, data: bytes | None, now_ms: int) -> list[PoolEffect]:
        """The answer to `ReadBatch`."""
        elapsed = self.alarm.advance(now_ms)
        return self._finish(self._delivery.on_read(name, data, elapsed), now_ms)

    def on_tick(self, now_ms: int) -> list[PoolEffect]:
        """The timer asked for by `Wake` went off."""
        elapsed = self.alarm.advance(now_ms)
        self.alarm.fired()
        self._announcer.on_tick()
        if len(self._fetcher):
            self._fetcher.drop_unless(lambda n: self._delivery.is_wanted(n) or self._checks.references(n))
        for block in self._checks.waiting():
            self.arrivals.fetch_missing(block, self._me, elapsed)
        return self._finish(self.attesting.run(elapsed) + self._spreading.run(elapsed), now_ms)

    # --- what agreement asks and tells -----------------------------------------------------------------

    def on_request(
        self, round: Round, time_ms: int, ancestors: Sequence[Block], bytes_max: int, now_ms: int
    ) -> list[PoolEffect]:
        """`RequestPayload`: answered at once."""
        elapsed = self.alarm.advance(now_ms)
        in_ancestors = dict.fromkeys(name for block in ancestors for name in self.contents.of(block).names())
        slot = Slot(round, time_ms, in_ancestors, bytes_max)
        leaves_out = partial(self._exclusions.leaves_out, validators=self._validators, elapsed_ms=elapsed)
        payload = build_payload(self._shelf, slot, self._config, leaves_out)
        encoded = payload.encode()
        self._announcer.on_answered(encoded)
        return [Answer(PayloadReady(round, encoded)), *self._finish([], now_ms)]

    def on_check(self, block: Block, ancestors: Sequence[Block], now_ms: int) -> list[PoolEffect]:
        """`CheckPayload`: answered now, or again when what is missing has come."""
        elapsed = self.alarm.advance(now_ms)
        contents = self.contents.of(block)
        older = tuple(self.contents.of(ancestor) for ancestor in ancestors)
        fault = self._checks.start(block, contents, older)
        if fault:
            return [Answer(PayloadChecked(block.id, Verdict.INVALID, None, fault))]
        effects = self.arrivals.on_inline(contents.inline, elapsed)
        effects += self.attesting.hurry(contents.names())
        for reference in contents.references:
            held = self._shelf.get(reference.digest)
            if held is not None and held.verified:
                effects += self._spreading.persist(held)
        self.arrivals.fetch_missing(block, self._me, elapsed)
        return self._finish(effects + self._checks.judge(block.id), now_ms)

    def on_committed(self, blocks: Sequence[CommittedBlock], now_ms: int) -> list[PoolEffect]:
        """`Commit`: what these blocks order is ordered for good; cluster time moves on (C24)."""
        self.alarm.advance(now_ms)
        for committed in blocks:
            block = committed.block
            contents = self.contents.of(block)
            self._ordered.commit(committed, contents)
            self._checks.drop_through(block)
            for name in contents.names():
                self._shelf.mark_ordered(name)
                self._shelf.forget_early(name)
                self.attesting.forget(name)
            for reference in contents.references:
                self._exclusions.forgive(reference.author)
        return self._finish(self._expire(max((c.block.time_ms for c in blocks), default=0)), now_ms)

    def on_settled(self, block_id: Digest, now_ms: int) -> list[PoolEffect]:
        """This block was executed, and is not stored yet: there is room for more."""
        contents = self._ordered.executing.get(block_id)
        if contents is not None:
            self.sealer.executed(contents.names(), self.alarm.advance(now_ms))
        return self._finish([], now_ms)

    def on_executed(self, block_id: Digest, now_ms: int) -> list[PoolEffect]:
        """The answer to `BlockReady`: executed and flushed, so its batches may leave memory."""
        elapsed = self.alarm.advance(now_ms)
        contents = self._ordered.executing.pop(block_id, None)
        names = contents.names() if contents is not None else ()
        if not names and elapsed == self._finished_ms:
            return []  # an empty block, just committed: nothing has changed since
        for name in names:
            self._shelf.remove(name)
        return self._finish([], now_ms)

    def on_synced(
        self, height: int, ordered: Iterable[tuple[Digest, int]], time_ms: int, now_ms: int
    ) -> list[PoolEffect]:
        """Catch-up executed everything up to `height`, whose block has time `time_ms`; `ordered` are the
        digests of those blocks with their blocks' times, as far as they may not have expired."""
        self.alarm.advance(now_ms)
        self._delivery.skip_through(height)
        for name, block_time_ms in ordered:
            self._ordered.remember((name,), block_time_ms)
            self._shelf.remove(name)
            self.sealer.window.forget(name)
            self._shelf.forget_early(name)
            self.attesting.forget(name)
        return self._finish(self._expire(time_ms), now_ms)

    def skip_through(self, height: int) -> None:
        """Nobody wants what is ordered up to `height` handed over any more: catch-up brings it."""
        self._delivery.skip_through(height)

    def on_blamed(self, author: ValidatorIndex, weight: int, now_ms: int) -> list[PoolEffect]:
        """Timeouts of `weight` missed payload of `author`; fewer than a blocking set exclude nobody (C9)."""
        self._exclusions.blame(author, weight, self._validators, self.alarm.advance(now_ms))
        return self._finish([], now_ms)

    # --- questions -------------------------------------------------------------------------------------

    def resolve(self, block: Block) -> tuple[Batch, ...] | tuple[Digest, ...]:
        """The batches of a block in order of execution or, when some are not in memory, their digests."""
        return self._delivery.resolve(self.contents.of(block))

    def own_transactions(self) -> list[Transaction]:
        """What this node took upon itself and is not executed, in the order it came: not sealed yet, or in a
        batch that was not ordered in time, or ordered by a block that comes to nothing (C4). A block may hold
        a batch that names us and is not ours: nothing of it is sealed anew unless it was verified (VC2)."""
        limit, me = self._config.batch.transaction_bytes_max, self._me
        own = [] if me is None else [h for h in self._shelf if h.batch.author == me and h.verified]
        sealed = [Transaction.decode(data, limit) for held in own for data in held.batch.transactions]
        return [*sealed, *self.sealer.waiting()]

    def succeed(self, before: "BatchPool", renamed: Mapping[bytes, bytes]) -> None:
        """This pool takes over from that of the epoch before; `renamed`: links by identities then and now."""
        self._fetcher.succeed(before._fetcher, renamed)
        seats = _seats(before._validators, self._validators, renamed)
        self._exclusions.succeed(before._exclusions, seats, before.alarm.elapsed_ms, self.alarm.elapsed_ms)
        self.attesting.succeed(before.attesting)
        self.sealer.succeed(before.sealer)

    def pending(self) -> bool:
        """Whether this node knows of payload it could propose now (C7)."""
        return bool(self._shelf.orderable)

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """`(name, current, bound)` of everything that grows; committed blocks are bounded by voters (C13)."""
        return (
            *self._shelf.limits(),
            *self._ordered.limits(),
            *self._fetcher.limits(),
            *self._delivery.limits(),
            *self._spreading.limits(),
            *self.attesting.limits(),
            *self.sealer.limits(),
            *self._checks.limits(),
            ("pool_parsed_blocks", len(self.contents), self._config.parsed_blocks_max),
        )

    # --- start -----------------------------------------------------------------------------------------

    def recover(
        self, stored: Iterable[bytes], ordered: Iterable[tuple[Digest, int]], committed_ms: int, now_ms: int
    ) -> list[PoolEffect]:
        """After a restart: the durable batches not yet executed (VC1 held before they were stored), the
        digests ordered by recent blocks with their blocks' times, and the time of the last of these."""
        self.alarm.advance(now_ms)
        self._committed_ms = committed_ms
        for name, block_time_ms in ordered:
            self._ordered.remember((name,), block_time_ms)
        for data in stored:
            batch = Batch.decode(data, self._config.batch)
            known = self._ordered.contains(batch.digest) or self._shelf.get(batch.digest) is not None
            if known or batch.epoch != self._validators.epoch or batch.is_expired(committed_ms):
                continue
            held = self._shelf.add(batch, batch.author)
            held.verified = True
            self._spreading.on_durable(held)
        return self._finish([], now_ms)

    # --- inside ----------------------------------------------------------------------------------------

    def _expire(self, time_ms: int) -> list[PoolEffect]:
        self._committed_ms = max(self._committed_ms, time_ms)
        self._ordered.forget_expired(self._committed_ms)
        expired, stored = self._shelf.expire(self._committed_ms)
        for held in expired:
            self.attesting.forget(held.batch.digest)
            if held.group == self._me:
                self.sealer.take_back(held)
        return [ForgetBatches(tuple(stored))] if stored else []

    def _finish(self, effects: list[PoolEffect], now_ms: int) -> list[PoolEffect]:
        """What every event ends with: seal, fetch, hand over, acknowledge, announce, and set the timer.
        The timer comes first: whoever answers an effect while still going through this list must not have
        the timer of that answer replaced by an older one."""
        elapsed = self._finished_ms = self.alarm.elapsed_ms
        effects = self._verdicts.in_place(effects, elapsed)
        effects += self.sealer.run(max(now_ms, self._committed_ms), elapsed)
        effects += self._delivery.run()
        effects += self._fetcher.run(elapsed)
        effects += self._spreading.flush()
        effects += self._announcer.run()
        attestations = self.attesting.flush()
        dues = (
            self.sealer.due_ms(elapsed),
            self._fetcher.due_ms(),
            self._spreading.due_ms(elapsed),
            self.attesting.due_ms(),
            self._exclusions.end_ms(elapsed),
        )
        due_ms = min((due for due in dues if due is not None), default=None)
        return [*self.alarm.rearm(due_ms), *attestations, *effects]


def _seats(before: ValidatorSet, after: ValidatorSet, renamed: Mapping[bytes, bytes]) -> dict[int, int]:
    """The indices of a set by those that the same validators had in the one before."""
    keys = (validator.public_key for validator in before.validators)
    found = ((index, after.index_of(renamed.get(key, key))) for index, key in enumerate(keys))
    return {was: now for was, now in found if now is not None}
