"""Blocks that no chain holds: proposed, made durable, and passed over. Pruning walks the chain and never
meets them, so they are looked for: a page of all blocks with each slice (forgetting.py), round and round.

Dead is what stands below the first kept block, is none of the empty ones right below it, which the next slice
takes, and is not in the open book: the chain's own blocks of there are gone. A dead block goes together with
the batches it names, and only once those have expired at the first kept block: from there on no block can
order them (C24), so nobody asks for them.
"""

from dataclasses import dataclass

from consensus import Proposal, decode
from node.daemon.pruning import header_at, named_by, proposal_of, pruned_below
from node.daemon.store import Store
from node.pool.batches import Batch
from node.pool.config import PoolConfig
from node.storage import HEIGHT_KEY, ChainTable, Reader, Snapshot, StateTable, Write
from node.validator.layout import OPEN_KEY, OpenBook, place_of

PAGE_BLOCKS = 128
"""Blocks looked at with a slice of 64 heights, of which a busy chain makes about one each."""
PAGE_BYTES = 2 * 1024 * 1024
DEAD_MAX = 8
"""Dead blocks deleted at a time: each may name batches of some MiB, which are looked into."""


@dataclass(slots=True)
class Sweep:
    """How far the table is looked through; `at` is the next key, None before the first page. Not written
    down: it begins anywhere, for block ids are hashes."""

    at: bytes | None = None


def sweep_page(store: Store, rules: PoolConfig, sweep: Sweep) -> int:
    """Delete the dead blocks of the next page, with their batches; how many blocks those were. Raises
    StorageError, LocalError for a database that contradicts itself."""
    with store.snapshot() as view:
        below = pruned_below(view)
        if below <= 1:
            return 0
        if sweep.at is None:
            tip = int.from_bytes(view.get(StateTable.META, HEIGHT_KEY) or b"", "big")
            sweep.at = header_at(view, tip).block_id
        writes, blocks, sweep.at = _dead_of_page(view, rules, below, sweep.at)
    if writes:
        store.apply(writes, [])
    return blocks


def _dead_of_page(
    view: Snapshot, rules: PoolConfig, below: int, start: bytes
) -> tuple[list[Write], int, bytes]:
    """What to delete, how many blocks those are, and where the next page begins."""
    first = header_at(view, below)
    kept = proposal_of(view, first.block_id)
    page = view.scan(ChainTable.BLOCKS, start, limit=PAGE_BLOCKS, limit_bytes=PAGE_BYTES)
    if kept is None or not page:
        return [], 0, b""
    open_blocks, open_batches = _open(view)
    alive = open_blocks | _right_below(view, kept)
    writes: list[Write] = []
    blocks = 0
    for block_id, data in page:
        proposal = Proposal.from_value(decode(data))
        if place_of(proposal.block) >= place_of(kept.block) or block_id in alive:
            continue
        batches = _expired_batches(view, rules, proposal, first.time_ms)
        if batches is None:
            continue
        writes.append(Write(ChainTable.BLOCKS, block_id, None))
        writes += [Write(ChainTable.BATCHES, name, None) for name in batches if name not in open_batches]
        blocks += 1
        if blocks == DEAD_MAX:
            return writes, blocks, block_id + b"\0"
    return writes, blocks, page[-1][0] + b"\0"


def _right_below(view: Reader, kept: Proposal) -> set[bytes]:
    """The blocks that lead to this one, down to the first that is gone; at most a page of them."""
    found: set[bytes] = set()
    block_id = kept.block.parent_id
    while len(found) < PAGE_BLOCKS and (above := proposal_of(view, block_id)) is not None:
        found.add(block_id)
        block_id = above.block.parent_id
    return found


def _open(view: Reader) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """The blocks and batches of the open book."""
    stored = view.get(ChainTable.META, OPEN_KEY)
    if stored is None:
        return frozenset(), frozenset()
    book = OpenBook.decode(stored)
    return frozenset(book.blocks), frozenset(book.batches)


def _expired_batches(view: Reader, rules: PoolConfig, dead: Proposal, at_ms: int) -> list[bytes] | None:
    """The batches that a dead block names and that are stored; None when one may be ordered still."""
    names: list[bytes] = []
    for name in named_by(dead, rules):
        body = view.get(ChainTable.BATCHES, name)
        if body is None:
            continue
        if not Batch.decode(body, rules.batch, name).is_expired(at_ms):
            return None
        names.append(name)
    return names
