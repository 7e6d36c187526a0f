"""Whose transactions are sealed next, in a pool under a flood."""

from dataclasses import replace

from consensus import SigningKey
from node.pool.batches import Batch
from node.pool.messages import PushBatch
from tests.node.pool.world import CONFIG, Node, block, committed, naming, transaction, validator_set

FLOODER, HONEST, OWN = (SigningKey(bytes([number]) * 32) for number in (21, 22, 23))
LARGE = 60_000


def sealed(n: Node) -> list[Batch]:
    return [Batch.decode(m.data, CONFIG.batch) for _, m in n.out if isinstance(m, PushBatch)]


def flooded() -> tuple[Node, list[Batch]]:
    """A node whose share of everybody's memory is used up, with much of one sender waiting for room; and what
    uses it up."""
    n = Node(0, validator_set(), replace(CONFIG, commit_target_ms=0), own_key=OWN.public_key)
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


def narrow() -> Node:
    """A node in the midst of a flood, whose window is as small as it gets."""
    n = Node(0, validator_set(), CONFIG, own_key=OWN.public_key)
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
    return n


def test_what_the_node_says_itself_is_sealed_beside_a_closed_window_and_the_next_once_that_is_executed() -> (
    None
):
    n = narrow()
    bundles = [transaction(number, size=LARGE, key=OWN) for number in range(4)]
    under_way = n.pool.sealer.window.bytes
    n.submit(*bundles)
    for number, bundle in enumerate(bundles):
        (made,) = sealed(n)
        assert made.transactions == (bundle.encoded,)
        n.out.clear()
        ordered = committed(block(naming(made), round=100 + number, time_ms=n.now_ms), 100 + number)
        n.commit(ordered)
        assert sealed(n) == []
        n.perform(n.pool.on_settled(ordered.block.id, n.now_ms))
    assert sealed(n) == []
    assert n.pool.sealer.window.bytes == under_way, "what clients send has the window for itself"


def test_what_the_node_says_itself_goes_on_when_catching_up_brought_what_it_had_said() -> None:
    n = narrow()
    n.submit(*(transaction(number, size=LARGE, key=OWN) for number in range(2)))
    (made,) = sealed(n)
    n.out.clear()
    n.perform(n.pool.on_synced(100, [(made.digest, n.now_ms)], n.now_ms, n.now_ms))
    assert len(sealed(n)) == 1


def test_in_calm_as_much_as_a_batch_holds_of_what_the_node_says_itself_is_under_way() -> None:
    n = Node(0, validator_set(), CONFIG, own_key=OWN.public_key)
    most = CONFIG.batch.batch_bytes_max // LARGE
    n.submit(*(transaction(number, size=LARGE, key=OWN) for number in range(100)))
    assert sum(len(b.transactions) for b in sealed(n)) == most


def test_in_calm_all_that_the_node_says_itself_is_sealed_at_once() -> None:
    n = Node(0, validator_set(), CONFIG, own_key=OWN.public_key)
    bundles = [transaction(number, size=LARGE, key=OWN) for number in range(4)]
    for bundle in bundles:
        n.submit(bundle)
    assert [b.transactions for b in sealed(n)] == [(bundle.encoded,) for bundle in bundles]


def test_what_another_node_says_waits_like_everybodys() -> None:
    n = narrow()
    n.submit(transaction(1, size=LARGE, key=HONEST))
    assert sealed(n) == []


def test_what_the_node_says_itself_needs_room_like_everything_and_has_it_first() -> None:
    n, first = flooded()
    bundle = transaction(1, size=LARGE, key=OWN)
    n.submit(bundle)
    assert sealed(n) == []
    assert bundle in n.pool.own_transactions()
    make_room(n, first)
    assert sealed(n)[0].transactions == (bundle.encoded,)


def test_what_the_node_said_itself_and_expires_is_not_sealed() -> None:
    n = Node(0, validator_set(), CONFIG, own_key=OWN.public_key)
    n.submit(transaction(1, key=OWN, expires_at_ms=n.now_ms))
    assert sealed(n) == []
    assert len(n.pool.sealer) == 0
