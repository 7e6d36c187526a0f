"""Who waits for what to be readable: clients for receipts, readers for a height, event streams for news.

Receipts are told when their height is certified and readable (C26), heights when they are stored.
"""

from collections.abc import Sequence

import trio

from node.storage import ChainTable, Write

WAITERS_MAX = 65_536
"""Transactions waited for at once, all requests together."""


class TooManyWaiters(Exception):
    """The bound of waiters is reached; the client is told to come back."""


class Waiters:
    """Waiting by transaction and by height."""

    def __init__(self, stored_height: int) -> None:
        self.stored_height = stored_height
        self.limit = WAITERS_MAX
        self._grown = trio.Event()
        self._transactions: dict[bytes, trio.Event] = {}
        self._places: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._transactions)

    def certified(self, chain: Sequence[Write]) -> None:
        """These entries are final and readable (see recent.py): wake who waits for their transactions."""
        for write in chain:
            if write.table is ChainTable.TRANSACTIONS and write.key in self._transactions:
                if write.value is not None:
                    self._places[write.key] = write.value
                self._transactions[write.key].set()

    def stored(self, height: int) -> None:
        """The database holds `height`: wake who waits for it."""
        if height > self.stored_height:
            self.stored_height = height
            self._grown.set()
            self._grown = trio.Event()

    def release(self, tx_id: bytes) -> None:
        """Whoever waits for this transaction has found it in storage already."""
        event = self._transactions.get(tx_id)
        if event is not None:
            event.set()

    async def wait_height(self, height: int) -> int:
        """The stored height once it is at least `height`."""
        while self.stored_height < height:
            await self._grown.wait()
        return self.stored_height

    async def wait_transactions(self, ids: Sequence[bytes], known: dict[bytes, bytes]) -> None:
        """Until each of `ids` is stored; their places (height u64, index u32) go into `known` as they
        come, so that a caller who gives up keeps what there was. Raises TooManyWaiters."""
        if len(self._transactions) + len(ids) > WAITERS_MAX:
            raise TooManyWaiters
        events = {tx_id: self._transactions.setdefault(tx_id, trio.Event()) for tx_id in ids}
        try:
            for event in events.values():
                await event.wait()
        finally:
            for tx_id, event in events.items():
                place = self._places.get(tx_id)
                if place is not None:
                    known[tx_id] = place
                if event.is_set() or event.statistics().tasks_waiting == 0:
                    self._transactions.pop(tx_id, None)
                    self._places.pop(tx_id, None)
