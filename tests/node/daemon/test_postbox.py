"""The validator's inbox: bounded, ours first, and awake when either side has something."""

import pytest
import trio
import trio.testing

from node.daemon.postbox import INBOX_MAX, REQUESTS_ALONE, REQUESTS_BESIDE, InboxFull, Postbox
from node.validator import Input, LinkUp, Submitted, TimerExpired

OURS, THEIRS = TimerExpired("ours"), LinkUp(bytes(32))


class Heap:
    """A source that holds what it is given."""

    def __init__(self, items: list[Input]) -> None:
        self.items = items

    @property
    def waiting(self) -> int:
        return len(self.items)

    def take(self, most: int) -> list[Input]:
        taken, self.items = self.items[:most], self.items[most:]
        return taken


def test_inputs_come_out_in_order_and_never_more_than_asked_for() -> None:
    postbox = Postbox()
    items = [TimerExpired(str(number)) for number in range(5)]
    for item in items:
        postbox.put(item)
    assert postbox.take(3) == items[:3]
    assert postbox.take(3) == items[3:]
    assert postbox.take(3) == []
    assert postbox.peak == 5


def test_ours_come_first_and_the_links_fill_what_is_left() -> None:
    postbox = Postbox(Heap([THEIRS] * 5))
    postbox.put(OURS)
    assert len(postbox) == 6
    assert postbox.take(3) == [OURS, THEIRS, THEIRS]
    assert len(postbox) == 3


def request(number: int) -> Submitted:
    return Submitted(number, ())


def test_clients_come_last_and_a_few_at_a_time_while_others_wait() -> None:
    heap = Heap([THEIRS] * 4)
    postbox = Postbox(heap)
    for number in range(40):
        postbox.put_request(request(number), 10)
    postbox.put(OURS)
    assert len(postbox) == 45
    taken = postbox.take(256)
    few = -(-REQUESTS_BESIDE // 10)
    assert taken == [OURS, *[THEIRS] * 4, *map(request, range(few))]
    taken = postbox.take(256)
    many = -(-REQUESTS_ALONE // 10)
    assert taken == [request(few + number) for number in range(many)]
    assert len(postbox) == 40 - few - many
    assert postbox.peak == 41


def test_however_much_others_send_one_request_of_any_size_comes_through() -> None:
    postbox = Postbox(Heap([THEIRS] * 500))
    postbox.put_request(request(1), 100_000)
    postbox.put_request(request(2), 1)
    assert postbox.take(8) == [*[THEIRS] * 7, request(1)]
    assert postbox.take(8) == [*[THEIRS] * 7, request(2)]
    assert postbox.take(8) == [THEIRS] * 8


def test_beyond_the_bound_a_producer_of_ours_is_told_that_it_is_broken() -> None:
    postbox = Postbox()
    for _ in range(INBOX_MAX):
        postbox.put(OURS)
    with pytest.raises(InboxFull, match=str(INBOX_MAX)):
        postbox.put(OURS)
    with pytest.raises(InboxFull, match=str(INBOX_MAX)):
        postbox.put_request(request(1), 1)
    assert len(postbox) == postbox.limit == INBOX_MAX


@pytest.mark.parametrize("who", ["ours", "theirs", "clients"])
async def test_a_waiting_reader_wakes_for_either(who: str) -> None:
    source = Heap([])
    postbox = Postbox(source)
    woken = trio.Event()

    async def read() -> None:
        await postbox.wait()
        woken.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        postbox.wake()  # for nothing: it goes back to sleep
        await trio.testing.wait_all_tasks_blocked()
        assert not woken.is_set()
        if who == "ours":
            postbox.put(OURS)
        elif who == "clients":
            postbox.put_request(request(1), 1)
        else:
            source.items = [THEIRS]
            postbox.wake()
        with trio.fail_after(10):
            await woken.wait()
    assert len(postbox.take(10)) == 1
