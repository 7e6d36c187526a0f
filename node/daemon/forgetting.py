"""Pruning while the node runs (`storage.keep_blocks`): a slice of old heights at a time, whole or not at all.

What stays: the newest `keep` heights; what a start looks back on (pruning.py); and what a linked node that
is behind has not stored yet, as far as it told its height or asks for the chain (askers.py), and as long as
it is less than another `keep` heights: one that stands still for ever fills nobody's disk. Nodes that come
from further below catch up from a node that keeps all.

A slice is one transaction: the height below which nothing is left is written with what is deleted. It runs in
the thread that flushes run in, between two of them, so a flush waits for a slice at most; and it looks at its
own heights alone, however many are younger. With each slice goes a look for dead branches (deadblocks.py).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog
import trio

from consensus import Digest
from node.daemon.deadblocks import Sweep, sweep_page
from node.daemon.pruning import header_at, named_by, proposal_of, pruned_below
from node.daemon.store import Store
from node.pool.config import PoolConfig
from node.storage import (
    HEIGHT_KEY,
    PRUNED_KEY,
    ChainTable,
    Reader,
    SnapshotExpired,
    SnapshotLimit,
    StateTable,
    StoreFull,
    Write,
    height_key,
)
from node.validator.layout import OPEN_KEY, OpenBook

SLICE_HEIGHTS = 64
"""Heights deleted in one transaction."""
LOOK_SECONDS = 5.0
PAUSE_SECONDS = 0.1
"""Between two slices: who has years to forget does it at 640 heights a second, beside its work."""

_log = structlog.get_logger("isthmus")


@dataclass(slots=True)
class Forgotten:
    """Since the start, for metrics; `below` is what the database says."""

    below: int = 0
    heights: int = 0
    dead_blocks: int = 0


def forget_slice(store: Store, rules: PoolConfig, keep: int, others: Collection[int]) -> int:
    """Delete the oldest slice that is due; how many heights it was. `others` are the heights that linked
    nodes have stored. Raises StorageError, LocalError for a database that contradicts itself."""
    with store.snapshot() as view:
        tip = int.from_bytes(view.get(StateTable.META, HEIGHT_KEY) or b"", "big")
        before = max(1, pruned_below(view))
        below = before + SLICE_HEIGHTS
        if below > lowest_kept(tip, keep, others) or not _is_past(view, rules, below, tip):
            return 0
        writes = _deletions(view, rules, before, below)
    store.apply([*writes, Write(ChainTable.META, PRUNED_KEY, height_key(below))], [])
    return below - before


def lowest_kept(tip: int, keep: int, others: Collection[int]) -> int:
    """The lowest height that stays, by the rule above."""
    newest = tip - keep + 1
    return min([newest, *(max(height + 1, newest - keep) for height in others)])


def _is_past(view: Reader, rules: PoolConfig, height: int, tip: int) -> bool:
    """Whether a start walks back no further than to this height: its block is older than a batch can live
    (`oldest_needed`, which finds the same by walking)."""
    return header_at(view, height).time_ms < header_at(view, tip).time_ms - rules.payload.horizon_ms


def _deletions(view: Reader, rules: PoolConfig, before: int, below: int) -> list[Write]:
    """Everything of the heights from `before` to below `below`: bodies, blocks with the empty ones between,
    and the batches they ordered. No executed block above names one of these, because a batch is ordered once
    (`node/pool/checking.py`); what the open book holds or names stays all the same."""
    writes: list[Write] = []
    batches: dict[Digest, None] = {}
    for height in range(before, below):
        end = None if height == 1 else header_at(view, height - 1).block_id
        block_id = header_at(view, height).block_id
        while block_id != end and (proposal := proposal_of(view, block_id)) is not None:
            writes.append(Write(ChainTable.BLOCKS, block_id, None))
            batches |= dict.fromkeys(named_by(proposal, rules))
            block_id = proposal.block.parent_id
        if view.get(ChainTable.BODIES, height_key(height)) is not None:
            writes.append(Write(ChainTable.BODIES, height_key(height), None))
    kept = _open_batches(view, rules) if batches else ()
    return [*writes, *(Write(ChainTable.BATCHES, digest, None) for digest in batches if digest not in kept)]


def _open_batches(view: Reader, rules: PoolConfig) -> set[Digest]:
    """Batches that the open book holds, or that its blocks name."""
    stored = view.get(ChainTable.META, OPEN_KEY)
    if stored is None:
        return set()
    book = OpenBook.decode(stored)
    kept = set(book.batches)
    for block_id in book.blocks:
        proposal = proposal_of(view, block_id)
        if proposal is not None:
            kept.update(named_by(proposal, rules))
    return kept


async def keep_forgetting(
    store: Store,
    rules: PoolConfig,
    keep: int,
    others: Callable[[], Collection[int]],
    writer: trio.CapacityLimiter,
    counts: Forgotten,
) -> None:
    """Forget what is due, slice by slice, until cancelled; `writer` lets one thread write at a time. With
    `keep` 0 nothing is ever forgotten."""
    with store.snapshot() as view:
        counts.below = pruned_below(view)
    sweep = Sweep()
    while keep:
        try:
            heights = await trio.to_thread.run_sync(
                forget_slice, store, rules, keep, tuple(others()), limiter=writer
            )
            if heights:
                counts.heights += heights
                counts.below = max(1, counts.below) + heights
                counts.dead_blocks += await trio.to_thread.run_sync(
                    sweep_page, store, rules, sweep, limiter=writer
                )
        except (StoreFull, SnapshotLimit, SnapshotExpired) as error:  # flushes say the first loudly
            _log.warning("pruning_waits", detail=str(error))
            heights = 0
        await trio.sleep(PAUSE_SECONDS if heights else LOOK_SECONDS)
