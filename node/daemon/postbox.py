"""What waits for the validator: answers of our own tasks, and what the links brought.

Our own producers have bounds of their own (request limits, worker limits); the one here is the alarm that
one of them is broken. What peers sent stays in the network's inbox until the validator takes it, fair
between peers and bounded for each: a slow validator makes the peers wait, by TCP.
"""

from collections import deque
from typing import Protocol

import trio

from node.validator import Input

INBOX_MAX = 16_384


class InboxFull(Exception):
    """Our own producers outran the bound: a bug in a producer's back-pressure."""


class Source(Protocol):
    """Where inputs come from besides our own tasks; it calls `Postbox.wake` when it has some."""

    @property
    def waiting(self) -> int:
        """How many inputs it holds, about."""

    def take(self, most: int) -> list[Input]:
        """The next ones, at most `most`."""


class NoSource:
    """Nothing besides our own tasks."""

    waiting = 0

    def take(self, most: int) -> list[Input]:
        """Nothing."""
        return []


class Postbox:
    """A bounded queue with one reader, in front of a source."""

    def __init__(self, source: Source | None = None) -> None:
        self._items: deque[Input] = deque()
        self._source: Source = source or NoSource()
        self._arrived = trio.Event()
        self.peak = 0
        self.limit = INBOX_MAX

    def __len__(self) -> int:
        return len(self._items) + self._source.waiting

    def put(self, item: Input) -> None:
        """Leave an input of our own; raises InboxFull."""
        if len(self._items) >= INBOX_MAX:
            raise InboxFull(f"more than {INBOX_MAX} inputs are waiting")
        self._items.append(item)
        self.peak = max(self.peak, len(self._items))
        self._arrived.set()

    def wake(self) -> None:
        """The source has something."""
        self._arrived.set()

    def take(self, most: int) -> list[Input]:
        """The next inputs, at most `most`: our own first, they answer what the validator asked."""
        items = [self._items.popleft() for _ in range(min(most, len(self._items)))]
        if len(items) < most:
            items += self._source.take(most - len(items))
        return items

    async def wait(self) -> None:
        """Until there is something to take."""
        while not self._items and not self._source.waiting:
            self._arrived = trio.Event()
            await self._arrived.wait()
