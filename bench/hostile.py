"""`isthmus-bench hostile`: what an honest client notices while a cluster of real daemons is attacked.

One client sends one transaction after the other, and waits for each certified receipt, while everybody else
misbehaves towards all nodes at once. Attackers, client and nodes share the machine, so the figures hold what
the attackers themselves take of it.

*Consensus latency* is two figures, as the node sees them that the client asks: how long a round takes, and
how long a block with payload takes from its proposal to its commit. What the client waits for is more:
admission, its place among others, execution, the certificate. Each is shown beside what it was in calm, and
beside what the processors did. What one busy process without any network does to the same figures is a row of
its own (`burner`): so much of an attack is the machine, and not ours to mend.
"""

import contextlib
import json
import os
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles

import click
import httpx2
import trio

from bench.finiterange import FiniteRange
from bench.local import make_record
from bench.processes import ProcessTable, machine
from consensus import SigningKey, encode
from node.cli.failures import root_of
from node.client import AsyncClient, ClientError, Wallet
from node.home import read_key
from node.ledger.members import Member
from node.local.cluster import open_cluster, wait_ready
from node.local.ports import LOOPBACK, free_ports
from node.local.supervisor import ProgramDied
from node.local.testnet import LocalNode, Testnet, write_testnet

_BATCH = 200
_STOCK_FROM = 1_000_000_000
_LIFE_MS = 500_000
_PAYLOAD_BYTES = 100
_OFFERED_PER_SECOND = 1_500
"""Valid transactions in stock, for each node and second of a phase: more than two cores answer."""
_STOCK_SECONDS = 2
"""So much beyond a phase: what nodes take at once before they hold a key back, and the last receipt."""
_HANDSHAKES_AT_ONCE = 8
_SLOW_CONNECTIONS = 32
"""Half-sent requests kept open at each node: below the bound, for loopback has no share of its own."""
_DRIP_SECONDS = 1.0
_PROBE_PAYLOAD_BYTES = 0
_BURNER = "while True: pass"
_UNLIMITED = "transactions_per_second = 0"


@dataclass(frozen=True, slots=True)
class Phase:
    """What the honest client saw in one phase, and what the node saw of agreement meanwhile, in
    milliseconds."""

    name: str
    receipts: int
    p50_ms: float
    p99_ms: float
    round_ms: float
    commit_ms: float
    """From a block's proposal to its commit, on average."""
    certified: int
    """Transactions, the attackers' too."""
    attacks: int
    """Transactions, handshakes or connections that the attackers brought."""
    attackers_cores: float
    """What the attackers and the honest client took of the processors: they are one process."""
    nodes_cores: float
    """What all nodes together took."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a node has counted since its start."""

    round: int
    blocks: int
    commit_ms: int
    certified: int


_COUNTED = (
    "isthmus_consensus_round",
    "isthmus_consensus_committed_blocks_total",
    "isthmus_consensus_commit_ms_total",
    "isthmus_transactions_certified_total",
)


@dataclass(frozen=True, slots=True)
class Taken:
    """CPU seconds since the processes began: of this one, and of everything it has started."""

    here: float
    nodes: float

    @staticmethod
    def now(burner: int | None) -> "Taken":
        """`burner` is a process that is neither."""
        table = ProcessTable.read()
        nodes = [pid for pid in table.family(os.getpid())[1:] if pid != burner]
        return Taken(time.process_time(), sum(table.usage(pid).cpu_seconds for pid in nodes))


