"""A trial's figures as plain values for scripts and histories, and what keeps them from being a success.

A rate that was not reached is no success at a lower rate: `problems` says so in sentences, and a command with
problems ends with exit code 1.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench.cluster.figures import LATE_US, OUTCOME_NAMES, Aftermath
from bench.cluster.links import Means
from bench.cluster.readings import BENCH, NodeWork, Work
from bench.cluster.scenarios import COMMIT_TARGET_MS, Fault, Scenario
from bench.cluster.shapes import ClosedLoop, NoLoad, OpenLoop
from bench.cluster.trial import Trial
from bench.machine import Machine, Noise
from node.ledger.codes import Code

ACHIEVED_MIN = 0.99
"""Part of an open loop's rate that must have been sent at its times."""
CARRIED_MIN = 0.95
"""Part of it that must have been certified within the window, whose ends and faults take some."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One trial with what it was and where. `attached`: the cluster was not ours. `p99_ms_bound`: what a rate
    that counts as carried stays under, where a knee is looked for."""

    scenario: Scenario
    trial: Trial
    attached: bool
    machine: Machine
    noise: Noise
    p99_ms_bound: float | None = None

    @property
    def achieved_rate(self) -> float:
        """Transactions a second that were offered: of an open loop those sent at their times."""
        traffic = self.trial.traffic
        return traffic.sent_tps if isinstance(self.scenario.shape, OpenLoop) else traffic.throughput_tps

    @property
    def problems(self) -> tuple[str, ...]:
        """Why this is no success, in sentences; nothing when it is one."""
        trial, traffic, done = self.trial, self.trial.traffic, self.scenario.promise.value
        found: list[str] = []
        if isinstance(self.scenario.shape, OpenLoop):
            rate = self.scenario.shape.rate
            if traffic.sent_tps < ACHIEVED_MIN * rate:
                found.append(
                    f"Only {traffic.sent_tps:,.0f} of {rate:,} tx/s were sent within {LATE_US // 1000} ms of "
                    "their times: the cluster, or this machine, cannot take this rate."
                )
            if traffic.throughput_tps < CARRIED_MIN * rate:
                found.append(f"Only {traffic.throughput_tps:,.0f} of {rate:,} tx/s were {done} in the time.")
        elif isinstance(self.scenario.shape, ClosedLoop) and traffic.latency_ms is None:
            found.append(f"Nothing was {done} in the measured time.")
        elif self.scenario.idle_interval_ms == 0 and not rounds_per_second(trial.work):
            found.append("No node told of any finished round.")
        if traffic.failed:
            reasons = ", ".join(f"{count:,} {code_name(code)}" for code, count in traffic.failed.items())
            found.append(f"Not all transactions were {done}: {reasons}.")
        if self.p99_ms_bound is not None and traffic.latency_ms is not None:
            p99 = traffic.latency_ms.p99
            if p99 >= self.p99_ms_bound:
                found.append(f"The 99th percentile was {p99:,.0f} ms, not under {self.p99_ms_bound:g} ms.")
        if trial.ran_out:
            found.append("The load ran out of signed transactions before its end.")
        return (*found, *trial.deaths)

    def to_json(self) -> dict[str, Any]:
        """Plain values, the machine's and its noise included."""
        figures = figures_of(self.scenario, self.trial)
        return {
            "success": not self.problems,
            "problems": list(self.problems),
            "attached": self.attached,
            "machine": self.machine.to_json(),
            "noise": self.noise.to_json(),
            "achieved_rate": self.achieved_rate,
        } | figures


def code_name(code: int) -> str:
    """An outcome's stable name."""
    if code in OUTCOME_NAMES:
        return OUTCOME_NAMES[code]
    try:
        return Code(code).label
    except ValueError:
        return f"code-{code}"


