"""Carries a schedule out on a cluster: inject, hold, heal, rest, and count what was really done."""

import json
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TextIO

import trio

from bench.chaos.checks.liveness import Window
from bench.chaos.cluster import ChaosCluster, Machine
from bench.chaos.schedule import Fault, FaultKind, Phase, Slot
from bench.chaos.switches import Disk

READY_SECONDS = 30.0
"""How long a slot waits for all nodes before it begins all the same: else more than f would be away."""
_DEATH_SECONDS = 60.0
"""A node whose journal refused ends by itself; after this long it is killed and that is a finding."""


@dataclass(slots=True)
class Injected:
    """What was done so far."""

    by_kind: dict[FaultKind, int] = field(default_factory=lambda: dict.fromkeys(FaultKind, 0))
    all_at_once: int = 0
    beyond_minority: int = 0
    ended_by_disk: int = 0
    late: list[str] = field(default_factory=list)
    """Sentences about nodes that were not back in time."""
    overstayed: list[str] = field(default_factory=list)
    """Sentences about nodes that went on after their journal refused."""
    windows: list[Window] = field(default_factory=list)
    """What was broken when: by kind, or by the phase when more than f were hurt."""
    now: str = "nothing"
    """What is broken now, for people."""


class Injector:
    """Hurts one cluster by one schedule."""

    def __init__(
        self, cluster: ChaosCluster, clock_us: Callable[[], int], log: TextIO, say: Callable[[str], None]
    ) -> None:
        self._cluster = cluster
        self._clock_us = clock_us
        self._log = log
        self._say = say
        self.done = Injected()

    async def run(self, slots: Sequence[Slot]) -> None:
        """All slots in order, each healed before the next."""
        for slot in slots:
            await self._settle()
            begin_us = self._clock_us()
            self._inject(slot)
            await trio.sleep(slot.held_ms / 1000)
            await self._heal()
            labels = {
                fault.kind.value if slot.phase is Phase.MINORITY else slot.phase.value
                for fault in slot.faults
            }
            self.done.windows += [Window(label, begin_us, self._clock_us()) for label in sorted(labels)]
            await trio.sleep(slot.rest_ms / 1000)

    async def _settle(self) -> None:
        late = await self._cluster.ready(READY_SECONDS)
        if late:
            self.done.late.append(
                f"{', '.join(late)} not ready {READY_SECONDS:.0f} s after the faults before were healed"
            )

    def _inject(self, slot: Slot) -> None:
        machines = self._cluster.machines
        words = "; ".join(fault.words(machines[fault.node].name) for fault in slot.faults)
        self.done.now = words if slot.phase is Phase.MINORITY else f"{words} ({slot.phase.value})"
        self._say(self.done.now)
        for fault in slot.faults:
            self._write("injected", slot.phase, fault)
            self._break(fault, machines[fault.node])
            self.done.by_kind[fault.kind] += 1
        self.done.all_at_once += slot.phase is Phase.ALL
        self.done.beyond_minority += slot.phase is Phase.BEYOND

    def _break(self, fault: Fault, machine: Machine) -> None:
        cluster = self._cluster
        machine.conditions.append(
            fault.words(machine.name).removeprefix(machine.name).removeprefix("'s").strip()
        )
        match fault.kind:
            case FaultKind.KILL:
                cluster.signal(machine, signal.SIGKILL)
            case FaultKind.STOP:
                cluster.signal(machine, signal.SIGSTOP)
            case FaultKind.CLOCK:
                machine.switches.clock_ahead_ms = fault.amount_ms
            case FaultKind.DISK:
                machine.switches.disk = Disk[fault.variant.upper()]
            case FaultKind.CUT:
                for peer in fault.peers:
                    self._break_cable(fault, peer)

    def _break_cable(self, fault: Fault, peer: int) -> None:
        mesh = self._cluster.mesh
        match fault.variant:
            case "refused":
                mesh.cut(fault.node, peer)
            case "slow":
                mesh.delay(fault.node, peer, fault.amount_ms)
                mesh.delay(peer, fault.node, fault.amount_ms)
            case _:
                if fault.variant in ("silent", "mute"):
                    mesh.hold(fault.node, peer)
                if fault.variant in ("silent", "deaf"):
                    mesh.hold(peer, fault.node)

    async def _heal(self) -> None:
        """Everything good again, whatever was broken, and every node started."""
        self._cluster.mesh.heal()
        async with trio.open_nursery() as nursery:
            for machine in self._cluster.machines:
                nursery.start_soon(self._heal_machine, machine)
        self._write("healed", None, None)
        self.done.now = "nothing"
        self._say("healed")

    async def _heal_machine(self, machine: Machine) -> None:
        cluster, switches = self._cluster, machine.switches
        switches.clock_ahead_ms = 0
        switches.disk = Disk.GOOD
        if cluster.is_running(machine):
            cluster.signal(machine, signal.SIGCONT)
        if machine.must_end:
            await self._see_end(machine)
        if any(condition == "killed" for condition in machine.conditions):
            await cluster.ended(machine)
        if not cluster.is_running(machine):
            await cluster.start(machine)
        machine.conditions.clear()

    async def _see_end(self, machine: Machine) -> None:
        """A node whose journal refused a write must end by itself (C1): it may promise nothing any more."""
        with trio.move_on_after(_DEATH_SECONDS):
            await self._cluster.ended(machine)
            self.done.ended_by_disk += 1
            return
        self.done.overstayed.append(
            f"{machine.name} went on for {_DEATH_SECONDS:.0f} s after its journal refused a write"
        )
        self._cluster.signal(machine, signal.SIGKILL)
        await self._cluster.ended(machine)

    def _write(self, event: str, phase: Phase | None, fault: Fault | None) -> None:
        """One line of the log of faults, on the clock of the history."""
        line: dict[str, object] = {"at_us": self._clock_us(), "event": event}
        if phase is not None and fault is not None:
            fields = asdict(fault)
            line |= {"phase": phase.value, **fields, "kind": fault.kind.value}
        self._log.write(json.dumps(line) + "\n")
        self._log.flush()
