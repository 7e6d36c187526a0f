"""The data plane's routes: what the pool and catch-up ask for, and the way of a block to storage.

Both bring blocks to the same execution line: the pool those this replica committed itself, catch-up those
of a certified chain that it had missed. A height that one has queued is not queued by the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias, assert_never

from consensus import (
    ChainSynced,
    CommittedBlock,
    Digest,
    Diverged,
    Epoch,
    HeaderCertificate,
    HeaderComputed,
    Height,
    LedgerContradicted,
    Proposal,
)
from node import wire
from node.ledger.codes import RejectedTransaction
from node.ledger.execution import Tip
from node.ledger.transactions import Transaction
from node.pool import effects as asked
from node.pool.batches import Batch
from node.pool.catchup import CatchUp
from node.pool.effects import CatchUpEffect, PoolEffect, VerifiedItem
from node.pool.messages import SyncResponse
from node.pool.pool import BatchPool
from node.pool.verifying import Trust
from node.validator import outputs
from node.validator.desk import Desk
from node.validator.durable import AppendedBatch, DurableBook
from node.validator.fresh import FreshHeights
from node.validator.handover import Outgoing
from node.validator.held import HeldBlocks
from node.validator.layout import place_of
from node.validator.line import ExecutionLine, Settled
from node.validator.mail import Mail
from node.validator.outputs import Append
from node.validator.records import encode_batch
from node.validator.storing import Storing
from node.validator.syncnews import SyncNews
from node.validator.walking import Walk

Certified: TypeAlias = tuple[list[Settled], HeaderCertificate | None]
"""Executed heights on their way to storage, and the certificate of the last."""
POOL_TIMER = "pool"
CATCHUP_TIMER = "catch-up"


class DataPlane:
    """Pool, catch-up, execution line, storage: wired to each other and to the mail trays."""

    def __init__(
        self,
        mail: Mail,
        pool: BatchPool,
        catchup: CatchUp,
        line: ExecutionLine,
        storing: Storing,
        book: DurableBook,
        desk: Desk,
        held: HeldBlocks,
    ) -> None:
        self._mail = mail
        self.pool = pool
        self.catchup = catchup
        self.line = line
        self.storing = storing
        self.book = book
        self.desk = desk
        self.held = held
        self.outgoing = Outgoing()
        self.fresh = FreshHeights()
        self._sync_news = SyncNews()
        self._resume_asked = False
        self._walk = Walk()
        self.diverged: Diverged | None = None

    # --- the pool --------------------------------------------------------------------------------------

    def serve_pool(self, effects: list[PoolEffect] | tuple[PoolEffect, ...]) -> None:
        """Carry out what the pool asked for, in order."""
        mail = self._mail
        for effect in effects:
            match effect:
                case asked.Send(peer, message):
                    mail.send_pool(peer, message)
                case asked.Broadcast(message):
                    mail.put(outputs.BroadcastFrame(*wire.frame_of_pool(message)))
                case asked.PersistBatch(digest, data):
                    record = encode_batch(digest, data)
                    seq = self.book.append(AppendedBatch(digest, data), len(record))
                    mail.put(Append(seq, record))
                case asked.Answer(event):
                    mail.events.append(event)
                case asked.VerifyBatch(digest, data):
                    mail.put(outputs.CheckBatch(digest, data))
                case asked.VerifyChunk(ticket, chunk, transaction_bytes):
                    mail.put(outputs.CheckChunk(ticket, chunk, transaction_bytes))
                case asked.ReadBatch(digest):
                    mail.put(outputs.LoadBatch(digest))
                case asked.BlockReady():
                    self._on_block_ready(effect)
                case asked.ChunksAnswered(tickets, outcome):
                    answer = _told(outcome)
                    for ticket in tickets:
                        mail.put(outputs.Answer(ticket, (answer,)))
                case asked.ForgetBatches(digests):
                    self.book.forget(digests)
                case asked.Penalise(peer, error):
                    mail.punish(peer, error)
                case asked.Wake(delay_ms):
                    mail.put(outputs.StartTimer(POOL_TIMER, delay_ms))
                case _:
                    assert_never(effect)

    def _on_block_ready(self, ready: asked.BlockReady) -> None:
        committed = ready.block
        if self.line.skips(committed):
            return  # what it orders stays with the pool, which hands our own over to the next epoch (C4)
        known = not committed.yields_header or committed.height < self.line.next_height
        if known or self.diverged is not None:
            # Empty blocks come to nothing; what catch-up has executed is not executed twice; and on a
            # ledger in doubt nothing is executed at all, however long the others go on.
            self.serve_pool(self.pool.on_executed(committed.block.id, self._mail.now_ms))
        elif self.catchup.running:
            self._hold((ready,))
        else:
            if self.fresh.wanted:
                contents = self.pool.contents.of(committed.block)
                self.fresh.queued(committed.block.id, contents.references, ready.batches)
            self._queue(committed, ready.batches)

    def _queue(self, committed: CommittedBlock, batches: tuple[Batch, ...]) -> None:
        self.storing.note(committed, batches)
        self.line.add(committed, batches)

    # --- execution and storage -------------------------------------------------------------------------

    def on_committed(self, blocks: tuple[CommittedBlock, ...], proposals: tuple[Proposal, ...]) -> None:
        """Blocks are final; `proposals` are the same as they were proposed."""
        now_ms = self._mail.now_ms
        if self.diverged is None:
            self.book.committed(proposals)
            self.fresh.committed(blocks, proposals)
            for committed in blocks:
                if committed.block.certified is not None:
                    # A start knows only the last certificate by itself; those of the heights between, without
                    # which nothing of a long journal could be stored, are in the blocks.
                    self._certify(committed.block.certified)
        else:
            self.book.settle(place_of(blocks[-1].block))  # nothing here will be executed: only safety counts
            self.pool.skip_through(blocks[-1].height)
        self.desk.admission.on_committed_time(blocks[-1].block.time_ms)
        self.serve_pool(self.pool.on_committed(blocks, now_ms))

    def on_certified(self, certificate: HeaderCertificate) -> None:
        """A height, and all before it, are final."""
        if self.diverged is not None:
            return
        self._certify(certificate)
        losing = self._walk.is_losing(self.line.certified_height, self.line.next_height - 1)
        if self.catchup.running or self.line.is_overdue or losing:
            # What others have certified need not wait here in memory: it is fetched when its turn comes.
            self.fell_behind(certificate, None, walks=True)

    def _certify(self, certificate: HeaderCertificate) -> None:
        self.line.certify(certificate)
        self._compare(certificate.height)

    def _compare(self, height: int) -> None:
        """A certificate that contradicts what was executed here: the ledger is in doubt (C3)."""
        differing = self.line.contradiction(height)
        if differing is not None:
            words = "a certificate says otherwise"
            self._mail.events.append(LedgerContradicted(Height(height), *differing, words))

    def on_resumed(self) -> None:
        """There is time for one slice of execution."""
        self._resume_asked = False
        if self.line.has_work and (settled := self.line.advance()) is not None:
            self._on_executed(settled)

    def _on_executed(self, settled: Settled) -> None:
        header = settled.execution.header
        height = Height(header.height)
        if settled.execution.next_roster is not None:
            self.storing.forget_above(height)
        self._mail.events.append(HeaderComputed(height, header.block_id, header.hash))
        self._compare(height)
        self.serve_pool(self.pool.on_settled(header.block_id, self._mail.now_ms))
        if self.line.is_halted:
            self.close_desk(f"this node halts at height {height}; use another node, or wait for its operator")
        self.serve_catchup(self.catchup.on_executed(height, header.hash, self._mail.now_ms))

    def on_flushed(self, number: int) -> HeaderCertificate | None:
        """A flush is on disk: what it held may leave memory. Answers with its last certificate."""
        stored = self.storing.finished(number)
        if stored is None:
            return None
        self.desk.admission.release(stored.transactions)
        self.outgoing.stored(stored.transactions)
        for block_id in stored.blocks:
            self.serve_pool(self.pool.on_executed(block_id, self._mail.now_ms))
        return stored.certificate

    @property
    def ended_epoch(self) -> Epoch | None:
        """The epoch that a certified header ended, once that header is stored; None in its midst (C4).
        Blocks of the next epoch are executed only after `enter`."""
        header = self.line.tip.header
        is_over = header.next_validators_hash is not None and self.diverged is None
        return Epoch(header.epoch) if is_over and self.storing.stored_height == header.height else None

    def enter(self, pool: BatchPool, trust: Trust, renamed: Mapping[bytes, bytes]) -> list[Transaction]:
        """A new epoch with its own pool; `renamed` are the links that have another identity in it. Answers
        with our own transactions that the epoch before did not execute: they are to be ordered again."""
        left = self.pool.own_transactions()
        pool.succeed(self.pool, renamed)
        self.pool = pool
        self.catchup.enter(trust, renamed)
        self.held.take()
        self.book.end_epoch()
        return left

    def follow_up(self) -> Certified | None:
        """What every step ends with: a flush, if one is due, which is answered, and time for execution."""
        flush = self.storing.plan()
        if flush is not None:
            self._mail.put(flush)
        if self.line.has_work and not self._resume_asked:
            self._resume_asked = True
            self._mail.put(outputs.Resume())
        return None if flush is None else self.storing.planned

    # --- catch-up --------------------------------------------------------------------------------------

    def fell_behind(self, certificate: HeaderCertificate, peer: bytes | None, *, walks: bool) -> None:
        """Catch up to this certificate, which `peer` has: meanwhile only that brings blocks to the line.
        Where agreement `walks`, what is near above the target is left to it."""
        if self.diverged is None:
            tip, now_ms = self._clear_line(), self._mail.now_ms
            told = certificate, peer, tip.height, tip.header_hash, now_ms
            self._catch_up(self.catchup.on_target(*told, walks=walks))

    def on_pushed(self, peer: bytes, pushed: SyncResponse) -> bool:
        """New heights from the peer that feeds this node; False when they were false."""
        if self.diverged is not None:
            return True
        tip, now_ms = self._clear_line(), self._mail.now_ms
        effects = self.catchup.on_pushed(peer, pushed, tip.height, tip.header_hash, now_ms)
        self._catch_up(effects)
        return not any(isinstance(effect, asked.Penalise) for effect in effects)

    def _clear_line(self) -> Tip:
        """Nothing but catch-up is to bring blocks to the line; where the ledger stands."""
        if not self.catchup.running:
            withdrawn = self.line.withdraw()
            settled = self.line.finish_current()
            if settled is not None:
                self._on_executed(settled)
            self.held.keep(asked.BlockReady(*queued) for queued in withdrawn)
        return self.line.tip

    def _catch_up(self, effects: list[CatchUpEffect]) -> None:
        self.serve_catchup(effects)
        if self.catchup.running:
            self._walk.rest()
            self.pool.skip_through(self.catchup.target_height)
            self._hold(self.held.take())
        else:
            self._release_held()

    def _hold(self, blocks: Sequence[asked.BlockReady]) -> None:
        """Keep blocks until catch-up is done, but for those that it brings anyway."""
        for block_id in self.held.keep_above(self.catchup.target_height, blocks):
            self.serve_pool(self.pool.on_executed(block_id, self._mail.now_ms))

    def _release_held(self) -> None:
        for ready in self.held.take():
            self._on_block_ready(ready)

    def serve_catchup(self, effects: list[CatchUpEffect]) -> None:
        """Carry out what catch-up asked for, in order."""
        mail = self._mail
        for effect in effects:
            match effect:
                case asked.Send(peer, message):
                    mail.send_pool(peer, message)
                case asked.Penalise(peer, error):
                    mail.punish(peer, error)
                case asked.Wake(delay_ms):
                    mail.put(outputs.StartTimer(CATCHUP_TIMER, delay_ms))
                case asked.Execute(item):
                    self._take_synced(item)
                case asked.SyncProgress():
                    if words := self._sync_news.on_progress(effect, mail.now_ms):
                        mail.put(outputs.Tell("sync", words))
                case asked.SyncFinished():
                    self._on_synced(effect)
                case asked.SyncDiverged(height, ours, certified):
                    words = "executing a certified block gave another header"
                    mail.events.append(LedgerContradicted(height, ours, certified, words))
                case _:
                    assert_never(effect)

    def _take_synced(self, item: VerifiedItem) -> None:
        height = Height(item.header.height)
        block = item.proposal.block
        self.book.add_block(item.proposal)
        for batch in item.batches:
            if batch.encoded in item.referenced:
                self.book.add_batch(batch.digest, batch.encoded)
        # Height by height: what the pool still held as unordered would expire, and history would lose it.
        ordered = [(batch.digest, block.time_ms) for batch in item.batches]
        self.serve_pool(self.pool.on_synced(height, ordered, block.time_ms, self._mail.now_ms))
        for certificate in _known_by(item, self.catchup.target_height, self.line.is_short_of_certificates):
            self._certify(certificate)
        self.fresh.synced(item)
        self._queue(CommittedBlock(block, height, True), item.batches)

    def _on_synced(self, finished: asked.SyncFinished) -> None:
        certificate, item = finished.certificate, finished.item
        self._certify(certificate)
        self._mail.events.append(ChainSynced(certificate, item.proposal.block, item.header.time_ms))
        self._release_held()

    # --- when something is wrong -----------------------------------------------------------------------

    def diverge(self, report: Diverged) -> None:
        """Our ledger is in doubt (C3): nothing more is executed, stored or admitted, and the operator is
        told; the replica, which says so, signs no payload and no header any more."""
        self.diverged = report
        self.storing.stopped = True
        self.held.keep(asked.BlockReady(*queued) for queued in self.line.withdraw())
        self._release_held()
        self.desk.closed = "the ledger of this node diverged from the cluster's; use another node"
        words = f"height {report.height}: ours {report.ours.hex()}, theirs {report.theirs.hex()}"
        self._mail.put(outputs.Tell("diverged", f"{words}. {report.detail}"))

    def close_desk(self, reason: str | None) -> None:
        """Refuse clients for `reason`, or open again with None; a divergence, or a halt, stays closed."""
        if self.diverged is None and not (reason is None and self.line.is_halted):
            self.desk.closed = reason


def _known_by(item: VerifiedItem, target_height: int, is_short: bool) -> Iterator[HeaderCertificate]:
    """What a height that catch-up brings proves to be certified."""
    if item.certificate is not None and item.certificate.height <= target_height:
        yield item.certificate  # of this height or one soon after: who serves may have few
    certified = item.proposal.block.certified
    if certified is not None and is_short:
        # Or so few that what lies between two would not fit here. Blocks carry one at most K below (C13),
        # which their voters verified; taken always, each height would be a flush of its own.
        yield certified


def _told(outcome: Digest | RejectedTransaction) -> Digest | outputs.Refusal:
    if isinstance(outcome, RejectedTransaction):
        return outputs.Refusal(outcome.code, str(outcome))
    return outcome
