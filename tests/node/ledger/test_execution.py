"""Execution: one result however it is sliced, and exactly what a naive model says."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import Digest, LocalError
from node.ledger.apps import Apps
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.execution import BlockToExecute, Ledger, Tip
from node.ledger.params import Params
from node.ledger.receipts import NO_WRITES, hash_writes
from node.ledger.state import Space
from node.ledger.transactions import Transaction
from node.proofs import CompactRange, rfc6962, smt
from node.proofs.header import EMPTY_LIST_ROOT, EMPTY_MAP_ROOT
from tests.node.ledger.world import ALICE, ANNA, BOB, STRANGER, Store, World, block_id, put_args


class EmptyNodes:
    def get(self, key: bytes) -> bytes | None:
        return None


def rebuilt_root(store: Store) -> bytes:
    """The state root from the flushed leaves alone, without any history."""
    return smt.update(EmptyNodes(), sorted(store.spaces[Space.STATE].items())).root


def test_a_put_becomes_leaf_receipt_state_and_header() -> None:
    world = World()
    transaction = world.put(ALICE, "acme/a")
    execution = world.execute(transaction)
    header = execution.header
    (receipt,) = execution.receipts
    assert (receipt.status, receipt.result, receipt.tx_id) == (Code.OK, 1, transaction.id)
    assert (receipt.height, receipt.index) == (1, 0)
    assert execution.leaves == ((0, transaction),)
    assert header.tx_root == rfc6962.root([rfc6962.leaf_hash(transaction.encoded)])
    assert header.receipt_root == rfc6962.root([rfc6962.leaf_hash(receipt.encoded)])
    assert header.state_root == rebuilt_root(world.store) == smt.root(_Nodes(world.store))
    assert header.parent_hash == world.beginning.tip.header_hash
    assert header.history_root == rfc6962.root([rfc6962.leaf_hash(header.parent_hash)])
    assert (header.outbox_root, header.anchors_root) == (EMPTY_MAP_ROOT, EMPTY_MAP_ROOT)
    assert (header.height, header.block_id) == (1, block_id(1))
    assert execution.header_hash == world.ledger.tip.header_hash == header.hash


class _Nodes:
    def __init__(self, store: Store) -> None:
        self.store = store

    def get(self, key: bytes) -> bytes | None:
        return self.store.get(Space.NODES, key)


def test_an_empty_block_yields_a_header_that_changes_no_state() -> None:
    world = World()
    execution = world.execute()
    assert execution.header.state_root == world.beginning.tip.header.state_root
    assert execution.header.tx_root == execution.header.receipt_root == EMPTY_LIST_ROOT
    assert execution.state_writes == ()


def test_history_root_covers_every_earlier_header_and_the_nodes_prove_it() -> None:
    world = World()
    nodes = {(level, index): value for level, index, value in world.beginning.history_nodes}
    hashes = [world.beginning.tip.header_hash]
    for _ in range(9):
        execution = world.execute()
        leaves = [rfc6962.leaf_hash(header_hash) for header_hash in hashes]
        assert execution.header.history_root == rfc6962.root(leaves)
        nodes |= {(level, index): value for level, index, value in execution.history_nodes}
        hashes.append(execution.header_hash)

    class Stored:
        def node(self, level: int, index: int) -> bytes:
            return nodes[level, index]

    path = rfc6962.inclusion_path_from(Stored(), 3, 9)
    leaf = rfc6962.leaf_hash(hashes[3])
    rfc6962.verify_inclusion(leaf, 3, 9, path, world.ledger.tip.header.history_root)


CALLS = st.lists(
    st.tuples(
        st.sampled_from([ALICE, ANNA, BOB, STRANGER]),
        st.sampled_from(["put", "supersede", "nothing"]),
        st.integers(0, 5),
        st.integers(1, 3),
        st.integers(0, 12),
        st.sampled_from([500, 30_000, 600_500, 700_000]),
    ),
    max_size=25,
)


def transactions_of(world: World, calls: list[tuple[object, ...]]) -> tuple[Transaction, ...]:
    made = []
    for key, method, record, previous, unique, life_ms in calls:
        args = put_args(f"ns/{record}", b"%d" % unique)
        if method == "supersede":
            args = (args[0], previous, *args[1:])
        made.append(
            world.sign(
                key,
                method,
                args,
                unique_id=bytes(15) + bytes((unique,)),
                expires_at_ms=world.now_ms + life_ms,
            )
        )
    return tuple(made)


@settings(max_examples=40, deadline=None)
@given(st.lists(CALLS, min_size=1, max_size=4), st.lists(st.integers(1, 7), min_size=1), st.data())
def test_any_slicing_and_any_flush_delay_give_the_same_headers(
    blocks: list[list[tuple[object, ...]]], slices: list[int], data: st.DataObject
) -> None:
    whole, sliced = World(), World()
    waiting = []
    for calls in blocks:
        block = whole.block(*transactions_of(whole, calls))
        expected = whole.ledger.execute(block)
        whole.flush(expected)
        sliced.ledger.begin(block)
        turn, execution = 0, None
        while execution is None:
            execution = sliced.ledger.advance(slices[turn % len(slices)])
            turn += 1
        waiting.append(execution)
        if data.draw(st.booleans()):
            for executed in waiting:
                sliced.flush(executed)
            waiting.clear()
        assert execution.header == expected.header
        assert execution.receipts == expected.receipts
        assert execution.skipped == expected.skipped
        assert {w[:2]: w[2] for w in execution.state_writes} == {w[:2]: w[2] for w in expected.state_writes}
    for executed in waiting:
        sliced.flush(executed)
    assert sliced.store.spaces == whole.store.spaces
    assert sliced.ledger.overlay.entries_held == sliced.ledger.overlay.bytes_held == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(CALLS, min_size=1, max_size=5))
def test_the_state_root_is_that_of_the_leaves_and_ids_have_at_most_one_final_receipt(
    blocks: list[list[tuple[object, ...]]],
) -> None:
    world = World()
    final: set[tuple[bytes, bytes]] = set()
    for calls in blocks:
        transactions = transactions_of(world, calls)
        execution = world.execute(*transactions, after_ms=1_000)
        assert execution.header.state_root == rebuilt_root(world.store)
        assert smt.root(_Nodes(world.store)) == execution.header.state_root
        positions = [position for position, _ in execution.leaves] + [p for p, _ in execution.skipped]
        assert sorted(positions) == list(range(len(transactions)))
        for (position, transaction), receipt in zip(execution.leaves, execution.receipts, strict=True):
            assert transactions[position] is transaction
            assert receipt.tx_id == transaction.id
            if receipt.status != Code.EXPIRY_TOO_FAR:
                identity = (transaction.sender, transaction.unique_id)
                assert identity not in final
                final.add(identity)


@settings(max_examples=40, deadline=None)
@given(st.lists(CALLS, min_size=1, max_size=4))
def test_records_are_what_a_dictionary_model_says(blocks: list[list[tuple[object, ...]]]) -> None:
    world = World()
    model: dict[str, tuple[str, int]] = {}
    organisation = {ALICE.public_key: "acme", ANNA.public_key: "acme", BOB.public_key: "bolts"}
    used: set[tuple[bytes, bytes]] = set()
    for calls in blocks:
        transactions = transactions_of(world, calls)
        time_ms = world.now_ms + 1_000
        expected: list[Code] = []
        for transaction in transactions:
            identity = (transaction.sender, transaction.unique_id)
            if transaction.expires_at_ms <= time_ms:
                continue
            if transaction.expires_at_ms > time_ms + 600_000:
                expected.append(Code.EXPIRY_TOO_FAR)
                continue
            if identity in used:
                continue
            used.add(identity)
            expected.append(_model_call(model, organisation, transaction))
        execution = world.execute(*transactions)
        assert [receipt.status for receipt in execution.receipts] == expected


def _model_call(
    model: dict[str, tuple[str, int]], organisation: dict[bytes, str], transaction: Transaction
) -> Code:
    owner = organisation.get(transaction.sender)
    record = str(transaction.args[0])
    if owner is None:
        return Code.UNKNOWN_SENDER
    if transaction.method == "nothing":
        return Code.UNKNOWN_METHOD
    if transaction.method == "put":
        if record in model:
            return Code.RECORD_EXISTS
        model[record] = (owner, 1)
        return Code.OK
    if record not in model:
        return Code.RECORD_UNKNOWN
    if model[record][0] != owner:
        return Code.NOT_OWNER
    if model[record][1] != transaction.args[1]:
        return Code.WRONG_PREVIOUS
    model[record] = (owner, model[record][1] + 1)
    return Code.OK


def test_a_receipt_hashes_exactly_the_writes_of_its_transaction() -> None:
    world = World()
    good = world.put(ALICE, "acme/a")
    failing = world.put(BOB, "acme/a")
    execution = world.execute(good, failing)
    key = b"records/current/acme/a"
    stored = world.store.spaces[Space.STATE][key]
    assert execution.receipts[0].writes_hash == hash_writes({key: stored})
    assert execution.receipts[1].writes_hash == NO_WRITES
    assert hash_writes({key: stored, b"b": None}) == hash_writes({b"b": None, key: stored})
    assert hash_writes({key: stored}) != hash_writes({key: None}) != NO_WRITES


def test_expired_foreign_and_replayed_transactions_leave_no_trace_but_the_reason() -> None:
    world = World()
    expired = world.sign(ALICE, "put", put_args("acme/a"), expires_at_ms=world.now_ms + 1_000)
    foreign = world.sign(ALICE, "put", put_args("acme/b"), cluster_id=bytes(32))
    good = world.put(ALICE, "acme/c")
    execution = world.execute(expired, foreign, good, good)
    assert execution.skipped == ((0, Code.EXPIRED), (1, Code.WRONG_CLUSTER), (3, Code.REPLAYED))
    assert execution.leaves == ((2, good),)
    again = world.execute(good, expired)
    assert again.leaves == again.receipts == ()
    assert again.header.tx_root == EMPTY_LIST_ROOT


def test_an_expiry_beyond_the_cap_fails_with_a_receipt_and_uses_up_no_id() -> None:
    world = World()
    edge_ms = world.now_ms + 1_000 + 600_000
    early = world.sign(ALICE, "put", put_args("acme/a"), expires_at_ms=edge_ms + 1)
    at_the_cap = world.sign(ALICE, "put", put_args("acme/b"), expires_at_ms=edge_ms)
    execution = world.execute(early, at_the_cap)
    assert [receipt.status for receipt in execution.receipts] == [Code.EXPIRY_TOO_FAR, Code.OK]
    assert [receipt.status for receipt in world.execute(early).receipts] == [Code.OK]


def test_a_failing_method_leaves_no_writes_and_later_transactions_see_none() -> None:
    world = World()
    world.execute(world.put(ALICE, "acme/a"))
    before = dict(world.store.spaces[Space.STATE])
    execution = world.execute(world.supersede(ALICE, "acme/a", 7, b"new"), world.put(BOB, "acme/a"))
    assert [receipt.status for receipt in execution.receipts] == [Code.WRONG_PREVIOUS, Code.RECORD_EXISTS]
    after = {k: v for k, v in world.store.spaces[Space.STATE].items() if not k.startswith(b"replay/")}
    assert after == {k: v for k, v in before.items() if not k.startswith(b"replay/")}


def test_a_block_that_cannot_come_next_stops_the_process() -> None:
    world = World()
    good = world.block()
    for block, words in [
        (BlockToExecute(2, good.block_id, 0, good.time_ms, ()), "cannot follow"),
        (BlockToExecute(0, good.block_id, 0, good.time_ms, ()), "cannot follow"),
        (BlockToExecute(1, good.block_id, 1, good.time_ms, ()), "epoch"),
        (BlockToExecute(1, good.block_id, 0, world.now_ms, ()), "not after"),
    ]:
        with pytest.raises(LocalError, match=words):
            world.ledger.begin(block)
    with pytest.raises(LocalError, match="no block"):
        world.ledger.advance(1)
    world.ledger.begin(world.block(world.put(ALICE, "acme/a"), world.put(ALICE, "acme/b")))
    assert world.ledger.advance(1) is None
    assert world.ledger.is_busy
    with pytest.raises(LocalError, match="before block 1 was executed"):
        world.ledger.begin(good)
    with pytest.raises(ValueError, match="at least 1"):
        world.ledger.advance(0)


def test_the_epoch_after_its_end_header_takes_the_announced_validators() -> None:
    world = World()
    announced = Digest(sha256(b"next set").digest())
    fields = {name: getattr(world.ledger.tip.header, name) for name in _HEADER_FIELDS}
    last = type(world.ledger.tip.header).make(**(fields | {"next_validators_hash": announced}))
    history, _ = CompactRange().append([rfc6962.leaf_hash(last.hash)])
    ledger = Ledger(world.genesis.params, world.store, Tip(last, history))
    block = world.block()
    with pytest.raises(LocalError, match="epoch"):
        ledger.begin(block)
    header = ledger.execute(BlockToExecute(1, block.block_id, 1, block.time_ms, ())).header
    assert (header.epoch, header.validators_hash, header.next_validators_hash) == (1, announced, None)


_HEADER_FIELDS = (
    *("incarnation", "cluster_id", "epoch", "height", "parent_hash", "block_id", "time_ms", "tx_root"),
    *("receipt_root", "state_root", "history_root", "validators_hash"),
)


def test_a_tip_whose_history_has_another_length_is_refused() -> None:
    header = World().ledger.tip.header
    with pytest.raises(ValueError, match="history"):
        Tip(header, CompactRange())


def test_execution_waits_for_the_flush_when_the_overlay_is_full() -> None:
    world = World()
    ledger = Ledger(world.genesis.params, world.store, world.ledger.tip, layers_max=3)
    world.ledger = ledger
    done = [world.execute(world.put(ALICE, f"acme/{i}"), flush=False) for i in range(3)]
    assert not ledger.has_room
    with pytest.raises(LocalError, match="wait for the flush"):
        ledger.begin(world.block())
    world.flush(done[0])
    assert ledger.overlay.layers_held == 2
    assert world.execute(world.put(ALICE, "acme/0")).receipts[0].status == Code.RECORD_EXISTS


def test_a_ledger_refuses_applications_it_does_not_know() -> None:
    world = World()
    with pytest.raises(ValueError, match="recorsd"):
        Ledger(Params(created_ms=1, apps=("recorsd",)), world.store, world.ledger.tip)


def test_admission_refuses_the_same_calls_that_execution_fails() -> None:
    world = World()
    apps = Apps(world.genesis.params.apps)
    for app, method, args, code in [
        ("recorsd", "put", (), Code.UNKNOWN_APP),
        ("records", "putt", (), Code.UNKNOWN_METHOD),
        ("records", "put", ("a/b",), Code.INVALID_ARGUMENTS),
    ]:
        with pytest.raises(RejectedTransaction) as refusal:
            apps.check(app, method, args)
        (receipt,) = world.execute(world.sign(ALICE, method, args, app=app)).receipts
        assert receipt.status == refusal.value.code == code
        assert receipt.result == refusal.value.detail
        assert receipt.explanation == str(refusal.value)
