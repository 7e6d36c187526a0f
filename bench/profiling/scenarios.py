"""The loads that can be profiled, as data: each is a task that counts what the cluster certified."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count

import trio

from bench.local import Running, make_record
from node.client import AsyncClient

BULK = 250
"""Transactions in one request of the bulk load."""
_PAYLOAD_BYTES = 100
_TIMEOUT_MS = 60_000


class LoadFailed(Exception):
    """A transaction of the load was not certified: the profile would be of something else."""


@dataclass(slots=True)
class Progress:
    """What the load has come to so far."""

    certified: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """`drive` runs until it is cancelled. Raises LoadFailed."""

    name: str
    summary: str
    drive: Callable[[Running, Progress], Awaitable[None]]


async def _idle(cluster: Running, progress: Progress) -> None:
    await trio.sleep_forever()


async def _lone(cluster: Running, progress: Progress) -> None:
    clients = [AsyncClient((node.url,), timeout_ms=_TIMEOUT_MS) for node in cluster.testnet.nodes]
    try:
        for number in count():
            transaction = make_record(cluster.wallet, number, _PAYLOAD_BYTES)
            receipt = await clients[number % len(clients)].submit(transaction)
            if not receipt.ok:
                raise LoadFailed(f"a transaction failed: {receipt.explanation}")
            progress.certified += 1
    finally:
        with trio.CancelScope(shield=True):
            for client in clients:
                await client.aclose()


async def _bulk(cluster: Running, progress: Progress) -> None:
    numbers = count()
    async with trio.open_nursery() as nursery:
        for node in cluster.testnet.nodes:
            nursery.start_soon(_submit_to, cluster, node.url, numbers, progress)


async def _submit_to(cluster: Running, url: str, numbers: "count[int]", progress: Progress) -> None:
    """One request at a time to one node; all nodes together keep the cluster busy."""
    async with AsyncClient((url,), timeout_ms=_TIMEOUT_MS) as client:
        while True:
            batch = [make_record(cluster.wallet, next(numbers), _PAYLOAD_BYTES) for _ in range(BULK)]
            for outcome in await client.submit_many(batch, batch=BULK, concurrency=1):
                if outcome.state != "certified" or outcome.code:
                    raise LoadFailed(f"a transaction failed: {outcome}")
                progress.certified += 1


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("idle", "nothing happens", _idle),
        Scenario("lone", "one client, one transaction at a time, certified before the next", _lone),
        Scenario("bulk", f"requests of {BULK} signed transactions to every node, one after the other", _bulk),
    )
}