@dataclass(slots=True)
class Attack:
    """One kind of attack; `made` counts."""

    cluster: "Attacked"
    made: int = 0

    async def valid(self, node: LocalNode) -> None:
        """Valid transactions, signed beforehand, as fast as the node answers."""
        while self.cluster.stock:
            await self._post(node, encode(self.cluster.stock.pop()))

    async def forged(self, node: LocalNode) -> None:
        """Transactions whose signature is not the sender's: the same ones, for nobody remembers them."""
        spoilt = encode(tuple(data[:-1] + bytes([data[-1] ^ 1]) for data in self.cluster.stock[0]))
        while True:
            await self._post(node, spoilt)

    async def _post(self, node: LocalNode, body: bytes) -> None:
        self.made += _BATCH
        with contextlib.suppress(httpx2.TransportError):
            await self.cluster.http.post(f"{node.url}/v1/txs?wait=admitted", content=body)

    async def handshakes(self, node: LocalNode) -> None:
        """TLS handshakes of a stranger, one after the other, as fast as they are taken."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

        async def again() -> None:
            while True:
                self.made += 1
                try:
                    tcp = await trio.open_tcp_stream(LOOPBACK, node.ports.p2p)
                    async with trio.SSLStream(tcp, context, server_hostname="isthmus") as stream:
                        await stream.do_handshake()
                        await stream.receive_some(1)
                except (OSError, trio.BrokenResourceError, ssl.SSLError):
                    await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            for _ in range(_HANDSHAKES_AT_ONCE):
                nursery.start_soon(again)

    async def slow_headers(self, node: LocalNode) -> None:
        """Requests whose header never ends, a byte at a time."""

        async def again() -> None:
            while True:
                self.made += 1
                with contextlib.suppress(OSError, trio.BrokenResourceError):
                    async with await trio.open_tcp_stream(LOOPBACK, node.ports.api) as stream:
                        await stream.send_all(b"GET / HTTP/1.1\r\n")
                        while True:
                            await stream.send_all(b"x")
                            await trio.sleep(_DRIP_SECONDS)
                await trio.sleep(_DRIP_SECONDS)

        async with trio.open_nursery() as nursery:
            for _ in range(_SLOW_CONNECTIONS):
                nursery.start_soon(again)


@dataclass(slots=True)
class Attacked:
    """A running cluster, its honest client and the key of those who flood it."""

    testnet: Testnet
    honest: Wallet
    stock: list[tuple[bytes, ...]]
    """Valid transactions of another key, in batches."""
    http: httpx2.AsyncClient
    probes: int = 0

    async def phase(self, name: str, seconds: float) -> Phase:
        """The honest client for so long, while the attack of this name goes on at every node."""
        attack = Attack(self)
        kinds: dict[str, Callable[[LocalNode], Awaitable[None]]] = {
            "valid": attack.valid,
            "forged": attack.forged,
            "handshakes": attack.handshakes,
            "slow-headers": attack.slow_headers,
        }
        async with (
            AsyncClient((self.testnet.nodes[0].url,), timeout_ms=60_000) as client,
            trio.open_nursery() as nursery,
        ):
            for node in self.testnet.nodes if name in kinds else ():
                nursery.start_soon(kinds[name], node)
            burner = await _start_burner(nursery) if name == "burner" else None
            before, took, began = await self._seen(), Taken.now(burner), time.perf_counter()
            samples = await self._probe(client, seconds)
            after, taken = await self._seen(), Taken.now(burner)
            elapsed_ms = (time.perf_counter() - began) * 1000
            nursery.cancel_scope.cancel()
        if name == "valid" and not self.stock:
            raise click.ClickException("all transactions of the flood were sent before its phase was over")
        cuts = quantiles(samples, n=100) if len(samples) > 1 else samples * 99
        return Phase(
            name,
            len(samples),
            cuts[49],
            cuts[98],
            elapsed_ms / max(1, after.round - before.round),
            (after.commit_ms - before.commit_ms) / max(1, after.blocks - before.blocks),
            after.certified - before.certified,
            attack.made,
            (taken.here - took.here) * 1000 / elapsed_ms,
            (taken.nodes - took.nodes) * 1000 / elapsed_ms,
        )

    async def _seen(self) -> Seen:
        """What the honest client's node says."""
        answer = await self.http.get(f"{self.testnet.nodes[0].url}/metrics")
        samples = dict(line.split() for line in answer.text.splitlines() if line.startswith(_COUNTED))
        return Seen(*(int(float(samples[name])) for name in _COUNTED))

    async def _probe(self, client: AsyncClient, seconds: float) -> list[float]:
        """Milliseconds to each certified receipt; the last one may take longer than the phase."""
        samples: list[float] = []
        end = time.perf_counter() + seconds
        while not samples or time.perf_counter() < end:
            self.probes += 1
            transaction = make_record(self.honest, self.probes, _PROBE_PAYLOAD_BYTES)
            started = time.perf_counter()
            receipt = await client.submit(transaction, timeout_ms=60_000)
            samples.append((time.perf_counter() - started) * 1000)
            if not receipt.ok:
                raise click.ClickException(f"an honest transaction failed: {receipt.explanation}")
        return samples


