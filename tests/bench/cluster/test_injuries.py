"""What a fault does, on processes and proxies that only remember what was done to them."""

import signal
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from bench.cluster.injuries import SLOW_RUNNING_S, SLOW_STOPPED_S, STALL_S, STALLED_SHARE, injure, victims
from bench.cluster.scenarios import FAULT_WORDS, Fault
from bench.proxies import Mesh
from node.local.ports import free_ports
from node.local.testnet import LocalNode


class FakeDaemons:
    """Nodes with names, and a list of signals with their times."""

    def __init__(self, nodes: int, mesh: Mesh | None = None) -> None:
        self.testnet = SimpleNamespace(
            nodes=[LocalNode(f"node{n}", Any, ports) for n, ports in enumerate(free_ports(nodes))]  # type: ignore[arg-type]  # no home
        )
        self.mesh = mesh
        self.loss = None
        self.signals: list[tuple[float, str, signal.Signals]] = []

    def signal(self, name: str, number: signal.Signals) -> None:
        self.signals.append((trio.current_time(), name, number))


async def during(seconds: float, fault: Fault, daemons: Any) -> None:
    with trio.move_on_after(seconds):
        await injure(fault, daemons)


async def test_a_slow_node_runs_for_a_part_of_the_time_and_is_healed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    daemons = FakeDaemons(4)
    await during(10 * (SLOW_STOPPED_S + SLOW_RUNNING_S) + 0.01, Fault.SLOW_NODE, daemons)
    assert {name for _, name, _ in daemons.signals} == {"node3"}
    kinds = [number for _, _, number in daemons.signals]
    assert kinds == [signal.SIGSTOP, signal.SIGCONT] * 11
    first, second = daemons.signals[0][0], daemons.signals[1][0]
    assert second - first == pytest.approx(SLOW_STOPPED_S)


async def test_a_lossy_link_stalls_for_a_part_of_the_time_and_is_healed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    mesh = Mesh((1, 2, 3, 4))
    held = 0.0

    async def watch() -> None:
        nonlocal held
        while True:
            if mesh.ways[0, 1].is_held:
                assert mesh.ways[1, 0].is_held
                assert not mesh.ways[0, 2].is_held
                held += STALL_S / 4
            await trio.sleep(STALL_S / 4)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await during(200.0, Fault.LOSSY_LINK, FakeDaemons(4, mesh))
        nursery.cancel_scope.cancel()
    assert held / 200.0 == pytest.approx(STALLED_SHARE, rel=0.4)
    assert not any(way.is_held for way in mesh.ways.values())


def test_a_crash_kills_the_leader_and_no_more_than_the_cluster_tolerates() -> None:
    names = [f"node{number}" for number in range(7)]
    assert victims(Fault.CRASH_LEADER, names, "node3") == ("node3",)
    assert victims(Fault.CRASH_F, names, "node3") == ("node3", "node0")
    assert victims(Fault.CRASH_F, names[:4], "node0") == ("node0",)


async def test_nothing_is_done_to_a_good_cluster() -> None:
    daemons: Any = FakeDaemons(4)
    assert await injure(Fault.NONE, daemons) == ()
    assert daemons.signals == []


def test_every_fault_is_told_in_words() -> None:
    assert set(FAULT_WORDS) == set(Fault)
