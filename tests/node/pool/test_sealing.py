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


def narrow() -> tuple[Node, SigningKey]:
    """A node in the midst of a flood, whose window is as small as it gets; and its own key."""
    own = SigningKey(bytes([23]) * 32)
    n = Node(0, validator_set(), CONFIG, own_key=own.public_key)
    n.pool.sealer.window.on_own_round(1)
    for number in range(40):
        n.submit(*(transaction(100 * number + i, size=1_000, key=FLOODER) for i in range(4)))
        made = sealed(n)
        n.out.clear()
        n.now_ms += 10 * CONFIG.commit_target_ms
        if made:
            n.ready.clear()
            n.commit(committed(block(naming(*made), round=number + 1, time_ms=n.now_ms), number + 1))
            n.execute_all()
    n.submit(*(transaction(10_000 + i, size=1_000, key=FLOODER) for i in range(8)))
    n.out.clear()
    assert n.pool.sealer.sender_bytes_max == CONFIG.sender_bytes_min
    assert not n.pool.sealer.window.has_room(1)
    return n, own


def test_what_the_node_says_itself_is_sealed_at_once_beside_a_closed_window() -> None:
    n, own = narrow()
    bundles = [transaction(number, size=LARGE, key=own) for number in range(4)]
    under_way = n.pool.sealer.window.bytes
    for bundle in bundles:
        n.submit(bundle)
    assert [b.transactions for b in sealed(n)] == [(bundle.encoded,) for bundle in bundles]
    assert n.pool.sealer.window.bytes == under_way, "what clients send has the window for itself"


def test_what_another_node_says_waits_like_everybodys() -> None:
    n, _ = narrow()
    n.submit(transaction(1, size=LARGE, key=HONEST))
    assert sealed(n) == []


def test_what_the_node_says_itself_needs_room_like_everything() -> None:
    own = SigningKey(bytes([23]) * 32)
    n = Node(0, validator_set(), CONFIG, own_key=own.public_key)
    bundles = [transaction(number, size=LARGE, key=own) for number in range(200)]
    n.submit(*bundles)
    first = sealed(n)
    left = n.pool.sealer.waiting_bytes
    assert 0 < left < sum(len(t.encoded) for t in bundles)
    assert len(n.pool.own_transactions()) == len(bundles)
    n.out.clear()
    make_room(n, first)
    assert [data for b in (*first, *sealed(n)) for data in b.transactions] == [t.encoded for t in bundles]


def test_what_the_node_said_itself_and_expires_is_not_sealed() -> None:
    own = SigningKey(bytes([23]) * 32)
    n = Node(0, validator_set(), CONFIG, own_key=own.public_key)
    n.submit(transaction(1, key=own, expires_at_ms=n.now_ms))
    assert sealed(n) == []
    assert len(n.pool.sealer) == 0
