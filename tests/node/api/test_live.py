"""The daemon keeps the contract of the HTTP door, as the fake does."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from consensus import SigningKey
from node.api.backend import Busy, Location, Rejected
from node.api.live import LiveBackend
from node.daemon.daemon import TICKETS_MAX
from node.daemon.recent import Layer, RecentHeights
from node.daemon.waiters import WAITERS_MAX, Waiters
from node.home import read_key
from node.ledger.apps.records import Content
from node.ledger.transactions import Transaction
from node.local.testnet import Testnet
from node.storage import Database, Snapshot
from node.wallet import Wallet
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
