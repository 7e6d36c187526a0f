"""The loads that can be profiled, as data: each is a task that counts what the cluster certified."""

import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import count

import trio

from bench.cluster.connection import BadAnswer, Connections
from bench.cluster.delivery import Refusals
from bench.cluster.figures import CERTIFIED
from bench.cluster.opaque import bodies, deliver_opaque
from bench.cluster.outcome import code_name
from bench.cluster.scenarios import CHUNK_TRANSACTION_BYTES, OPAQUE_BATCH_BYTES, OPAQUE_LOOP, Mode
from bench.local import Running, make_record
from node.api.exchange import Cluster
from node.api.opaque import OCTETS
from node.client import AsyncClient
from node.ledger.params import OPAQUE, Params

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
    mode: Mode = Mode.HONEST

    def params(self, created_ms: int) -> Params:
        """The genesis parameters of its cluster."""
        if self.mode is Mode.HONEST:
            return Params(created_ms)
        return Params(created_ms, apps=(OPAQUE,), batch_bytes_max=OPAQUE_BATCH_BYTES)


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


async def _opaque(cluster: Running, progress: Progress) -> None:
    """What `isthmus-bench cluster --scenario opaque-saturate` offers."""
    connections = Connections(OCTETS)
    items = bodies(0, OPAQUE_LOOP.per_request * CHUNK_TRANSACTION_BYTES)
    try:
        async with trio.open_nursery() as nursery:
            for lane in range(OPAQUE_LOOP.outstanding // OPAQUE_LOOP.per_request):
                nursery.start_soon(_send_bodies, cluster, lane, connections, items, progress)
    finally:
        with trio.CancelScope(shield=True):
            await connections.aclose()


async def _send_bodies(
    cluster: Running, lane: int, connections: Connections, items: Iterator[bytes], progress: Progress
) -> None:
    """One request at a time, through the nodes in turns."""
    urls = tuple(node.url for node in cluster.testnet.nodes)
    refusals = Refusals()
    for number in count(lane):
        first = number % len(urls)
        ordered = Cluster(urls[first:] + urls[:first], clock=_clock_ms, timeout_ms=_TIMEOUT_MS)
        flow = deliver_opaque(ordered, next(items), CHUNK_TRANSACTION_BYTES, _TIMEOUT_MS, refusals)
        try:
            code = await connections.drive(flow)
        except BadAnswer as error:
            raise LoadFailed(f"a request failed: {error}") from error
        if code != CERTIFIED:
            raise LoadFailed(f"a request of opaque bytes was not certified: {code_name(code)}")
        progress.certified += OPAQUE_LOOP.per_request


def _clock_ms() -> int:
    return time.monotonic_ns() // 1_000_000


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("idle", "nothing happens", _idle),
        Scenario("lone", "one client, one transaction at a time, certified before the next", _lone),
        Scenario("bulk", f"requests of {BULK} signed transactions to every node, one after the other", _bulk),
        Scenario(
            "opaque",
            "opaque bytes on a benchmark cluster, as opaque-saturate of isthmus-bench cluster",
            _opaque,
            Mode.OPAQUE,
        ),
    )
}
