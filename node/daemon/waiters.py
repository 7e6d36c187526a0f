"""Who waits for what to be readable: clients for receipts, readers for a height, event streams for news.

Receipts and readers are told when a height is certified, for then it is readable (C26, recent.py); who asked
at the level `committed`, when it is executed here; couriers, who read the database alone, when it is stored.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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

    @staticmethod
    def at(place: bytes) -> "Found":
        """In storage, by what is stored of its place: height u64, index u32."""
        return Found(int.from_bytes(place[:8], "big"), int.from_bytes(place[8:], "big"), None)


class Party:
    """One request that waits for transactions, woken once, with the last of them."""

    __slots__ = ("_missing", "_told", "found")

    def __init__(self, missing: int) -> None:
        self._missing = missing
        self._told = trio.Event()
        self.found: dict[bytes, Found] = {}
        """Those that are certified so far."""

    def tell(self, tx_id: bytes, found: Found) -> None:
        """One of them is certified; told once."""
        self.found[tx_id] = found
        self._missing -= 1
        if not self._missing:
            self._told.set()

    async def wait(self) -> None:
        """Returns once all are certified."""
        if self._missing:
            await self._told.wait()


@dataclass(slots=True)
class _Wait:
    """Who waits for one transaction: until it is certified, or, the hasty, until it is executed."""

    parties: dict[Party, None] = field(default_factory=dict)
    hasty: dict[trio.Event, None] = field(default_factory=dict)


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
            if receipt.tx_id in self._waits:
                self._settle(receipt.tx_id, Found(receipt.height, receipt.index, receipt))

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
        """Whoever waits for this transaction: it was found in storage, at this place."""
        if tx_id in self._waits:
            self._settle(tx_id, Found.at(place))

    def release_executed(self, tx_id: bytes) -> None:
        """Whoever waits for this transaction and does not mind that it is not certified yet."""
        wait = self._waits.get(tx_id)
        if wait is not None:
            for event in wait.hasty:
                event.set()

    def _settle(self, tx_id: bytes, found: Found) -> None:
        """Nobody waits for it any more: who comes later finds it where it is read."""
        wait = self._waits.pop(tx_id)
        for party in wait.parties:
            party.tell(tx_id, found)
        for event in wait.hasty:
            event.set()

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
        event = trio.Event()
        wait = self._waits.setdefault(tx_id, _Wait())
        wait.hasty[event] = None
        self._hasty += 1
        try:
            await event.wait()
        finally:
            self._hasty -= 1
            del wait.hasty[event]
            self._forget_if_idle(tx_id)

    @contextmanager
    def party(self, ids: Iterable[bytes]) -> Iterator[Party]:
        """A request that waits for these from now on: what was certified before is to be looked up in the
        block, and released. Raises TooManyWaiters."""
        wanted = dict.fromkeys(ids)
        if len(self._waits) + len(wanted) > WAITERS_MAX:
            raise TooManyWaiters
        party = Party(len(wanted))
        for tx_id in wanted:
            wait = self._waits.get(tx_id)
            if wait is None:
                wait = self._waits[tx_id] = _Wait()
            wait.parties[party] = None
        try:
            yield party
        finally:
            for tx_id in wanted:
                if tx_id not in party.found:
                    del self._waits[tx_id].parties[party]
                    self._forget_if_idle(tx_id)

    def _forget_if_idle(self, tx_id: bytes) -> None:
        wait = self._waits.get(tx_id)
        if wait is not None and not wait.parties and not wait.hasty:
            del self._waits[tx_id]
