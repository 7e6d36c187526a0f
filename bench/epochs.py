"""`isthmus-bench epochs`: a cluster that grows and shrinks again under load, one validator at a time.

The cluster starts with its genesis validators beside nodes that are to join. Each of these is proposed,
approved by more than two thirds of the weight, proves that it is synced, and counts from the next epoch on;
later the operators remove them again, one after the other, while clients go on at a fixed rate (openload.py).
Nothing may be lost, and no pause may be longer than one timeout of a round (DESIGN 7).
"""

import json
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import trio

from bench.local import Running
from bench.openload import Account, Load, now_ms, offer, settle
from bench.processes import machine
from consensus import PublicKey, SigningKey
from node.client import AsyncClient, Wallet
from node.config import PeerConfig
from node.home import Home, read_key
from node.ledger.governance.changes import AddValidator, Change, RemoveValidator
from node.ledger.governance.proposals import ready_digest
from node.ledger.receipts import Receipt
from node.ledger.roster import ValidatorRecord
from node.local.cluster import open_cluster, wait_ready
from node.local.newnode import NodeSetup, add_peers, create_keys, write_setup
from node.local.ports import LOOPBACK, free_ports
from node.local.supervisor import ProgramDied
from node.local.testnet import LocalNode, Testnet, write_testnet
from node.validator import Tuning
from p2p import NodeIdentity

_LOOK_AGAIN_SECONDS = 0.05
_PATIENCE_SECONDS = 120
SETTLE_SECONDS = 2.0
"""Load between two changes, so that each has its own pause."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """One change of the validators: how long from the proposal until every node was in the new epoch, and the
    longest time without any client's getting an answer while that lasted, in milliseconds."""

    words: str
    epoch: int
    took_ms: int
    pause_ms: int


