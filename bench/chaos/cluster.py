"""The cluster under attack: real daemons on bad machines, with a proxy in each of their cables."""

import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from bench.cables import lay_cables
from bench.chaos.switches import Switches
from bench.proxies import Mesh
from consensus import SigningKey
from node.client import AsyncClient, Wallet
from node.home import read_key
from node.local.ports import free_ports
from node.local.supervisor import Program, ProgramDied, Supervisor, open_supervisor
from node.local.testnet import LocalNode, Testnet, write_testnet

_READY_ANSWER_MS = 2_000


@dataclass(slots=True)
class Machine:
    """One node: its process, its bad disk and clock, and how often it was started."""

    number: int
    node: LocalNode
    cluster_id: bytes
    switches: Switches
    life: int = 0
    refused_before: int = 0
    """Writes that its disk had refused when its process was started."""
    conditions: list[str] = field(default_factory=list)
    """What is broken now, for people."""

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node.name

    @property
    def must_end(self) -> bool:
        """Whether a write of its process was refused: then it ends by itself (C1), else it does not."""
        return self.switches.refused_writes > self.refused_before

    def begin_life(self) -> None:
        """Its process is about to be started."""
        self.life += 1
        self.refused_before = self.switches.refused_writes


class ChaosCluster:
    """The machines of a cluster; made by `open_chaos_cluster`."""

    def __init__(self, testnet: Testnet, mesh: Mesh, supervisor: Supervisor, machines: list[Machine]) -> None:
        self.testnet = testnet
        self.mesh = mesh
        self.machines = machines
        self.starts = 0
        self._supervisor = supervisor

    @property
    def wallet(self) -> Wallet:
        """The member who may publish."""
        return Wallet(SigningKey(read_key(self.testnet.client_key_file)), self.testnet.cluster_id)

    def is_running(self, machine: Machine) -> bool:
        """Whether its process has not ended."""
        return machine.name in self._supervisor.running()

    async def start(self, machine: Machine) -> None:
        """Start a machine that does not run."""
        node = machine.node
        launcher = (sys.executable, "-m", "bench.chaos.launcher", str(switch_file(node)))
        command = (*launcher, "--debug", "start", "--home", str(node.home.path))
        machine.begin_life()
        self.starts += 1
        await self._supervisor.start(Program(node.name, command, node.log_file, {}))

    def signal(self, machine: Machine, number: signal.Signals) -> None:
        """Send a signal; SIGKILL makes the end expected."""
        self._supervisor.send_signal(machine.name, number)

    async def ended(self, machine: Machine) -> None:
        """Until its process has ended."""
        await self._supervisor.ended(machine.name)

    async def ready(self, seconds: float) -> tuple[str, ...]:
        """Wait until all nodes say that they can commit; the names of those that did not in time."""
        late = {machine.name for machine in self.machines}

        async def wait(machine: Machine) -> None:
            async with AsyncClient((machine.node.url,), timeout_ms=_READY_ANSWER_MS) as client:
                await client.wait_ready(sys.maxsize)
            late.discard(machine.name)

        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for machine in self.machines:
                    nursery.start_soon(wait, machine)
        return tuple(sorted(late))


def switch_file(node: LocalNode) -> Path:
    """Where a node's switches are: beside its home's data, which a full disk never touches."""
    return node.home.path / "switches"


@asynccontextmanager
async def open_chaos_cluster(
    directory: Path, nodes: int, deaths: list[ProgramDied]
) -> AsyncIterator[ChaosCluster]:
    """A new cluster in `directory`, started; all of its processes are gone when the block ends, however.

    `deaths` hears of every process that ended although neither we nor a refused write made it.
    """
    ports = await trio.to_thread.run_sync(free_ports, nodes)
    testnet = write_testnet(directory, "chaos", ports, time.time_ns() // 1_000_000, os.urandom)
    mesh = Mesh(tuple(pair.p2p for pair in ports))
    await mesh.bind()
    lay_cables(testnet, mesh)
    machines = [
        Machine(number, node, testnet.cluster_id, Switches(switch_file(node)))
        for number, node in enumerate(testnet.nodes)
    ]
    by_name = {machine.name: machine for machine in machines}

    def tell_death(death: ProgramDied) -> None:
        if not by_name[death.name].must_end:
            deaths.append(death)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(mesh.run)
        async with open_supervisor(tell_death) as supervisor:
            cluster = ChaosCluster(testnet, mesh, supervisor, machines)
            for machine in machines:
                await cluster.start(machine)
            yield cluster
        nursery.cancel_scope.cancel()
