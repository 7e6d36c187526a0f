"""Send queues: order, coalescing, bounds, and what one write holds."""

from hypothesis import given
from hypothesis import strategies as st

from p2p.frames import CHUNK_BYTES, Frame, FrameParser, FrameRule, encode
from p2p.queues import COALESCE_BYTES, SendQueue

URGENT, NORMAL, BULK = range(3)
RULES = {
    1: FrameRule("votes", 10_000_000, URGENT),
    2: FrameRule("status", 10_000_000, NORMAL),
    3: FrameRule("batches", 10_000_000, BULK),
}


def make_queue(items: int = 100, size: int = 10_000_000) -> SendQueue:
    return SendQueue([(items, size)] * 3)


def drain(queue: SendQueue) -> list[Frame]:
    parser = FrameParser(RULES)
    frames: list[Frame] = []
    while (data := queue.next_write()) is not None:
        frames += parser.feed(data)
    assert parser.buffered_bytes == 0
    assert all(len(lane) == 0 and lane.bytes == 0 for lane in queue.lanes)
    return frames


def test_urgent_messages_leave_first_and_each_class_keeps_its_order() -> None:
    queue = make_queue()
    for number in range(3):
        queue.put(BULK, 3, encode(3, b"batch %d" % number))
        queue.put(NORMAL, 2, encode(2, b"status %d" % number))
        queue.put(URGENT, 1, encode(1, b"vote %d" % number))
    bodies = [frame.body for frame in drain(queue)]
    assert bodies == [b"%s %d" % (kind, n) for kind in (b"vote", b"status", b"batch") for n in range(3)]


def test_small_frames_share_a_write_up_to_its_size() -> None:
    queue = make_queue()
    for _ in range(100):
        queue.put(URGENT, 1, encode(1, b"x" * 1_000))
    sizes = []
    while (data := queue.next_write()) is not None:
        sizes.append(len(data))
    assert sizes == [65 * 1_005, 35 * 1_005]
    assert max(sizes) <= COALESCE_BYTES


def test_an_urgent_message_waits_for_one_bulk_chunk_at_most() -> None:
    queue = make_queue()
    large = b"x" * (3 * CHUNK_BYTES)
    queue.put(BULK, 3, encode(3, large))
    parser = FrameParser(RULES)
    first = queue.next_write()
    assert first is not None
    assert len(first) == CHUNK_BYTES + 5
    queue.put(URGENT, 1, encode(1, b"vote"))
    assert parser.feed(first) == []
    second = queue.next_write()
    assert second is not None
    assert parser.feed(second)[0] == Frame(1, b"vote")
    rest = []
    while (data := queue.next_write()) is not None:
        rest += parser.feed(data)
    assert rest == [Frame(3, large)]


def test_a_message_with_the_same_key_takes_the_place_of_the_queued_one() -> None:
    queue = make_queue()
    queue.put(NORMAL, 2, encode(2, b"height 1"), b"height")
    queue.put(NORMAL, 2, encode(2, b"other"))
    queue.put(NORMAL, 2, encode(2, b"height 2"), b"height")
    assert queue.lanes[NORMAL].coalesced == 1
    assert [frame.body for frame in drain(queue)] == [b"height 2", b"other"]
    queue.put(NORMAL, 2, encode(2, b"height 3"), b"height")
    assert [frame.body for frame in drain(queue)] == [b"height 3"]


def test_equal_keys_of_different_topics_do_not_meet() -> None:
    queue = SendQueue([(9, 999)])
    queue.put(0, 1, encode(1, b"a"), b"key")
    queue.put(0, 2, encode(2, b"b"), b"key")
    assert len(queue.lanes[0]) == 2


def test_an_overflow_drops_the_oldest_of_its_class_and_counts_it() -> None:
    queue = make_queue(items=3)
    for number in range(5):
        queue.put(BULK, 3, encode(3, b"%d" % number), b"key %d" % number)
    queue.put(URGENT, 1, encode(1, b"vote"))
    assert queue.lanes[BULK].dropped == 2
    assert [frame.body for frame in drain(queue)] == [b"vote", b"2", b"3", b"4"]


def test_an_overflow_by_bytes_drops_as_many_as_it_takes() -> None:
    queue = make_queue(size=100)
    for _ in range(4):
        queue.put(NORMAL, 2, encode(2, b"x" * 20))
    queue.put(NORMAL, 2, encode(2, b"y" * 90))
    assert queue.lanes[NORMAL].dropped == 4
    assert [frame.body for frame in drain(queue)] == [b"y" * 90]


def test_a_begun_message_is_neither_dropped_nor_replaced() -> None:
    queue = make_queue(items=1)
    large = b"x" * (2 * CHUNK_BYTES)
    queue.put(BULK, 3, encode(3, large), b"key")
    parser = FrameParser(RULES)
    begun = queue.next_write()
    assert begun is not None
    parser.feed(begun)
    queue.put(BULK, 3, encode(3, b"newer"), b"key")
    queue.put(BULK, 3, encode(3, b"newest"), b"key")
    bodies = []
    while (data := queue.next_write()) is not None:
        bodies += [frame.body for frame in parser.feed(data)]
    assert bodies == [large, b"newest"]


puts = st.tuples(st.sampled_from([1, 2, 3]), st.integers(1, 60), st.sampled_from([None, b"a", b"b"]))


@given(st.lists(st.one_of(puts, st.none()), max_size=60))
def test_bounds_hold_and_what_leaves_is_a_well_formed_stream(
    actions: list[tuple[int, int, bytes | None] | None],
) -> None:
    queue = make_queue(items=4, size=150)
    parser = FrameParser(RULES)
    for action in actions:
        if action is None:
            parser.feed(queue.next_write() or b"")
        else:
            topic, size, key = action
            queue.put(topic - 1, topic, encode(topic, b"x" * size), key)
        for lane in queue.lanes:
            assert len(lane) <= 4
            assert lane.bytes <= 150
    drain(queue)
