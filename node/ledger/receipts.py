"""Receipts: what became of a transaction, provable under the header's receipt_root.

`Receipt = [version, tx_id, height, index, status, result, writes_hash]`. It stands at the same index in the
receipt tree as the transaction's bytes in the transaction tree. It hashes the transaction's writes (C3), so
that two validators whose state roots differ can name the first transaction that made them differ.
"""

from collections.abc import Mapping

from consensus import (
    CodecError,
    Digest,
    LocalError,
    Value,
    as_bytes,
    as_int,
    as_tuple,
    decode,
    digest,
    encode_trusted,
    immutable,
)
from node.ledger.codes import explain

RECEIPT_VERSION = 1
RECEIPT_BYTES_MAX = 16 * 1024
STATUS_MAX = 65_535
_WRITES_DOMAIN = "isthmus/writes/v1"


def hash_writes(writes: Mapping[bytes, bytes | None]) -> Digest:
    """H(domain, [[key, value | nil], ...]) of one transaction's state writes, sorted by key."""
    if not writes:
        return NO_WRITES
    return digest(_WRITES_DOMAIN, encode_trusted(sorted(writes.items())))


NO_WRITES = digest(_WRITES_DOMAIN, encode_trusted(()))
"""writes_hash of a transaction that wrote nothing; every failed one."""


@immutable(frozen=True, slots=True, eq=False)
class Receipt:
    """The outcome of one transaction; make it with `make` or `decode`, which fix `encoded`.

    `index` is the leaf position within its block. `status` is 0 for success, else a number of
    node/ledger/codes.py (kept as a number, so that old software reads receipts of newer applications).
    `result` is what the method answered, or the detail of a failure (`explanation` adds the sentence).
    """

    tx_id: Digest
    height: int
    index: int
    status: int
    result: Value
    writes_hash: Digest
    encoded: bytes

    @property
    def ok(self) -> bool:
        """Whether the transaction took effect."""
        return self.status == 0

    @property
    def explanation(self) -> str:
        """What became of the transaction, for a person."""
        return explain(self.status, self.result if not self.ok and type(self.result) is str else "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Receipt) and other.encoded == self.encoded

    def __hash__(self) -> int:
        return int.from_bytes(self.tx_id[:8], "big")

    @staticmethod
    def make(
        tx_id: Digest, height: int, index: int, status: int, result: Value, writes_hash: Digest
    ) -> "Receipt":
        """A receipt with its encoding, from values that are canonical already. Raises LocalError when a
        method answered with more than a receipt can hold."""
        status = int(status)
        encoded = encode_trusted((RECEIPT_VERSION, tx_id, height, index, status, result, writes_hash))
        if len(encoded) > RECEIPT_BYTES_MAX:
            raise LocalError(f"a receipt of {len(encoded)} bytes exceeds {RECEIPT_BYTES_MAX}")
        return Receipt(tx_id, height, index, status, result, writes_hash, encoded)

    @staticmethod
    def decode(data: bytes) -> "Receipt":
        """The receipt these bytes encode; raises CodecError."""
        value = decode(data, max_bytes=RECEIPT_BYTES_MAX)
        version, tx_id, height, index, status, result, writes_hash = as_tuple(value, 7, "receipt")
        if version != RECEIPT_VERSION:
            raise CodecError(f"receipt version {version!a:.20} is not {RECEIPT_VERSION}")
        return Receipt(
            Digest(as_bytes(tx_id, "transaction id", length=32)),
            as_int(height, "receipt height"),
            as_int(index, "receipt index"),
            as_int(status, "status", high=STATUS_MAX),
            result,
            Digest(as_bytes(writes_hash, "writes hash", length=32)),
            data,
        )
