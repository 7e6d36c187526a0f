"""When and what goes to the database: certified heights, and what the journal may then forget.

One flush at a time. It takes everything durable in the journal and every certified height that is
executed; when it is done, readers see those heights, the ledger's overlay shrinks, and the journal is
trimmed. Nothing here waits: a flush is an output, its end an input.
"""

from dataclasses import dataclass

from consensus import CommittedBlock, Digest, Round
from node.pool.batches import Batch
from node.storage import WriteSet
from node.validator.durable import JOURNAL_FLUSH_BYTES, DurableBook
from node.validator.layout import certificate_write, chain_writes, state_writes, tip_writes
from node.validator.line import ExecutionLine, Settled
from node.validator.outputs import Flush


@dataclass(frozen=True, slots=True)
class StoredHeights:
    """What a finished flush made readable: block ids in order, and the height readers see now."""

    blocks: tuple[Digest, ...]
    transactions: tuple[Digest, ...]
    height: int


class Storing:
    """Plans flushes; at most one is under way."""

    def __init__(self, line: ExecutionLine, book: DurableBook, stored_height: int) -> None:
        self._line = line
        self._book = book
        self._number = 0
        self._under_way: tuple[Flush, list[Settled]] | None = None
        self._noted: dict[int, tuple[Round, tuple[Digest, ...]]] = {}
        self.stored_height = stored_height
        self.stopped = False
        """Set on divergence: what was executed here is in doubt and must not be stored (C3)."""

    def note(self, committed: CommittedBlock, batches: tuple[Batch, ...]) -> None:
        """Remember the round and the batches of the block of a height, until it is stored."""
        self._noted[committed.height] = (committed.block.round, tuple(batch.digest for batch in batches))

    def plan(self) -> Flush | None:
        """The next flush, if one is due and none is under way. When stopped, what agreement made durable is
        stored still, so that neither memory nor the journal fills up."""
        if self._under_way is not None:
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
        height = self.stored_height
        if settled:
            height = settled[-1].execution.header.height
            state.update(WriteSet.of(tip_writes(settled[-1].tip)))
        self._number += 1
        flush = Flush(self._number, chain, state, height, journal_seq)
        self._under_way = (flush, settled)
        return flush

    def finished(self, number: int) -> StoredHeights | None:
        """The flush of this number is on disk; what it made readable, None if that was nothing new."""
        if self._under_way is None or self._under_way[0].number != number:
            return None
        flush, settled = self._under_way
        self._under_way = None
        if not settled:
            return None
        self.stored_height = flush.height
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
        )
