"""Forgetting old transactions: blocks, batches and bodies below a height leave a stopped node's database
(forgetting.py does it on a running one).

Headers, certificates, the history tree, epoch links, what was said to other clusters, the index of
transactions and the whole state stay: a pruned node validates, proves state and headers, and knows of each
transaction at which height it stands. It cannot hand out old ones, nor feed those who catch up from below.

What is kept is decided first and written down (`PRUNED_KEY`) before anything is deleted; a crash in between
leaves a database that says less than it still holds, and pruning again goes on.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from consensus import Digest, LocalError, Proposal, decode
from node.config import KEEP_BLOCKS_MIN
from node.daemon.maintenance import MaintenanceError
from node.daemon.store import Store
from node.pool.config import PoolConfig
from node.pool.contents import parse_contents
from node.proofs.header import Header
from node.storage import HEIGHT_KEY, PRUNED_KEY, ChainTable, Reader, StateTable, Write, height_key
from node.validator.layout import OPEN_KEY, BlockPlace, OpenBook, place_of

KEEP_MIN = KEEP_BLOCKS_MIN
"""Heights that stay in any case: those whom a peer that was away for a moment asks for."""
_PAGE = 500
"""Entries looked at, and at most deleted, in one transaction."""
_PAGE_BYTES = 8 * 1024 * 1024

Progress = Callable[[int, int], None]
"""(entries done, of how many)."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was forgotten: everything below `below`, on this occasion so many entries."""

    below: int
    tip: int
    blocks: int
    batches: int
    bodies: int


def prune(store: Store, rules: PoolConfig, keep: int, progress: Progress) -> Pruned:
    """Keep the newest `keep` heights of a store that nobody else has open, and what a start needs. Raises
    MaintenanceError when too few are to be kept, StorageError."""
    if keep < KEEP_MIN:
        raise MaintenanceError(
            "keep-too-few",
            f"{keep} heights are too few to keep: at least {KEEP_MIN} stay, say --keep {KEEP_MIN}",
        )
    reader = store.reader()
    tip = int.from_bytes(reader.get(StateTable.META, HEIGHT_KEY) or b"", "big")
    before = pruned_below(reader)
    below = max(before, min(tip - keep + 1, oldest_needed(reader, rules, tip)))
    if below <= 1:
        return Pruned(0, tip, 0, 0, 0)
    kept = _Kept.of(reader, rules, below, tip)
    store.apply([Write(ChainTable.META, PRUNED_KEY, height_key(below))], [])
    bodies = _prune_bodies(store, below)
    blocks, batches = _prune_blocks(store, rules, kept, progress)
    return Pruned(below, tip, blocks, batches, bodies)


def pruned_below(reader: Reader) -> int:
    """The height below which transactions were pruned; 0 when none were."""
    stored = reader.get(ChainTable.META, PRUNED_KEY)
    return 0 if stored is None else int.from_bytes(stored, "big")


def oldest_needed(reader: Reader, rules: PoolConfig, tip: int) -> int:
    """The lowest height that a start looks at: it walks back from the tip as far as a batch can live, to the
    first block that is older (`recently_ordered`)."""
    end_ms = header_at(reader, tip).time_ms - rules.payload.horizon_ms
    height = tip
    while height > 1 and header_at(reader, height).time_ms >= end_ms:
        height -= 1
    return height


@dataclass(frozen=True, slots=True)
class _Kept:
    """What must stay: blocks at or above `place` or in `blocks`, and the batches that those name."""

    place: BlockPlace
    blocks: frozenset[bytes]
    batches: frozenset[bytes]

    @staticmethod
    def of(reader: Reader, rules: PoolConfig, below: int, tip: int) -> "_Kept":
        stored = reader.get(ChainTable.META, OPEN_KEY)
        book = None if stored is None else OpenBook.decode(stored)
        open_blocks: tuple[Digest, ...] = () if book is None else book.blocks
        executed = [header_at(reader, height).block_id for height in range(below, tip + 1)]
        batches = set(() if book is None else book.batches)
        for block_id in (*executed, *open_blocks):
            proposal = proposal_of(reader, block_id)
            if proposal is not None:
                batches.update(named_by(proposal, rules))
        first = proposal_of(reader, executed[0])
        if first is None:
            raise LocalError(f"the block of height {below} is missing; see `isthmus db check`")
        return _Kept(place_of(first.block), frozenset(open_blocks), frozenset(batches))


def header_at(reader: Reader, height: int) -> Header:
    """The header of a height. Raises LocalError when it is missing."""
    header = reader.get(ChainTable.HEADERS, height_key(height))
    if header is None:
        raise LocalError(f"the header of height {height} is missing; see `isthmus db check`")
    return Header.decode(header)


def proposal_of(reader: Reader, block_id: Digest) -> Proposal | None:
    """A stored block as it was proposed, None where it is not (any more)."""
    data = reader.get(ChainTable.BLOCKS, block_id)
    return None if data is None else Proposal.from_value(decode(data))


def named_by(proposal: Proposal, rules: PoolConfig) -> list[Digest]:
    """The batches that a block orders."""
    return [reference.digest for reference in parse_contents(proposal.block, rules).references]


def _prune_bodies(store: Store, below: int) -> int:
    pruned = 0
    for page in _pages(store, ChainTable.BODIES):
        old = [Write(ChainTable.BODIES, key, None) for key, _ in page if key < height_key(below)]
        store.apply(old, [])
        pruned += len(old)
        if len(old) < len(page):
            break  # heights sort
    return pruned


def _prune_blocks(store: Store, rules: PoolConfig, kept: _Kept, progress: Progress) -> tuple[int, int]:
    with store.snapshot() as view:
        total = view.count(ChainTable.BLOCKS)
    done = blocks = batches = 0
    for page in _pages(store, ChainTable.BLOCKS):
        old: dict[bytes, Write] = {}
        named: dict[bytes, Write] = {}
        for block_id, data in page:
            proposal = Proposal.from_value(decode(data))
            if block_id in kept.blocks or place_of(proposal.block) >= kept.place:
                continue
            old[block_id] = Write(ChainTable.BLOCKS, block_id, None)
            for digest in named_by(proposal, rules):
                if digest not in kept.batches:
                    named[digest] = Write(ChainTable.BATCHES, digest, None)
        reader = store.reader()
        batches += sum(reader.get(ChainTable.BATCHES, digest) is not None for digest in named)
        # A block goes together with its batches: what is interrupted finds both again.
        store.apply([*old.values(), *named.values()], [])
        done, blocks = done + len(page), blocks + len(old)
        progress(done, total)
    return blocks, batches


def _pages(store: Store, table: ChainTable) -> Iterator[list[tuple[bytes, bytes]]]:
    """All entries; each page in a view of its own, so that deleting what was seen needs no old pages."""
    start = b""
    while True:
        with store.snapshot() as view:
            page = view.scan(table, start, limit=_PAGE, limit_bytes=_PAGE_BYTES)
        page = [entry for entry in page if entry[0] != start]
        if not page:
            return
        start = page[-1][0]
        yield page
