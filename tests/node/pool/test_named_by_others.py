"""Batches that name this node as their author and that it never sealed: what is made of them at a border.

A proposer may put into its block whatever batch it likes, also one that names us. What a node seals it
attests (VC2), so nothing that it did not verify may come from there into a batch of its own.
"""

from consensus import Epoch, ValidatorIndex
from node.ledger.transactions import Transaction
from node.pool.batches import Batch, verify_batch
from node.pool.messages import PushBatch
from node.pool.payload import Payload
from tests.node.pool.world import (
    CLUSTER,
    RULES,
    START_MS,
    Node,
    block,
    forged,
    transaction,
    validator_set,
)


def naming_us(*items: bytes) -> Batch:
    """What a liar makes: our index, bytes of its choice."""
    return Batch.make(
        cluster_id=CLUSTER,
        author=ValidatorIndex(0),
        epoch=Epoch(0),
        created_ms=START_MS + 1,
        expires_at_ms=START_MS + 60_000,
        transactions=items,
    )


def checking(*batches: Batch) -> Node:
    """Validator 0 was proposed these by another one, and its worker has not answered yet."""
    node = Node(0, validator_set())
    node.hold_verification = True
    node.check(block(Payload((), tuple(b.encoded for b in batches)), author=1))
    return node


def sealed(transactions: list[Transaction]) -> list[bytes]:
    """The batches that the next epoch begins with."""
    after = Node(0, validator_set())
    after.submit(*transactions)
    return [message.data for _, message in after.out if isinstance(message, PushBatch)]


def test_bytes_that_are_no_transaction_end_no_node_at_a_border() -> None:
    assert checking(naming_us(b"no transaction")).pool.own_transactions() == []


def test_nothing_that_was_not_verified_is_taken_for_our_own() -> None:
    node = checking(naming_us(forged(1)))
    assert node.pool.own_transactions() == []


def test_what_was_verified_is_taken_over_once_however_many_batches_hold_it() -> None:
    node = Node(0, validator_set())
    first, second = transaction(1), transaction(2)
    node.submit(first, second)
    copy = naming_us(second.encoded, first.encoded)
    node.check(block(Payload((), (copy.encoded,)), author=1))
    left = node.pool.own_transactions()
    assert {t.id for t in left} == {first.id, second.id}
    (data,) = sealed(left)
    assert verify_batch(data, RULES).ok
    assert len(Batch.decode(data, RULES).transactions) == 2


def test_no_batch_holds_a_transaction_twice() -> None:
    one, other = transaction(1), transaction(2)
    for data in sealed([one, other, one]):
        assert verify_batch(data, RULES).ok
