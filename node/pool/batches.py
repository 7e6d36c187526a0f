"""A batch: transactions one validator sealed together; the unit that is sent, held, acknowledged and named.

`Batch = [version, cluster_id, author, epoch, created_ms, expires_at_ms, [transaction, ...]]`. A batch is not
signed: the link it came over names its author, and its digest names it in blocks. Its validity is a function
of its bytes and of rules fixed in genesis (C22), so that every validator judges alike and a worker process
can do it: `verify_batch` is that function. Authority and replay are judged at execution, not here.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeGuard

from consensus import (
    ED25519,
    CodecError,
    Digest,
    Epoch,
    SignatureScheme,
    ValidatorIndex,
    Value,
    as_array,
    as_int,
    as_tuple,
    decode,
    digest,
    encode_trusted,
)
from node.ledger.codes import RejectedTransaction
from node.ledger.transactions import Transaction, check_signature
from node.pool.chunks import check_items, sized_chunks
from node.pool.signedchunks import SIGNED_BYTES_MIN, examine_chunk

BATCH_VERSION = 1
_BATCH_DOMAIN = "isthmus/batch/v1"
_BYTES = frozenset((bytes,))
_ENVELOPE_BYTES = 128
"""At least the encoded size of everything in a batch but its transactions."""
_TRANSACTION_HEADER_BYTES = 5


class BatchContent(Enum):
    """What the batches of a cluster carry, fixed by its genesis."""

    TRANSACTIONS = 1
    """Signed by their senders; `verify_batch` looks at each."""
    CHUNKS = 2
    """Opaque bytes of a benchmark cluster (`chunks.py`): what decodes is valid."""
    SIGNED_CHUNKS = 3
    """The same of transactions that are signed (`signedchunks.py`); `verify_batch` looks at each."""

    @property
    def is_chunks(self) -> bool:
        """Whether it is the content of a benchmark cluster, whose batches hold a manifest and chunks."""
        return self is not BatchContent.TRANSACTIONS

    @property
    def least_bytes(self) -> int:
        """Of one transaction in a chunk."""
        return SIGNED_BYTES_MIN if self is BatchContent.SIGNED_CHUNKS else 1


@dataclass(frozen=True, slots=True)
class BatchRules:
    """What makes a batch valid; from genesis, equal at every validator.

    `batch_bytes_max` bounds the transactions of one batch together, `transaction_bytes_max` each of them,
    `transactions_max` their number; `lifetime_max_ms` bounds `expires_at_ms - created_ms` (C24).
    """

    cluster_id: bytes
    batch_bytes_max: int = 256 * 1024
    transaction_bytes_max: int = 64 * 1024
    transactions_max: int = 2048
    lifetime_max_ms: int = 60_000
    scheme: SignatureScheme = ED25519
    content: BatchContent = BatchContent.TRANSACTIONS

    @property
    def encoded_bytes_max(self) -> int:
        """The largest encoding a batch can have."""
        return self.batch_bytes_max + _ENVELOPE_BYTES + _TRANSACTION_HEADER_BYTES * self.transactions_max


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One batch; make it with `Batch.make` or `Batch.decode`, which fix `encoded` and `digest`.

    `author` is the sealing validator's index in the set of `epoch`; times are milliseconds since 1970.
    `opened` are the transactions decoded, for execution, where that was done when they were checked.
    """

    cluster_id: bytes
    author: ValidatorIndex
    epoch: Epoch
    created_ms: int
    expires_at_ms: int
    transactions: tuple[bytes, ...]
    encoded: bytes
    digest: Digest
    opened: tuple[Transaction, ...] = field(default=(), repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Batch) and other.encoded == self.encoded

    def __hash__(self) -> int:
        return int.from_bytes(self.digest[:8], "big")

    def is_expired(self, at_ms: int) -> bool:
        """Whether a block of time `at_ms` may no longer order it (C24)."""
        return self.expires_at_ms <= at_ms

    @staticmethod
    def make(
        *,
        cluster_id: bytes,
        author: ValidatorIndex,
        epoch: Epoch,
        created_ms: int,
        expires_at_ms: int,
        transactions: tuple[bytes, ...],
    ) -> "Batch":
        """A batch with its encoding and digest."""
        encoded = encode_trusted(
            (BATCH_VERSION, cluster_id, author, epoch, created_ms, expires_at_ms, transactions)
        )
        return Batch(
            cluster_id, author, epoch, created_ms, expires_at_ms, transactions, encoded, batch_digest(encoded)
        )

    @staticmethod
    def decode(data: bytes, rules: BatchRules, name: Digest | None = None) -> "Batch":
        """The batch these bytes encode: its shape, bounds, cluster and times are checked, its transactions
        are not opened yet. `name` is its digest, for who computed it already (half of the cost of a large
        batch). Raises CodecError naming the rule that was broken."""
        items_max = 2 * rules.transactions_max + 8
        value = decode(data, max_bytes=rules.encoded_bytes_max, max_depth=2, max_items=items_max)
        version, cluster_id, author, epoch, created, expires, items = as_tuple(value, 7, "batch")
        if version != BATCH_VERSION:
            raise CodecError(f"batch version {version!r} is not {BATCH_VERSION}")
        if cluster_id != rules.cluster_id:
            raise CodecError("the batch belongs to another cluster")
        created_ms = as_int(created, "created")
        expires_at_ms = as_int(expires, "expires")
        if not created_ms < expires_at_ms <= created_ms + rules.lifetime_max_ms:
            raise CodecError(
                f"a batch lives at most {rules.lifetime_max_ms} ms, not {expires_at_ms - created_ms}"
            )
        transactions = as_array(items, rules.transactions_max, "transactions")
        if not transactions:
            raise CodecError("an empty batch")
        if not _is_of_bytes(transactions) or max(map(len, transactions)) > rules.transaction_bytes_max:
            raise CodecError(f"every transaction must be at most {rules.transaction_bytes_max} bytes")
        content = rules.content
        size = (
            check_items(transactions, content.least_bytes)
            if content.is_chunks
            else sum(map(len, transactions))
        )
        if size > rules.batch_bytes_max:
            raise CodecError(f"{size} bytes of transactions exceed the limit of {rules.batch_bytes_max}")
        return Batch(
            rules.cluster_id,
            ValidatorIndex(as_int(author, "author", high=2**16)),
            Epoch(as_int(epoch, "epoch")),
            created_ms,
            expires_at_ms,
            transactions,
            data,
            name if name is not None else batch_digest(data),
        )


