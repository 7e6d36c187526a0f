"""The way in: what peers sent and the application has not taken yet, fair between peers.

Every peer has its own bounded queue per class. When it is full only that peer's reader waits, which
becomes TCP back-pressure; no other peer notices. The application takes urgent messages first, and within
a class the peers take turns, so a flood of one peer costs another peer one turn at most. One message of a
lower class is let through after every `STRICT_RUN` of a higher one, so that no class starves.
"""

from collections import deque
from typing import TypeAlias

import trio

from p2p.events import Delivery, NetworkEvent, PeerConnected, PeerDisconnected
from p2p.identity import PeerId

STRICT_RUN = 64
_CLASSES = 3
_Slot: TypeAlias = tuple[PeerId, int]


class _PeerQueue:
    __slots__ = ("bytes", "events")

    def __init__(self) -> None:
        self.events: deque[NetworkEvent] = deque()
        self.bytes = 0


class Inbox(trio.abc.ReceiveChannel[NetworkEvent]):
    """A receive channel of network events: `receive`, `receive_nowait`, `async for`."""

    def __init__(self, items_per_peer: int, bytes_per_peer: int) -> None:
        self._items_per_peer = items_per_peer
        self._bytes_per_peer = bytes_per_peer
        self._queues: dict[_Slot, _PeerQueue] = {}
        self._turns: tuple[deque[_Slot], ...] = tuple(deque() for _ in range(_CLASSES))
        self._passed = [0] * _CLASSES
        self._readers = trio.lowlevel.ParkingLot()
        self._writers: dict[_Slot, trio.Event] = {}
        self._closed = False
        self.items = 0
        self.bytes = 0

    def room_for(self, peer: PeerId, lane: int) -> bool:
        """Whether `put` of one more message of this peer and class stays within the bounds."""
        queue = self._queues.get((peer, lane))
        return queue is None or (
            len(queue.events) < self._items_per_peer and queue.bytes < self._bytes_per_peer
        )

    async def wait_for_room(self, peer: PeerId, lane: int) -> None:
        """Returns once the application has taken enough of this peer's messages of this class."""
        while not self.room_for(peer, lane):
            event = self._writers.setdefault((peer, lane), trio.Event())
            await event.wait()

    def put(self, event: NetworkEvent, lane: int = 0) -> None:
        """Adds an event of a peer; the caller has waited for room, unless the event is rare."""
        slot = (event.peer, lane)
        queue = self._queues.get(slot)
        if queue is None:
            queue = self._queues[slot] = _PeerQueue()
            self._turns[lane].append(slot)
        queue.events.append(event)
        size = _size(event)
        queue.bytes += size
        self.bytes += size
        self.items += 1
        if self._readers:
            self._readers.unpark()

    def receive_nowait(self) -> NetworkEvent:
        """The next event; raises trio.WouldBlock when there is none, trio.EndOfChannel after the end."""
        turns = self._next_turns()
        if turns is None:
            if self._closed:
                raise trio.EndOfChannel
            raise trio.WouldBlock
        slot = turns.popleft()
        queue = self._queues[slot]
        event = queue.events.popleft()
        size = _size(event)
        queue.bytes -= size
        self.bytes -= size
        self.items -= 1
        if queue.events:
            turns.append(slot)
        else:
            del self._queues[slot]
        if self._writers and self.room_for(*slot):
            waiting = self._writers.pop(slot, None)
            if waiting is not None:
                waiting.set()
        return event

    async def receive(self) -> NetworkEvent:
        """Waits for the next event; raises trio.EndOfChannel once the network is closed and drained."""
        await trio.lowlevel.checkpoint()
        while True:
            try:
                return self.receive_nowait()
            except trio.WouldBlock:
                await self._readers.park()

    def close(self) -> None:
        """No more events will come; what is queued can still be taken."""
        self._closed = True
        self._readers.unpark_all()

    async def aclose(self) -> None:
        """The same as `close`; part of trio's channel interface."""
        self.close()
        await trio.lowlevel.checkpoint()

    def _next_turns(self) -> deque[_Slot] | None:
        """The highest class with events, unless a lower one was passed over too often."""
        chosen = None
        for lane in range(_CLASSES):
            turns = self._turns[lane]
            if not turns:
                self._passed[lane] = 0
            elif chosen is None:
                chosen = lane
            elif self._passed[lane] >= STRICT_RUN:
                self._passed[lane] = 0
                return turns
            else:
                self._passed[lane] += 1
        if chosen is None:
            return None
        self._passed[chosen] = 0
        return self._turns[chosen]


def _size(event: NetworkEvent) -> int:
    match event:
        case Delivery():
            return len(event.body)
        case PeerConnected() | PeerDisconnected():
            return 0
