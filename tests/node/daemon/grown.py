"""A home whose chain has grown: one validator alone, its records certified one height after the other."""

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio

from consensus import SigningKey
from node.api.live import LiveBackend
from node.daemon.reading import open_view
from node.home import Home, read_key
from node.ledger.apps.records import Content
from node.ledger.transactions import Transaction
from node.local.testnet import Testnet
from node.storage import HEIGHT_KEY, StateTable
from node.wallet import Wallet
from tests.node.daemon.running import config_of, running_node, written

HEIGHTS = 125
LEAP_SECONDS = 6
"""Between two records, so that most of the chain is older than what a start looks back on."""


@dataclass
class Leaps:
    """How many there are still to be made."""

    left: int


@dataclass(frozen=True)
class Grown:
    """A stopped one-node cluster; `transactions[i]` is the only one of height `i + 1`."""

    testnet: Testnet
    transactions: tuple[Transaction, ...]
    tip: int
    """The height in the database; what is above is in the journal only, and executed again at a start."""

    @property
    def home(self) -> Home:
        return self.testnet.nodes[0].home


def grow(directory: Path, heights: int = HEIGHTS) -> Grown:
    """Run it once, in a Trio of its own, by a wall clock that starts in the past and leaps."""
    began_ns, leaps = time.time_ns(), Leaps(heights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time_ns", lambda: began_ns - leaps.left * LEAP_SECONDS * 10**9)
        testnet = written(directory)
        transactions = trio.run(_grow, testnet, leaps)
    with open_view(testnet.nodes[0].home.data_dir) as view:
        stored = view.snapshot.get(StateTable.META, HEIGHT_KEY)
    assert stored is not None
    return Grown(testnet, transactions, int.from_bytes(stored, "big"))


async def _grow(testnet: Testnet, leaps: "Leaps") -> tuple[Transaction, ...]:
    wallet = Wallet(SigningKey(read_key(testnet.client_key_file)), testnet.cluster_id)
    transactions = []
    async with running_node(config_of(testnet)) as node:
        backend = LiveBackend(node)
        for number in range(1, leaps.left + 1):
            leaps.left -= 1
            content = Content(number.to_bytes(32, "big"), number, "", "", (), ())
            transaction = wallet.put(f"grown/{number}", content)
            await backend.submit([transaction.encoded])
            (place,) = await backend.wait_certified([transaction.id], 30_000)
            assert place is not None
            assert place.height == number
            transactions.append(transaction)
        assert await backend.wait_height(len(transactions), 30_000)
    return tuple(transactions)


def copy_of(grown: Grown, directory: Path) -> Grown:
    """The same at another place, to be changed."""
    shutil.copytree(grown.testnet.directory, directory)
    nodes = tuple(replace(node, home=Home(directory / node.name)) for node in grown.testnet.nodes)
    return replace(grown, testnet=replace(grown.testnet, directory=directory, nodes=nodes))
