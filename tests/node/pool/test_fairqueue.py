"""Who waits behind whom."""

from hypothesis import given
from hypothesis import strategies as st

from consensus import SigningKey
from node.ledger.transactions import Transaction
from node.pool.fairqueue import TURN_BYTES, FairQueue
from tests.node.pool.world import transaction

FLOODER, HONEST, THIRD = (SigningKey(bytes([seed]) * 32) for seed in (11, 12, 13))


def drained(queue: FairQueue[Transaction], count: int | None = None) -> list[Transaction]:
    return [queue.pop() for _ in range(len(queue) if count is None else count)]


def filled(*items: Transaction) -> FairQueue[Transaction]:
    queue: FairQueue[Transaction] = FairQueue()
    for item in items:
        queue.add(item.sender, item)
    return queue


def test_of_one_sender_the_first_comes_first() -> None:
    items = [transaction(number) for number in range(50)]
    queue = filled(*items)
    assert queue.bytes == sum(len(item.encoded) for item in items)
    assert drained(queue) == items
    assert (len(queue), queue.bytes, queue.flows) == (0, 0, 0)


def test_ten_thousand_of_one_sender_delay_another_by_one_turn_at_most() -> None:
    flood = transaction(1, key=FLOODER)
    queue = filled(*[flood] * 10_000)
    drained(queue, 100)
    lone = transaction(2, key=HONEST)
    queue.add(HONEST.public_key, lone)
    assert lone in drained(queue, 1 + TURN_BYTES // len(flood.encoded))


def test_who_was_alone_for_long_owes_nothing_for_it() -> None:
    queue = filled(*(transaction(number, key=FLOODER) for number in range(1_000)))
    drained(queue, 900)
    for number in range(100):
        queue.add(HONEST.public_key, transaction(number, key=HONEST))
    senders = [item.sender for item in drained(queue, 100)]
    assert 30 <= senders.count(FLOODER.public_key) <= 70


def test_turns_are_shared_by_bytes_so_that_large_transactions_gain_nothing() -> None:
    queue = filled(*(transaction(number, size=30_000, key=FLOODER) for number in range(20)))
    for number in range(2_000):
        queue.add(HONEST.public_key, transaction(number, key=HONEST))
    taken = drained(queue, 1_000)
    size = {key: 0 for key in (FLOODER.public_key, HONEST.public_key)}
    for item in taken:
        size[item.sender] += len(item.encoded)
    assert abs(size[FLOODER.public_key] - size[HONEST.public_key]) <= 30_000 + 2 * TURN_BYTES


def test_what_is_next_stays_next_until_it_is_taken() -> None:
    queue = filled(transaction(1, key=FLOODER), transaction(2, key=FLOODER))
    first = queue.head()
    queue.add(HONEST.public_key, transaction(3, key=HONEST))
    assert queue.head() is queue.head()
    assert queue.pop() in (first, transaction(3, key=HONEST))


@given(st.lists(st.tuples(st.sampled_from((FLOODER, HONEST, THIRD)), st.integers(0, 9_000), st.booleans())))
def test_everything_leaves_once_in_its_senders_order(steps: list[tuple[SigningKey, int, bool]]) -> None:
    queue: FairQueue[Transaction] = FairQueue()
    given_in: list[Transaction] = []
    out: list[Transaction] = []
    for number, (key, size, takes) in enumerate(steps):
        item = transaction(number, size=size, key=key)
        given_in.append(item)
        queue.add(item.sender, item)
        if takes:
            assert queue.head() is queue.head()
            out.append(queue.pop())
    assert sorted(item.id for item in [*queue, *out]) == sorted(item.id for item in given_in)
    assert queue.bytes == sum(len(item.encoded) for item in queue)
    out += drained(queue)
    for key in (FLOODER, HONEST, THIRD):
        assert [i for i in out if i.sender == key.public_key] == [
            i for i in given_in if i.sender == key.public_key
        ]
    assert (len(queue), queue.bytes, queue.flows) == (0, 0, 0)


def test_those_who_have_little_waiting_can_be_taken_out_from_between_the_others() -> None:
    flood = [transaction(number, key=FLOODER) for number in range(100)]
    light = [transaction(number, key=HONEST) for number in range(3)]
    large = transaction(1, size=TURN_BYTES, key=THIRD)
    queue = filled(*flood, *light, large)
    assert queue.take_light(TURN_BYTES, 1_000) == light
    assert queue.take_light(TURN_BYTES, 1_000) == []
    assert (len(queue), queue.flows) == (101, 2)
    assert queue.bytes == sum(len(item.encoded) for item in [*flood, large])
    assert sorted(item.id for item in drained(queue)) == sorted(item.id for item in [*flood, large])


def test_few_transactions_that_are_more_than_a_turn_are_not_little() -> None:
    queue = filled(*(transaction(number, size=TURN_BYTES // 2, key=FLOODER) for number in range(2)))
    assert queue.take_light(16 * TURN_BYTES, 1_000) == []
    assert len(queue) == 2


def test_what_is_taken_of_those_with_little_is_bounded_in_all() -> None:
    senders = [SigningKey(bytes([number + 50]) * 32) for number in range(100)]
    queue = filled(*(transaction(1, size=1_000, key=key) for key in senders))
    taken = queue.take_light(TURN_BYTES, 1_000)
    assert len(taken) == 3
    assert sum(len(item.encoded) for item in taken) <= TURN_BYTES
    assert len({item.sender for item in drained(queue)} | {item.sender for item in taken}) == 100


def test_no_more_is_taken_of_those_with_little_than_a_batch_may_hold() -> None:
    senders = [SigningKey(bytes([number + 50]) * 32) for number in range(10)]
    queue = filled(*(transaction(number, key=key) for key in senders for number in range(3)))
    assert len(queue.take_light(1_000_000, 10)) == 9
    assert len(queue) == 21
