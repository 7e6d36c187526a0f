"""What the database holds, key by key: the one description shared by who writes and who reads.

Integers in keys are big-endian, so that they sort. The state environment shows certified heights only;
what is executed and not yet certified lives in the ledger's overlay, so nothing read from storage can
ever be taken back.
"""

from dataclasses import dataclass
from typing import TypeAlias

from consensus import (
    Block,
    Digest,
    Epoch,
    HeaderCertificate,
    LocalError,
    QuorumCertificate,
    Round,
    SafetyRecord,
    TimeoutCertificate,
    Value,
    as_array,
    as_bytes,
    as_tuple,
    decode,
    encode_trusted,
)
from node.ledger.execution import Execution, Tip
from node.ledger.federation.tables import chain_contents
from node.ledger.state import Space
from node.proofs import CompactRange
from node.proofs.header import Header
from node.storage import HEIGHT_KEY as HEIGHT_KEY
from node.storage import ChainTable, StateTable, Write, WriteSet
from node.storage import height_key as height_key
from node.storage import history_key as history_key

TIP_KEY = b"tip"
"""StateTable.META: `[header, compact range over header hashes]` at that height."""
OPEN_KEY = b"open"
"""ChainTable.META: an `OpenBook`."""

SPACE_TABLES = (StateTable.STATE, StateTable.NODES, StateTable.REPLAY)
"""The tables of the ledger's spaces, in the order of `Space`."""
_OPEN_MAX = 2**20
"""Open blocks, and open batches, that one book may list: quotas of 128 validators come to a quarter of it."""


BlockPlace: TypeAlias = tuple[Epoch, Round]
"""Where agreement placed a block; compared lexicographically (C4)."""


def place_of(block: Block) -> BlockPlace:
    """Where agreement placed a block."""
    return block.epoch, block.round


def position(height: int, index: int) -> bytes:
    """Where a transaction stands: height u64, leaf index u32."""
    return height.to_bytes(8, "big") + index.to_bytes(4, "big")


def tip_value(tip: Tip) -> bytes:
    """The bytes under `TIP_KEY`."""
    return encode_trusted((tip.header.encoded, tip.history.to_value()))


def tip_from(data: bytes) -> Tip:
    """The inverse of `tip_value`; raises LocalError: nobody but this program wrote it."""
    try:
        header, history = as_tuple(decode(data), 2, "tip")
        return Tip(Header.decode(as_bytes(header, "header")), CompactRange.from_value(history))
    except ValueError as error:
        raise LocalError(f"the stored tip cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class OpenBook:
    """What consensus must not forget once the journal is trimmed: everything that is not settled yet.

    `blocks` are ids (stored under BLOCKS) above the state's height, `batches` digests (under BATCHES) that
    were acknowledged and not executed. `journal_seq`: the journal up to here is contained.
    """

    journal_seq: int
    record: SafetyRecord | None
    high_qc: QuorumCertificate | None
    high_tc: TimeoutCertificate | None
    certified: HeaderCertificate | None
    blocks: tuple[Digest, ...]
    batches: tuple[Digest, ...]

    def encode(self) -> bytes:
        """The bytes under `OPEN_KEY`."""
        return encode_trusted(
            (
                self.journal_seq,
                None if self.record is None else self.record.to_value(),
                None if self.high_qc is None else self.high_qc.to_value(),
                None if self.high_tc is None else self.high_tc.to_value(),
                None if self.certified is None else self.certified.to_value(),
                self.blocks,
                self.batches,
            )
        )

    @staticmethod
    def decode(data: bytes) -> "OpenBook":
        """The inverse of `encode`; raises LocalError."""
        try:
            seq, record, high_qc, high_tc, certified, blocks, batches = as_tuple(decode(data), 7, "open book")
            if type(seq) is not int:
                raise ValueError("the journal position is not an integer")
            return OpenBook(
                seq,
                None if record is None else SafetyRecord.from_value(record),
                None if high_qc is None else QuorumCertificate.from_value(high_qc),
                None if high_tc is None else TimeoutCertificate.from_value(high_tc),
                None if certified is None else HeaderCertificate.from_value(certified),
                _digests(blocks, "open blocks"),
                _digests(batches, "open batches"),
            )
        except ValueError as error:
            raise LocalError(f"the stored consensus state cannot be read: {error}") from error


def _digests(value: Value, what: str) -> tuple[Digest, ...]:
    return tuple(Digest(as_bytes(item, what, length=32)) for item in as_array(value, _OPEN_MAX, what))


def chain_writes(execution: Execution) -> WriteSet:
    """The chain's entries of one executed height."""
    header = execution.header
    key = height_key(header.height)
    transactions = tuple(transaction.encoded for _, transaction in execution.leaves)
    outbox = chain_contents(execution.outbox) if execution.outbox else {}
    receipts = tuple(receipt.encoded for receipt in execution.receipts)
    return WriteSet(
        {
            ChainTable.HEADERS: {key: header.encoded},
            ChainTable.BLOCK_HEIGHTS: {header.block_id: key},
            ChainTable.BODIES: {key: encode_trusted((transactions, receipts))},
            ChainTable.HISTORY: {
                history_key(level, index): node for level, index, node in execution.history_nodes
            },
            # The places are those of `position`, half of which is the same for all.
            ChainTable.TRANSACTIONS: {
                transaction.id: key + index.to_bytes(4, "big")
                for index, (_, transaction) in enumerate(execution.leaves)
            },
            **outbox,
        }
    )


def certificate_write(certificate: HeaderCertificate) -> Write:
    """The entry of a certificate."""
    return Write(
        ChainTable.CERTIFICATES, height_key(certificate.height), encode_trusted(certificate.to_value())
    )


def state_writes(execution: Execution) -> WriteSet:
    """The state's entries of one executed height; they share its mappings, so add nothing to them."""
    return WriteSet(
        {SPACE_TABLES[space]: changed for space, changed in zip(Space, execution.writes, strict=True)}
    )


def tip_writes(tip: Tip) -> list[Write]:
    """The state's own position."""
    return [
        Write(StateTable.META, HEIGHT_KEY, height_key(tip.height)),
        Write(StateTable.META, TIP_KEY, tip_value(tip)),
    ]
