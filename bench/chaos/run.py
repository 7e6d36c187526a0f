"""One run from seed to verdict: a cluster, clients, a schedule of faults, healing, and all checks."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol

import trio

from bench.chaos.chain import replay
from bench.chaos.checks.durable import check_durable
from bench.chaos.checks.finding import Finding, Verdict
from bench.chaos.checks.liveness import check_liveness, longest_pauses_us, pauses_by_fault_us
from bench.chaos.checks.once import check_once
from bench.chaos.checks.processes import check_processes
from bench.chaos.checks.reads import check_reads
from bench.chaos.checks.registers import check_registers
from bench.chaos.checks.writes import check_writes
from bench.chaos.clients import OWN_REGISTERS, SHARED_REGISTERS, ChaosClient, Register, Values
from bench.chaos.cluster import ChaosCluster, open_chaos_cluster
from bench.chaos.collecting import Recovery, certify_everywhere, collect_chain
from bench.chaos.door import Door
from bench.chaos.history import History, Kind, Operation, Result
from bench.chaos.injector import Injected, Injector
from bench.chaos.schedule import FaultKind, make_schedule
from node.local.supervisor import ProgramDied

CLIENTS = 6
START_SECONDS = 60.0
LAST_OPERATIONS_SECONDS = 1.0
"""How long clients go on when everything is healed, before they are stopped."""


class ChaosFailed(Exception):
    """There is no verdict: the cluster did not even start, or could not be asked; `str()` says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. `recovery_ms` is the bound of the liveness check."""

    seed: int
    nodes: int
    fault_ms: int
    kinds: tuple[FaultKind, ...]
    recovery_ms: int


@dataclass(frozen=True, slots=True)
class Strikes:
    """How often faults really struck, as the proxies and the launchers counted it."""

    severed: int
    refused_connections: int
    held_chunks: int
    delayed_chunks: int
    low_answers: int
    refused_commits: int
    refused_writes: int
    shifted_readings: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a person or a program wants to know of a run. Times in milliseconds."""

    plan: Plan
    operations: tuple[Operation, ...]
    heights: int
    findings: tuple[Finding, ...]
    injected: Injected
    strikes: Strikes
    starts: int
    pauses_ms: dict[str, int]
    pauses_by_fault_ms: dict[str, int]
    recovered_ms: dict[str, int | None]

    @property
    def is_success(self) -> bool:
        """Every check holds; giving up is no success."""
        return all(finding.verdict is Verdict.HOLDS for finding in self.findings)

    def count(self, result: Result, *, reads: bool) -> int:
        """Operations that ended like this."""
        return sum(
            operation.outcome.result is result and (operation.request.kind is Kind.READ) == reads
            for operation in self.operations
        )


class Watcher(Protocol):
    """Who follows a run and tells people."""

    def say(self, text: str) -> None:
        """Something happened."""

    def started(self, cluster: ChaosCluster, history: History, injected: Injected) -> None:
        """These are alive now and may be looked at."""

    def collecting(self, requests: int) -> Callable[[int], None]:
        """The nodes are asked for everything, in so many requests; who is called counts them."""


def clock_us() -> int:
    """The one clock of a run."""
    return time.monotonic_ns() // 1000


async def run_chaos(plan: Plan, directory: Path, watcher: Watcher) -> Report:
    """Run and judge. Everything is kept in `directory`. Raises ChaosFailed."""
    deaths: list[ProgramDied] = []
    with (directory / "history.jsonl").open("w") as log, (directory / "faults.jsonl").open("w") as faults:
        history = History(clock_us, log)
        async with open_chaos_cluster(directory / "net", plan.nodes, deaths) as cluster:
            watcher.say(f"{plan.nodes} nodes start in {directory / 'net'}")
            late = await cluster.ready(START_SECONDS)
            if late or deaths:
                raise ChaosFailed(f"{', '.join(late)} did not become ready: {' '.join(map(str, deaths))}")
            first = await certify_everywhere(cluster, "chaos/before", int(START_SECONDS * 1000))
            if None in first.elapsed_ms.values():
                raise ChaosFailed(f"not every node certified a first transaction: {first.elapsed_ms}")
            injector = Injector(cluster, clock_us, faults, watcher.say)
            watcher.started(cluster, history, injector.done)
            await _hurt(plan, cluster, history, injector)
            watcher.say("everything is healed; waiting for a new transaction on every node")
            recovery = await certify_everywhere(cluster, "chaos/after", plan.recovery_ms)
            findings = await _judge(plan, cluster, history, first, recovery, watcher)
            strikes = _strikes(cluster)
    findings.append(
        check_processes(cluster.starts, [str(death) for death in deaths], injector.done.overstayed)
    )
    pauses = longest_pauses_us(history.operations)
    by_fault = pauses_by_fault_us(history.operations, injector.done.windows)
    return Report(
        plan,
        tuple(history.operations),
        recovery.height,
        tuple(findings),
        injector.done,
        strikes,
        cluster.starts,
        {name: pause // 1000 for name, pause in pauses.items()},
        {label: pause // 1000 for label, pause in by_fault.items()},
        recovery.elapsed_ms,
    )


async def _hurt(plan: Plan, cluster: ChaosCluster, history: History, injector: Injector) -> None:
    """Clients work while the schedule is carried out, and a little longer."""
    rng = Random(plan.seed)
    slots = make_schedule(rng, plan.nodes, plan.fault_ms, plan.kinds)
    stop, values = trio.Event(), Values()
    doors = {
        machine.name: Door(machine.node.url, machine.cluster_id, lambda: clock_us() // 1000)
        for machine in cluster.machines
    }
    async with trio.open_nursery() as nursery:
        for number in range(CLIENTS):
            registers = [Register(f"own-{number}-{which}") for which in range(OWN_REGISTERS)]
            registers += [Register(f"shared-{which}") for which in range(SHARED_REGISTERS)]
            client = ChaosClient(
                f"client{number}", cluster, doors, history, registers, values, Random(rng.getrandbits(64))
            )
            nursery.start_soon(client.run, stop)
        await injector.run(slots)
        await trio.sleep(LAST_OPERATIONS_SECONDS)
        stop.set()
    for door in doors.values():
        await door.aclose()


async def _judge(
    plan: Plan,
    cluster: ChaosCluster,
    history: History,
    first: Recovery,
    recovery: Recovery,
    watcher: Watcher,
) -> list[Finding]:
    findings = [check_liveness(recovery.elapsed_ms, plan.recovery_ms)]
    answering = [each for each in cluster.machines if recovery.elapsed_ms[each.name] is not None]
    if not answering:
        return findings
    operations = history.operations
    asked = [o.request.tx_id for o in operations if o.is_executed and o.request.tx_id is not None]
    advance = watcher.collecting(len(answering) * (recovery.height + len(asked)))
    chain = await collect_chain(answering, recovery.height, asked, advance)
    replayed = replay(chain.executed)
    return [
        check_durable(operations, chain),
        check_once(operations, chain, first.tx_ids | recovery.tx_ids),
        check_writes(operations, chain, replayed),
        check_reads(operations, replayed),
        await trio.to_thread.run_sync(check_registers, operations),
        *findings,
    ]


def _strikes(cluster: ChaosCluster) -> Strikes:
    counts = cluster.mesh.counts
    switches = [machine.switches for machine in cluster.machines]
    return Strikes(
        counts.severed,
        counts.refused,
        counts.held_chunks,
        counts.delayed_chunks,
        sum(each.low_answers for each in switches),
        sum(each.refused_commits for each in switches),
        sum(each.refused_writes for each in switches),
        sum(each.shifted_readings for each in switches),
    )
