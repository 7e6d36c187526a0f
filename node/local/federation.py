"""Several local clusters in one folder that admit each other, for one machine.

    DIR/federation.json     which clusters there are
    DIR/a, b, c ...         one testnet each (`node/local/testnet.py`), named local.a, local.b ...

They admit each other as clusters of different organisations would: operators of each propose and approve on
their own ledger. What was admitted is read from the ledgers, so that a start goes on where one broke off.
"""

import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from consensus import PublicKey, SigningKey, Value, as_tuple, encode
from node.anchoring.cluster.identity import ClusterIdentity
from node.api.federation_queries import ClusterAnswer
from node.api.federation_talk import federation
from node.client import AsyncClient, ClientError, Wallet
from node.genesis import Genesis
from node.home import read_key, write_new
from node.ledger.apps.sharing import MODE, REQUEST_PORT, SHARE_PORT
from node.ledger.federation.changes import AdmitCluster, FederationChange, SetLanePolicy
from node.ledger.federation.records import Address, LanePolicy
from node.ledger.governance.app import NAME as GOVERNANCE
from node.ledger.receipts import Receipt
from node.local.cluster import wait_ready
from node.local.newnode import RandomBytes
from node.local.ports import DEFAULT_BASE_PORT, LOOPBACK, NodePorts, first_busy, fixed_ports, free_ports
from node.local.supervisor import Program, ProgramDied, Supervisor, open_supervisor
from node.local.testnet import Testnet, TestnetError, read_testnet, write_testnet

CLUSTERS_MAX = 8
PORTS_PER_CLUSTER = 1000
MANIFEST = "federation.json"
READY_MS = 300_000
LOOK_SECONDS = 1.0
_MANIFEST_VERSION = 1
_LETTERS = "abcdefgh"


@dataclass(frozen=True, slots=True)
class LocalFederation:
    """Local clusters that are written to disk."""

    directory: Path
    testnets: tuple[Testnet, ...]

    def others(self, testnet: Testnet) -> tuple[Testnet, ...]:
        """All but this one."""
        return tuple(other for other in self.testnets if other is not testnet)

    def programs(self) -> tuple[Program, ...]:
        """Every daemon, by the name `cluster/node`."""
        return tuple(
            replace(node.program(), name=f"{testnet.name}/{node.name}")
            for testnet in self.testnets
            for node in testnet.nodes
        )


@dataclass(frozen=True, slots=True)
class Sight:
    """How one cluster (`name`, at `height`) is held by another one (`holder`), wall-clock age included.

    `height` is None when the cluster did not answer; `held` is None when the holder did not answer or has
    not admitted it."""

    name: str
    height: int | None
    holder: str
    held: ClusterAnswer | None
    age_ms: int

    @property
    def lag(self) -> int | None:
        """How many heights the anchor is behind."""
        if self.height is None or self.held is None:
            return None
        return max(0, self.height - self.held.height)


def plan_ports(clusters: int, nodes: int) -> tuple[tuple[NodePorts, ...], ...]:
    """27600 + 1000 * cluster + 10 * node, or any free ports when one of these is taken."""
    fixed = tuple(
        fixed_ports(nodes, DEFAULT_BASE_PORT + PORTS_PER_CLUSTER * number) for number in range(clusters)
    )
    if first_busy(tuple(pair for ports in fixed for pair in ports)) is None:
        return fixed
    return free_federation_ports(clusters, nodes)


def free_federation_ports(clusters: int, nodes: int) -> tuple[tuple[NodePorts, ...], ...]:
    """Any free ports, cluster by cluster."""
    free = free_ports(clusters * nodes)
    return tuple(free[number * nodes : (number + 1) * nodes] for number in range(clusters))


def write_federation(
    directory: Path,
    ports: Sequence[tuple[NodePorts, ...]],
    created_ms: int,
    random_bytes: RandomBytes,
) -> LocalFederation:
    """Write one new cluster for each entry of `ports`. Raises TestnetError when the folder is not empty."""
    if not 2 <= len(ports) <= CLUSTERS_MAX:
        raise TestnetError(f"a local federation has 2 to {CLUSTERS_MAX} clusters, not {len(ports)}")
    if directory.exists() and any(directory.iterdir()):
        raise TestnetError(f"{directory} is not empty; choose another folder, or remove it yourself first")
    testnets = tuple(
        write_testnet(directory / letter, f"local.{letter}", own, created_ms, random_bytes)
        for letter, own in zip(_LETTERS, ports, strict=False)
    )
    document = {
        "version": _MANIFEST_VERSION,
        "clusters": [testnet.directory.name for testnet in testnets],
    }
    write_new(directory / MANIFEST, (json.dumps(document, indent=2) + "\n").encode(), 0o644)
    return LocalFederation(directory, testnets)


