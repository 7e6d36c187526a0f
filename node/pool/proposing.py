"""What a leader puts into its block: a pure choice among the batches it could propose.

Oldest first, one of each author in turn, starting with another author each round, so that nobody's flood
starves the rest. A batch acknowledged by a quorum is named; a small one that is not goes inline, so that a
lone transaction commits in one consensus latency. Nothing is taken away by proposing (C9): what the
uncommitted ancestors hold already is passed over by looking at them.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from consensus import Digest
from node.pool.config import PoolConfig
from node.pool.payload import INLINE_HEADER_BYTES, PAYLOAD_OVERHEAD_BYTES, REFERENCE_BYTES, Payload, Reference
from node.pool.shelf import HeldBatch, Shelf


@dataclass(frozen=True, slots=True)
class Slot:
    """The block to fill: its round and time, what its uncommitted ancestors hold, its size in bytes."""

    round: int
    time_ms: int
    in_ancestors: Collection[Digest]
    bytes_max: int


def build_payload(
    shelf: Shelf, slot: Slot, config: PoolConfig, is_left_out: Callable[[HeldBatch], bool]
) -> Payload:
    """The payload for `slot`. `is_left_out` says which batches may not be named (their author was blamed)."""
    rules = config.payload
    references: list[Reference] = []
    inline: list[bytes] = []
    inline_left = rules.inline_bytes_max
    body_left = rules.body_bytes_max
    bytes_left = slot.bytes_max - PAYLOAD_OVERHEAD_BYTES
    for held in _in_turn(shelf, slot.round):
        batch, size = held.batch, len(held.batch.encoded)
        if len(references) + len(inline) >= rules.batches_max or bytes_left < REFERENCE_BYTES:
            break
        if batch.digest in slot.in_ancestors or size > body_left:
            continue
        if batch.is_expired(slot.time_ms) or batch.expires_at_ms > slot.time_ms + rules.horizon_ms:
            continue
        if shelf.may_reference(held) and not is_left_out(held):
            references.append(Reference(batch.author, batch.digest))
            bytes_left -= REFERENCE_BYTES
        elif held.small and size <= inline_left and size + INLINE_HEADER_BYTES <= bytes_left:
            inline.append(batch.encoded)
            inline_left -= size
            bytes_left -= size + INLINE_HEADER_BYTES
        else:
            continue
        body_left -= size
    return Payload(tuple(references), tuple(inline))


def _in_turn(shelf: Shelf, round: int) -> Iterator[HeldBatch]:
    """Every orderable batch: one of each author in turn, each author's oldest first."""
    authors = sorted(shelf.orderable)
    start = round % len(authors) if authors else 0
    queues = [iter(shelf.orderable[author].values()) for author in authors[start:] + authors[:start]]
    while queues:
        remaining = []
        for queue in queues:
            held = next(queue, None)
            if held is not None:
                yield held
                remaining.append(queue)
        queues = remaining
