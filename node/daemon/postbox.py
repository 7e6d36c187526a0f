"""The validator's inbox: whoever has something to tell it leaves it here.

Producers have bounds of their own (network queues, request limits, worker limits); the one here is the
alarm that one of them is broken, and the point where the network's pump waits.
"""

from collections import deque

import trio

from node.validator import Input

INBOX_MAX = 16_384
PUMP_MAX = 1_024
"""Above this many waiting inputs the network is not read: TCP makes the peers wait."""


class InboxFull(Exception):
    """Our own producers outran the bound: a bug in a producer's back-pressure."""


class Postbox:
    """A bounded queue with one reader."""

    def __init__(self) -> None:
        self._items: deque[Input] = deque()
        self._arrived = trio.Event()
        self._emptied = trio.Event()
        self.peak = 0
        self.limit = INBOX_MAX

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Input) -> None:
        """Leave an input; raises InboxFull."""
        if len(self._items) >= INBOX_MAX:
            raise InboxFull(f"more than {INBOX_MAX} inputs are waiting")
        self._items.append(item)
        self.peak = max(self.peak, len(self._items))
        self._arrived.set()

    def take(self, most: int) -> list[Input]:
        """The oldest inputs, at most `most`."""
        items = [self._items.popleft() for _ in range(min(most, len(self._items)))]
        if len(self._items) < PUMP_MAX:
            self._emptied.set()
        return items

    async def wait(self) -> None:
        """Until there is something to take."""
        while not self._items:
            self._arrived = trio.Event()
            await self._arrived.wait()

    async def wait_for_room(self) -> None:
        """Until the reader has caught up below the pump's bound."""
        while len(self._items) >= PUMP_MAX:
            self._emptied = trio.Event()
            await self._emptied.wait()
