"""What a check decoded goes with its batch to execution, within a bound, and is missed by nobody."""

import pytest

from node.pool import shelf
from node.pool.effects import BlockReady
from tests.node.pool.test_pool import BIG, held, node
from tests.node.pool.world import START_MS, Node, batch, block, committed, naming, transaction


def opened_now(n: Node) -> int:
    return {name: current for name, current, _ in n.pool.limits()}["pool_opened_transactions"]


def handed_over(n: Node) -> BlockReady:
    (ready,) = n.ready
    return ready


@pytest.mark.parametrize("size", [8, BIG], ids=["inline", "by-reference"])
def test_a_batch_that_was_checked_here_goes_to_execution_with_its_transactions_decoded(size: int) -> None:
    n, sent = node(0), (transaction(1, size=size), transaction(2))
    b = batch(*sent, author=1)
    held(n, b, 0, 1, 2)
    proposal = n.propose()
    assert n.check(proposal)
    n.commit(committed(proposal))
    (ready,) = handed_over(n).batches
    assert ready.opened == sent
    assert ready.transactions == tuple(transaction.encoded for transaction in ready.opened)
    assert opened_now(n) == max(2, len(b.encoded) // shelf.OPENED_BYTES)
    n.execute_all()
    assert opened_now(n) == 0


def test_after_a_restart_nothing_is_decoded_and_the_batch_is_handed_over_all_the_same() -> None:
    n, b = node(0), batch(transaction(1, size=BIG), author=1)
    held(n, b, 1, 2)
    n.restart()
    n.commit(committed(block(naming(b))))
    (ready,) = handed_over(n).batches
    assert ready == b
    assert ready.opened == ()


def test_beyond_the_bound_batches_are_held_without_and_an_expired_one_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shelf, "OPENED_MAX", 100)
    n = node(0)
    one = batch(transaction(1, size=BIG), transaction(2), author=1, lifetime_ms=1_000)
    two = batch(transaction(3, size=BIG), transaction(4), author=1, lifetime_ms=60_000)
    held(n, one, 1, 2)
    held(n, two, 1, 2)
    assert opened_now(n) == len(one.encoded) // shelf.OPENED_BYTES
    n.commit(committed(block(naming(two), time_ms=START_MS + 2_000)))
    assert handed_over(n).batches == (two,)
    assert handed_over(n).batches[0].opened == ()
    assert opened_now(n) == 0
    three = batch(transaction(5, size=BIG), transaction(6), author=1)
    held(n, three, 1, 2)
    assert opened_now(n) == len(three.encoded) // shelf.OPENED_BYTES


def test_what_takes_much_memory_decoded_counts_by_its_bytes() -> None:
    n = node(0)
    usual = batch(*(transaction(number) for number in range(1, 41)), author=1)
    large = batch(transaction(41, size=BIG), author=1)
    held(n, usual, 1, 2)
    assert 40 <= opened_now(n) < 44
    before = opened_now(n)
    held(n, large, 1, 2)
    assert opened_now(n) - before == len(large.encoded) // shelf.OPENED_BYTES
    n.commit(committed(block(naming(usual, large))))
    n.execute_all()
    assert opened_now(n) == 0
