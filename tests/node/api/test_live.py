"""The daemon keeps the contract of the HTTP door, as the fake does."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import trio

from consensus import HeaderSignature, SigningKey
from node import wire
from node.api.app import build_api
from node.api.backend import Busy, Location, Rejected
from node.api.live import LiveBackend
from node.daemon.daemon import TICKETS_MAX, Node
from node.daemon.recent import Layer, RecentHeights
from node.daemon.waiters import WAITERS_MAX, Waiters
from node.home import read_key
from node.ledger.apps.records import Content
from node.ledger.transactions import Transaction
from node.local.testnet import Testnet
from node.storage import Database, Snapshot
from node.wallet import Wallet
from p2p import PeerId
from tests.node.api.backend_contract import check_backend
from tests.node.daemon.running import config_of, running_node, written


def transactions_of(testnet: Testnet) -> dict[int, Transaction]:
    """The transaction of each number, signed once."""

    class Signed(dict[int, Transaction]):
        def __missing__(self, number: int) -> Transaction:
            wallet = Wallet(SigningKey(read_key(testnet.client_key_file)), testnet.cluster_id)
            content = Content(number.to_bytes(32, "big"), number, "", "", (), ())
            self[number] = wallet.put(f"live/{number}", content)
            return self[number]

    return Signed()


async def test_the_daemon_keeps_the_contract(tmp_path: Path) -> None:
    testnet = written(tmp_path / "net")
    async with running_node(config_of(testnet)) as node:
        await check_backend(LiveBackend(node), transactions_of(testnet).__getitem__)


class Watched(RecentHeights):
    """Notes how many transactions were waited for whenever somebody looks into storage."""

    def __init__(self, waiters: Waiters) -> None:
        super().__init__()
        self._waiters = waiters
        self.waited_for: list[int] = []

    @contextmanager
    def over(self, database: Database, executed: tuple[Layer, ...] = ()) -> Iterator[Snapshot]:
        self.waited_for.append(len(self._waiters))
        with super().over(database, executed) as snapshot:
            yield snapshot


async def test_a_wait_is_registered_before_storage_is_looked_into(tmp_path: Path) -> None:
    """Or else what is stored in between wakes nobody."""
    testnet = written(tmp_path / "net")
    async with running_node(config_of(testnet)) as node:
        backend = LiveBackend(node)
        transaction = transactions_of(testnet)[1]
        await backend.submit([transaction.encoded])
        assert await backend.wait_certified([transaction.id], 30_000) == (Location(1, 0),)
        await node.waiters.wait_height(1)
        watched = node.recent = Watched(node.waiters)
        for _ in range(100):
            assert await backend.wait_certified([transaction.id], 30_000) == (Location(1, 0),)
        assert watched.waited_for == [1] * 100
        assert len(node.waiters) == 0


async def test_bounds_are_told_as_busy_with_a_time_to_come_back(tmp_path: Path) -> None:
    async with running_node(config_of(written(tmp_path / "net"))) as node:
        backend = LiveBackend(node)
        with pytest.raises(Busy) as busy:
            await backend.wait_certified([n.to_bytes(32, "big") for n in range(WAITERS_MAX + 1)], 1_000)
        assert busy.value.retry_after_ms > 0
        outcomes: list[object] = []

        async def submit_noise() -> None:
            try:
                outcomes.extend(await backend.submit([b"noise"]))
            except Busy as refusal:
                outcomes.append(refusal)

        async with trio.open_nursery() as nursery:
            for _ in range(TICKETS_MAX + 1):
                nursery.start_soon(submit_noise)
        refusals = [outcome for outcome in outcomes if isinstance(outcome, Busy)]
        assert len(refusals) == 1
        assert "come back later" in refusals[0].sentence
        assert len([outcome for outcome in outcomes if isinstance(outcome, Rejected)]) == TICKETS_MAX
        assert await backend.submit([]) == ()


def withhold_header_signatures(node: Node) -> None:
    """From now on nobody hears that this node executed anything: nothing is certified."""
    broadcast = node.network.broadcast

    def without(
        code: int, body: bytes, *, key: bytes | None = None, to: Iterable[PeerId] | None = None
    ) -> int:
        if code == wire.Code.AGREEMENT and isinstance(wire.agreement_message(code, body), HeaderSignature):
            return 0
        return broadcast(code, body, key=key, to=to)

    node.network.broadcast = without  # type: ignore[method-assign, assignment]  # one message lost


async def test_a_committed_read_on_a_real_node_is_answered_while_nothing_is_certified(tmp_path: Path) -> None:
    testnet = written(tmp_path / "net", 2)
    transaction = transactions_of(testnet)[1]
    async with running_node(config_of(testnet, 0)) as node, running_node(config_of(testnet, 1)) as other:
        withhold_header_signatures(node)
        withhold_header_signatures(other)
        backend = LiveBackend(node)
        api = build_api(backend, shutdown=trio.Event())
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(api.app), base_url="http://127.0.0.1")
        async with client as http:
            await backend.submit([transaction.encoded])
            receipt = f"/v1/receipts/{transaction.id.hex()}"
            got = await http.get(receipt, params={"level": "committed", "timeout_ms": "30000"})
            assert (got.status_code, got.json()["height"]) == (200, 1)
            assert got.headers["isthmus-certified-height"] == "0"
            record = "/v1/records/live/1"
            got = await http.get(record, params={"level": "committed", "min_height": "1"})
            assert (got.status_code, got.json()["height"]) == (200, 1)
            for path, asked in ((receipt, {}), (record, {"min_height": "1"})):
                late = await http.get(path, params={"timeout_ms": "50", **asked})
                assert late.status_code in (404, 503), "certified it is not"
        assert node.waiters.readable_height == 0
        assert node.waiters.executed_height == 1
