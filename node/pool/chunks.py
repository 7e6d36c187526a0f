"""What a batch of a benchmark cluster carries instead of transactions: chunks of bytes.

A chunk is what one client sent in one request: a whole number of transactions of one size, joined. A batch
holds a manifest and then its chunks:

    manifest = sequence (u64) | bytes of one transaction (u32) of each chunk, all big-endian

The sequence number is its author's, so that two batches of equal bytes have different names. Nobody signed
an opaque chunk and nothing looks into it, so such a batch is valid by its shape alone, at every validator
alike. Of the other kind every transaction is signed (`signedchunks.py`).
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from consensus import CodecError
from node.ledger.codes import Code, RejectedTransaction

CHUNKS_MAX = 512
"""Chunks of one batch."""
_SEQUENCE = struct.Struct(">Q")
_SIZE_BYTES = 4
SEQUENCE_MAX = 2**64 - 1
NEVER_MS = 2**62
"""A chunk waits to be sealed as long as its client does."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk on its way into a batch; make it with `Chunk.make`. `ticket` is who waits for its name."""

    ticket: int
    encoded: bytes
    transaction_bytes: int
    expires_at_ms: int = NEVER_MS

    @staticmethod
    def make(
        ticket: int, data: bytes, transaction_bytes: int, bytes_max: int, least_bytes: int = 1
    ) -> "Chunk":
        """Raises RejectedTransaction for what no batch of at most `bytes_max` bytes can hold; `least_bytes`
        is the size of the smallest transaction."""
        if len(data) > bytes_max:
            raise RejectedTransaction(Code.OVERSIZED, f"{len(data)} bytes, a batch holds at most {bytes_max}")
        if transaction_bytes < least_bytes:
            raise RejectedTransaction(
                Code.MALFORMED, f"no transaction has {transaction_bytes} bytes, the smallest {least_bytes}"
            )
        if not data or len(data) % transaction_bytes:
            raise RejectedTransaction(
                Code.MALFORMED, f"{len(data)} bytes are no transactions of {transaction_bytes} bytes each"
            )
        return Chunk(ticket, data, transaction_bytes)


def batch_items(sequence: int, chunks: Sequence[Chunk]) -> tuple[bytes, ...]:
    """The manifest and the chunks of a new batch."""
    sizes = struct.pack(f">{len(chunks)}I", *(chunk.transaction_bytes for chunk in chunks))
    return (_SEQUENCE.pack(sequence) + sizes, *(chunk.encoded for chunk in chunks))


def check_items(items: tuple[bytes, ...], least_bytes: int = 1) -> int:
    """The bytes of all chunks together. Raises CodecError for what is no manifest with its chunks, of
    transactions of `least_bytes` at least."""
    chunks = items[1:]
    if not 1 <= len(chunks) <= CHUNKS_MAX:
        raise CodecError(f"a batch holds 1 to {CHUNKS_MAX} chunks, not {len(chunks)}")
    for size, chunk in zip(_sizes(items), chunks, strict=True):
        if size < least_bytes:
            raise CodecError(
                f"a chunk is no transactions of {size} bytes each: the smallest has {least_bytes}"
            )
        if not chunk or len(chunk) % size:
            raise CodecError(f"a chunk of {len(chunk)} bytes is no transactions of {size} bytes each")
    return sum(map(len, chunks))


def count_transactions(items: tuple[bytes, ...]) -> tuple[int, int]:
    """(transactions, bytes) of a batch that passed `check_items`; one division a chunk."""
    count = sum(len(chunk) // size for size, chunk in sized_chunks(items))
    return count, sum(map(len, items[1:]))


def sized_chunks(items: tuple[bytes, ...]) -> Iterator[tuple[int, bytes]]:
    """(bytes of one transaction, chunk) of each chunk of a batch that passed `check_items`."""
    return zip(_sizes(items), items[1:], strict=True)


def _sizes(items: tuple[bytes, ...]) -> tuple[int, ...]:
    manifest, count = items[0], len(items) - 1
    if len(manifest) != _SEQUENCE.size + count * _SIZE_BYTES:
        raise CodecError(f"a manifest of {len(manifest)} bytes is not of {count} chunks")
    return struct.unpack_from(f">{count}I", manifest, _SEQUENCE.size)