@asynccontextmanager
async def attacked_cluster(directory: Path, nodes: int, key_rate: int, flood: int) -> AsyncIterator[Attacked]:
    """A fresh cluster whose nodes take `key_rate` transactions a second of each key, 0 for any number, with
    `flood` transactions in stock."""
    flooder = SigningKey(os.urandom(32))
    member = Member(flooder.public_key, "org0", ("client",), "flooder")
    now_ms = time.time_ns() // 1_000_000
    testnet = write_testnet(directory, "hostile", free_ports(nodes), now_ms, os.urandom, members=[member])
    for node in testnet.nodes:
        text = node.home.config_file.read_text(encoding="utf-8")
        limited = text.replace(_UNLIMITED, f"transactions_per_second = {key_rate}")
        node.home.config_file.write_text(limited, encoding="utf-8")
    async with open_cluster(testnet, _die):
        await wait_ready(testnet)
        honest = Wallet(SigningKey(read_key(testnet.client_key_file)), testnet.cluster_id)
        stock = _stock(Wallet(flooder, testnet.cluster_id, lifetime_ms=_LIFE_MS), flood)
        headers = {"content-type": "application/msgpack", "accept": "application/msgpack"}
        async with httpx2.AsyncClient(trust_env=False, headers=headers, timeout=60) as http:
            yield Attacked(testnet, honest, stock, http)


def _stock(wallet: Wallet, count: int) -> list[tuple[bytes, ...]]:
    made = [make_record(wallet, _STOCK_FROM + number, _PAYLOAD_BYTES).encoded for number in range(count)]
    return [tuple(made[start : start + _BATCH]) for start in range(0, count, _BATCH)]


async def _start_burner(nursery: trio.Nursery) -> int:
    """The process id of a program that computes and does nothing else, until the nursery is cancelled."""
    process: trio.Process = await nursery.start(trio.run_process, [sys.executable, "-c", _BURNER])
    return process.pid


def _die(death: ProgramDied) -> None:
    raise SystemExit(str(death))


@click.command("hostile")
@click.option("--nodes", type=click.IntRange(1, 16), default=4, show_default=True)
@click.option("--seconds", type=FiniteRange(0.5), default=8.0, show_default=True, help="Of each phase.")
@click.option(
    "--key-rate",
    type=click.IntRange(0),
    default=2_000,
    show_default=True,
    help="limits.transactions_per_second; 0: any number.",
)
@click.option("--json", "as_json", is_flag=True)
def command(nodes: int, seconds: float, key_rate: int, as_json: bool) -> None:
    """What an honest client notices while all nodes are flooded, lied to, and held up."""

    async def run() -> list[Phase]:
        with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as folder:
            flood = round(_OFFERED_PER_SECOND * nodes * (seconds + _STOCK_SECONDS))
            async with attacked_cluster(Path(folder) / "net", nodes, key_rate, flood) as cluster:
                names = (
                    "warm",
                    "calm",
                    "burner",
                    "slow-headers",
                    "handshakes",
                    "forged",
                    "valid",
                    "calm again",
                )
                return [await cluster.phase(name, seconds) for name in names]

    problem, phases = "", list[Phase]()
    try:
        phases = trio.run(run)[1:]
    except* (click.ClickException, ClientError, OSError, trio.TooSlowError) as group:
        problem = f"there are no figures: {root_of(group)}"
    if problem:
        raise click.ClickException(problem)
    if as_json:
        figures = {"machine": machine(), "nodes": nodes, "key_rate": key_rate}
        click.echo(json.dumps({**figures, "phases": [asdict(phase) for phase in phases]}))
        return
    click.echo(
        f"{'':<14}{'round ms':>10}{'x calm':>8}{'commit ms':>11}{'x calm':>8}{'client p50':>12}{'x calm':>8}"
        f"{'p99 ms':>9}{'receipts':>10}{'certified':>11}{'attacks':>9}{'attackers':>10}{'nodes':>7}"
    )
    calm = phases[0]
    for phase in phases:
        click.echo(
            f"{phase.name:<14}{phase.round_ms:>10.1f}{phase.round_ms / calm.round_ms:>8.2f}"
            f"{phase.commit_ms:>11.1f}{phase.commit_ms / calm.commit_ms:>8.2f}"
            f"{phase.p50_ms:>12.1f}{phase.p50_ms / calm.p50_ms:>8.2f}{phase.p99_ms:>9.1f}"
            f"{phase.receipts:>10}{phase.certified:>11}{phase.attacks:>9}"
            f"{phase.attackers_cores:>10.2f}{phase.nodes_cores:>7.2f}"
        )
    click.echo("round: until the next; commit: of a block, from its proposal; client: until the receipt;")
    click.echo("attackers, nodes: cores they took; burner: one process that computes, and no attack at all.")
    click.echo(f"{nodes} nodes, {key_rate} transactions a second of a key, on {machine()}")
