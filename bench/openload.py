"""Clients that go on whatever becomes of the nodes: a rate at fixed times, and what they were told at last.

They are the usual clients: whoever loses its node sends the same signed transaction to another, and the
ledger executes it once. Nothing that one of them holds a receipt for may be missing afterwards.
"""

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import trio

from bench.local import Running, make_record
from node.client import AsyncClient, ClientError, Wallet
from node.ledger.receipts import Receipt
from node.ledger.transactions import Transaction
from node.local.testnet import LocalNode

IN_FLIGHT_MAX = 4_096
"""Transactions without an answer, above which the clients send no more: the cluster stands still."""
SUBMIT_TIMEOUT_MS = 60_000
_WARM = 20
"""Certified transactions before the load counts as steady."""


class Door(Protocol):
    """A client of one cluster, as the load sees it."""

    async def submit(self, transaction: Transaction, timeout_ms: int = ...) -> Receipt:
        """The certified receipt. Raises ClientError."""


@dataclass(slots=True)
class Load:
    """What the clients did. `certified` maps a transaction to its height."""

    sent: int = 0
    certified: dict[bytes, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    """Why a client gave up, or was refused: nobody may be."""
    held_back: int = 0
    """Transactions not sent because too many had no answer."""
    warm: trio.Event = field(default_factory=trio.Event)
    """Set once clients have answers."""
    answered_ms: list[int] = field(default_factory=list)
    waited_ms: list[int] = field(default_factory=list)
    """Of each certified transaction, from the time at which it should have been sent."""

    @property
    def in_flight(self) -> int:
        """Sent and not answered."""
        return self.sent - len(self.certified) - len(self.failed)

    def longest_pause_ms(self, start_ms: int, end_ms: int) -> int:
        """The longest time between answers from `start_ms` to `end_ms`."""
        moments = [start_ms, *(at for at in self.answered_ms if start_ms < at < end_ms), end_ms]
        return max(later - earlier for earlier, later in pairwise(moments))


@dataclass(frozen=True, slots=True)
class Account:
    """What a load came to. `missing` are transactions that a client holds a receipt for and the chain does
    not; all chains were compared up to `height`."""

    sent: int
    certified: int
    failed: tuple[str, ...]
    held_back: int
    missing: int
    heads_agree: bool
    height: int

    @property
    def is_whole(self) -> bool:
        """Whether nothing was lost."""
        return self.heads_agree and not self.failed and not self.missing and not self.held_back

    def lines(self) -> tuple[str, ...]:
        """For people."""
        return (
            f"sent {self.sent}, certified {self.certified}, given up {len(self.failed)}, "
            f"held back {self.held_back}, missing {self.missing}",
            f"chains compared up to height {self.height}: {'equal' if self.heads_agree else 'DIFFERENT'}",
            *self.failed[:10],
        )


async def offer(cluster: Running, rate: int, load: Load, stop: trio.Event) -> None:
    """Open loop: the next transaction is sent when its time has come, whatever became of those before."""
    urls = [node.url for node in cluster.testnet.nodes]
    async with AsyncExitStack() as stack:
        doors = [
            await stack.enter_async_context(AsyncClient((*urls[first:], *urls[:first])))
            for first in range(len(urls))
        ]
        await offer_through(doors, cluster.wallet, rate, load, stop)


async def offer_through(
    doors: Sequence[Door], wallet: Wallet, rate: int, load: Load, stop: trio.Event
) -> None:
    """The same through these doors in turns."""
    async with trio.open_nursery() as nursery:
        began, number = trio.current_time(), 0
        while not stop.is_set():
            due = began + number / rate
            await trio.sleep_until(due)
            if load.in_flight < IN_FLIGHT_MAX:
                load.sent += 1
                nursery.start_soon(_send, doors[number % len(doors)], wallet, number, due, load)
            else:
                load.held_back += 1
            number += 1


async def _send(door: Door, wallet: Wallet, number: int, due: float, load: Load) -> None:
    transaction = make_record(wallet, number, 64)
    try:
        receipt = await door.submit(transaction, SUBMIT_TIMEOUT_MS)
    except ClientError as error:
        load.failed.append(f"transaction {number}: {error}")
        return
    if not receipt.ok:
        load.failed.append(f"transaction {number}: {receipt.explanation}")
        return
    load.certified[transaction.id] = receipt.height
    load.answered_ms.append(now_ms())
    load.waited_ms.append(round((trio.current_time() - due) * 1000))
    if len(load.certified) >= _WARM:
        load.warm.set()


async def settle(cluster: Running, load: Load, nodes: Sequence[LocalNode] | None = None) -> Account:
    """Compare what clients were told with the chains of `nodes`, by default the cluster's."""
    height = max(load.certified.values(), default=0)
    heads: set[bytes] = set()
    for node in nodes or cluster.testnet.nodes:
        async with AsyncClient((node.url,)) as client:
            await client.validators(min_height=height)
            heads.add((await client.header(height)).hash)
    missing = dict(load.certified)
    async with AsyncClient((cluster.testnet.nodes[0].url,)) as client:
        for at in sorted(set(load.certified.values())):
            for receipt in (await client.block(at)).receipts:
                found = Receipt.decode(receipt)
                if found.ok and missing.get(found.tx_id) == at:
                    del missing[found.tx_id]
    certified, failed = len(load.certified), tuple(load.failed)
    return Account(load.sent, certified, failed, load.held_back, len(missing), len(heads) == 1, height)


def now_ms() -> int:
    """The clock of all times here."""
    return time.monotonic_ns() // 1_000_000
