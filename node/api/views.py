"""The answers of the API as types: what programs decode, people read and the document describes.

Bytes stay as they are stored and signed, so that a client can verify them; the decoded fields that
`readable` adds are for people and appear in JSON only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from consensus import CodecError, HeaderCertificate, decode
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.receipts import Receipt
from node.ledger.transactions import Transaction
from node.proofs.header import Header


@dataclass(frozen=True, slots=True)
class ProvenHeader:
    """A ledger header with what proves it final.

    `certificate` (encoded) is for this header, or for `certified_header`, a later one whose history root
    contains this header's hash by `history_path` (RFC 6962, leaf index = this header's height). Header 0
    may have no certificate yet: it follows from the genesis document.
    """

    header: bytes
    certificate: bytes | None
    certified_header: bytes | None
    history_path: tuple[bytes, ...]

    def readable(self) -> Mapping[str, object]:
        """The decoded header and what certifies it."""
        fields: dict[str, object] = {"decoded": header_fields(Header.decode(self.header))}
        if self.certificate is not None:
            certificate = HeaderCertificate.from_value(decode(self.certificate))
            fields["certified_height"] = certificate.height
            fields["signers"] = sum(byte.bit_count() for byte in certificate.signers)
        return fields


@dataclass(frozen=True, slots=True)
class LeafProof:
    """One leaf index in both trees of a header: the transaction's and its receipt's paths (RFC 6962)."""

    size: int
    transaction_path: tuple[bytes, ...]
    receipt_path: tuple[bytes, ...]
    header: ProvenHeader


@dataclass(frozen=True, slots=True)
class TransactionAnswer:
    """A certified transaction and its receipt, as stored; with a proof when asked for."""

    tx_id: bytes
    height: int
    index: int
    transaction: bytes
    receipt: bytes
    proof: LeafProof | None

    def readable(self) -> Mapping[str, object]:
        """The decoded transaction and receipt."""
        return {
            "decoded_transaction": transaction_fields(self.transaction),
            "decoded_receipt": receipt_fields(self.receipt),
        }


@dataclass(frozen=True, slots=True)
class ReceiptAnswer:
    """A certified receipt, as stored."""

    tx_id: bytes
    height: int
    index: int
    receipt: bytes

    def readable(self) -> Mapping[str, object]:
        """The decoded receipt."""
        return {"decoded_receipt": receipt_fields(self.receipt)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one submitted transaction.

    `state` is `certified` (with the receipt; `code` is its status, 0 for success), `committed` (only for who
    asked for it: ordered for good and executed here, its receipt certified by nobody yet, so this node's
    word), `admitted` (taken, not that far when the wait ended; nothing is lost, ask for the receipt later) or
    `rejected` (at the door, maybe unread: `tx_id` is null then, and the place in the request tells which).
    """

    tx_id: bytes | None
    state: str
    code: int
    name: str
    message: str
    height: int | None
    index: int | None
    receipt: bytes | None

    def readable(self) -> Mapping[str, object]:
        """The decoded receipt, if there is one."""
        return {} if self.receipt is None else {"decoded_receipt": receipt_fields(self.receipt)}


@dataclass(frozen=True, slots=True)
class BlockAnswer:
    """One height: its proven header, and its transactions and receipts in leaf order."""

    height: int
    header: ProvenHeader
    transactions: tuple[bytes, ...]
    receipts: tuple[bytes, ...]

    def readable(self) -> Mapping[str, object]:
        """Decoded receipts and transactions."""
        return {
            "decoded_transactions": [transaction_fields(item) for item in self.transactions],
            "decoded_receipts": [receipt_fields(item) for item in self.receipts],
        }


@dataclass(frozen=True, slots=True)
class StateEntry:
    """One state key at the answer's height; `value` is None when it is absent.

    `proof` is the encoded sparse Merkle proof (of presence or of absence) under the header's state root.
    """

    key: bytes
    value: bytes | None
    proof: bytes | None


@dataclass(frozen=True, slots=True)
class StateAnswer:
    """One state entry with the height it is true at; the header is given with the proof."""

    height: int
    entry: StateEntry
    header: ProvenHeader | None


@dataclass(frozen=True, slots=True)
class EvidenceItem:
    """One kept proof of misbehaviour."""

    evidence_id: bytes
    evidence: bytes


@dataclass(frozen=True, slots=True)
class EvidenceAnswer:
    """Kept evidence in the order of ids; `more` says that asking from behind the last id gives more."""

    total: int
    items: tuple[EvidenceItem, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class GenesisAnswer:
    """The cluster's genesis: the hash everybody pins, the canonical bytes, and the text for people."""

    cluster_id: bytes
    body: bytes
    text: str


def status_name(status: int) -> str:
    """The label of a receipt status; numbers of newer applications keep their number."""
    try:
        return Code(status).label
    except ValueError:
        return f"status-{status}"


def header_fields(header: Header) -> dict[str, object]:
    """A header by field name, with its hash."""
    return {
        "hash": header.hash,
        "incarnation": header.incarnation,
        "cluster_id": header.cluster_id,
        "epoch": header.epoch,
        "height": header.height,
        "parent_hash": header.parent_hash,
        "block_id": header.block_id,
        "time_ms": header.time_ms,
        "tx_root": header.tx_root,
        "receipt_root": header.receipt_root,
        "state_root": header.state_root,
        "outbox_root": header.outbox_root,
        "history_root": header.history_root,
        "anchors_root": header.anchors_root,
        "validators_hash": header.validators_hash,
        "next_validators_hash": header.next_validators_hash,
    }


def receipt_fields(data: bytes) -> dict[str, object] | None:
    """A receipt by field name, or None for bytes of a version this program does not read."""
    try:
        receipt = Receipt.decode(data)
    except CodecError:
        return None
    return {
        "tx_id": receipt.tx_id,
        "height": receipt.height,
        "index": receipt.index,
        "status": receipt.status,
        "name": status_name(receipt.status),
        "explanation": receipt.explanation,
        "result": receipt.result,
        "writes_hash": receipt.writes_hash,
    }


def transaction_fields(data: bytes) -> dict[str, object] | None:
    """A transaction by field name, or None for bytes of a version this program does not read."""
    try:
        transaction = Transaction.decode(data, max_bytes=len(data))
    except RejectedTransaction:
        return None
    return {
        "id": transaction.id,
        "sender": transaction.sender,
        "unique_id": transaction.unique_id,
        "expires_at_ms": transaction.expires_at_ms,
        "app": transaction.app,
        "method": transaction.method,
        "args": transaction.args,
    }
