"""Whose transactions are sealed next, in a pool under a flood."""

from dataclasses import replace

from consensus import SigningKey
from node.pool.batches import Batch
from node.pool.messages import PushBatch
from tests.node.pool.world import CONFIG, Node, block, committed, naming, transaction, validator_set

FLOODER, HONEST = SigningKey(bytes([21]) * 32), SigningKey(bytes([22]) * 32)
LARGE = 60_000


def sealed(n: Node) -> list[Batch]:
    return [Batch.decode(m.data, CONFIG.batch) for _, m in n.out if isinstance(m, PushBatch)]


def flooded() -> tuple[Node, list[Batch]]:
    """A node whose share of everybody's memory is used up, with much of one sender waiting for room; and what
    uses it up."""
    n = Node(0, validator_set(), replace(CONFIG, commit_target_ms=0))
    n.submit(*(transaction(number, size=LARGE, key=FLOODER) for number in range(300)))
    first = sealed(n)
    assert sum(len(b.transactions) for b in first) < 300
    n.out.clear()
    return n, first


def make_room(n: Node, first: list[Batch]) -> None:
    """What was sealed first is ordered and executed."""
    n.commit(committed(block(naming(*first))))
    n.execute_all()


def test_a_flood_that_waits_for_room_does_not_keep_another_sender_out_of_the_next_batch() -> None:
    n, first = flooded()
    lone = transaction(1, key=HONEST)
    n.submit(lone)
    assert sealed(n) == []
    make_room(n, first)
    assert lone.encoded in sealed(n)[0].transactions


def test_a_senders_own_transactions_keep_their_order() -> None:
    n, first = flooded()
    mine = [transaction(number, key=HONEST) for number in range(30)]
    n.submit(*mine)
    make_room(n, first)
    order = [data for b in sealed(n) for data in b.transactions]
    assert [data for data in order if data in {t.encoded for t in mine}] == [t.encoded for t in mine]


def test_what_is_handed_to_the_next_epoch_misses_nothing() -> None:
    n, _ = flooded()
    mine = [transaction(number, key=HONEST) for number in range(3)]
    n.submit(*mine)
    own = n.pool.own_transactions()
    assert len(own) == 303
    assert [t for t in own if t.sender == HONEST.public_key] == mine
