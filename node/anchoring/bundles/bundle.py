"""The bundle: the one file in which any fact leaves a cluster, and which anybody checks offline.

A bundle holds everything between a genesis hash that the reader pins and one fact: a transaction with
its receipt, a state entry (or its absence), a header, or what the cluster said to another one. Canonical
msgpack:

    [ "isthmus-bundle/1", kind, genesis body, epoch links, header, certificate, certified header | nil,
      history path | nil, checkpoint | nil, statement ]

    kind 1  TRANSACTION  [transaction, receipt, index, size, transaction path, receipt path]
    kind 2  STATE        [key, value | nil (absent), [depth, bitmap, siblings, other leaf | nil]]
    kind 3  HEADER       nil
    kind 4  OUTBOX       [destination cluster id, leaf, outbox proof]      (`lanes/outbox.py`)
    checkpoint           [height, header hash, history path]

A certificate of height H proves every header h <= H. Where the fact's header has none of its own, the
certificate is for `certified header`, whose history_root (H leaves) holds the fact's header hash at index
h. `checkpoint` connects that same history with an older header which a reader may have pinned. Epoch
links lead from the genesis to the set that certified (`cluster/epochs.py`): all of them, or none
where the reader has them as a file of its own (F9). This version proves incarnation 0 and refuses others.

RFC 6962 paths bind neither size nor index, and headers carry no leaf count. Leaves are therefore hashed
from the data, heights come from certified headers, and a transaction's index counts only because its
receipt, proven at that index, states it; `size` is a hint for the shape of the paths, never a fact.
Sources: DESIGN 5 and 8; federation rules F1, F2, F9; RFC 9162 2.1.3; ICS-23 `SmtSpec`.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TypeAlias

from consensus import (
    CodecError,
    Digest,
    HeaderCertificate,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_tuple,
    decode,
    encode,
)
from node.anchoring.cluster.epochs import LINKS_BYTES_MAX, EpochLink, links_from_value, links_value
from node.anchoring.cluster.identity import GENESIS_BODY_BYTES_MAX
from node.anchoring.lanes.messages import LEAF_BYTES_MAX
from node.anchoring.lanes.outbox import OUTBOX_PROOF_BYTES_MAX, OutboxProof
from node.proofs import SmtProof
from node.proofs.header import HEADER_BYTES_MAX
from node.proofs.rfc6962 import MAX_PATH_HASHES

MAGIC = "isthmus-bundle/1"
FIELDS = 10
TRANSACTION_BYTES_MAX = 1024 * 1024
"""The largest `max_transaction_bytes` a genesis may allow; most clusters stay at 64 KiB."""
RECEIPT_BYTES_MAX = 16 * 1024
STATE_KEY_BYTES_MAX = 511
STATE_VALUE_BYTES_MAX = 1024 * 1024
"""No transaction can write a larger value than it is itself."""
PROOF_BYTES_MAX = 64 * 1024
"""All paths, headers and certificates of one bundle but those of its links, generously."""
BUNDLE_BYTES_MAX = (
    GENESIS_BODY_BYTES_MAX + LINKS_BYTES_MAX + TRANSACTION_BYTES_MAX + RECEIPT_BYTES_MAX + PROOF_BYTES_MAX
)
_DEPTH_MAX = 5
_ITEMS_MAX = 512 * 1024
"""As many as the longest links have."""


class BundleKind(IntEnum):
    """What a bundle states."""

    TRANSACTION = 1
    STATE = 2
    HEADER = 3
    OUTBOX = 4


@dataclass(frozen=True, slots=True)
class TransactionStatement:
    """Leaf `index` of the header's transaction tree, and of its receipt tree: one index, one size."""

    transaction: bytes
    receipt: bytes
    index: int
    size: int
    transaction_path: tuple[bytes, ...]
    receipt_path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class StateStatement:
    """The header's state holds `value` at `key`, or nothing where `value` is None."""

    key: bytes
    value: bytes | None
    proof: SmtProof


@dataclass(frozen=True, slots=True)
class HeaderStatement:
    """The header itself is the fact."""


@dataclass(frozen=True, slots=True)
class OutboxStatement:
    """`leaf` is in the log of what the cluster said to cluster `destination`."""

    destination: bytes
    leaf: bytes
    proof: OutboxProof


Statement: TypeAlias = TransactionStatement | StateStatement | HeaderStatement | OutboxStatement


