"""Talking to a running cluster: writers whose every certified receipt is remembered, and what must hold.

`Acknowledged` is the heart of these tests: what a client was told is certified must be readable, byte for
byte the same, on every node, whatever was killed in between.
"""

import hashlib
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2
import trio

from consensus import SigningKey
from node.api.backend import NodeStatus
from node.api.transport import trust_for
from node.client import AsyncClient, ClientError, Wallet
from node.home import read_key
from node.ledger.apps.records import Content
from node.ledger.receipts import Receipt
from node.ledger.transactions import Transaction
from node.local.testnet import Testnet
from tests.endtoend.running import RunningCluster

PATIENCE_SECONDS = 90
"""For anything that must happen; on a loaded machine most of it takes a second or two."""
_ATTEMPT_MS = 5_000
_LOOK_AGAIN_SECONDS = 0.05
THINKING_SECONDS = 0.1
"""What a writer waits between a receipt and its next record. Writers without a pause take all the processor
there is from what they wait for, which is nodes that start, and every record is looked up on every node."""
_numbers = itertools.count()


def content_of(data: bytes, bytes_each: int = 0) -> Content:
    """A record's content for these bytes, with labels that make the transaction at least this large."""
    labels = tuple((f"label-{number:02}", "x" * 250) for number in range(min(bytes_each // 250, 32)))
    links = tuple(f"padding/{'y' * 220}{number}" for number in range(min(max(bytes_each // 250 - 32, 0), 32)))
    return Content(hashlib.sha256(data).digest(), len(data), "", "", links, labels)


def wallet_of(testnet: Testnet) -> Wallet:
    """The member of this testnet who may publish."""
    return Wallet(SigningKey(read_key(testnet.client_key_file)), testnet.cluster_id)


def new_record(wallet: Wallet, bytes_each: int = 0) -> tuple[str, Transaction]:
    """A transaction that puts a record nobody put before, and the record's id."""
    record_id = f"endtoend/{next(_numbers)}"
    return record_id, wallet.put(record_id, content_of(record_id.encode(), bytes_each))


@dataclass(slots=True)
class Acknowledged:
    """What clients hold certified receipts for, in the order of their arrival."""

    receipts: dict[str, Receipt] = field(default_factory=dict)
    found_everywhere: int = 0
    """How many of them, from the first, every node was seen to have."""
    _more: trio.Event = field(default_factory=trio.Event)

    def add(self, record_id: str, receipt: Receipt) -> None:
        """A client was told."""
        assert receipt.ok, receipt
        self.receipts[record_id] = receipt
        self._more.set()

    @property
    def height(self) -> int:
        """The highest height anybody was told of."""
        return max((receipt.height for receipt in self.receipts.values()), default=0)

    async def grow_by(self, count: int) -> None:
        """Until `count` more receipts have come."""
        wanted = len(self.receipts) + count
        with trio.fail_after(PATIENCE_SECONDS):
            while len(self.receipts) < wanted:
                self._more = trio.Event()
                await self._more.wait()


def client_of(cluster: RunningCluster, *names: str) -> AsyncClient:
    """A client of these nodes, or of all."""
    urls = [node.url for node in cluster.testnet.nodes if not names or node.name in names]
    return AsyncClient(urls, trust=cluster.testnet.cluster_id, timeout_ms=_ATTEMPT_MS)


async def put_one(cluster: RunningCluster, acknowledged: Acknowledged, *names: str) -> str:
    """One record put through these nodes, with its receipt; the record's id."""
    record_id, transaction = new_record(wallet_of(cluster.testnet))
    async with client_of(cluster, *names) as client:
        acknowledged.add(record_id, await client.submit(transaction, PATIENCE_SECONDS * 1000))
    return record_id


@asynccontextmanager
async def writing(
    cluster: RunningCluster,
    acknowledged: Acknowledged,
    *names: str,
    writers: int = 2,
    bytes_each: int = 0,
    thinking_seconds: float = THINKING_SECONDS,
) -> AsyncIterator[None]:
    """Writers that put one record after the other through any of these nodes until the block ends.

    A transaction is sent again, the same bytes, until its receipt has come, as a careful client does.
    """
    async with trio.open_nursery() as nursery:
        for _ in range(writers):
            nursery.start_soon(_write, cluster, acknowledged, names, bytes_each, thinking_seconds)
        yield
        nursery.cancel_scope.cancel()


async def _write(
    cluster: RunningCluster,
    acknowledged: Acknowledged,
    names: tuple[str, ...],
    bytes_each: int,
    thinking_seconds: float,
) -> None:
    wallet = wallet_of(cluster.testnet)
    async with client_of(cluster, *names) as client:
        while True:
            record_id, transaction = new_record(wallet, bytes_each)
            receipt = None
            while receipt is None:
                try:
                    receipt = await client.submit(transaction, _ATTEMPT_MS)
                except ClientError:
                    await trio.sleep(_LOOK_AGAIN_SECONDS)  # the node was killed or cannot commit: again
            acknowledged.add(record_id, receipt)
            await trio.sleep(thinking_seconds)


async def all_ready(cluster: RunningCluster) -> None:
    """Until every node says that it can commit."""
    async with trio.open_nursery() as nursery:
        for name in cluster.names:
            nursery.start_soon(_ready, cluster, name)


async def _ready(cluster: RunningCluster, name: str) -> None:
    told = ""

    def is_ready(code: int, text: str) -> bool:
        nonlocal told
        told = text
        return code == 200

    try:
        await reasons_where(cluster, name, is_ready)
    except trio.TooSlowError:
        raise AssertionError(f"{name} is not ready: {told}\n{cluster.last_words()}") from None


async def status_where(cluster: RunningCluster, name: str, holds: Callable[[NodeStatus], bool]) -> NodeStatus:
    """A node's status as soon as something holds."""
    seen: NodeStatus | None = None
    async with client_of(cluster, name) as client:
        with trio.move_on_after(PATIENCE_SECONDS):
            while True:
                try:
                    seen = await client.status()
                    if holds(seen):
                        return seen
                except ClientError:
                    assert not cluster.has_died(name), cluster.last_words()
                await trio.sleep(_LOOK_AGAIN_SECONDS)
    raise AssertionError(f"{name} came only to {seen}\n{cluster.last_words()}")


async def reasons_where(cluster: RunningCluster, name: str, holds: Callable[[int, str], bool]) -> str:
    """What /readyz says as soon as `holds(HTTP status, text)`."""
    url = cluster.node(name).url
    async with httpx2.AsyncClient(verify=trust_for((url,)), trust_env=False) as http:
        with trio.fail_after(PATIENCE_SECONDS):
            while True:
                try:
                    answer = await http.get(f"{url}/readyz", timeout=_ATTEMPT_MS / 1000)
                    if holds(answer.status_code, answer.text):
                        return answer.text
                except httpx2.TransportError:
                    assert not cluster.has_died(name), cluster.last_words()
                await trio.sleep(_LOOK_AGAIN_SECONDS)


async def log_where(cluster: RunningCluster, name: str, wanted: str, start: int = 0) -> str:
    """A node's log from character `start` on, once it has `wanted`."""
    with trio.fail_after(PATIENCE_SECONDS):
        while True:
            text = cluster.log(name)[start:]
            if wanted in text:
                return text
            await trio.sleep(_LOOK_AGAIN_SECONDS)


async def all_agree(cluster: RunningCluster, acknowledged: Acknowledged, *, anew: bool = False) -> None:
    """All nodes have one header at one height, and every receipt that was not looked up before; with `anew`
    every receipt there ever was."""
    height = max(acknowledged.height, 1)
    hashes: dict[str, bytes] = {}
    told = list(acknowledged.receipts.items())

    async def look(name: str) -> None:
        await status_where(cluster, name, lambda status: status.stored_height >= height)
        async with client_of(cluster, name) as client:
            hashes[name] = (await client.header(height, verify=True)).hash
            for record_id, receipt in told[0 if anew else acknowledged.found_everywhere :]:
                assert await client.receipt(receipt.tx_id) == receipt, f"{name} lost {record_id}"

    with trio.fail_after(2 * PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            for name in cluster.names:
                nursery.start_soon(look, name)
    assert len(set(hashes.values())) == 1, hashes
    acknowledged.found_everywhere = len(told)
