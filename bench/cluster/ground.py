"""The cluster that is measured: one made for it on this machine, or one that runs elsewhere.

A made one is real daemons in a new folder, with as many member keys as there are clients; all of its
processes are gone when the block ends. An attached one is only talked to.
"""

import os
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from bench.cables import lay_cables
from bench.cluster.links import Means
from bench.cluster.scenarios import COMMIT_TARGET_MS, Mode, Scenario
from bench.cluster.wiring import Wiring
from bench.packetloss import PacketLoss
from bench.proxies import Mesh
from bench.wires import lay_wires
from consensus import SigningKey
from node.cli.failures import root_of
from node.client import AsyncClient, ClientError
from node.home import SEED_BYTES, read_key
from node.ledger.members import Member
from node.ledger.params import Params
from node.local.cluster import wait_ready
from node.local.ports import NodePorts, free_ports
from node.local.supervisor import Program, ProgramDied, Supervisor, open_supervisor
from node.local.testnet import LocalNode, Testnet, write_testnet

READY_MS = 60_000
_THROUGHPUT = {"ISTHMUS_LIMITS__COMMIT_TARGET_MS": str(COMMIT_TARGET_MS)}
_NO_FSYNC = {"ISTHMUS_STORAGE__FSYNC": "false"}
_CERTIFICATES = {"ISTHMUS_CONSENSUS__VERIFICATION_CERTIFICATES": "true"}


class GroundError(Exception):
    """There is nothing to measure: the user's fault or the cluster's, as a sentence."""


@dataclass(slots=True)
class Daemons:
    """The processes of a cluster on this machine; in the path of all links there is `mesh`, or in one of them
    `loss`, or nothing."""

    testnet: Testnet
    supervisor: Supervisor
    mesh: Mesh | None
    loss: PacketLoss | None
    deaths: list[ProgramDied] = field(default_factory=list)
    """Of daemons that ended although nobody killed them."""

    def pids(self) -> dict[str, int]:
        """Of the daemons that run, by name."""
        return {name: self.supervisor.process(name).pid for name in self.supervisor.running()}

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a node; SIGKILL makes its end expected."""
        self.supervisor.send_signal(name, number)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the nodes answer, by name; who may send; `daemons` is None for a cluster of others."""

    urls: Mapping[str, str]
    cluster_id: bytes
    seeds: tuple[bytes, ...]
    daemons: Daemons | None

    def pids(self) -> dict[str, int]:
        """Of the daemons here, by name."""
        return {} if self.daemons is None else self.daemons.pids()


@asynccontextmanager
async def open_local(
    scenario: Scenario, directory: Path, wiring: Wiring | None = None
) -> AsyncIterator[Ground]:
    """A new cluster for a scenario in `directory`, ready; `wiring` is for a scenario that says so.

    Raises GroundError, ClientError, OSError.
    """
    seeds = tuple(os.urandom(SEED_BYTES) for _ in range(scenario.clients))
    ports = free_ports(scenario.nodes) if wiring is None else wiring.namespaces.ports
    testnet = _write(scenario, directory, seeds, ports)
    mesh = None
    if wiring is not None:
        lay_wires(testnet, wiring.namespaces)
    elif scenario.means is Means.PROXIES:
        mesh = Mesh(tuple(node.ports.p2p for node in testnet.nodes))
        await mesh.bind()
        lay_cables(testnet, mesh)
    deaths: list[ProgramDied] = []
    async with trio.open_nursery() as nursery:
        if mesh is not None:
            nursery.start_soon(mesh.run)
        async with open_supervisor(deaths.append) as supervisor:
            for number, node in enumerate(testnet.nodes):
                await supervisor.start(_program(node, number, scenario, wiring))
            try:
                await wait_ready(testnet, READY_MS)
            except* ClientError as errors:
                reason = deaths[0] if deaths else root_of(errors)
                raise GroundError(f"the cluster did not become ready: {reason}") from errors
            urls = {node.name: node.url for node in testnet.nodes}
            loss = None if wiring is None else wiring.loss
            yield Ground(urls, testnet.cluster_id, seeds, Daemons(testnet, supervisor, mesh, loss, deaths))
        nursery.cancel_scope.cancel()


def _program(node: LocalNode, number: int, scenario: Scenario, wiring: Wiring | None) -> Program:
    program = node.program()
    through = () if wiring is None else wiring.namespaces.through(number)
    return replace(program, command=(*through, *program.command), environment=_environment(scenario))


def _environment(scenario: Scenario) -> dict[str, str]:
    fsync = {} if scenario.fsync else _NO_FSYNC
    return _THROUGHPUT | fsync | (_CERTIFICATES if scenario.verification_certificates else {})


def _write(
    scenario: Scenario, directory: Path, seeds: Sequence[bytes], ports: tuple[NodePorts, ...]
) -> Testnet:
    now_ms = time.time_ns() // 1_000_000
    params = Params(now_ms)
    if scenario.mode.benchmark is not None:
        params = replace(params, apps=(scenario.mode.benchmark.value,))
    if scenario.idle_interval_ms is not None:
        params = replace(params, idle_interval_ms=scenario.idle_interval_ms)
    if scenario.batch_bytes is not None:
        params = replace(params, batch_bytes_max=scenario.batch_bytes)
    members = [
        Member(SigningKey(seed).public_key, "org0", ("client",), f"bench-{number}")
        for number, seed in enumerate(seeds)
    ]
    return write_testnet(directory, "bench", ports, now_ms, os.urandom, params=params, members=members)


@asynccontextmanager
async def open_attached(
    urls: Sequence[str], key_files: Sequence[Path], mode: Mode = Mode.HONEST
) -> AsyncIterator[Ground]:
    """A cluster that runs already, by the URLs of its nodes; `key_files` are members who may publish.

    Raises GroundError, ClientError, HomeError.
    """
    named: dict[str, str] = {}
    clusters: set[bytes] = set()
    for url in urls:
        async with AsyncClient((url,), timeout_ms=READY_MS) as client:
            status = await client.status()
            await client.wait_ready(READY_MS)
        if status.node_name in named:
            raise GroundError(f"{url} and {named[status.node_name]} are one node, {status.node_name}")
        if status.benchmark != ("" if mode.benchmark is None else mode.benchmark.value):
            kind = f"a benchmark cluster ({status.benchmark})" if status.benchmark else "no benchmark cluster"
            raise GroundError(f"{url} belongs to {kind}; it cannot be measured in {mode.value} mode")
        named[status.node_name] = url.rstrip("/")
        clusters.add(status.cluster_id)
    if len(clusters) > 1:
        raise GroundError("the URLs belong to different clusters; attach to the nodes of one")
    yield Ground(named, clusters.pop(), tuple(read_key(file) for file in key_files), None)
