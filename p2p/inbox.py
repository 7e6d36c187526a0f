"""The way in: what peers sent and the application has not taken yet, fair between peers.

Every peer has its own bounded queue per class. When it is full only that peer's reader waits, which
becomes TCP back-pressure; no other peer notices. The application takes urgent messages first, and within
a class the peers take turns, so a flood of one peer costs another peer one turn at most. One message of a
lower class is let through after every `STRICT_RUN` of a higher one, so that no class starves.
"""

from collections import deque
from collections.abc import Callable

import trio

from p2p.events import Delivery, NetworkEvent
from p2p.identity import PeerId

STRICT_RUN = 64
_CLASSES = 3


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
        self._queues: tuple[dict[PeerId, _PeerQueue], ...] = tuple({} for _ in range(_CLASSES))
        self._turns: tuple[deque[PeerId], ...] = tuple(deque() for _ in range(_CLASSES))
        self._passed = [0] * _CLASSES
        self._readers = trio.lowlevel.ParkingLot()
        self._writers: dict[tuple[PeerId, int], trio.Event] = {}
        self._closed = False
        self.on_put: Callable[[], None] | None = None
        """Called after each `put`: for an application that drains with `receive_nowait` and need not wake a
        task of its own to learn that there is something."""
        self.items = 0
        self.bytes = 0

    def room_for(self, peer: PeerId, lane: int) -> bool:
        """Whether `put` of one more message of this peer and class stays within the bounds."""
        queue = self._queues[lane].get(peer)
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
        peer = event.peer
        queue = self._queues[lane].get(peer)
        if queue is None:
            queue = self._queues[lane][peer] = _PeerQueue()
            self._turns[lane].append(peer)
        queue.events.append(event)
        size = len(event.body) if isinstance(event, Delivery) else 0
        queue.bytes += size
        self.bytes += size
        self.items += 1
        if self._readers:
            self._readers.unpark()
        if self.on_put is not None:
            self.on_put()

    def receive_nowait(self) -> NetworkEvent:
        """The next event; raises trio.WouldBlock when there is none, trio.EndOfChannel after the end."""
        lane = self._next_lane()
        if lane is None:
            if self._closed:
                raise trio.EndOfChannel
            raise trio.WouldBlock
        turns, queues = self._turns[lane], self._queues[lane]
        peer = turns.popleft()
        queue = queues[peer]
        event = queue.events.popleft()
        size = len(event.body) if isinstance(event, Delivery) else 0
        queue.bytes -= size
        self.bytes -= size
        self.items -= 1
        if queue.events:
            turns.append(peer)
        else:
            del queues[peer]
        if self._writers and self.room_for(peer, lane):
            waiting = self._writers.pop((peer, lane), None)
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

    def _next_lane(self) -> int | None:
        """The highest class with events, unless a lower one was passed over too often."""
        chosen = None
        passed = self._passed
        for lane, turns in enumerate(self._turns):
            if not turns:
                passed[lane] = 0
            elif chosen is None:
                chosen = lane
            elif passed[lane] >= STRICT_RUN:
                passed[lane] = 0
                return lane
            else:
                passed[lane] += 1
        if chosen is not None:
            passed[chosen] = 0
        return chosen
