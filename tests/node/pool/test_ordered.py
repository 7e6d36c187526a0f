"""Committed blocks that wait behind one whose batch does not come."""

import pytest

from node.pool import ordered
from tests.node.pool.test_pool import BIG, node
from tests.node.pool.world import batch, block, committed, naming, transaction


def test_of_blocks_that_order_nothing_only_so_many_wait_and_all_that_order_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ordered, "EMPTY_MAX", 8)
    n = node()
    lost = [batch(transaction(number, size=BIG), author=1) for number in (1, 2)]
    n.commit(committed(block(naming(lost[0]), round=1), 1))
    for round in range(2, 30):
        n.commit(committed(block(b"", round=round), 1))
    n.commit(committed(block(naming(lost[1]), round=30), 2))
    waiting = {name: (now, most) for name, now, most in n.pool.limits()}["pool_committed_waiting"]
    assert waiting == (9, ordered.WAITING_MAX)
    assert n.ready == []


def test_what_catch_up_brings_waits_no_longer_and_its_batches_are_not_looked_for() -> None:
    n = node()
    lost = [batch(transaction(number, size=BIG), author=1) for number in (1, 2, 3)]
    for height, missing in enumerate(lost, 1):
        n.commit(committed(block(naming(missing), round=height), height))
    n.pool.skip_through(2)
    now = {name: now for name, now, _ in n.pool.limits()}
    assert (now["pool_committed_waiting"], now["pool_committed_missing"]) == (1, 1)