def _is_of_bytes(items: tuple[Value, ...]) -> TypeGuard[tuple[bytes, ...]]:
    return _BYTES.issuperset(map(type, items))


def batch_digest(data: bytes) -> Digest:
    """The name of a batch: a digest of its bytes as received."""
    return digest(_BATCH_DOMAIN, data)


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What `verify_batch` found: `detail` names the first fault in words, and is "" when `ok`. `opened`: all
    its transactions as they were decoded, or none."""

    digest: Digest
    ok: bool
    detail: str
    opened: tuple[Transaction, ...] = field(default=(), repr=False)


def verify_batch(data: bytes, rules: BatchRules) -> BatchReport:
    """Judge a batch by its bytes alone (C22): shape, bounds, cluster, and of each transaction its encoding,
    cluster, expiry after the batch was made, signature, and that it appears once. Never raises on bad input.
    Cost: about 45 microseconds a transaction, nearly all of it the signature."""
    steps = examine_batch(data, rules)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            report: BatchReport = end.value
            return report


def examine_batch(data: bytes, rules: BatchRules) -> Generator[None, None, BatchReport]:
    """`verify_batch` in steps of one transaction, for who has other things to do in between."""
    name = batch_digest(data)
    try:
        batch = Batch.decode(data, rules, name)
    except CodecError as error:
        return BatchReport(name, False, str(error))
    if rules.content.is_chunks:
        fault = "" if rules.content is BatchContent.CHUNKS else (yield from _signature_fault(batch, rules))
        return BatchReport(name, not fault, fault)
    opened: dict[Digest, Transaction] = {}
    for position, encoded in enumerate(batch.transactions):
        fault = _transaction_fault(encoded, batch, rules, opened)
        if fault:
            return BatchReport(name, False, f"transaction {position}: {fault}")
        yield
    return BatchReport(name, True, "", tuple(opened.values()))


def _signature_fault(batch: Batch, rules: BatchRules) -> Generator[None, None, str]:
    for position, (size, chunk) in enumerate(sized_chunks(batch.transactions)):
        fault = yield from examine_chunk(chunk, size, rules.cluster_id, rules.scheme)
        if fault:
            return f"chunk {position}, {fault}"
    return ""


def _transaction_fault(
    encoded: bytes, batch: Batch, rules: BatchRules, opened: dict[Digest, Transaction]
) -> str:
    try:
        transaction = Transaction.decode(encoded, rules.transaction_bytes_max)
    except (RejectedTransaction, CodecError) as error:
        return str(error)
    if transaction.cluster_id != rules.cluster_id:
        return "made for another cluster"
    if transaction.expires_at_ms <= batch.created_ms:
        return "had expired before the batch was made"
    if transaction.id in opened:
        return "appears twice"
    opened[transaction.id] = transaction
    if not check_signature(transaction, rules.scheme):
        return "the signature is wrong"
    return ""