@dataclass(frozen=True, slots=True)
class CertifiedLater:
    """The later header that the certificate is for, and the place of the fact's header in its history."""

    header: bytes
    history_path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CheckpointProof:
    """`header_hash` is the hash of header `height` in the history of the header that was certified."""

    height: int
    header_hash: Digest
    history_path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """One fact and the way to it from a genesis hash; `header` is the header that the fact is about.

    Nothing in it is believed until `verify` has checked it.
    """

    genesis_body: bytes
    header: bytes
    certificate: HeaderCertificate
    certified_later: CertifiedLater | None
    checkpoint: CheckpointProof | None
    statement: Statement
    links: tuple[EpochLink, ...] = ()

    @property
    def kind(self) -> BundleKind:
        """What it states."""
        match self.statement:
            case TransactionStatement():
                return BundleKind.TRANSACTION
            case StateStatement():
                return BundleKind.STATE
            case HeaderStatement():
                return BundleKind.HEADER
            case OutboxStatement():
                return BundleKind.OUTBOX

    def of_genesis(self, genesis_body: bytes) -> "Bundle":
        """The same bundle with this genesis, for one that came without."""
        return replace(self, genesis_body=genesis_body)

    def encode(self) -> bytes:
        """The canonical bytes of the file."""
        later, checkpoint = self.certified_later, self.checkpoint
        return encode(
            (
                MAGIC,
                int(self.kind),
                self.genesis_body,
                links_value(self.links),
                self.header,
                self.certificate.to_value(),
                None if later is None else later.header,
                None if later is None else later.history_path,
                None
                if checkpoint is None
                else (checkpoint.height, checkpoint.header_hash, checkpoint.history_path),
                _statement_value(self.statement),
            )
        )

    @staticmethod
    def decode(data: bytes) -> "Bundle":
        """The bundle in these bytes; raises CodecError for any other shape, order, size or encoding."""
        value = decode(data, max_bytes=BUNDLE_BYTES_MAX, max_depth=_DEPTH_MAX, max_items=_ITEMS_MAX)
        if type(value) is not tuple or not value or value[0] != MAGIC:
            raise CodecError(f"this is no bundle of the format {MAGIC}")
        _, kind, body, links, header, certificate, later_header, later_path, checkpoint, statement = as_tuple(
            value, FIELDS, "bundle"
        )
        return Bundle(
            as_bytes(body, "genesis body", max_length=GENESIS_BODY_BYTES_MAX),
            as_bytes(header, "header", max_length=HEADER_BYTES_MAX),
            HeaderCertificate.from_value(certificate),
            _later(later_header, later_path),
            None if checkpoint is None else _checkpoint(checkpoint),
            _statement(kind, statement),
            links_from_value(links),
        )


def _later(header: Value, path: Value) -> CertifiedLater | None:
    if header is None and path is None:
        return None
    if header is None or path is None:
        raise CodecError("a certified header and a history path come together or not at all")
    return CertifiedLater(
        as_bytes(header, "certified header", max_length=HEADER_BYTES_MAX), _path(path, "history path")
    )


def _checkpoint(value: Value) -> CheckpointProof:
    height, header_hash, path = as_tuple(value, 3, "checkpoint")
    return CheckpointProof(
        as_int(height, "checkpoint height"),
        Digest(as_bytes(header_hash, "checkpoint hash", length=32)),
        _path(path, "checkpoint path"),
    )


def _statement_value(statement: Statement) -> Value:
    match statement:
        case TransactionStatement():
            return (
                statement.transaction,
                statement.receipt,
                statement.index,
                statement.size,
                statement.transaction_path,
                statement.receipt_path,
            )
        case StateStatement():
            return (statement.key, statement.value, statement.proof.to_value())
        case HeaderStatement():
            return None
        case OutboxStatement():
            return (statement.destination, statement.leaf, statement.proof.encode())


def _statement(kind: Value, value: Value) -> Statement:
    if kind == BundleKind.TRANSACTION:
        transaction, receipt, index, size, transaction_path, receipt_path = as_tuple(value, 6, "statement")
        return TransactionStatement(
            as_bytes(transaction, "transaction", max_length=TRANSACTION_BYTES_MAX),
            as_bytes(receipt, "receipt", max_length=RECEIPT_BYTES_MAX),
            as_int(index, "index"),
            as_int(size, "size"),
            _path(transaction_path, "transaction path"),
            _path(receipt_path, "receipt path"),
        )
    if kind == BundleKind.STATE:
        key, content, proof = as_tuple(value, 3, "statement")
        return StateStatement(
            as_bytes(key, "state key", max_length=STATE_KEY_BYTES_MAX),
            None if content is None else as_bytes(content, "state value", max_length=STATE_VALUE_BYTES_MAX),
            SmtProof.from_value(proof),
        )
    if kind == BundleKind.HEADER:
        if value is not None:
            raise CodecError("a header bundle has no statement beside its header")
        return HeaderStatement()
    if kind == BundleKind.OUTBOX:
        destination, leaf, proof = as_tuple(value, 3, "statement")
        return OutboxStatement(
            as_bytes(destination, "destination", length=32),
            as_bytes(leaf, "leaf", max_length=LEAF_BYTES_MAX),
            OutboxProof.decode(as_bytes(proof, "outbox proof", max_length=OUTBOX_PROOF_BYTES_MAX)),
        )
    raise CodecError(f"kind {kind!r:.20} is none that this version knows")


def _path(value: Value, what: str) -> tuple[bytes, ...]:
    hashes = as_array(value, MAX_PATH_HASHES, what)
    return tuple(as_bytes(item, f"hash of the {what}", length=32) for item in hashes)
