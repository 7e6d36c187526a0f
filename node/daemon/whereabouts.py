"""Where transactions stand: looked up where that is known already, waited for where it is not.

The wait begins before the look, so that nothing that happens between the two is missed. Clients and couriers
ask alike.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

import trio

from node.daemon.waiters import Found, Waiters
from node.ledger.receipts import Receipt
from node.storage import ChainTable, Snapshot

READ_IN_LOOP_MAX = 64
"""Point reads (about 1 us each) done where they are asked for: the hop to a thread costs forty."""


class Whereabouts:
    """Of the transactions of one node."""

    def __init__(
        self,
        waiters: Waiters,
        view: Callable[[], AbstractContextManager[Snapshot]],
        executed: Callable[[Sequence[bytes]], Iterable[Receipt]],
    ) -> None:
        """`view` is of what is certified; `executed` tells those that are executed here and not certified."""
        self._waiters = waiters
        self._view = view
        self._executed = executed

    async def certified(self, tx_ids: Sequence[bytes]) -> dict[bytes, Found]:
        """Those that are certified now. Raises SnapshotLimit, SnapshotExpired."""
        return {tx_id: Found.at(place) for tx_id, place in (await self._stored(tx_ids)).items()}

    async def wait(
        self, tx_ids: Sequence[bytes], seconds: float = math.inf, *, is_hasty: bool = False
    ) -> dict[bytes, Found]:
        """All of them once they are certified and readable, or, for the hasty, executed here; those that are
        so when the time is over. Raises TooManyWaiters, SnapshotLimit, SnapshotExpired."""
        waiters = self._waiters
        with waiters.party(tx_ids, is_hasty=is_hasty) as party:
            if is_hasty:
                for receipt in self._executed(tx_ids):
                    waiters.release_executed(receipt)
            if len(party.found) < len(tx_ids):
                for tx_id, place in (await self._stored(tx_ids)).items():
                    waiters.release(tx_id, place)
            with trio.move_on_after(seconds):
                await party.wait()
            return party.found

    async def _stored(self, tx_ids: Sequence[bytes]) -> dict[bytes, bytes]:
        if len(tx_ids) <= READ_IN_LOOP_MAX:
            return self._read(tx_ids)
        return await trio.to_thread.run_sync(self._read, tx_ids)

    def _read(self, tx_ids: Sequence[bytes]) -> dict[bytes, bytes]:
        with self._view() as snapshot:
            found = ((tx_id, snapshot.get(ChainTable.TRANSACTIONS, tx_id)) for tx_id in tx_ids)
            return {tx_id: place for tx_id, place in found if place is not None}
