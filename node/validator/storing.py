"""When and what goes to the database: certified heights, and what the journal may then forget.

A flush takes everything durable in the journal and every certified height that is executed, as soon as there
is one: whoever waits for a receipt is told then. The shell stores flushes in their order, several together;
when one is done, readers see its heights, the ledger's overlay shrinks, and the journal is trimmed. Nothing
here waits: a flush is an output, its end an input.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from consensus import CommittedBlock, Digest, HeaderCertificate, LocalError
from node.ledger.execution import Execution
from node.ledger.opaque import OpaqueBatch
from node.pool.batches import Batch
from node.storage import Write, WriteSet
from node.validator.durable import JOURNAL_FLUSH_BYTES, DurableBook
from node.validator.epochs import EpochLink
from node.validator.layout import (
    BlockPlace,
    certificate_write,
    chain_writes,
    place_of,
    state_writes,
    tip_writes,
)
from node.validator.line import ExecutionLine, Settled
from node.validator.outputs import Flush

FLUSHES_MAX = 16
"""Flushes under way; beyond it, heights wait for the next one. A slow disk is to be given large ones."""


def together(flushes: Sequence[Flush]) -> Flush:
    """Consecutive flushes as one, under the number of the last: what is stored in one go."""
    last = flushes[-1]
    if len(flushes) == 1:
        return last
    chain, state = WriteSet(), WriteSet()
    for flush in flushes:
        chain.update(WriteSet.of(flush.chain))
        state.update(WriteSet.of(flush.state))
    return Flush(last.number, chain, state, last.height, last.journal_seq)


@dataclass(frozen=True, slots=True)
class StoredHeights:
    """What a finished flush made readable: block ids in order, and the height readers see now."""

    blocks: tuple[Digest, ...]
    transactions: tuple[Digest, ...]
    height: int
    certificate: HeaderCertificate | None
    """Of the last of them."""


def transactions_in(execution: Execution) -> int:
    """How many a height holds: its leaves, or what is in them where each is a batch of opaque bytes."""
    if not execution.leaves or not isinstance(execution.leaves[0][1], OpaqueBatch):
        return len(execution.leaves)
    return sum(leaf.transactions for _, leaf in execution.leaves if isinstance(leaf, OpaqueBatch))


class Storing:
    """Plans flushes; they end in the order in which they were planned."""

    def __init__(self, line: ExecutionLine, book: DurableBook, stored_height: int) -> None:
        self._line = line
        self._book = book
        self._number = 0
        self._under_way: deque[tuple[Flush, list[Settled], HeaderCertificate | None]] = deque()
        self._noted: dict[int, tuple[BlockPlace, tuple[Digest, ...]]] = {}
        self.stored_height = stored_height
        self.stored_transactions = 0
        """Since the start; on a benchmark cluster those in the batches, not the batches."""
        self.failed_transactions: dict[int, int] = {}
        """Of these, those that were ordered and FAILED, by code."""
        self.stopped = False
        """Set on divergence: what was executed here is in doubt and must not be stored (C3)."""

    def note(self, committed: CommittedBlock, batches: tuple[Batch, ...]) -> None:
        """Remember the place and the batches of the block of a height, until it is stored."""
        self._noted[committed.height] = (place_of(committed.block), tuple(batch.digest for batch in batches))

    def forget_above(self, height: int) -> None:
        """The header of `height` ended its epoch: what was noted above it comes to nothing (C4)."""
        for noted in [noted for noted in self._noted if noted > height]:
            del self._noted[noted]

    def plan(self) -> Flush | None:
        """The next flush, if one is due and not too many are under way. When stopped, what agreement made
        durable is stored still, so that neither memory nor the journal fills up."""
        if len(self._under_way) >= FLUSHES_MAX:
            return None
        settled, certificates = ([], []) if self.stopped else self._line.take_certified()
        if not settled and self._book.unstored_bytes < JOURNAL_FLUSH_BYTES:
            return None
        news, journal_seq = self._book.take_news()
        chain, state = WriteSet.of(news), WriteSet()
        for item in settled:
            chain.update(chain_writes(item.execution))
            state.update(state_writes(item.execution))
        chain.update(WriteSet.of(map(certificate_write, certificates)))
        chain.update(WriteSet.of(_link_writes(settled, certificates)))
        height = self._under_way[-1][0].height if self._under_way else self.stored_height
        if settled:
            height = settled[-1].execution.header.height
            state.update(WriteSet.of(tip_writes(settled[-1].tip)))
        self._number += 1
        executions = tuple(item.execution for item in settled)
        flush = Flush(self._number, chain, state, height, journal_seq, executions)
        self._under_way.append((flush, settled, certificates[-1] if certificates else None))
        return flush

    @property
    def planned(self) -> tuple[list[Settled], HeaderCertificate | None]:
        """The heights of the flush planned last, and the certificate of the last of them."""
        return self._under_way[-1][1:] if self._under_way else ([], None)

    def _count_failed(self, settled: list[Settled]) -> None:
        for item in settled:
            for receipt in item.execution.receipts:
                if receipt.status:
                    count = self.failed_transactions.get(receipt.status, 0)
                    self.failed_transactions[receipt.status] = count + 1

    def finished(self, number: int) -> StoredHeights | None:
        """The flush of this number is on disk; what it made readable, None if that was nothing new."""
        if not self._under_way or self._under_way[0][0].number != number:
            return None
        flush, settled, certificate = self._under_way.popleft()
        if not settled:
            return None
        self.stored_height = flush.height
        self.stored_transactions += sum(transactions_in(item.execution) for item in settled)
        self._count_failed(settled)
        self._line.stored(flush.height)
        for height in [noted for noted in self._noted if noted <= flush.height]:
            root, batches = self._noted.pop(height)
            self._book.executed(batches)
            if height == flush.height:
                self._book.settle(root)
        return StoredHeights(
            tuple(item.execution.header.block_id for item in settled),
            tuple(t.id for item in settled for _, t in item.execution.leaves),
            flush.height,
            certificate,
        )


def _link_writes(settled: list[Settled], certificates: list[HeaderCertificate]) -> list[Write]:
    """The link of an epoch that ended among these heights. Its last header is certified by itself: nothing
    above it is executed before."""
    writes: list[Write] = []
    for item in settled:
        roster, header = item.execution.next_roster, item.execution.header
        if roster is None:
            continue
        certificate = next((c for c in certificates if c.height == header.height), None)
        if certificate is None:
            raise LocalError(f"height {header.height} ended epoch {header.epoch} and has no certificate")
        writes.append(EpochLink(header, certificate, roster).write())
    return writes
