"""The book of what is durable: which appends are on disk, and what the database has yet to take from them.

Everything appended waits here until `Written` (C2, C23); then it belongs to the open book, which goes to
the database with the next flush, so that the journal behind it can be trimmed.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from consensus import (
    VALIDATORS_MAX,
    Digest,
    Evidence,
    HeaderCertificate,
    Persist,
    Proposal,
    PublicKey,
    QuorumCertificate,
    SafetyRecord,
    TimeoutCertificate,
    encode_trusted,
)
from node.storage import ChainTable, Write
from node.validator.layout import OPEN_KEY, BlockPlace, OpenBook, place_of
from node.validator.recovered import Recovered

EVIDENCE_PER_ACCUSED = 8
"""Proofs of misbehaviour kept by one run against one key: one convicts, and a liar can make any number."""
EVIDENCE_MAX = VALIDATORS_MAX * EVIDENCE_PER_ACCUSED
JOURNAL_FLUSH_BYTES = 16 * 1024 * 1024
"""Unstored content after which a flush is due even when nothing was certified; evidence counts in full."""


@dataclass(frozen=True, slots=True)
class AppendedBatch:
    """A batch on its way to disk."""

    digest: Digest
    data: bytes


@dataclass(frozen=True, slots=True)
class EnteredEpoch:
    """A safety record that leaves an epoch behind, on its way to disk (C4)."""

    record: SafetyRecord


Appended: TypeAlias = Persist | AppendedBatch | EnteredEpoch | None
"""What one journal record holds; None: blocks of the Persist that follows."""


@dataclass(slots=True)
class _News:
    """What became durable since the last flush was taken."""

    blocks: dict[Digest, bytes] = field(default_factory=dict)
    batches: dict[Digest, bytes | None] = field(default_factory=dict)
    evidence: dict[Digest, bytes] = field(default_factory=dict)
    size: int = 0


class DurableBook:
    """Sequence numbers, the open book, and the blocks and batches storage does not hold yet."""

    def __init__(self, recovered: Recovered) -> None:
        self._seq = recovered.journal_seq
        self._durable_seq = recovered.journal_seq
        self._pending: deque[tuple[int, Appended, int]] = deque()
        self._record: SafetyRecord | None = recovered.record
        self._high_qc: QuorumCertificate | None = recovered.high_qc
        self._high_tc: TimeoutCertificate | None = recovered.high_tc
        self._certified: HeaderCertificate | None = recovered.certified
        self._open_blocks: dict[Digest, BlockPlace] = {
            proposal.block.id: place_of(proposal.block) for proposal in recovered.proposals
        }
        self._open_batches: dict[Digest, None] = {digest: None for digest, _ in recovered.batches}
        self._evidence: dict[Digest, PublicKey] = {}  # whom each accuses
        # Recovered ones may stand in the journal only; storing them again is harmless.
        self._news = _News(
            {p.block.id: encode_trusted(p.to_value()) for p in recovered.proposals},
            dict(recovered.batches),
        )

    @property
    def unstored_bytes(self) -> int:
        """Durable in the journal and not yet on the way to the database."""
        return self._news.size

    @property
    def open_counts(self) -> tuple[int, int]:
        """Open blocks and open batches."""
        return len(self._open_blocks), len(self._open_batches)

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound); open blocks and batches are bounded by the block tree and the pool."""
        return (("book_evidence", len(self._evidence), EVIDENCE_MAX),)

    def add_evidence(self, evidence: Evidence, encoded: bytes) -> bool:
        """Evidence that storage must hold; False when it is known already or there is no more room."""
        if self.knows(evidence):
            return False
        if list(self._evidence.values()).count(evidence.accused_key) >= EVIDENCE_PER_ACCUSED:
            return False
        self._evidence[evidence.id] = evidence.accused_key
        self._news.evidence[evidence.id] = encoded
        self._news.size += JOURNAL_FLUSH_BYTES
        return True

    def knows(self, evidence: Evidence) -> bool:
        """Whether this evidence was added by this run."""
        return evidence.id in self._evidence

    def append(self, item: Appended, size: int) -> int:
        """The sequence number of the record that holds `item`."""
        self._seq += 1
        self._pending.append((self._seq, item, size))
        return self._seq

    def written(self, seq: int) -> tuple[int | None, tuple[Digest, ...]]:
        """Everything up to `seq` is on disk: the replica's highest persisted number, if any, and the
        batches that became durable."""
        persisted: int | None = None
        batches: list[Digest] = []
        while self._pending and self._pending[0][0] <= seq:
            _, item, size = self._pending.popleft()
            self._news.size += size
            if isinstance(item, AppendedBatch):
                batches.append(item.digest)
                self._open_batches[item.digest] = None
                self._news.batches[item.digest] = item.data
            elif isinstance(item, EnteredEpoch):
                self._record = item.record
                self._high_qc = self._high_tc = None  # of the epoch that is over
            elif item is not None:
                persisted = item.seq
                self._take(item)
        self._durable_seq = max(self._durable_seq, seq)
        return persisted, tuple(batches)

    def _take(self, persist: Persist) -> None:
        self._record = persist.record or self._record
        self._high_qc = persist.high_qc or self._high_qc
        self._high_tc = persist.high_tc or self._high_tc
        self._certified = persist.certified or self._certified
        for proposal in persist.proposals:
            self.add_block(proposal)

    def committed(self, proposals: Iterable[Proposal]) -> None:
        """Blocks of a commit: storage must hold them before it shows their headers, journaled or not."""
        for proposal in proposals:
            if proposal.block.id not in self._open_blocks:
                self.add_block(proposal)

    def add_block(self, proposal: Proposal) -> None:
        """A block that storage must hold: persisted, or brought by catch-up."""
        self._open_blocks[proposal.block.id] = place_of(proposal.block)
        self._news.blocks[proposal.block.id] = encode_trusted(proposal.to_value())

    def add_batch(self, digest: Digest, data: bytes) -> None:
        """A batch that storage must hold because a committed block names it."""
        self._news.batches[digest] = data

    def executed(self, digests: tuple[Digest, ...]) -> None:
        """These batches are executed: a restart needs them no more, history keeps them."""
        for digest in digests:
            self._open_batches.pop(digest, None)

    def forget(self, digests: tuple[Digest, ...]) -> None:
        """These batches expired without being ordered: storage may delete them."""
        for digest in digests:
            self._open_batches.pop(digest, None)
            self._news.batches[digest] = None

    def end_epoch(self) -> None:
        """The epoch is over: no block orders any more what is not executed of its batches."""
        self._pending = deque(
            (seq, None if isinstance(item, AppendedBatch) else item, size)
            for seq, item, size in self._pending
        )
        self.forget(tuple(self._open_batches))

    def settle(self, root: BlockPlace) -> None:
        """Storage stands at a block of this place: blocks at or below it are history or dead."""
        self._open_blocks = {digest: at for digest, at in self._open_blocks.items() if at > root}

    def take_news(self) -> tuple[list[Write], int]:
        """The chain writes that make storage contain everything durable so far, and the journal
        position they contain."""
        news, self._news = self._news, _News()
        book = OpenBook(
            self._durable_seq,
            self._record,
            self._high_qc,
            self._high_tc,
            self._certified,
            tuple(self._open_blocks),
            tuple(self._open_batches),
        )
        writes = [Write(ChainTable.BLOCKS, digest, data) for digest, data in news.blocks.items()]
        writes += [Write(ChainTable.BATCHES, digest, data) for digest, data in news.batches.items()]
        writes += [Write(ChainTable.EVIDENCE, name, data) for name, data in news.evidence.items()]
        writes.append(Write(ChainTable.META, OPEN_KEY, book.encode()))
        return writes, self._durable_seq
