"""What a start finds: database and journal read together into the state nothing sent is missing from.

The database is at or behind the journal, its chain at or ahead of its state. The tip of the state is the
root everything above is rebuilt from: blocks above it are handed to the replica, which commits and
re-executes them; batches that were acknowledged are handed back to the pool. Reading the journal twice,
or crashing while it is read, changes nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from consensus import (
    CodecError,
    Digest,
    HeaderCertificate,
    LocalError,
    Proposal,
    QuorumCertificate,
    Round,
    SafetyRecord,
    TimeoutCertificate,
    decode,
)
from node.genesis import Genesis
from node.ledger.execution import Tip
from node.storage import ChainTable, Reader, StateTable, Write
from node.validator.epochs import epoch_after
from node.validator.layout import (
    HEIGHT_KEY,
    OPEN_KEY,
    SPACE_TABLES,
    TIP_KEY,
    OpenBook,
    height_key,
    history_key,
    place_of,
    tip_from,
    tip_value,
)
from node.validator.records import BatchRecord, JournalRecord, decode_record

_NOTHING = OpenBook(0, None, None, None, None, (), ())


@dataclass(frozen=True, slots=True)
class Recovered:
    """Where a validator starts from. `root` is the block of the tip's header, None at genesis; `proposals`
    are the known blocks above it, `batches` the acknowledged ones; `certified` is the highest certificate
    known; `journal_seq` is the last record of the journal."""

    tip: Tip
    root: Proposal | None
    record: SafetyRecord | None
    high_qc: QuorumCertificate | None
    high_tc: TimeoutCertificate | None
    certified: HeaderCertificate | None
    proposals: tuple[Proposal, ...]
    batches: tuple[tuple[Digest, bytes], ...]
    journal_seq: int


def first_writes(genesis: Genesis) -> tuple[tuple[Write, ...], tuple[Write, ...]]:
    """Chain and state writes that make an empty database hold height 0."""
    beginning = genesis.beginning()
    header = beginning.tip.header
    chain = [Write(ChainTable.HEADERS, height_key(0), header.encoded)]
    chain += [
        Write(ChainTable.HISTORY, history_key(level, index), node)
        for level, index, node in beginning.history_nodes
    ]
    state = [Write(SPACE_TABLES[space], key, value) for space, key, value in beginning.state_writes]
    state.append(Write(StateTable.META, HEIGHT_KEY, height_key(0)))
    state.append(Write(StateTable.META, TIP_KEY, tip_value(beginning.tip)))
    return tuple(chain), tuple(state)


def is_empty(reader: Reader) -> bool:
    """Whether the database holds nothing yet, not even height 0."""
    return reader.get(StateTable.META, TIP_KEY) is None


def recover(reader: Reader, journal: Iterable[tuple[int, bytes]], journal_seq: int) -> Recovered:
    """Read everything. `journal` yields (seq, record) in order, `journal_seq` is its last seq. Raises
    LocalError when what is stored contradicts itself: run `isthmus db check`."""
    stored_tip = reader.get(StateTable.META, TIP_KEY)
    if stored_tip is None:
        raise LocalError("the state holds no tip; the database was never begun")
    tip = tip_from(stored_tip)
    stored_open = reader.get(ChainTable.META, OPEN_KEY)
    book = _NOTHING if stored_open is None else OpenBook.decode(stored_open)
    proposals = {digest: load_block(reader, digest) for digest in book.blocks}
    batches = {digest: _load_batch(reader, digest) for digest in book.batches}
    records = [decode_record(data) for seq, data in journal if seq > book.journal_seq]
    book = _replay(book, records, proposals, batches)
    root = None if tip.height == 0 else load_block(reader, tip.header.block_id, proposals)
    above = (epoch_after(tip.header), Round(0))
    if root is not None and root.block.epoch == above[0]:
        above = place_of(root.block)
    certified = _certificate_at_least(reader, tip.height, book.certified)
    return Recovered(
        tip,
        root,
        book.record,
        book.high_qc,
        book.high_tc,
        certified,
        tuple(p for p in proposals.values() if place_of(p.block) > above),
        tuple((digest, data) for digest, data in batches.items() if data is not None),
        journal_seq,
    )


def _replay(
    book: OpenBook,
    records: Sequence[JournalRecord],
    proposals: dict[Digest, Proposal],
    batches: dict[Digest, bytes | None],
) -> OpenBook:
    record, high_qc, high_tc, certified = book.record, book.high_qc, book.high_tc, book.certified
    for item in records:
        if isinstance(item, BatchRecord):
            batches[item.digest] = item.data
            continue
        if item.record is not None and record is not None and item.record.epoch > record.epoch:
            high_qc = high_tc = None  # of the epoch that this record left behind (C4)
        record = item.record or record
        high_qc = item.high_qc or high_qc
        high_tc = item.high_tc or high_tc
        certified = item.certified or certified
        for proposal in item.proposals:
            proposals[proposal.block.id] = proposal
    return OpenBook(book.journal_seq, record, high_qc, high_tc, certified, book.blocks, book.batches)


def load_block(reader: Reader, digest: Digest, known: dict[Digest, Proposal] | None = None) -> Proposal:
    """A block from what is `known` or from storage; raises LocalError when it is in neither."""
    if known is not None and digest in known:
        return known[digest]
    data = reader.get(ChainTable.BLOCKS, digest)
    if data is None:
        raise LocalError(f"block {digest.hex()} is missing from the database")
    try:
        return Proposal.from_value(decode(data))
    except CodecError as error:
        raise LocalError(f"block {digest.hex()} cannot be read: {error}") from error


def _load_batch(reader: Reader, digest: Digest) -> bytes | None:
    # An expired batch may have been deleted after the book was written; nobody needs it any more.
    return reader.get(ChainTable.BATCHES, digest)


def _certificate_at_least(
    reader: Reader, height: int, newest: HeaderCertificate | None
) -> HeaderCertificate | None:
    if newest is not None and newest.height >= height:
        return newest
    data = reader.get(ChainTable.CERTIFICATES, height_key(height))
    return None if data is None else HeaderCertificate.from_value(decode(data))
