"""The execution line takes transactions as it gets them, decoded or not, and nobody can tell which it was."""

from dataclasses import replace

import pytest

from consensus import CommittedBlock, Epoch, Height, ValidatorIndex
from node.ledger.transactions import Transaction
from node.pool.batches import Batch, BatchRules, verify_batch
from node.validator.line import SLICE_BUDGET, ExecutionLine
from tests.node.ledger.world import ALICE, World
from tests.node.pool.world import block

COUNT = 2 * SLICE_BUDGET + 7


def sealed(world: World) -> Batch:
    """A batch of several slices, as it arrived and was checked."""
    sent = tuple(world.put(ALICE, f"records/{number}").encoded for number in range(COUNT))
    data = Batch.make(
        cluster_id=world.genesis.cluster_id,
        author=ValidatorIndex(1),
        epoch=Epoch(0),
        created_ms=world.now_ms,
        expires_at_ms=world.now_ms + 50_000,
        transactions=sent,
    ).encoded
    rules = BatchRules(world.genesis.cluster_id)
    report = verify_batch(data, rules)
    assert len(report.opened) == COUNT
    return replace(Batch.decode(data, rules), opened=report.opened)


def executed(world: World, batch: Batch) -> tuple[bytes, int]:
    """The header hash of a block of this batch, and how many slices it took."""
    line = ExecutionLine(world.ledger, world.genesis.params.max_transaction_bytes, {})
    line.add(CommittedBlock(block(b"", time_ms=world.now_ms + 1_000), Height(1), True), (batch,))
    slices = 0
    while line.has_work:
        slices += 1
        settled = line.advance()
        if settled is not None:
            assert all(receipt.ok for receipt in settled.execution.receipts)
            assert len(settled.execution.receipts) == COUNT
            return settled.execution.header_hash, slices
    raise AssertionError("the line stopped before the block was executed")


def test_decoded_transactions_are_executed_as_they_are_and_come_to_the_same_header_in_as_many_slices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As many: a recording says when there was time for a slice, and not what was decoded by then.
    batch = sealed(World())
    again = executed(World(), replace(batch, opened=()))

    def never(data: bytes, max_bytes: int = 0) -> Transaction:
        raise AssertionError("decoded a second time")

    monkeypatch.setattr(Transaction, "decode", staticmethod(never))
    assert executed(World(), batch) == again
