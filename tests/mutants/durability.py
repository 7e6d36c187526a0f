"""Mutants of the journal: what is cut off, skipped, or never written (C1)."""

from collections.abc import Sequence

from consensus import Digest, Proposal
from node.storage import Write
from node.validator import recovered
from node.validator.durable import DurableBook
from node.validator.layout import OpenBook
from node.validator.records import JournalRecord
from tests.mutants.hunt import Hunt
from tests.mutants.mutant import Mutant, Patch
from tests.mutants.weather import CRASHES, NETWORK, crash, crash_all, crash_at_boundary, deafness

_take_news = DurableBook.take_news
_replay = recovered._replay


def _take_everything(self: DurableBook) -> tuple[list[Write], int]:
    self._durable_seq = self._seq  # appended, so as good as written
    return _take_news(self)


def _replay_but_the_last(
    book: OpenBook,
    records: Sequence[JournalRecord],
    proposals: dict[Digest, Proposal],
    batches: dict[Digest, bytes | None],
) -> OpenBook:
    return _replay(book, records[:-1], proposals, batches)


def _take_no_blocks(self: DurableBook) -> tuple[list[Write], int]:
    self._open_blocks.clear()
    return _take_news(self)


_RESTARTS = Hunt(storm_ms=8_000, faults=(*CRASHES, *CRASHES, *NETWORK), gap_ms=(20, 200))
_SLOW_JOURNAL = Hunt(storm_ms=8_000, faults=(crash, crash_at_boundary), gap_ms=(50, 150), persist_us=8_000)
_BLACKOUTS = Hunt(storm_ms=8_000, faults=(crash_all, crash_all, deafness), gap_ms=(50, 400))

DURABILITY = (
    Mutant(
        "journal-cut-too-far",
        "C1: cut behind what the database holds",
        "The position of the newest append, not of the newest one that is stored: raft logs know this one.",
        _SLOW_JOURNAL,
        (Patch(DurableBook, "take_news", _take_everything),),
    ),
    Mutant(
        "last-record-skipped",
        "C1: recovery replays the tail",
        "tendermint #3295: the last record is taken for a torn one.",
        _RESTARTS,
        (Patch(recovered, "_replay", _replay_but_the_last),),
    ),
    Mutant(
        "open-blocks-forgotten",
        "C1: what is not settled outlives the journal",
        "Open blocks are in the journal, so the database need not name them; and the journal is cut.",
        _BLACKOUTS,
        (Patch(DurableBook, "take_news", _take_no_blocks),),
    ),
)
