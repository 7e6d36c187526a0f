"""A benchmark cluster: one leaf and one receipt a batch, provable, and a state that never changes."""

import pytest

from consensus import CodecError, Digest, digest
from node.ledger.apps import Apps
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.execution import BlockToExecute, Execution, Ledger
from node.ledger.opaque import OpaqueBatch
from node.ledger.params import OPAQUE, SIGNED, Benchmark, Params
from node.ledger.receipts import NO_WRITES, Receipt
from node.proofs import rfc6962
from tests.node.ledger.world import CREATED_MS, World, block_id, make_genesis

OPAQUE_GENESIS = make_genesis(None, apps=(OPAQUE,))


def named(number: int) -> OpaqueBatch:
    return OpaqueBatch(digest("test/batch", number.to_bytes(4, "big")), number, 512 * number)


def execute(world: World, *batches: OpaqueBatch) -> Execution:
    height = world.ledger.tip.height + 1
    time_ms = world.ledger.tip.header.time_ms + 1_000
    execution = world.ledger.execute(BlockToExecute(height, block_id(height), 0, time_ms, batches))
    world.flush(execution)
    return execution


def test_each_batch_is_one_leaf_and_one_receipt_under_the_roots_of_the_header() -> None:
    world = World(OPAQUE_GENESIS)
    batches = [named(number) for number in range(1, 6)]
    execution = execute(world, *batches)
    header = execution.header
    leaves = [rfc6962.leaf_hash(batch.id) for batch in batches]
    receipts = [rfc6962.leaf_hash(receipt.encoded) for receipt in execution.receipts]
    assert header.tx_root == rfc6962.root(leaves)
    assert header.receipt_root == rfc6962.root(receipts)
    for index, batch in enumerate(batches):
        for hashes, root in ((leaves, header.tx_root), (receipts, header.receipt_root)):
            path = rfc6962.inclusion_path(hashes, index)
            rfc6962.verify_inclusion(hashes[index], index, len(hashes), path, root)
        receipt = Receipt.decode(execution.receipts[index].encoded)
        assert (receipt.tx_id, receipt.height, receipt.index) == (batch.id, 1, index)
        assert (receipt.status, receipt.result) == (Code.OK, (batch.transactions, batch.size_bytes))
        assert receipt.writes_hash == NO_WRITES


def test_the_state_never_changes_and_headers_follow_each_other() -> None:
    world = World(OPAQUE_GENESIS)
    first, second = execute(world, named(1)), execute(world, named(2), named(3))
    assert first.state_writes == second.state_writes == ()
    assert first.header.state_root == second.header.state_root == OPAQUE_GENESIS.state_root
    assert second.header.parent_hash == first.header.hash


def test_slices_never_show_in_the_result() -> None:
    batches = tuple(named(number) for number in range(1, 30))
    whole = execute(World(OPAQUE_GENESIS), *batches)
    world = World(OPAQUE_GENESIS)
    world.ledger.begin(BlockToExecute(1, block_id(1), 0, world.now_ms + 1_000, batches))
    found = None
    while found is None:
        found = world.ledger.advance(1)
    assert found.header == whole.header


def test_the_application_stands_alone_in_words() -> None:
    assert Params(CREATED_MS).benchmark is None
    for kind, others in ((Benchmark.OPAQUE, (OPAQUE, SIGNED)), (Benchmark.SIGNED, ("records", SIGNED))):
        value = Params(CREATED_MS, apps=(kind.value,)).to_value()
        assert Params.from_value(value).benchmark is kind
        with pytest.raises(ValueError, match="is the whole ledger of a benchmark cluster and stands alone"):
            Params(CREATED_MS, apps=others)
        with pytest.raises(CodecError, match="stands alone"):
            Params.from_value((*value[:-1], others))


def test_it_has_no_method_that_a_signed_transaction_could_call() -> None:
    for name in (OPAQUE, SIGNED):
        assert Apps((name,)).default_policies() == ()
        for app, code in ((name, Code.UNKNOWN_METHOD), ("records", Code.UNKNOWN_APP)):
            with pytest.raises(RejectedTransaction) as refused:
                Apps((name,)).check(app, "put", ())
            assert refused.value.code is code


def test_an_empty_block_executes_to_empty_roots() -> None:
    ledger = Ledger(OPAQUE_GENESIS.params, World(OPAQUE_GENESIS).store, OPAQUE_GENESIS.beginning().tip)
    execution = ledger.execute(BlockToExecute(1, Digest(bytes(32)), 0, CREATED_MS + 1, ()))
    assert execution.header.tx_root == rfc6962.root([])
