"""A cluster of real daemons on this machine: how long one transaction takes, how many fit, what it costs.

Every figure is of honest work: signed, verified by all, executed, certified, synced to disk, and counted
when the client has the certified receipt. Daemons and load share the machine.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from statistics import quantiles

import click
import trio

from bench.finiterange import FiniteRange
from bench.processes import Usage, machine, usage_of
from consensus import SigningKey
from node.client import AsyncClient, Wallet
from node.home import read_key
from node.ledger.apps.records import Content
from node.ledger.transactions import Transaction
from node.local.cluster import open_cluster, wait_ready
from node.local.ports import free_ports
from node.local.supervisor import ProgramDied, Supervisor
from node.local.testnet import NODES_MAX, Testnet, write_testnet


@dataclass(frozen=True, slots=True)
class Running:
    """A started cluster with a client's wallet."""

    testnet: Testnet
    supervisor: Supervisor
    wallet: Wallet

    def usages(self) -> list[Usage]:
        """Of each daemon, its workers included."""
        return [usage_of(self.supervisor.process(node.name).pid) for node in self.testnet.nodes]


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from sending to the certified receipt, of transactions sent one after the other."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


def _die(death: ProgramDied) -> None:
    raise SystemExit(str(death))


@asynccontextmanager
async def running_cluster(
    nodes: int, directory: Path, python: str = sys.executable
) -> AsyncIterator[Running]:
    """A fresh cluster in `directory` until the block ends; `python` is the interpreter of the installation
    that runs it."""
    created_ms = time.time_ns() // 1_000_000
    testnet = write_testnet(directory, "bench", free_ports(nodes), created_ms, os.urandom)
    async with open_cluster(testnet, _die, python) as supervisor:
        await wait_ready(testnet)
        wallet = Wallet(SigningKey(read_key(testnet.client_key_file)), testnet.cluster_id)
        yield Running(testnet, supervisor, wallet)


def make_record(wallet: Wallet, number: int, payload_bytes: int) -> Transaction:
    """A signed `records.put` whose location text makes it about `payload_bytes` large."""
    digest = sha256(str(number).encode()).digest()
    content = Content(digest, number, schema="", location="x" * payload_bytes, links=(), labels=())
    return wallet.put(f"bench/{number}", content)


async def measure_idle(cluster: Running, seconds: float) -> list[float]:
    """Part of one core that each node uses while nothing happens."""
    before = cluster.usages()
    started = time.perf_counter()
    await trio.sleep(seconds)
    elapsed = time.perf_counter() - started
    return [(b.cpu_seconds - a.cpu_seconds) / elapsed for a, b in zip(before, cluster.usages(), strict=True)]


async def measure_lone(cluster: Running, count: int, pause_ms: int, start: int = 0) -> Latency:
    """One transaction at a time on an otherwise idle cluster, the nodes taking turns as entry."""
    samples: list[float] = []
    clients = [AsyncClient((node.url,)) for node in cluster.testnet.nodes]
    for number in range(start, start + count):
        transaction = make_record(cluster.wallet, number, 0)
        started = time.perf_counter()
        receipt = await clients[number % len(clients)].submit(transaction)
        samples.append((time.perf_counter() - started) * 1000)
        if not receipt.ok:
            raise click.ClickException(f"a transaction failed: {receipt.explanation}")
        await trio.sleep(pause_ms / 1000)
    for client in clients:
        await client.aclose()
    cuts = quantiles(samples, n=100)
    return Latency(count, cuts[49], cuts[89], cuts[98], max(samples))


async def measure_bulk(cluster: Running, count: int, payload_bytes: int) -> float:
    """Certified transactions a second when `count` are submitted in bulk through all nodes at once."""
    transactions = [make_record(cluster.wallet, 1_000_000 + i, payload_bytes) for i in range(count)]
    urls = [node.url for node in cluster.testnet.nodes]
    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for index, url in enumerate(urls):
            nursery.start_soon(_submit_share, url, transactions[index :: len(urls)])
    return count / (time.perf_counter() - started)


async def _submit_share(url: str, transactions: list[Transaction]) -> None:
    async with AsyncClient((url,), timeout_ms=60_000) as client:
        for outcome in await client.submit_many(transactions):
            if outcome.state != "certified" or outcome.code:
                raise click.ClickException(f"a transaction failed: {outcome}")


@click.command("local")
@click.option("--nodes", type=click.IntRange(1, NODES_MAX), default=4, show_default=True)
@click.option("--idle-seconds", type=FiniteRange(0, 3_600), default=10.0, show_default=True)
@click.option(
    "--lone",
    type=click.IntRange(0, 100_000),
    default=200,
    show_default=True,
    help="Transactions sent one at a time.",
)
@click.option(
    "--pause-ms",
    type=click.IntRange(0, 60_000),
    default=50,
    show_default=True,
    help="Between two of them.",
)
@click.option(
    "--bulk",
    type=click.IntRange(0, 1_000_000),
    default=4000,
    show_default=True,
    help="Transactions sent in bulk.",
)
@click.option("--payload-bytes", type=click.IntRange(0, 1_000), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def command(
    nodes: int,
    idle_seconds: float,
    lone: int,
    pause_ms: int,
    bulk: int,
    payload_bytes: int,
    as_json: bool,
) -> None:
    """Idle CPU, lone-transaction latency and bulk rate of a fresh local cluster."""

    async def run() -> dict[str, object]:
        with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as folder:
            async with running_cluster(nodes, Path(folder) / "net") as cluster:
                figures: dict[str, object] = {"machine": machine(), "nodes": nodes}
                if lone:
                    await measure_lone(cluster, min(20, lone), 0)
                if idle_seconds:
                    figures["idle_core_share"] = await measure_idle(cluster, idle_seconds)
                if lone:
                    figures["lone_latency"] = asdict(await measure_lone(cluster, lone, pause_ms, start=1_000))
                if bulk:
                    figures["bulk_tps"] = await measure_bulk(cluster, bulk, payload_bytes)
                figures["rss_bytes"] = [usage.rss_bytes for usage in cluster.usages()]
                return figures

    figures = trio.run(run)
    if as_json:
        click.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        click.echo(f"{name:18} {value}")
