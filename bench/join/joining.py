"""One empty observer joins one node that has everything: real daemons, watched from outside."""

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import trio

from bench.join.chain import BLOCK_INTERVAL_MS, ChainMaker
from bench.processes import Usage, usage_of
from consensus import SigningKey
from node.client import AsyncClient, ClientError
from node.config import PeerConfig
from node.daemon.store import Store
from node.genesis import Genesis
from node.home import Home, read_key
from node.local.newnode import NodeSetup, create_keys, write_setup
from node.local.ports import LOOPBACK, free_ports
from node.local.supervisor import ProgramDied, Supervisor, open_supervisor
from node.local.testnet import LocalNode, Testnet, write_testnet

VALIDATORS = 4
_MAP_BYTES = 64 * 1024**3
_BEFORE_MS = 60_000
SAMPLE_SECONDS = 0.25
STALL_SECONDS = 120

Progress = Callable[[str, int, int], None]
"""What is under way, how many heights are done, of how many."""


class JoinFailed(Exception):
    """The observer did not arrive; the sentence says how far it came."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One join. Memory is what the processes hold themselves, without pages of mapped files, at its highest;
    CPU is in seconds, workers included."""

    blocks: int
    transactions: int
    chain_bytes: int
    build_seconds: float
    join_seconds: float
    blocks_per_second: float
    transactions_per_second: float
    observer_cpu_seconds: float
    server_cpu_seconds: float
    observer_peak_bytes: int
    server_peak_bytes: int
    observer_idle_bytes: int
    killed_at: int | None
    """The height at which the observer was killed, to go on where it was; None where it was left alone."""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def write_chain(directory: Path, blocks: int, transactions: int, progress: Progress) -> Testnet:
    """A testnet in a new folder, the first node of which holds the whole chain."""
    created_ms = time.time_ns() // 1_000_000 - blocks * BLOCK_INTERVAL_MS - _BEFORE_MS
    testnet = write_testnet(directory, "join", free_ports(VALIDATORS), created_ms, os.urandom)
    genesis = Genesis.from_json(testnet.genesis_file.read_text(encoding="utf-8"))
    by_key = {
        key.public_key: key
        for key in (SigningKey(read_key(node.home.validator_key_file)) for node in testnet.nodes)
    }
    keys = tuple(by_key[validator.consensus_key] for validator in genesis.validators)
    store = Store.open(testnet.nodes[0].home.data_dir, map_bytes=_MAP_BYTES, fsync=False)
    try:
        maker = ChainMaker(genesis, keys, SigningKey(read_key(testnet.client_key_file)), store)
        maker.extend(blocks, transactions, lambda done: progress("building", done, blocks))
    finally:
        store.close()
    return testnet


class _Watched:
    """A daemon's use of the machine, highest memory included."""

    def __init__(self, supervisor: Supervisor, name: str) -> None:
        self._supervisor = supervisor
        self._name = name
        self._ended = 0.0
        self._now = Usage(0.0, 0, 0)
        self.peak_bytes = 0

    def look(self) -> None:
        """Take note of now."""
        now = usage_of(self._supervisor.process(self._name).pid)
        if now.cpu_seconds < self._now.cpu_seconds:
            self._ended += self._now.cpu_seconds  # it is another process since
        self._now = now
        self.peak_bytes = max(self.peak_bytes, now.anonymous_bytes)

    @property
    def cpu_seconds(self) -> float:
        """Of all its processes."""
        return self._ended + self._now.cpu_seconds

    @property
    def bytes(self) -> int:
        """Memory now."""
        return self._now.anonymous_bytes


