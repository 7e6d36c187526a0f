"""Who waits for what to be readable: clients for receipts, readers for a height, event streams for news.

Receipts, readers and couriers are told when a height is certified, for then it is readable (C26, recent.py);
the hasty, who asked at the level `committed`, when it is executed here; who halts the node, when it is
stored.
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
    """Where a transaction stands: leaf `index` of the header of `height`. `receipt` is there when that came
    to be while somebody waited, None when it was found in storage; not certified, it is this node's word."""

    height: int
    index: int
    receipt: Receipt | None
    is_certified: bool = True

    @staticmethod
    def at(place: bytes) -> "Found":
        """In storage, by what is stored of its place: height u64, index u32."""
        return Found(int.from_bytes(place[:8], "big"), int.from_bytes(place[8:], "big"), None)


class Party:
    """One request that waits for transactions, woken once, with the last of them. The hasty one does not mind
    that they are executed here and not certified yet."""

    __slots__ = ("_missing", "_told", "found", "is_hasty")

    def __init__(self, missing: int, *, is_hasty: bool) -> None:
        self._missing = missing
        self._told = trio.Event()
        self.is_hasty = is_hasty
        self.found: dict[bytes, Found] = {}
        """Those that are what it waits for so far."""

    def tell(self, tx_id: bytes, found: Found) -> None:
        """One of them is what it waits for; told once."""
        self.found[tx_id] = found
        self._missing -= 1
        if not self._missing:
            self._told.set()

    async def wait(self) -> None:
        """Returns once all are."""
        if self._missing:
            await self._told.wait()


@dataclass(slots=True)
class _Wait:
    """Who waits for one transaction: until it is certified, or, the hasty, until it is executed."""

    patient: dict[Party, None] = field(default_factory=dict)
    hasty: dict[Party, None] = field(default_factory=dict)

    def of(self, party: Party) -> dict[Party, None]:
        """Those that wait as this one does."""
        return self.hasty if party.is_hasty else self.patient


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

    def executed(self, height: int, receipts: Iterable[Receipt]) -> None:
        """`height` is executed here, with these receipts; they are looked at only if somebody waits."""
        if height <= self.executed_height:
            return
        self.executed_height = height
        self._ran.set()
        self._ran = trio.Event()
        if self._hasty:
            for receipt in receipts:
                self.release_executed(receipt)

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

    def release_executed(self, receipt: Receipt) -> None:
        """Whoever waits for this transaction and does not mind that it is not certified yet."""
        wait = self._waits.get(receipt.tx_id)
        if wait is None or not wait.hasty:
            return
        found = Found(receipt.height, receipt.index, receipt, is_certified=False)
        for party in wait.hasty:
            party.tell(receipt.tx_id, found)
        self._hasty -= len(wait.hasty)
        wait.hasty.clear()
        self._forget_if_idle(receipt.tx_id)

    def _settle(self, tx_id: bytes, found: Found) -> None:
        """Nobody waits for it any more: who comes later finds it where it is read."""
        wait = self._waits.pop(tx_id)
        self._hasty -= len(wait.hasty)
        for party in (*wait.patient, *wait.hasty):
            party.tell(tx_id, found)

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

    @contextmanager
    def party(self, ids: Iterable[bytes], *, is_hasty: bool = False) -> Iterator[Party]:
        """A request that waits for these from now on: what was certified (for the hasty: executed) before is
        to be looked up in the block, and released. Raises TooManyWaiters."""
        wanted = dict.fromkeys(ids)
        if len(self._waits) + len(wanted) > WAITERS_MAX:
            raise TooManyWaiters
        party = Party(len(wanted), is_hasty=is_hasty)
        for tx_id in wanted:
            wait = self._waits.get(tx_id)
            if wait is None:
                wait = self._waits[tx_id] = _Wait()
            wait.of(party)[party] = None
        self._hasty += len(wanted) * is_hasty
        try:
            yield party
        finally:
            for tx_id in wanted:
                if tx_id not in party.found:
                    del self._waits[tx_id].of(party)[party]
                    self._hasty -= is_hasty
                    self._forget_if_idle(tx_id)

    def _forget_if_idle(self, tx_id: bytes) -> None:
        wait = self._waits.get(tx_id)
        if wait is not None and not wait.patient and not wait.hasty:
            del self._waits[tx_id]
