"""The inbox: bounds a peer, turns between peers, order within a peer and class, no class starves."""

import pytest
import trio

from p2p import Delivery, Inbox, PeerConnected, PeerId
from p2p.inbox import STRICT_RUN

URGENT, NORMAL, BULK = range(3)
ONE, TWO = PeerId(b"\x01" * 32), PeerId(b"\x02" * 32)


def message(peer: PeerId, number: int, size: int = 4) -> Delivery:
    return Delivery(peer, 1, number.to_bytes(size, "big"))


def take_all(inbox: Inbox) -> list[Delivery]:
    events: list[Delivery] = []
    while True:
        try:
            event = inbox.receive_nowait()
        except trio.WouldBlock:
            return events
        assert isinstance(event, Delivery)
        events.append(event)


def test_a_flood_of_one_peer_costs_another_one_turn() -> None:
    inbox = Inbox(100, 10_000)
    for number in range(50):
        inbox.put(message(ONE, number), NORMAL)
    inbox.put(message(TWO, 0), NORMAL)
    events = take_all(inbox)
    assert events[1].peer == TWO
    assert [event for event in events if event.peer == ONE] == [message(ONE, number) for number in range(50)]


def test_urgent_messages_of_another_peer_do_not_wait_behind_full_bulk_queues() -> None:
    inbox = Inbox(10, 1_000)
    for number in range(10):
        inbox.put(message(ONE, number), BULK)
    assert not inbox.room_for(ONE, BULK)
    assert inbox.room_for(TWO, URGENT)
    inbox.put(message(TWO, 7), URGENT)
    assert inbox.receive_nowait() == message(TWO, 7)


def test_no_class_starves_under_a_flood_of_urgent_messages() -> None:
    inbox = Inbox(10_000, 1_000_000)
    for number in range(4 * STRICT_RUN):
        inbox.put(message(ONE, number), URGENT)
    for number in range(3):
        inbox.put(message(TWO, number), NORMAL)
        inbox.put(message(TWO, number, 8), BULK)
    events = take_all(inbox)
    waits = [position for position, event in enumerate(events) if event.peer == TWO]
    assert len(waits) == 6
    assert waits[0] == STRICT_RUN
    assert waits[-1] <= 3 * (STRICT_RUN + 2)


def test_bounds_by_items_and_by_bytes_and_one_message_of_any_size() -> None:
    inbox = Inbox(3, 100)
    inbox.put(message(ONE, 0, 5_000), BULK)
    assert not inbox.room_for(ONE, BULK)
    assert inbox.room_for(ONE, NORMAL)
    assert (inbox.items, inbox.bytes) == (1, 5_000)
    inbox.receive_nowait()
    assert inbox.room_for(ONE, BULK)
    assert (inbox.items, inbox.bytes) == (0, 0)


async def test_a_waiting_writer_goes_on_when_its_own_class_has_room(
    autojump_clock: trio.testing.MockClock,
) -> None:
    inbox = Inbox(1, 100)
    inbox.put(message(ONE, 0), BULK)
    inbox.put(message(ONE, 0), NORMAL)
    with trio.move_on_after(1) as scope:
        await inbox.wait_for_room(ONE, BULK)
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.wait_for_room, ONE, BULK)
        await trio.testing.wait_all_tasks_blocked()
        assert len(take_all(inbox)) == 2
        with trio.fail_after(1):
            await inbox.wait_for_room(ONE, BULK)


async def test_a_receiver_waits_for_the_next_event_and_ends_when_the_inbox_is_closed() -> None:
    inbox = Inbox(5, 100)
    received: list[object] = []

    async def read() -> None:
        async for event in inbox:
            received.append(event)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        inbox.put(PeerConnected(ONE))
        await trio.testing.wait_all_tasks_blocked()
        assert received == [PeerConnected(ONE)]
        inbox.put(message(ONE, 1))
        inbox.close()
    assert received == [PeerConnected(ONE), message(ONE, 1)]
    with pytest.raises(trio.EndOfChannel):
        inbox.receive_nowait()
