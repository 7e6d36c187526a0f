"""What waits for the validator: answers of our own tasks, what the links brought, and what clients ask.

In this order: what the others of the cluster wait for comes before what one node's clients wait for. However
many these are, a vote stands behind a few of their transactions, and they behind a few hundred frames.

Our own producers have bounds of their own (request limits, worker limits); the one here is the alarm that
one of them is broken. What peers sent stays in the network's inbox until the validator takes it, fair
between peers and bounded for each: a slow validator makes the peers wait, by TCP.
"""

from collections import deque
from typing import Protocol

import trio

from node.validator import Input

INBOX_MAX = 16_384
REQUESTS_BESIDE = 32
"""Clients' transactions looked at in one drain beside other inputs, one request at least: a millisecond."""
REQUESTS_ALONE = 256
"""When there is nothing else to do."""


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
        self._requests: deque[tuple[Input, int]] = deque()
        self._source: Source = source or NoSource()
        self._arrived = trio.Event()
        self.peak = 0
        self.limit = INBOX_MAX

    def __len__(self) -> int:
        return len(self._items) + len(self._requests) + self._source.waiting

    def put(self, item: Input) -> None:
        """Leave an input of our own; raises InboxFull."""
        self._count_one_more()
        self._items.append(item)

    def put_request(self, item: Input, transactions: int) -> None:
        """Leave what a client asks, which holds so many transactions; raises InboxFull."""
        self._count_one_more()
        self._requests.append((item, transactions))

    def _count_one_more(self) -> None:
        count = len(self._items) + len(self._requests)
        if count >= INBOX_MAX:
            raise InboxFull(f"more than {INBOX_MAX} inputs are waiting")
        self.peak = max(self.peak, count + 1)
        self._arrived.set()

    def wake(self) -> None:
        """The source has something."""
        self._arrived.set()

    def take(self, most: int) -> list[Input]:
        """The next inputs, at most `most`: our own first, they answer what the validator asked. However
        much peers send, there is room for one request."""
        items = [self._items.popleft() for _ in range(min(most, len(self._items)))]
        room = most - len(items) - bool(self._requests)
        if room > 0:
            items += self._source.take(room)
        left = REQUESTS_BESIDE if items else REQUESTS_ALONE
        while self._requests and left > 0 and len(items) < most:
            item, transactions = self._requests.popleft()
            items.append(item)
            left -= transactions
        return items

    async def wait(self) -> None:
        """Until there is something to take."""
        while not len(self):
            self._arrived = trio.Event()
            await self._arrived.wait()
