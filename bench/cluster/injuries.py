"""What a fault does to the daemons: signals, proxies, packets; from its begin until it is cancelled."""

import signal
from collections.abc import Sequence
from random import Random

import trio

from bench.cluster.ground import Daemons
from bench.cluster.scenarios import Fault
from bench.proxies import Mesh
from node.client import AsyncClient

SLOW_STOPPED_S, SLOW_RUNNING_S = 0.150, 0.050
STALL_S, STALLED_SHARE = 0.200, 0.1
_STATUS_MS = 5_000
_SEED = 1


async def injure(fault: Fault, daemons: Daemons) -> tuple[str, ...]:
    """Do it; the names of the nodes that were killed. Goes on until cancelled where it is no single blow.

    Raises NamespaceError when packets cannot be lost after all.
    """
    nodes = daemons.testnet.nodes
    match fault:
        case Fault.NONE:
            return ()
        case Fault.CRASH_LEADER | Fault.CRASH_F:
            killed = victims(fault, [node.name for node in nodes], await _leader(daemons))
            for name in killed:
                daemons.signal(name, signal.SIGKILL)
            return killed
        case Fault.SLOW_NODE:
            await _slow(daemons, nodes[-1].name)
        case Fault.LOSSY_LINK:
            if daemons.loss is not None:
                await daemons.loss.last()
            elif daemons.mesh is not None:
                await _stall(daemons.mesh, Random(_SEED))
            else:
                raise ValueError("a lossy link needs a cluster with something in its links")
    return ()


def victims(fault: Fault, names: Sequence[str], leader: str) -> tuple[str, ...]:
    """Whom a crash kills: the leader, and with CRASH_F as many as the cluster tolerates, one at least."""
    count = max(1, (len(names) - 1) // 3) if fault is Fault.CRASH_F else 1
    return (leader, *[name for name in names if name != leader][: count - 1])


async def _leader(daemons: Daemons) -> str:
    """Who leads the round of the moment, by a node's word."""
    async with AsyncClient((daemons.testnet.nodes[0].url,), timeout_ms=_STATUS_MS) as client:
        return (await client.status()).leader


async def _slow(daemons: Daemons, name: str) -> None:
    try:
        while True:
            daemons.signal(name, signal.SIGSTOP)
            await trio.sleep(SLOW_STOPPED_S)
            daemons.signal(name, signal.SIGCONT)
            await trio.sleep(SLOW_RUNNING_S)
    finally:
        daemons.signal(name, signal.SIGCONT)


async def _stall(mesh: Mesh, rng: Random) -> None:
    """Stalls of a retransmission's length at random, as an application sees lost packets."""
    try:
        while True:
            await trio.sleep(rng.expovariate(1 / (STALL_S / STALLED_SHARE - STALL_S)))
            mesh.hold(0, 1)
            mesh.hold(1, 0)
            await trio.sleep(STALL_S)
            mesh.heal()
    finally:
        mesh.heal()
