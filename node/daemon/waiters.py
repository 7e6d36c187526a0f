"""Who waits for what to be readable: clients for receipts, readers for a height, event streams for news.

Receipts and readers are told when a height is certified, for then it is readable (C26, recent.py); who asked
at the level `committed`, when it is executed here; couriers, who read the database alone, when it is stored.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import trio

from node.ledger.receipts import Receipt

WAITERS_MAX = 65_536
"""Transactions waited for at once, all requests together."""


class TooManyWaiters(Exception):
    """The bound of waiters is reached; the client is told to come back."""


@dataclass(frozen=True, slots=True)
class Found:
    """Where a certified transaction stands: leaf `index` of the header of `height`. `receipt` is there when
    it was certified while somebody waited, None when it was found in storage."""

    height: int
    index: int
    receipt: Receipt | None


@dataclass(slots=True)
class _Wait:
    """One transaction that clients wait for; `found` is known once it is certified."""

    event: trio.Event = field(default_factory=trio.Event)
    executed: trio.Event = field(default_factory=trio.Event)
    """Set with `event` at the latest."""
    found: Found | None = None
    users: int = 0


class Waiters:
    """Waiting by transaction and by height."""

    def __init__(self, stored_height: int) -> None:
        self.stored_height = stored_height
        self.readable_height = stored_height
        """The highest certified height, from the moment this node can show it; never below the stored one."""
        self.executed_height = stored_height
        """The highest height that the level `committed` shows."""
        self.limit = WAITERS_MAX
        self._stored = trio.Event()
        self._grown = trio.Event()
        self._ran = trio.Event()
        self._waits: dict[bytes, _Wait] = {}
        self._hasty = 0

    def __len__(self) -> int:
        return len(self._waits)

    def certified(self, receipts: Iterable[Receipt], height: int) -> None:
        """These transactions, up to `height`, are final and readable (see recent.py): wake who waits for
        them."""
        if height > self.readable_height:
            self.readable_height = height
            self._grown.set()
            self._grown = trio.Event()
            self.executed(height, ())
        if not self._waits:
            return
        for receipt in receipts:
            wait = self._waits.get(receipt.tx_id)
            if wait is not None:
                _settle(wait, Found(receipt.height, receipt.index, receipt))

    def executed(self, height: int, ids: Iterable[bytes]) -> None:
        """`height` is executed here, with these transactions; they are looked at only if somebody waits."""
        if height <= self.executed_height:
            return
        self.executed_height = height
        self._ran.set()
        self._ran = trio.Event()
        if self._hasty:
            for tx_id in ids:
                self.release_executed(tx_id)

    def stored(self, height: int) -> None:
        """The database holds `height`: wake who waits for it."""
        if height > self.stored_height:
            self.stored_height = height
            self._stored.set()
            self._stored = trio.Event()

    def release(self, tx_id: bytes, place: bytes) -> None:
        """Whoever waits for this transaction: it was found in storage, with its place (height u64, index
        u32)."""
        wait = self._waits.get(tx_id)
        if wait is not None and wait.found is None:
            _settle(wait, Found(int.from_bytes(place[:8], "big"), int.from_bytes(place[8:], "big"), None))

    def release_executed(self, tx_id: bytes) -> None:
        """Whoever waits for this transaction and does not mind that it is not certified yet."""
        wait = self._waits.get(tx_id)
        if wait is not None:
            wait.executed.set()

    async def wait_height(self, height: int) -> int:
        """The stored height once it is at least `height`."""
        while self.stored_height < height:
            await self._stored.wait()
        return self.stored_height

    async def wait_readable(self, height: int) -> int:
        """The readable height once it is at least `height`."""
        while self.readable_height < height:
            await self._grown.wait()
        return self.readable_height

    async def wait_executed(self, height: int) -> int:
        """The executed height once it is at least `height`."""
        while self.executed_height < height:
            await self._ran.wait()
        return self.executed_height

    async def wait_executed_transaction(self, tx_id: bytes) -> None:
        """Until the transaction is executed here. Raises TooManyWaiters."""
        if len(self._waits) >= WAITERS_MAX:
            raise TooManyWaiters
        wait = self._waits.setdefault(tx_id, _Wait())
        wait.users += 1
        self._hasty += 1
        try:
            await wait.executed.wait()
        finally:
            self._hasty -= 1
            wait.users -= 1
            if not wait.users:
                self._waits.pop(tx_id, None)

    async def wait_transactions(self, ids: Sequence[bytes], known: dict[bytes, Found]) -> None:
        """Until each of `ids` is certified; what was found goes into `known`, also when the caller gives up
        before the last. Raises TooManyWaiters."""
        if len(self._waits) + len(ids) > WAITERS_MAX:
            raise TooManyWaiters
        waits = {tx_id: self._waits.setdefault(tx_id, _Wait()) for tx_id in ids}
        for wait in waits.values():
            wait.users += 1
        try:
            for wait in waits.values():
                await wait.event.wait()
        finally:
            for tx_id, wait in waits.items():
                if wait.found is not None:
                    known[tx_id] = wait.found
                wait.users -= 1
                if not wait.users:
                    self._waits.pop(tx_id, None)


def _settle(wait: _Wait, found: Found) -> None:
    wait.found = found
    wait.event.set()
    wait.executed.set()
