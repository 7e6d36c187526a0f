"""The ledger header: the one object a cluster certifies, and all that leaves it (DESIGN 5, F1).

`Header = [version, incarnation, cluster_id, epoch, height, parent_hash, block_id, time_ms, tx_root,
receipt_root, state_root, outbox_root, history_root, anchors_root, validators_hash,
next_validators_hash | nil]`, canonical; `hash = H("isthmus/header/v1", bytes)`. Its roots are an RFC 6962
tree each for transactions, receipts and the hashes of headers 0..height-1 (F2), and sparse Merkle trees
for state, outboxes and anchors.
"""

from dataclasses import dataclass

from consensus import (
    CodecError,
    Digest,
    Value,
    as_bytes,
    as_int,
    as_tuple,
    decode,
    digest,
    encode_trusted,
)
from node.proofs import rfc6962, smt

HEADER_VERSION = 1
HEADER_BYTES_MAX = 512
EMPTY_LIST_ROOT = Digest(rfc6962.EMPTY_ROOT)
"""tx_root and receipt_root of a block without leaves, and history_root of height 0."""
EMPTY_MAP_ROOT = Digest(smt.EMPTY)
"""outbox_root and anchors_root as long as a cluster federates with nobody."""
NO_PARENT = Digest(bytes(32))
"""parent_hash of height 0."""
_DOMAIN = "isthmus/header/v1"


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """One ledger header; make it with `make` or `decode`, which fix `encoded` and `hash`.

    `next_validators_hash` is set only on the header that ends its epoch. All hashes are 32 bytes; times
    are cluster time in milliseconds, the timestamp of the block that was executed.
    """

    incarnation: int
    cluster_id: bytes
    epoch: int
    height: int
    parent_hash: Digest
    block_id: Digest
    time_ms: int
    tx_root: Digest
    receipt_root: Digest
    state_root: Digest
    outbox_root: Digest
    history_root: Digest
    anchors_root: Digest
    validators_hash: Digest
    next_validators_hash: Digest | None
    encoded: bytes
    hash: Digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Header) and other.encoded == self.encoded

    def __hash__(self) -> int:
        return int.from_bytes(self.hash[:8], "big")

    @staticmethod
    def make(
        *,
        incarnation: int,
        cluster_id: bytes,
        epoch: int,
        height: int,
        parent_hash: bytes,
        block_id: bytes,
        time_ms: int,
        tx_root: bytes,
        receipt_root: bytes,
        state_root: bytes,
        history_root: bytes,
        validators_hash: bytes,
        next_validators_hash: bytes | None = None,
        outbox_root: bytes = EMPTY_MAP_ROOT,
        anchors_root: bytes = EMPTY_MAP_ROOT,
    ) -> "Header":
        """A header with its encoding and hash. Raises CodecError when a field is out of its range."""
        return Header.decode(
            encode_trusted(
                (
                    HEADER_VERSION,
                    incarnation,
                    cluster_id,
                    epoch,
                    height,
                    parent_hash,
                    block_id,
                    time_ms,
                    tx_root,
                    receipt_root,
                    state_root,
                    outbox_root,
                    history_root,
                    anchors_root,
                    validators_hash,
                    next_validators_hash,
                )
            )
        )

    @staticmethod
    def decode(data: bytes) -> "Header":
        """The header these bytes encode; raises CodecError. Nothing is believed yet: compare the hash."""
        fields = as_tuple(decode(data, max_bytes=HEADER_BYTES_MAX, max_depth=1), 16, "header")
        if fields[0] != HEADER_VERSION:
            raise CodecError(f"header version {fields[0]!r:.20} is not {HEADER_VERSION}")
        next_hash = fields[15]
        return Header(
            as_int(fields[1], "incarnation"),
            as_bytes(fields[2], "cluster id", length=32),
            as_int(fields[3], "epoch"),
            as_int(fields[4], "height"),
            _hash(fields[5], "parent hash"),
            _hash(fields[6], "block id"),
            as_int(fields[7], "time_ms"),
            _hash(fields[8], "tx root"),
            _hash(fields[9], "receipt root"),
            _hash(fields[10], "state root"),
            _hash(fields[11], "outbox root"),
            _hash(fields[12], "history root"),
            _hash(fields[13], "anchors root"),
            _hash(fields[14], "validators hash"),
            None if next_hash is None else _hash(next_hash, "next validators hash"),
            data,
            digest(_DOMAIN, data),
        )


def _hash(value: Value, what: str) -> Digest:
    return Digest(as_bytes(value, what, length=32))