def read_federation(directory: Path) -> LocalFederation:
    """The federation written in a folder. Raises TestnetError."""
    manifest = directory / MANIFEST
    try:
        document = json.loads(manifest.read_text(encoding="utf-8"))
        if document["version"] != _MANIFEST_VERSION:
            raise TestnetError(f"{manifest} was written by other software; write the federation anew")
        testnets = tuple(read_testnet(directory / name) for name in document["clusters"])
    except FileNotFoundError:
        raise TestnetError(
            f"{directory} holds no federation ({MANIFEST} is missing); write one: "
            f"isthmus federation up --out {directory}"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise TestnetError(f"{manifest} is damaged ({error}); write the federation anew") from error
    return LocalFederation(directory, testnets)


def open_or_write(directory: Path, clusters: int, nodes: int) -> LocalFederation:
    """The federation of an earlier start, whatever size it has, or a new one. Raises TestnetError."""
    if (directory / MANIFEST).exists():
        return read_federation(directory)
    return write_federation(directory, plan_ports(clusters, nodes), time.time_ns() // 1_000_000, os.urandom)


# --- admission --------------------------------------------------------------------------------------


def admission_of(
    body: bytes, addresses: tuple[Address, ...], *, shares_records: bool
) -> tuple[FederationChange, ...]:
    """The changes by which a cluster is admitted and, if wanted, may exchange records with the holder."""
    identity = ClusterIdentity.from_body(body)
    changes: list[FederationChange] = [AdmitCluster(body, addresses, identity)]
    if shares_records:
        allowed = LanePolicy(may_send=True, may_receive=True)
        changes += [
            SetLanePolicy(identity.cluster_id, port, MODE, allowed) for port in (SHARE_PORT, REQUEST_PORT)
        ]
    return tuple(changes)


def addresses_of(testnet: Testnet, genesis: Genesis) -> tuple[Address, ...]:
    """Where the nodes of a local cluster are dialled."""
    keys = {validator.name: validator.node_key for validator in genesis.validators}
    return tuple(Address(PublicKey(keys[node.name]), LOOPBACK, node.ports.p2p) for node in testnet.nodes)


async def admit_each_other(local: LocalFederation) -> None:
    """Every cluster admits all others that it has not admitted yet. Raises ClientError, TestnetError."""
    async with trio.open_nursery() as nursery:
        for testnet in local.testnets:
            nursery.start_soon(_admit_all, testnet, local.others(testnet))


async def _admit_all(holder: Testnet, peers: Sequence[Testnet]) -> None:
    async with client_of(holder) as client:
        known = {held.cluster_id for held in (await client.look(federation())).clusters}
        for peer in peers:
            if peer.cluster_id not in known:
                genesis = Genesis.from_json(peer.genesis_file.read_text(encoding="utf-8"))
                changes = admission_of(genesis.body, addresses_of(peer, genesis), shares_records=True)
                await _decide(client, holder, changes)


async def _decide(client: AsyncClient, holder: Testnet, changes: Sequence[FederationChange]) -> None:
    """One operator proposes, unless that was done before, and others approve until it takes effect."""
    keys = [
        SigningKey(read_key(holder.directory / "keys" / f"operator-{node.name}.key")) for node in holder.nodes
    ]
    values: tuple[Value, ...] = tuple(change.to_value() for change in changes)
    open_now = (await client.governance()).proposals
    found = next((one for one in open_now if one.changes == encode(values)), None)
    if found is None:
        receipt = await _govern(client, holder, keys[0], "propose", (values, 0))
        proposal_id, approved = as_tuple(receipt.result, 5, "result")[0], {bytes(keys[0].public_key)}
        if _is_executed(receipt):
            return
    else:
        proposal_id, approved = found.proposal_id, {one.operator_key for one in found.approvals}
    for key in keys:
        if key.public_key not in approved:
            receipt = await _govern(client, holder, key, "approve", (proposal_id,))
            if _is_executed(receipt):
                return


def _is_executed(receipt: Receipt) -> bool:
    return bool(as_tuple(receipt.result, 5, "result")[1])


async def _govern(
    client: AsyncClient, holder: Testnet, key: SigningKey, method: str, args: tuple[Value, ...]
) -> Receipt:
    receipt = await client.submit(Wallet(key, holder.cluster_id).sign(GOVERNANCE, method, args))
    if not receipt.ok:
        raise TestnetError(f"{holder.name} does not admit its neighbours: {receipt.explanation}")
    return receipt


# --- looking ----------------------------------------------------------------------------------------


def client_of(testnet: Testnet, timeout_ms: int = 10_000) -> AsyncClient:
    """A client of all nodes of a cluster, which trusts its genesis alone."""
    urls = [node.url for node in testnet.nodes]
    return AsyncClient(urls, trust=testnet.cluster_id, timeout_ms=timeout_ms)


async def look_around(local: LocalFederation, clients: Sequence[AsyncClient]) -> tuple[Sight, ...]:
    """How every cluster is held by every other one; `clients` in the order of the clusters."""
    heights: dict[bytes, int] = {}
    held: dict[tuple[bytes, bytes], ClusterAnswer] = {}

    async def ask(testnet: Testnet, client: AsyncClient) -> None:
        try:
            heights[testnet.cluster_id] = (await client.status()).stored_height
            for answer in (await client.look(federation())).clusters:
                held[testnet.cluster_id, answer.cluster_id] = answer
        except ClientError:
            return  # what does not answer is shown as such, and asked again

    async with trio.open_nursery() as nursery:
        for testnet, client in zip(local.testnets, clients, strict=True):
            nursery.start_soon(ask, testnet, client)
    now_ms = time.time_ns() // 1_000_000
    sights = []
    for testnet in local.testnets:
        for holder in local.others(testnet):
            answer = held.get((holder.cluster_id, testnet.cluster_id))
            age_ms = 0 if answer is None else max(0, now_ms - answer.time_ms)
            height = heights.get(testnet.cluster_id)
            sights.append(Sight(testnet.name, height, holder.name, answer, age_ms))
    return tuple(sights)


# --- running ----------------------------------------------------------------------------------------


async def run_federation(
    local: LocalFederation, say: Callable[[str], None], show: Callable[[tuple[Sight, ...]], None]
) -> bool:
    """Run until SIGINT or SIGTERM (True), or until no daemon is left (False).

    `say` hears of readiness and of every daemon that dies; `show` gets a look around each second.
    """
    supervisors: list[Supervisor] = []
    deserted = trio.Event()

    def tell_death(death: ProgramDied) -> None:
        say(f"{death}\nIt is not restarted. Stop with Ctrl-C and start all again, or go on without it.")
        if not supervisors[0].running():
            deserted.set()

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as arrivals:
        async with open_supervisor(tell_death) as supervisor, trio.open_nursery() as nursery:
            supervisors.append(supervisor)
            nursery.start_soon(_end_on, arrivals, nursery.cancel_scope)
            for program in local.programs():
                await supervisor.start(program)
            nursery.start_soon(_federate, local, say, show)
            await deserted.wait()
            nursery.cancel_scope.cancel()
    say("All nodes are stopped.")
    return not deserted.is_set()


async def _federate(
    local: LocalFederation, say: Callable[[str], None], show: Callable[[tuple[Sight, ...]], None]
) -> None:
    await make_ready(local)
    say(f"{len(local.testnets)} clusters have admitted each other. Ctrl-C stops them.")
    clients = [client_of(testnet, timeout_ms=2_000) for testnet in local.testnets]
    try:
        while True:
            show(await look_around(local, clients))
            await trio.sleep(LOOK_SECONDS)
    finally:
        with trio.move_on_after(1, shield=True):
            for client in clients:
                await client.aclose()


async def make_ready(local: LocalFederation) -> None:
    """Until every node can commit and every cluster has admitted every other. Raises ClientError."""
    async with trio.open_nursery() as nursery:
        for testnet in local.testnets:
            nursery.start_soon(wait_ready, testnet, READY_MS)
    await admit_each_other(local)


async def _end_on(arrivals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in arrivals:
        scope.cancel()
        return
