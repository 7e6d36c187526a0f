"""Bundles made from a node's own tables: every stored fact leaves it in a form that two verifiers accept."""

from collections.abc import Callable, Iterator

import pytest

from consensus import LocalError
from node.anchoring import Bundle, HeaderFact, StateFact, TransactionFact, Verified, verify
from node.api.bundles import header_bundle, state_bundle, transaction_bundle
from node.api.faults import ApiFault, Fault
from node.daemon.memory_store import MemorySnapshot
from node.ledger.receipts import Receipt
from node.ledger.transactions import Transaction, check_signature
from node.storage import ChainTable, StateTable, Table, Write
from tests.node.anchoring import independent_verifier
from tests.node.anchoring.chain import BLOCKS, CERTIFIED, Chain, put, small_chain

HEIGHTS = range(len(BLOCKS) + 1)


@pytest.fixture(scope="module")
def chain() -> Chain:
    return small_chain()


@pytest.fixture
def view(chain: Chain) -> Iterator[MemorySnapshot]:
    with chain.store.snapshot() as snapshot:
        yield snapshot


def accepted(chain: Chain, bundle: Bundle, checkpoint: int | None = None) -> Verified:
    """What both verifiers accept of the bundle as a file."""
    trust = chain.genesis.cluster_id
    data = bundle.encode()
    pinned = None if checkpoint is None else (checkpoint, chain.headers[checkpoint].hash)
    verified = verify(data, trust=trust, checkpoint=pinned)
    assert independent_verifier.verify(data, trust)[:2] == (verified.kind, verified.height)
    return verified


def test_every_transaction_of_every_block_can_be_proven_with_its_receipt(
    chain: Chain, view: MemorySnapshot
) -> None:
    for height in HEIGHTS[1:]:
        for index, transaction in enumerate(chain.transactions[height]):
            bundle = transaction_bundle(view, chain.genesis, transaction.id)
            verified = accepted(chain, bundle)
            fact = verified.fact
            assert isinstance(fact, TransactionFact)
            assert (verified.height, fact.index, fact.tx_id) == (height, index, transaction.id)
            assert check_signature(Transaction.decode(fact.transaction))
            assert Receipt.decode(fact.receipt).status == fact.status
            assert (bundle.certified_later is None) == (height in CERTIFIED)


def test_every_header_is_proven_by_the_smallest_certificate_at_or_above_it(
    chain: Chain, view: MemorySnapshot
) -> None:
    for height in HEIGHTS:
        bundle = header_bundle(view, chain.genesis, height)
        verified = accepted(chain, bundle)
        assert isinstance(verified.fact, HeaderFact)
        assert verified.header == chain.headers[height]
        assert bundle.certificate.height == min(c for c in CERTIFIED if c >= height)


def test_every_state_entry_and_an_absent_one_are_proven_at_the_height_of_the_state(
    chain: Chain, view: MemorySnapshot
) -> None:
    entries = view.scan(StateTable.STATE, b"", limit=10_000)
    assert len(entries) > 16
    for key, value in [*entries, (b"records/current/files/zz", None), (chain.record_key("a") + b"x", None)]:
        verified = accepted(chain, state_bundle(view, chain.genesis, key))
        assert verified.fact == StateFact(key, value)
        assert verified.height == len(BLOCKS)


def test_a_state_whose_header_is_proven_by_a_later_one_can_leave_too(chain: Chain) -> None:
    # The chain may be ahead of the state (C17); then the state's header may lack its own certificate.
    blocks, ahead = BLOCKS[:4], small_chain()
    behind = Chain(blocks, CERTIFIED)
    for table in (ChainTable.HEADERS, ChainTable.CERTIFICATES, ChainTable.HISTORY):
        with ahead.store.snapshot() as source:
            entries = source.scan(table, b"", limit=10_000)
        behind.store.apply([Write(table, key, value) for key, value in entries], [])
    with behind.store.snapshot() as snapshot:
        bundle = state_bundle(snapshot, behind.genesis, behind.record_key("a"))
    assert bundle.certificate.height == 5
    assert accepted(chain, bundle).height == 4


@pytest.mark.parametrize("checkpoint", range(8))
def test_every_fact_connects_with_every_checkpoint_that_is_certified_here(
    chain: Chain, view: MemorySnapshot, checkpoint: int
) -> None:
    for height in HEIGHTS:
        bundle = header_bundle(view, chain.genesis, height, checkpoint=checkpoint)
        assert bundle.certificate.height >= max(height, checkpoint)
        assert accepted(chain, bundle, checkpoint).height == height
    accepted(chain, state_bundle(view, chain.genesis, b"nothing", checkpoint=checkpoint), checkpoint)
    transaction = chain.transactions[2][0]
    bundle = transaction_bundle(view, chain.genesis, transaction.id, checkpoint=checkpoint)
    accepted(chain, bundle, checkpoint)


def test_what_is_not_there_or_not_certified_yet_is_the_callers_error(chain: Chain) -> None:
    young = Chain(BLOCKS[:4], (3,))
    never = put(chain.genesis, 99, "never")
    with young.store.snapshot() as snapshot:
        calls: list[Callable[[], Bundle]] = [
            lambda: transaction_bundle(snapshot, young.genesis, never.id),
            lambda: transaction_bundle(snapshot, young.genesis, young.transactions[4][0].id),
            lambda: state_bundle(snapshot, young.genesis, b"key"),
            lambda: header_bundle(snapshot, young.genesis, 4),
            lambda: header_bundle(snapshot, young.genesis, 1, checkpoint=4),
        ]
        for call in calls:
            with pytest.raises(ApiFault) as caught:
                call()
            assert caught.value.kind is Fault.NOT_FOUND.value
        assert header_bundle(snapshot, young.genesis, 3).certified_later is None


class Without:
    """A snapshot whose store has lost a table."""

    def __init__(self, snapshot: MemorySnapshot, lost: Table) -> None:
        self._snapshot, self._lost = snapshot, lost

    def get(self, table: Table, key: bytes) -> bytes | None:
        return None if table is self._lost else self._snapshot.get(table, key)

    def scan(
        self, table: Table, start: bytes, *, limit: int, reverse: bool = False, limit_bytes: int = 2**24
    ) -> list[tuple[bytes, bytes]]:
        return self._snapshot.scan(table, start, limit=limit, reverse=reverse, limit_bytes=limit_bytes)

    def count(self, table: Table) -> int:
        return self._snapshot.count(table)


@pytest.mark.parametrize("lost", [ChainTable.HEADERS, ChainTable.HISTORY])
def test_a_store_that_contradicts_itself_is_our_own_fault_and_makes_no_bundle(
    chain: Chain, view: MemorySnapshot, lost: Table
) -> None:
    with pytest.raises(LocalError, match="the store lacks"):
        header_bundle(Without(view, lost), chain.genesis, 2)


def test_a_state_without_its_height_makes_no_bundle(chain: Chain, view: MemorySnapshot) -> None:
    with pytest.raises(LocalError, match="height"):
        state_bundle(Without(view, StateTable.META), chain.genesis, b"key")


def test_a_transaction_whose_body_was_pruned_cannot_be_exported_here(
    chain: Chain, view: MemorySnapshot
) -> None:
    pruned = Without(view, ChainTable.BODIES)
    with pytest.raises(ApiFault, match="pruned"):
        transaction_bundle(pruned, chain.genesis, chain.transactions[2][0].id)
