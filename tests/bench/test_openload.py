"""What clients waited, on a clock that stands still until somebody sleeps."""

import trio
import trio.testing

from bench.openload import Load, offer_through
from consensus import SigningKey
from node.client import Wallet
from node.ledger.receipts import NO_WRITES, Receipt
from node.ledger.transactions import Transaction

WALLET = Wallet(SigningKey(bytes(32)), bytes(32))


class FakeDoor:
    """Certifies everything at once; the first time it keeps the processor to itself for a second."""

    def __init__(self, clock: trio.testing.MockClock, stop: trio.Event) -> None:
        self._clock = clock
        self._stop = stop
        self.taken = 0

    async def submit(self, transaction: Transaction, timeout_ms: int = 0) -> Receipt:
        self.taken += 1
        if self.taken == 1:
            self._clock.jump(1.0)
        if self.taken == 20:
            self._stop.set()
        return Receipt.make(transaction.id, 1, 0, 0, None, NO_WRITES)


async def test_a_load_that_is_late_itself_counts_that_as_waiting(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stop, load = trio.Event(), Load()
    await offer_through([FakeDoor(autojump_clock, stop)], WALLET, 10, load, stop)
    assert load.failed == []
    # Ten were due in the second in which nothing could be sent, a tenth of a second apart.
    assert sorted(load.waited_ms, reverse=True)[:12] == [
        1000,
        900,
        800,
        700,
        600,
        500,
        400,
        300,
        200,
        100,
        0,
        0,
    ]
