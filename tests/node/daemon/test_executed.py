"""What is executed and not certified is looked up: exactly, each height searched once, nothing kept on."""

from collections.abc import Iterator
from dataclasses import replace

from consensus import Digest
from node.daemon.executed import ExecutedIndex
from node.daemon.memory_store import MemoryStore
from node.ledger.execution import BlockToExecute, Ledger
from node.ledger.receipts import Receipt
from node.ledger.state import Space
from node.storage import Write
from node.validator.layout import SPACE_TABLES
from node.validator.line import Settled
from tests.node.api.fake_backend import make_genesis, put_record


class Watched(tuple[Receipt, ...]):
    """Receipts that count how often they were gone through."""

    looks = 0

    def __iter__(self) -> Iterator[Receipt]:
        Watched.looks += 1
        return super().__iter__()


def executed(count: int, each: int) -> tuple[list[Settled], list[Digest]]:
    """So many heights of `each` transactions, and the identifiers of these in order."""
    genesis, store = make_genesis(), MemoryStore()
    beginning = genesis.beginning()

    class Reader:
        def get(self, space: Space, key: bytes) -> bytes | None:
            return store.reader().get(SPACE_TABLES[space], key)

    store.apply([], [Write(SPACE_TABLES[space], key, value) for space, key, value in beginning.state_writes])
    ledger = Ledger(genesis.params, Reader(), beginning.tip)
    settled, ids = [], []
    for height in range(1, count + 1):
        made = tuple(put_record(genesis, f"docs/{height}/{number}", 1) for number in range(each))
        time_ms = beginning.tip.header.time_ms + 1_000 * height
        block = BlockToExecute(height, Digest(height.to_bytes(32, "big")), ledger.epoch, time_ms, made)
        execution = ledger.execute(block)
        settled.append(Settled(replace(execution, receipts=Watched(execution.receipts)), ledger.tip))
        ids += [transaction.id for transaction in made]
    return settled, ids


def test_every_transaction_that_waits_is_found_and_no_other() -> None:
    (first, second, third), ids = executed(3, 4)
    index = ExecutedIndex()
    assert [receipt.tx_id for receipt in index.find((first, second), ids)] == ids[:8]
    found = list(index.find((second, third), ids))
    assert [(receipt.tx_id, receipt.height, receipt.index) for receipt in found] == [
        (tx_id, 2 + number // 4, number % 4) for number, tx_id in enumerate(ids[4:])
    ]
    assert list(index.find((), ids)) == []
    assert list(index.find((first, second, third), [bytes(32)])) == []


def test_a_height_is_searched_once_and_forgotten_with_its_certificate() -> None:
    waiting, ids = executed(3, 2)
    index, Watched.looks = ExecutedIndex(), 0
    for _ in range(50):
        for tx_id in ids:
            list(index.find(waiting, [tx_id]))
    assert Watched.looks == 3
    ((_, held, most),) = index.limits()
    assert held == 3 < most
    list(index.find(waiting[2:], [ids[0]]))
    assert index.limits()[0][1] == 1
    assert Watched.looks == 3
