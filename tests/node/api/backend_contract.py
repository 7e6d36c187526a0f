"""What every `Backend` must do: call `check_backend` with a fresh one, be it the fake or the daemon."""

from collections.abc import Callable

import trio

from node.api.backend import Backend, Location, Rejected, Submitted
from node.api.queries import body, locate, proven_header, receipt, state_height, stored_height
from node.ledger.receipts import Receipt
from node.ledger.transactions import Transaction


async def check_backend(backend: Backend, make_transaction: Callable[[int], Transaction]) -> None:
    """`make_transaction(number)` signs a different valid transaction for each number."""
    with trio.fail_after(60):
        await _submissions_are_answered_in_order(backend, make_transaction)
        await _a_certified_answer_is_readable_at_once(backend, make_transaction)
        await _waits_end_at_their_time(backend, make_transaction)
        await _heights_wake_and_are_stored(backend, make_transaction)
        await _the_committed_level_waits_for_no_certificate_and_ends_at_its_time(backend, make_transaction)
        _the_looks_agree(backend)
    _the_committed_level_is_at_or_above_the_certified_one(backend)


async def _submissions_are_answered_in_order(
    backend: Backend, make_transaction: Callable[[int], Transaction]
) -> None:
    good = make_transaction(1)
    first, second = await backend.submit([good.encoded, b"no transaction"])
    assert first == Submitted(good.id)
    assert isinstance(second, Rejected)
    assert second.code > 0
    assert second.name
    assert second.sentence
    assert await backend.submit([]) == ()


async def _a_certified_answer_is_readable_at_once(
    backend: Backend, make_transaction: Callable[[int], Transaction]
) -> None:
    transaction = make_transaction(1)
    (place,) = await backend.wait_certified([transaction.id], 30_000)
    assert place is not None
    with backend.snapshot() as snapshot:
        assert locate(snapshot, transaction.id) == place
        transactions, receipts = body(snapshot, place.height)
        assert transactions[place.index] == transaction.encoded
        assert Receipt.decode(receipts[place.index]).tx_id == transaction.id
        assert receipt(snapshot, transaction.id).receipt == receipts[place.index]
        assert proven_header(snapshot, place.height).header
        assert place.height <= state_height(snapshot) <= stored_height(snapshot), "who was told reads it"
    again = await backend.submit([transaction.encoded])
    assert again == (Submitted(transaction.id),)
    assert await backend.wait_certified([transaction.id], 0) == (Location(place.height, place.index),)


async def _waits_end_at_their_time(backend: Backend, make_transaction: Callable[[int], Transaction]) -> None:
    unknown = make_transaction(999).id
    known = make_transaction(1).id
    answers = await backend.wait_certified([known, unknown], 10)
    assert answers[0] is not None
    assert answers[1] is None
    assert not await backend.wait_height(backend.status().stored_height + 1_000, 10)


async def _heights_wake_and_are_stored(
    backend: Backend, make_transaction: Callable[[int], Transaction]
) -> None:
    before = backend.status().stored_height
    await backend.submit([make_transaction(2).encoded])
    height = await backend.wait_new_height(before)
    assert height > before
    assert await backend.wait_height(height, 0)
    with backend.snapshot() as snapshot:
        assert stored_height(snapshot) >= height


async def _the_committed_level_waits_for_no_certificate_and_ends_at_its_time(
    backend: Backend, make_transaction: Callable[[int], Transaction]
) -> None:
    known, unknown, new = (make_transaction(number).id for number in (1, 999, 3))
    (place,) = await backend.wait_certified([known], 0)
    assert await backend.wait_committed([known], 0) == (place,), "what is certified says so"
    assert await backend.wait_committed([unknown, known], 10) == (None, place)
    height = backend.committed().committed_height
    assert await backend.wait_committed_height(height, 0)
    assert not await backend.wait_committed_height(height + 1_000, 10)
    await backend.submit([make_transaction(3).encoded])
    (found,) = await backend.wait_committed([new], 30_000)
    assert found is not None
    assert found.height > height
    if not found.is_certified:
        assert found.receipt is not None, "nobody else could tell it yet"
        assert (found.receipt.tx_id, found.receipt.height) == (new, found.height)
    assert await backend.wait_certified([new], 30_000) == (Location(found.height, found.index),)
    assert await backend.wait_committed_height(height + 1, 30_000)
    assert backend.committed().committed_height > height


def _the_committed_level_is_at_or_above_the_certified_one(backend: Backend) -> None:
    view = backend.committed()
    assert view.certified_height <= view.committed_height
    with view.open() as snapshot:
        assert view.certified_height <= state_height(snapshot) <= stored_height(snapshot)


def _the_looks_agree(backend: Backend) -> None:
    status = backend.status()
    assert status.cluster_id == backend.genesis.cluster_id
    assert status.stored_height <= status.certified_height <= status.committed_height
    node, peers = backend.look()
    assert (node.name, node.cluster_id) == (status.node_name, status.cluster_id)
    assert node.node_key not in [peer.node_key for peer in peers]
    assert node.total_weight >= node.weight + sum(peer.weight for peer in peers)
    readiness = backend.readiness()
    assert readiness.ready or readiness.reasons
    assert backend.metrics_text().endswith(b"\n")
