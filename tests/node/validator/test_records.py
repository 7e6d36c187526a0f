"""What the journal and the database hold comes back as it was, or is a loud fault of ours."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.sim.host import Host
from consensus import PAYLOAD_BYTES_MAX, Digest, Epoch, Height, LocalError, Persist, SafetyRecord, encode
from node.storage import ChainTable, StateTable, Write
from node.validator import first_writes, is_empty, recover
from node.validator.layout import (
    OPEN_KEY,
    TIP_KEY,
    OpenBook,
    height_key,
    history_key,
    position,
    tip_from,
    tip_value,
)
from node.validator.records import (
    RECORD_BYTES_MAX,
    BatchRecord,
    PersistRecord,
    decode_record,
    encode_batch,
    encode_persist,
    encode_start,
    split_persist,
)
from tests.consensus.forge import block, certify, propose
from tests.node.validator.world import world_of


@pytest.fixture(scope="module")
def lived() -> Host:
    """A node that has seen everything once, and is stopped."""
    world = world_of(3, flush_ms=40).start()
    world.run(500)
    for _ in range(3):
        world.submit(0, 120, size=200)
        world.run(1_000)
    node = world.hosts[0]
    node.flushing = False
    world.submit(0, 120, size=200)
    world.run(300)
    node.crash()
    assert node.disk.journal
    return node


def test_journal_records_are_what_was_written(lived: Host) -> None:
    records = [decode_record(data) for _, data in lived.disk.journal]
    kinds = {type(record) for record in records}
    assert PersistRecord in kinds
    for record in records:
        if isinstance(record, BatchRecord):
            assert decode_record(encode_batch(record.digest, record.data)) == record
    safety = next(r.record for r in records if isinstance(r, PersistRecord) and r.record is not None)
    assert decode_record(encode_start(safety)) == PersistRecord(safety, (), None, None, None)
    batch = BatchRecord(Digest(b"d" * 32), b"data")
    assert decode_record(encode_batch(batch.digest, batch.data)) == batch


def test_a_damaged_record_is_our_own_fault_and_never_passes(lived: Host) -> None:
    for _, data in lived.disk.journal:
        for damaged in (data[:-1], data + b"\x00", b"\x00" + data, data[:1] + b"\x09" + data[2:]):
            with pytest.raises(LocalError):
                decode_record(damaged)


@given(st.binary(max_size=300))
def test_garbage_in_our_own_files_is_a_local_error(data: bytes) -> None:
    for read in (decode_record, OpenBook.decode, tip_from):
        with pytest.raises(LocalError):
            read(b"\xc1" + data)
        with suppress(LocalError):  # and whatever reads well is no fault
            read(data)


def test_the_open_book_comes_back_as_it_was(lived: Host) -> None:
    stored = lived.disk.store.reader().get(ChainTable.META, OPEN_KEY)
    assert stored is not None
    book = OpenBook.decode(stored)
    assert book.encode() == stored
    assert book.record is not None
    assert book.high_qc is not None
    assert book.certified is not None
    empty = OpenBook(0, None, None, None, None, (), ())
    assert OpenBook.decode(empty.encode()) == empty


def test_the_tip_comes_back_as_it_was(lived: Host) -> None:
    stored = lived.disk.store.reader().get(StateTable.META, TIP_KEY)
    assert stored is not None
    assert tip_value(tip_from(stored)) == stored


def test_a_database_that_lacks_what_its_book_names_is_refused(lived: Host) -> None:
    disk = lived.disk.copy()
    book = OpenBook.decode(disk.store.reader().get(ChainTable.META, OPEN_KEY) or b"")
    assert book.blocks
    disk.store.apply([Write(ChainTable.BLOCKS, book.blocks[0], None)], ())
    with pytest.raises(LocalError, match="missing from the database"):
        recover(disk.store.reader(), disk.journal, disk.last_seq)
    disk.store.apply([Write(ChainTable.BLOCKS, book.blocks[0], encode((1, 2)))], ())
    with pytest.raises(LocalError, match="cannot be read"):
        recover(disk.store.reader(), disk.journal, disk.last_seq)


def test_a_database_that_was_never_begun_is_refused() -> None:
    world = world_of(1)
    disk = world.new_disk()
    assert not is_empty(disk.store.reader())
    disk.store.apply((), [Write(StateTable.META, TIP_KEY, None)])
    assert is_empty(disk.store.reader())
    with pytest.raises(LocalError, match="never begun"):
        recover(disk.store.reader(), (), 0)


def test_a_new_database_recovers_to_genesis() -> None:
    world = world_of(1)
    recovered = recover(world.new_disk().store.reader(), (), 0)
    assert recovered.tip.height == 0
    assert recovered.root is None
    assert recovered.record is None
    assert (recovered.proposals, recovered.batches) == ((), ())
    chain, state = first_writes(world.genesis)
    assert chain
    assert state


def test_keys_sort_as_their_numbers_do() -> None:
    heights = [0, 1, 255, 256, 2**32, 2**63]
    assert sorted(heights, key=height_key) == heights
    places = [(1, 0), (1, 2**20), (2, 0), (256, 1)]
    assert sorted(places, key=lambda place: position(*place)) == places
    assert history_key(0, 2**40) < history_key(1, 0)


def test_a_persist_of_any_size_becomes_records_the_journal_takes_blocks_first() -> None:
    """A node that could not sign for a while has as many blocks to journal as its tree holds."""
    proposals = tuple(propose(block(5, payload=bytes((n,)) * PAYLOAD_BYTES_MAX)) for n in range(40))
    record = SafetyRecord.initial(Epoch(0), 1, Height(7))
    persist = Persist(9, record, None, proposals, certify(proposals[0].block), None, None)
    assert len(encode_persist(persist)) > RECORD_BYTES_MAX, "what it was, the journal would refuse"
    parts, last = split_persist(persist)
    written = [decode_record(part) for part in [*parts, encode_persist(last)]]
    assert all(len(data) <= RECORD_BYTES_MAX // 2 for data in [*parts, encode_persist(last)])
    assert [read.record for read in written if isinstance(read, PersistRecord)] == [None] * len(parts) + [
        record
    ]
    read_back = tuple(p for read in written if isinstance(read, PersistRecord) for p in read.proposals)
    assert read_back == proposals
    assert last == replace(persist, proposals=last.proposals)


def test_many_small_blocks_are_split_by_number_too() -> None:
    small = propose(block(5))
    persist = Persist(
        9, SafetyRecord.initial(Epoch(0), 1, Height(7)), None, (small,) * 5_000, None, None, None
    )
    parts, last = split_persist(persist)
    assert [len(decode_record(part).proposals) for part in parts] == [4096]  # type: ignore[union-attr]  # a Persist of blocks alone
    assert len(last.proposals) == 904
    alone = replace(persist, proposals=(small,))
    assert split_persist(alone) == ([], alone)


def test_a_cluster_whose_every_block_has_a_record_of_its_own_survives_a_crash_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.validator.records.BLOCKS_BYTES_MAX", 1)
    world = world_of(4, flush_ms=300).start()
    world.run(500)
    for index in range(4):
        world.submit(index, 3)
        world.run(150)
    for node in world.hosts:
        records = [decode_record(data) for _, data in node.disk.journal]
        kept = [r for r in records if isinstance(r, PersistRecord) and r.proposals]
        assert kept
        assert all(r.record is None for r in kept)
        node.crash()
    for node in world.hosts:
        node.start()
    assert world.stored(world.submit(0), 10_000)
    world.settle(10_000)