def figures_of(scenario: Scenario, trial: Trial) -> dict[str, Any]:
    """What was measured, and of what."""
    traffic, work = trial.traffic, trial.work
    latency = None if traffic.latency_ms is None else asdict(traffic.latency_ms)
    pauses = () if isinstance(scenario.shape, NoLoad) else traffic.pauses
    return {
        "scenario": scenario.label,
        "mode": scenario.mode.value,
        "promise": scenario.promise.value,
        "signed": scenario.mode.is_signed,
        "executed": scenario.mode.is_executed,
        "load": _load(scenario),
        "nodes": scenario.nodes,
        "clients": scenario.clients,
        "seconds": scenario.seconds,
        "warmup_seconds": scenario.warmup_seconds,
        "transaction_bytes": trial.transaction_bytes,
        "payload_bytes": scenario.payload_bytes,
        "batch_bytes": scenario.batch_bytes,
        "fsync": scenario.fsync,
        "commit_target_ms": None if "attached" in scenario.changed else COMMIT_TARGET_MS,
        "proxied": scenario.means is Means.PROXIES,
        "namespaced": scenario.means is Means.NAMESPACES,
        "throughput_tps": traffic.throughput_tps,
        "sent_tps": traffic.sent_tps,
        "latency_ms": latency,
        "distribution_ms": [list(point) for point in traffic.distribution_ms],
        "failed": {code_name(code): count for code, count in traffic.failed.items()},
        "refused": {code_name(code): count for code, count in trial.refusals.items()},
        "series": [asdict(second) for second in traffic.series],
        "pause_ms": pauses[0].length_ms if pauses else None,
        "pauses": [asdict(pause) for pause in pauses],
        "fault": _fault(scenario, trial),
        "measured_seconds": work.seconds,
        "cpu_seconds": dict(work.cpu_seconds),
        "rss_bytes": dict(work.rss_bytes),
        "cpu_us_per_transaction": cpu_us_per_transaction(trial),
        "rounds": max((node.rounds for node in work.nodes.values()), default=None),
        "rounds_per_second": rounds_per_second(work),
        "timeouts": _summed(work, "timeouts"),
        "refused_by_nodes": _summed(work, "refused"),
        "node_work": {name: _node(node, fsync=scenario.fsync) for name, node in work.nodes.items()},
    }


def rounds_per_second(work: Work) -> float | None:
    """Of the node that saw most; None when no node could be asked."""
    rounds = [node.rounds for node in work.nodes.values()]
    return max(rounds) / work.seconds if rounds else None


def cpu_us_per_transaction(trial: Trial) -> dict[str, float] | None:
    """Of all daemons with their workers, and of everything; None when nothing was certified, or the daemons
    cannot be seen from here. The CPU of a daemon that was killed is in neither."""
    certified = sum(second.certified for second in trial.traffic.series)
    cpu = trial.work.cpu_seconds
    daemons = [seconds for name, seconds in cpu.items() if not name.startswith(("load", BENCH))]
    if not certified or not daemons:
        return None
    return {"daemons": sum(daemons) / certified * 1e6, "all": sum(cpu.values()) / certified * 1e6}


def _load(scenario: Scenario) -> dict[str, Any]:
    kind = {OpenLoop: "open", ClosedLoop: "closed", NoLoad: "none"}[type(scenario.shape)]
    return {"kind": kind, "words": scenario.shape.words()} | asdict(scenario.shape)


def _fault(scenario: Scenario, trial: Trial) -> dict[str, Any] | None:
    if scenario.fault is Fault.NONE:
        return None
    after = trial.aftermath
    longest = None if after is None or after.longest is None else after.longest.length_ms
    return {
        "kind": scenario.fault.value,
        "words": scenario.fault_words,
        "means": None if scenario.means is None else scenario.means.value,
        "means_why": None if scenario.means is None else scenario.links.why,
        "packets": None if trial.lost is None else asdict(trial.lost),
        "at_s": trial.fault_at_s,
        "killed": list(trial.killed),
        "pause_ms": longest,
        "pause_count": None if after is None else after.count,
        "pause_bound_ms": None if after is None else after.bound_ms,
        "pauses": [] if after is None else [asdict(pause) for pause in after.pauses],
    }


def pause_words(after: Aftermath) -> str:
    """For people: the longest pause after a fault, and how many there were."""
    longest = "none" if after.longest is None else f"{after.longest.length_ms:,.0f} ms"
    times = {0: "no pause", 1: "once"}.get(after.count, f"{after.count} times")
    return f"{longest} at most; longer than {after.bound_ms:,.0f} ms: {times}"


def fsyncs_of(work: NodeWork, *, fsync: bool) -> dict[str, int]:
    """By what was synced. Of nodes without `fsync` the guard alone is, always."""
    return {
        "journal": work.journal_syncs if fsync else 0,
        "guard": 2 * work.guard_writes,
        "database": work.database_commits if fsync else 0,
    }


def _node(work: NodeWork, *, fsync: bool) -> dict[str, Any]:
    return {
        "rounds": work.rounds,
        "heights": work.heights,
        "fsyncs": fsyncs_of(work, fsync=fsync),
        "link_bytes": dict(work.link_bytes),
    }


def _summed(work: Work, name: str) -> dict[str, int]:
    """Of all nodes, by label; zeros are left out."""
    total: dict[str, int] = {}
    for node in work.nodes.values():
        table: Mapping[str, int] = getattr(node, name)
        for label, count in table.items():
            total[label] = total.get(label, 0) + count
    return {label: count for label, count in total.items() if count}
