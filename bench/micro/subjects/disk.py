"""What waits for the disk, by the wall clock: commits of the database and groups of the journal, synced."""

from collections.abc import Collection, Iterator
from functools import partial
from itertools import count as count_from

from bench.micro.cluster import FreshLedger, blocks_of, transactions
from bench.micro.subject import Clock, Sampler, Subject, Workshop, prepared
from node.daemon.journal import Journal
from node.daemon.store import Store
from node.storage import ChainTable, Write
from node.validator.layout import chain_writes, state_writes

_MAP_BYTES = 4 * 1024**3
_BLOCK_TRANSACTIONS = 100
_RECORD_BYTES = 400
_GROUP = (16, 4_096)


def _put(workshop: Workshop) -> Sampler:
    store = Store.open(workshop.folder / "put", map_bytes=_MAP_BYTES)
    workshop.stack.callback(store.close)
    numbers = count_from()

    def prepare(count: int) -> Iterator[Write]:
        for _ in range(count):
            yield Write(ChainTable.META, next(numbers).to_bytes(8, "big"), bytes(100))

    return prepared(workshop.clock, prepare, lambda write: store.apply([write], []))


def _block(workshop: Workshop) -> Sampler:
    """What the flush of one executed block writes; the same blocks again once all were written."""
    store = Store.open(workshop.folder / "block", map_bytes=_MAP_BYTES)
    workshop.stack.callback(store.close)
    fresh = FreshLedger.begin()
    written: list[tuple[Collection[Write], Collection[Write]]] = []
    for block in blocks_of(transactions(2_000)[:1_000], _BLOCK_TRANSACTIONS):
        execution = fresh.ledger.execute(block)
        fresh.state.apply(execution.state_writes)
        fresh.ledger.flushed(block.height)
        written.append((chain_writes(execution), state_writes(execution)))
    heights = count_from()

    def prepare(count: int) -> Iterator[tuple[Collection[Write], Collection[Write]]]:
        for _ in range(count):
            yield written[next(heights) % len(written)]

    return prepared(workshop.clock, prepare, lambda writes: store.apply(*writes))


def _append(records: int, record_bytes: int, workshop: Workshop) -> Sampler:
    journal = Journal.open(workshop.folder / f"journal-{records}")
    workshop.stack.callback(journal.close)
    group = [bytes(record_bytes)] * records

    def prepare(count: int) -> Iterator[list[bytes]]:
        journal.trim(journal.last_seq)
        for _ in range(count):
            yield group

    return prepared(workshop.clock, prepare, journal.append)


SUBJECTS = (
    Subject("lmdb/commit/put", "commit", _put, Clock.WALL),
    Subject(f"lmdb/commit/block-{_BLOCK_TRANSACTIONS}tx", "commit", _block, Clock.WALL),
    Subject("journal/append/record", "group", partial(_append, 1, _RECORD_BYTES), Clock.WALL),
    Subject("journal/append/64KiB", "group", partial(_append, *_GROUP), Clock.WALL),
)
