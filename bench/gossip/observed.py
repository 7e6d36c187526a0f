"""What observers cost validators, asked of real processes: the same load without observers and with them.

CPU is counted by transaction, because a busy machine slows the load down with everything else. The observers
name one validator and two of those before them each, as operators would.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import trio

from bench.local import Running, make_record, running_cluster
from bench.processes import usage_of
from node.client import AsyncClient, ClientError
from node.config import PeerConfig
from node.genesis import Genesis
from node.home import Home
from node.local.newnode import NodeSetup, create_keys, write_setup
from node.local.ports import LOOPBACK, free_ports
from node.local.testnet import LocalNode

VALIDATORS = 4
ARRIVAL_SECONDS = 300
_POLL_SECONDS = 0.5
_WARMUP_SECONDS = 3.0
_LET_IN_SECONDS = 3.0
"""Longer than a daemon takes to see that its list of allowed keys changed."""


class NotObserved(Exception):
    """Observers did not keep up; `str()` says how many."""


@dataclass(frozen=True, slots=True)
class Observed:
    """CPU of a validator, workers included, in microseconds a transaction; memory of an observer in bytes.

    `behind` is how many heights the observer that is farthest lacks when the last receipt is here.
    """

    observers: int
    transactions: int
    alone_cpu_us: float
    observed_cpu_us: float
    observer_cpu_us: float
    observer_bytes: int
    behind: int

    @property
    def cpu_percent(self) -> float:
        """What the observers add."""
        return 100 * (self.observed_cpu_us / self.alone_cpu_us - 1)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self) | {"cpu_percent": self.cpu_percent}


async def measure(
    observers: int, rate: float, seconds: float, directory: Path, said: Callable[[str], None]
) -> Observed:
    """One cluster, measured twice. Raises NotObserved, and SystemExit when a daemon dies."""
    async with running_cluster(VALIDATORS, directory) as cluster:
        load = _Load(cluster, rate)
        await load.run(_WARMUP_SECONDS)
        said(f"{VALIDATORS} validators alone")
        alone = await load.run(seconds)
        homes = _write_observers(cluster, observers)
        await trio.sleep(_LET_IN_SECONDS)
        for home in homes:
            await cluster.supervisor.start(home.program())
        said(f"{observers} observers join")
        await _arrived(homes, load.height)
        before = [usage_of(cluster.supervisor.process(home.name).pid) for home in homes]
        said(f"{VALIDATORS} validators and {observers} observers")
        observed = await load.run(seconds)
        heights = [await _height(home) for home in homes]
        after = [usage_of(cluster.supervisor.process(home.name).pid) for home in homes]
        spent = mean(b.cpu_seconds - a.cpu_seconds for a, b in zip(before, after, strict=True))
        return Observed(
            observers,
            observed[0],
            alone[1],
            observed[1],
            spent * 1_000_000 / observed[0],
            max(usage.anonymous_bytes for usage in after),
            max(0, load.height - min(heights)),
        )


class _Load:
    """Transactions at a steady rate, each sent once to one validator after the other."""

    def __init__(self, cluster: Running, rate: float) -> None:
        self._cluster = cluster
        self._rate = rate
        self._number = 0
        self.height = 0
        """Of the last receipt."""

    async def run(self, seconds: float) -> tuple[int, float]:
        """How many were certified, and what each cost a validator in CPU microseconds."""
        clients = [AsyncClient((node.url,)) for node in self._cluster.testnet.nodes]
        before, first = self._cluster.usages(), self._number
        started = time.perf_counter()
        async with trio.open_nursery() as nursery:
            while time.perf_counter() - started < seconds:
                nursery.start_soon(self._send, clients[self._number % len(clients)], self._number)
                self._number += 1
                await trio.sleep(1 / self._rate)
        after = self._cluster.usages()
        for client in clients:
            await client.aclose()
        spent = mean(b.cpu_seconds - a.cpu_seconds for a, b in zip(before, after, strict=True))
        done = self._number - first
        return done, spent * 1_000_000 / done

    async def _send(self, client: AsyncClient, number: int) -> None:
        receipt = await client.submit(make_record(self._cluster.wallet, number, 0))
        self.height = max(self.height, receipt.height)


def _write_observers(cluster: Running, count: int) -> tuple[LocalNode, ...]:
    """Homes that know each other, and whom their validators let in from now on."""
    testnet = cluster.testnet
    genesis_json = testnet.genesis_file.read_text(encoding="utf-8")
    keys_of = {v.name: bytes(v.node_key) for v in Genesis.from_json(genesis_json).validators}
    nodes = tuple(
        LocalNode(f"observer{number}", Home(testnet.directory / f"observer{number}"), ports)
        for number, ports in enumerate(free_ports(count))
    )
    made = [create_keys(node.home, "observer", os.urandom).node_key for node in nodes]
    for number, node in enumerate(nodes):
        validator = testnet.nodes[number % VALIDATORS]
        peers = [PeerConfig(validator.name, keys_of[validator.name], LOOPBACK, validator.ports.p2p)]
        for other in sorted({number - 1, number // 2} - {number, -1}):
            peers.append(PeerConfig(nodes[other].name, made[other], LOOPBACK, nodes[other].ports.p2p))
        allowed = tuple(key for key in made if key != made[number])
        setup = NodeSetup(
            node.name, "observer", node.ports.p2p, node.ports.api, peers=tuple(peers), allowed=allowed
        )
        write_setup(node.home, setup, genesis_json)
    line = f"[p2p]\nallowed = {json.dumps([key.hex() for key in made])}\n"
    for validator in testnet.nodes:
        text = validator.home.config_file.read_text(encoding="utf-8")
        validator.home.config_file.write_text(text.replace("[p2p]\n", line, 1), encoding="utf-8")
    return nodes


async def _arrived(nodes: tuple[LocalNode, ...], height: int) -> None:
    waiting = list(nodes)
    with trio.move_on_after(ARRIVAL_SECONDS):
        while waiting:
            await trio.sleep(_POLL_SECONDS)
            waiting = [node for node in waiting if await _height(node) < height]
        return
    raise NotObserved(f"{len(waiting)} observers are not at height {height} after {ARRIVAL_SECONDS} s")


async def _height(node: LocalNode) -> int:
    """What a node has stored; -1 while it does not answer."""
    try:
        async with AsyncClient((node.url,), timeout_ms=5_000) as client:
            return (await client.status()).stored_height
    except ClientError:
        return -1