async def measure(
    directory: Path, blocks: int, transactions: int, kill_at: int | None, progress: Progress
) -> Figures:
    """Build, join, stop. Raises JoinFailed, ProgramDied."""
    started = time.perf_counter()
    testnet = await trio.to_thread.run_sync(write_chain, directory, blocks, transactions, progress)
    build_seconds = time.perf_counter() - started
    server = testnet.nodes[0]
    observer = write_observer(testnet, directory / "observer")
    deaths: list[ProgramDied] = []
    async with open_supervisor(deaths.append) as supervisor:
        await supervisor.start(server.program())
        await _height(server, deaths)
        seen, served = _Watched(supervisor, observer.name), _Watched(supervisor, server.name)
        served.look()
        cpu_before = served.cpu_seconds
        await supervisor.start(observer.program())
        started = time.perf_counter()
        killed_at = await _join(supervisor, observer, blocks, kill_at, (seen, served), progress, deaths)
        join_seconds = time.perf_counter() - started
        await trio.sleep(2.0)
        seen.look()
    return Figures(
        blocks,
        blocks * transactions,
        _size_of(server.home.data_dir),
        build_seconds,
        join_seconds,
        blocks / join_seconds,
        blocks * transactions / join_seconds,
        seen.cpu_seconds,
        served.cpu_seconds - cpu_before,
        seen.peak_bytes,
        served.peak_bytes,
        seen.bytes,
        killed_at,
    )


async def _join(
    supervisor: Supervisor,
    observer: LocalNode,
    blocks: int,
    kill_at: int | None,
    watched: tuple[_Watched, ...],
    progress: Progress,
    deaths: list[ProgramDied],
) -> int | None:
    """Until the observer has all; the height at which it was killed on the way."""
    killed: int | None = None
    best, best_at = 0, time.perf_counter()
    while True:
        await trio.sleep(SAMPLE_SECONDS)
        for one in watched:
            one.look()
        height = await _height(observer, deaths)
        progress("joining", height, blocks)
        if kill_at is not None and killed is None and height >= kill_at:
            killed = height
            supervisor.process(observer.name).kill()
            await supervisor.ended(observer.name)
            deaths.clear()  # this one was wanted
            await supervisor.start(observer.program())
        elif height >= blocks:
            return killed
        if height > best:
            best, best_at = height, time.perf_counter()
        elif time.perf_counter() - best_at > STALL_SECONDS:
            raise JoinFailed(f"no height was added for {STALL_SECONDS} s: {height} of {blocks}")


async def _height(node: LocalNode, deaths: list[ProgramDied]) -> int:
    """What a node has stored, as soon as it answers."""
    deadline = time.perf_counter() + STALL_SECONDS
    while True:
        if deaths:
            raise deaths[0]
        try:
            async with AsyncClient((node.url,), timeout_ms=2_000) as client:
                return (await client.status()).stored_height
        except ClientError as error:
            if time.perf_counter() > deadline:
                raise JoinFailed(f"{node.name} does not answer: {error}") from error
        await trio.sleep(SAMPLE_SECONDS)


def write_observer(testnet: Testnet, directory: Path) -> LocalNode:
    """A home without data whose only peer is the first node, which lets it in."""
    server, (ports,) = testnet.nodes[0], free_ports(1)
    home = Home(directory)
    keys = create_keys(home, "observer", os.urandom)
    genesis_json = testnet.genesis_file.read_text(encoding="utf-8")
    node_key = next(
        validator.node_key
        for validator in Genesis.from_json(genesis_json).validators
        if validator.name == server.name
    )
    peer = PeerConfig(server.name, bytes(node_key), LOOPBACK, server.ports.p2p)
    setup = NodeSetup("observer", "observer", ports.p2p, ports.api, peers=(peer,))
    write_setup(home, setup, genesis_json)
    text = server.home.config_file.read_text(encoding="utf-8")
    line = f"[p2p]\nallowed = {json.dumps([keys.node_key.hex()])}\n"
    server.home.config_file.write_text(text.replace("[p2p]\n", line, 1), encoding="utf-8")
    return LocalNode("observer", home, ports)


def _size_of(directory: Path) -> int:
    """What the databases really take on disk."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*.mdb"))


def remove(directory: Path) -> None:
    """The folder of a measurement, once its figures are taken."""
    shutil.rmtree(directory)
