"""Dead branches are forgotten as well: with the batches they name, never with what a block may order."""

from dataclasses import replace

import pytest
import trio
import trio.testing

from consensus import Block, Digest, Proposal, Round, ValidatorIndex, decode, encode
from node.daemon import deadblocks, forgetting
from node.daemon.deadblocks import DEAD_MAX, Sweep, sweep_page
from node.daemon.forgetting import Forgotten, forget_slice, keep_forgetting
from node.daemon.pruning import header_at, proposal_of, pruned_below
from node.daemon.startup import check_data
from node.daemon.store import Store
from node.pool.batches import Batch
from node.pool.config import PoolConfig
from node.pool.payload import Payload, Reference
from node.storage import ChainTable, StoreFailed, Write
from node.validator.layout import OPEN_KEY, OpenBook
from tests.node.daemon.grown import Grown
from tests.node.daemon.running import config_of
from tests.node.daemon.test_pruning import opened

KEEP = 40
SLICE = 8


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "SLICE_HEIGHTS", SLICE)
    monkeypatch.setattr(deadblocks, "PAGE_BLOCKS", 20)


def add_dead(store: Store, height: int, number: int, expires_at_ms: int = 0) -> tuple[Digest, Digest]:
    """A rival of the block of a height, never committed, that names one batch; the names of both."""
    with store.snapshot() as view:
        header = header_at(view, height)
        proposal = proposal_of(view, header.block_id)
    assert proposal is not None
    batch = Batch.make(
        cluster_id=header.cluster_id,
        author=ValidatorIndex(0),
        epoch=proposal.block.epoch,
        created_ms=header.time_ms,
        expires_at_ms=expires_at_ms or header.time_ms + 1 + number,
        transactions=(b"dead",),
    )
    block = proposal.block
    rival = Block.make(
        cluster_id=block.cluster_id,
        epoch=block.epoch,
        round=Round(block.round),
        qc=block.qc,
        tc=block.tc,
        certified=block.certified,
        payload=Payload((Reference(ValidatorIndex(0), batch.digest),), ()).encode(),
        author=block.author,
        time_ms=block.time_ms,
    )
    value = encode(Proposal(rival, proposal.signature).to_value())
    body = Write(ChainTable.BATCHES, batch.digest, batch.encoded)
    store.apply([Write(ChainTable.BLOCKS, rival.id, value), body], [])
    return rival.id, batch.digest


def holds(store: Store, names: tuple[Digest, Digest]) -> tuple[bool, bool]:
    with store.snapshot() as view:
        tables = (ChainTable.BLOCKS, ChainTable.BATCHES)
        block, batch = (view.get(table, name) is not None for table, name in zip(tables, names, strict=True))
        return block, batch


def sweep_all(store: Store, rules: PoolConfig) -> int:
    """Once through the whole table and further; how many were deleted."""
    sweep = Sweep()
    with store.snapshot() as view:
        pages = 3 + 2 * view.count(ChainTable.BLOCKS) // deadblocks.PAGE_BLOCKS
    return sum(sweep_page(store, rules, sweep) for _ in range(pages))


def test_a_dead_branch_goes_with_its_batches_once_the_chain_of_its_time_is_gone(grown: Grown) -> None:
    store, rules = opened(grown)
    with store.snapshot() as view:
        late_ms = header_at(view, SLICE + 3).time_ms
    old, late, young = add_dead(store, 5, 1), add_dead(store, 6, 2, late_ms), add_dead(store, 60, 3)
    assert sweep_all(store, rules) == 0, "nothing is pruned yet"
    assert forget_slice(store, rules, KEEP, ()) == SLICE
    with store.snapshot() as view:
        before = view.count(ChainTable.BODIES)
    assert sweep_all(store, rules) == 1
    assert (holds(store, old), holds(store, young)) == ((False, False), (True, True))
    assert holds(store, late) == (True, True), "a block that is kept may order the batch still"
    assert forget_slice(store, rules, KEEP, ()) == SLICE
    assert sweep_all(store, rules) == 1
    assert (holds(store, late), holds(store, young)) == ((False, False), (True, True))
    with store.snapshot() as view:
        assert view.count(ChainTable.BODIES) == before - SLICE
        for height in range(pruned_below(view), grown.tip + 1):
            assert proposal_of(view, header_at(view, height).block_id) is not None
    store.close()
    assert check_data(config_of(grown.testnet)).findings == []


def test_a_page_is_bounded_and_the_next_goes_on_behind_it(grown: Grown) -> None:
    store, rules = opened(grown)
    dead = [add_dead(store, 3, number) for number in range(3 * DEAD_MAX)]
    assert forget_slice(store, rules, KEEP, ()) == SLICE
    sweep = Sweep()
    found: list[int] = []
    while sum(found) < len(dead):
        at = sweep.at
        found.append(sweep_page(store, rules, sweep))
        assert sweep.at != at
        assert len(found) < 100
    assert max(found) <= DEAD_MAX
    assert not any(any(holds(store, names)) for names in dead)
    store.close()


def test_what_the_open_book_holds_stays(grown: Grown) -> None:
    store, rules = opened(grown)
    block, batch = add_dead(store, 3, 1), add_dead(store, 4, 2)
    assert forget_slice(store, rules, KEEP, ()) == SLICE
    with store.snapshot() as view:
        book = OpenBook.decode(view.get(ChainTable.META, OPEN_KEY) or b"")
    book = replace(book, blocks=(*book.blocks, block[0]), batches=(*book.batches, batch[1]))
    store.apply([Write(ChainTable.META, OPEN_KEY, book.encode())], [])
    assert sweep_all(store, rules) == 1
    assert holds(store, block) == (True, True)
    assert holds(store, batch) == (False, True)
    store.close()


async def test_a_running_prune_looks_for_them_with_each_slice(
    grown: Grown, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(deadblocks, "PAGE_BLOCKS", 1_000)
    store, rules = opened(grown)
    dead = add_dead(store, 5, 1)
    counts, turns = Forgotten(), iter(range(100))

    def others() -> tuple[int, ...]:
        if next(turns) == 4:
            raise StoreFailed("enough")
        return ()

    with pytest.raises(StoreFailed):
        await keep_forgetting(store, rules, KEEP, others, trio.CapacityLimiter(1), counts)
    assert (counts.heights, counts.dead_blocks) == (4 * SLICE, 1)
    assert holds(store, dead) == (False, False)
    store.close()


def test_what_is_stored_of_a_proposal_is_what_was_proposed(grown: Grown) -> None:
    """The rivals of these tests are such as the node stores."""
    store, _ = opened(grown)
    block_id, _ = add_dead(store, 3, 1)
    with store.snapshot() as view:
        data = view.get(ChainTable.BLOCKS, block_id)
        assert data is not None
        assert Proposal.from_value(decode(data)).block.id == block_id
    store.close()