@dataclass(frozen=True, slots=True)
class Growth:
    """What growing and shrinking came to."""

    crossings: tuple[Crossing, ...]
    account: Account
    timeout_ms: int

    @property
    def is_smooth(self) -> bool:
        """Whether no pause was longer than one timeout of a round."""
        return all(crossing.pause_ms <= self.timeout_ms for crossing in self.crossings)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that is to join, with the operator who will answer for it."""

    node: LocalNode
    key: SigningKey
    operator: SigningKey

    def record(self) -> ValidatorRecord:
        """How it will stand in the roster."""
        node_key = PublicKey(NodeIdentity.from_seed(read_key(self.node.home.node_key_file)).peer_id)
        name, operator = self.node.name, self.operator.public_key
        return ValidatorRecord(name, f"{name}.example", self.key.public_key, node_key, 1, operator)


@dataclass(frozen=True, slots=True)
class Council:
    """Everybody who decides: the operators in the order of the roster, each through its own node."""

    testnet: Testnet
    nodes: tuple[LocalNode, ...]
    operators: tuple[SigningKey, ...]

    async def decide(self, change: Change, candidate: Candidate | None = None) -> None:
        """Propose, approve by more than two thirds, and prove the candidate synced. Raises ClientError, or
        RuntimeError when the ledger refuses."""
        proposed = await self._govern(0, "propose", (change.to_value(),), 0)
        result = proposed.result
        if type(result) is not tuple or type(result[0]) is not bytes:
            raise RuntimeError(f"propose answered {result!r}")
        for number in range(1, 2 * len(self.nodes) // 3 + 1):
            await self._govern(number, "approve", result[0])
        if candidate is not None:
            await self._prove_ready(result[0], candidate)

    async def _prove_ready(self, proposal_id: bytes, candidate: Candidate) -> None:
        async with AsyncClient((candidate.node.url,)) as client:
            header = await client.header()
        signed = ready_digest(self.testnet.cluster_id, proposal_id, header.height, header.hash)
        key = candidate.key
        await self._govern(
            0, "ready", proposal_id, key.public_key, header.height, header.hash, key.sign(signed)
        )

    async def _govern(self, number: int, method: str, *args: Any) -> Receipt:
        wallet = Wallet(self.operators[number], self.testnet.cluster_id)
        async with AsyncClient((self.nodes[number].url,)) as client:
            receipt = await client.submit(wallet.sign("governance", method, args))
        if not receipt.ok:
            raise RuntimeError(f"governance refused {method}: {receipt.explanation}")
        return receipt


def _die(death: ProgramDied) -> None:
    raise SystemExit(str(death))


def _operator(testnet: Testnet, name: str) -> SigningKey:
    return SigningKey(read_key(testnet.directory / "keys" / f"operator-{name}.key"))


def _address(node: LocalNode) -> PeerConfig:
    identity = NodeIdentity.from_seed(read_key(node.home.node_key_file))
    return PeerConfig(node.name, identity.peer_id, LOOPBACK, node.ports.p2p)


@asynccontextmanager
async def growing_cluster(
    genesis: int, joining: int, directory: Path
) -> AsyncIterator[tuple[Running, tuple[Candidate, ...]]]:
    """A running cluster of `genesis` validators beside `joining` nodes that follow it."""
    ports = free_ports(genesis + joining)
    created_ms = time.time_ns() // 1_000_000
    testnet = write_testnet(directory, "growing", ports[:genesis], created_ms, os.urandom)
    candidates: list[Candidate] = []
    for number in range(genesis, genesis + joining):
        node = LocalNode(f"node{number}", Home(directory / f"node{number}"), ports[number])
        create_keys(node.home, "joining", os.urandom)
        key = SigningKey(read_key(node.home.validator_key_file))
        candidates.append(Candidate(node, key, SigningKey(os.urandom(32))))
    everybody = (*testnet.nodes, *(candidate.node for candidate in candidates))
    addresses = {node.name: _address(node) for node in everybody}
    for candidate in candidates:
        node = candidate.node
        peers = tuple(address for name, address in addresses.items() if name != node.name)
        setup = NodeSetup(node.name, "joining", node.ports.p2p, node.ports.api, peers=peers, unmetered=True)
        write_setup(node.home, setup, testnet.genesis_file.read_text(encoding="utf-8"))
    for node in testnet.nodes:
        add_peers(node.home, tuple(addresses[candidate.node.name] for candidate in candidates))
    async with open_cluster(testnet, _die) as supervisor:
        await wait_ready(testnet)
        for candidate in candidates:
            await supervisor.start(candidate.node.program())
        for candidate in candidates:
            async with AsyncClient((candidate.node.url,)) as client:
                await client.wait_ready(_PATIENCE_SECONDS * 1000)
        wallet = Wallet(SigningKey(read_key(testnet.client_key_file)), testnet.cluster_id)
        yield Running(testnet, supervisor, wallet), tuple(candidates)


async def grow_and_shrink(cluster: Running, candidates: tuple[Candidate, ...], rate: int) -> Growth:
    """Each candidate joins, then each leaves, under `rate` transactions a second."""
    load, stop = Load(), trio.Event()
    testnet = cluster.testnet
    everybody = (*testnet.nodes, *(candidate.node for candidate in candidates))
    nodes, operators = list(testnet.nodes), [_operator(testnet, node.name) for node in testnet.nodes]
    crossings: list[Crossing] = []

    async def cross(change: Change, words: str, candidate: Candidate | None) -> None:
        epoch, began_ms = len(crossings) + 1, now_ms()
        await Council(testnet, tuple(nodes), tuple(operators)).decide(change, candidate)
        for node in everybody:
            await _wait_epoch(node, epoch)
        took_ms = now_ms() - began_ms
        await trio.sleep(SETTLE_SECONDS)
        pause_ms = load.longest_pause_ms(began_ms, now_ms())
        crossings.append(Crossing(words, epoch, took_ms, pause_ms))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(offer, cluster, rate, load, stop)
        await load.warm.wait()
        for candidate in candidates:
            words = f"{len(nodes)} -> {len(nodes) + 1}"
            await cross(AddValidator(candidate.record()), words, candidate)
            nodes.append(candidate.node)
            operators.append(candidate.operator)
        for candidate in reversed(candidates):
            await cross(RemoveValidator(candidate.node.name), f"{len(nodes)} -> {len(nodes) - 1}", None)
            nodes.pop()
            operators.pop()
        stop.set()
    account = await settle(cluster, load, everybody)
    return Growth(tuple(crossings), account, Tuning().base_timeout_ms)


async def _wait_epoch(node: LocalNode, epoch: int) -> None:
    """Until the node is in this epoch; raises trio.TooSlowError."""
    async with AsyncClient((node.url,)) as client:
        with trio.fail_after(_PATIENCE_SECONDS):
            while True:
                if (await client.status()).epoch >= epoch:
                    return
                await trio.sleep(_LOOK_AGAIN_SECONDS)


@click.command("epochs")
@click.option("--nodes", type=click.IntRange(4, 16), default=4, show_default=True, help="Of the genesis.")
@click.option("--to", type=click.IntRange(5, 17), default=7, show_default=True, help="Grow to so many.")
@click.option("--rate", type=click.IntRange(1, 2_000), default=50, show_default=True, help="A second.")
@click.option("--json", "as_json", is_flag=True, help="One object instead of a table.")
def command(nodes: int, to: int, rate: int, as_json: bool) -> None:
    """Grow a cluster and shrink it again under load; exit code 1 when anything is lost."""
    if to <= nodes:
        raise click.UsageError(f"--to must be more than the {nodes} nodes that the cluster starts with")
    with tempfile.TemporaryDirectory() as folder:
        found = trio.run(_run, nodes, to, Path(folder) / "net", rate)
    click.echo(json.dumps(asdict(found), indent=2) if as_json else _table(found, rate))
    if not found.account.is_whole:
        raise SystemExit(1)


async def _run(nodes: int, to: int, directory: Path, rate: int) -> Growth:
    async with growing_cluster(nodes, to - nodes, directory) as (cluster, candidates):
        return await grow_and_shrink(cluster, candidates, rate)


def _table(found: Growth, rate: int) -> str:
    smooth = "no pause was longer than that" if found.is_smooth else "PAUSES WERE LONGER THAN THAT"
    lines = [
        machine(),
        f"{rate} transactions a second, open loop, through the validators of the genesis",
        "validators   epoch   proposed to crossed   longest pause",
        *(
            f"{crossing.words:10} {crossing.epoch:7} {crossing.took_ms:18} ms {crossing.pause_ms:12} ms"
            for crossing in found.crossings
        ),
        f"a round's timeout is {found.timeout_ms} ms: {smooth}",
        *found.account.lines(),
        "nothing was lost" if found.account.is_whole else "NOT GOOD",
    ]
    return "\n".join(lines)
