"""What the cluster's machines say of themselves: `/metrics` of each node, CPU and memory of each process.

Two looks, at the begin and at the end of the measured window, and their difference; a look costs a daemon
some milliseconds, so there are no more of them. What a node cannot tell (it is dead, or on another machine)
is absent, never zero.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import httpx2
import trio
from prometheus_client.parser import text_string_to_metric_families

from bench.processes import ProcessTable, Usage
from node.api.transport import trust_for

METRICS_SECONDS = 5.0
"""How long a look waits for a node."""
BENCH = "bench"
"""The name of this process, in which proxies run if there are any."""
Sample = tuple[str, tuple[tuple[str, str], ...]]
"""A metric's name and its labels, sorted."""


@dataclass(frozen=True, slots=True)
class NodeReading:
    """One node's metrics at one moment."""

    samples: Mapping[Sample, float]

    def value(self, name: str) -> float:
        """Of a metric without labels; raises KeyError."""
        return self.samples[f"isthmus_{name}", ()]

    def has_work_left(self) -> bool:
        """Whether transactions, or opaque bytes on a benchmark cluster, wait here to be sealed or stored."""
        pending = self.samples.get(("isthmus_transactions_pending", ()), 0)
        return bool(pending or self.by_label("bounded_items", "name").get("pool_unsealed_bytes", 0))

    def by_label(self, name: str, label: str) -> dict[str, float]:
        """Of a metric with labels, summed over all others."""
        found: dict[str, float] = {}
        for (metric, labels), value in self.samples.items():
            if metric == f"isthmus_{name}":
                key = dict(labels)[label]
                found[key] = found.get(key, 0.0) + value
        return found


@dataclass(frozen=True, slots=True)
class Reading:
    """All nodes and processes, by name, at one moment; `second` on Trio's clock. What stands below a process
    is named after it and by its own number, `node0/4711`, which no other has at another moment."""

    second: float
    nodes: Mapping[str, NodeReading]
    processes: Mapping[str, Usage]


@dataclass(frozen=True, slots=True)
class NodeWork:
    """What one node did between two looks. `link_bytes` are the bytes it sent, by peer."""

    rounds: int
    heights: int
    journal_syncs: int
    database_commits: int
    guard_writes: int
    timeouts: Mapping[str, int]
    refused: Mapping[str, int]
    link_bytes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Work:
    """What everything did between two looks, by name; memory is of the second look."""

    seconds: float
    nodes: Mapping[str, NodeWork]
    cpu_seconds: Mapping[str, float]
    rss_bytes: Mapping[str, int]


def parse_metrics(text: str) -> NodeReading:
    """A node's `/metrics`. Raises ValueError."""
    samples: dict[Sample, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return NodeReading(samples)


def work_between(before: Reading, after: Reading) -> Work:
    """The difference: of the nodes in both, and of the processes that still run; one that began in between
    spent all that it has in between. Those below `node0` become `node0/child1` and so on."""
    nodes = {
        name: _node_work(reading, after.nodes[name])
        for name, reading in before.nodes.items()
        if name in after.nodes
    }
    shown = _shown_names(after.processes)
    cpu, rss = {}, {}
    for name, usage in after.processes.items():
        earlier = before.processes.get(name)
        cpu[shown[name]] = usage.cpu_seconds - (0.0 if earlier is None else earlier.cpu_seconds)
        rss[shown[name]] = usage.rss_bytes
    return Work(after.second - before.second, nodes, cpu, rss)


def _shown_names(names: Iterable[str]) -> dict[str, str]:
    """Numbers of processes mean nothing to anybody: those below another are counted instead."""
    shown: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for name in names:
        head, below, _ = name.partition("/")
        counts[head] += bool(below)
        shown[name] = f"{head}/child{counts[head]}" if below else name
    return shown


def _node_work(before: NodeReading, after: NodeReading) -> NodeWork:
    def grown(name: str) -> int:
        return round(after.value(name) - before.value(name))

    def grown_by(name: str, label: str) -> dict[str, int]:
        earlier = before.by_label(name, label)
        found = after.by_label(name, label).items()
        return {key: round(value - earlier.get(key, 0.0)) for key, value in found}

    sent = {
        dict(labels)["peer"]: round(value - before.samples.get((name, labels), 0.0))
        for (name, labels), value in after.samples.items()
        if name == "isthmus_p2p_link_bytes_total" and dict(labels)["direction"] == "out"
    }
    return NodeWork(
        grown("consensus_round"),
        grown("consensus_certified_height"),
        grown("journal_syncs_total"),
        grown("store_commits_total"),
        grown("guard_writes_total"),
        grown_by("consensus_timeouts_total", "reason"),
        {code: count for code, count in grown_by("transactions_refused_total", "code").items() if count},
        sent,
    )


async def take_reading(urls: Mapping[str, str], pids: Mapping[str, int]) -> Reading:
    """Look at the nodes at `urls` and the processes of `pids` (with their children) by name."""
    nodes: dict[str, NodeReading] = {}

    async def look(http: httpx2.AsyncClient, name: str, url: str) -> None:
        try:
            answer = await http.get(f"{url}/metrics", timeout=METRICS_SECONDS)
        except httpx2.TransportError:
            return
        if answer.status_code == 200:
            nodes[name] = parse_metrics(answer.text)

    processes = _usages(pids)
    second = trio.current_time()
    verify = trust_for(tuple(urls.values()))
    async with httpx2.AsyncClient(verify=verify, trust_env=False) as http, trio.open_nursery() as nursery:
        for name, url in urls.items():
            nursery.start_soon(look, http, name, url)
    return Reading(second, {name: nodes[name] for name in urls if name in nodes}, processes)


def _usages(pids: Mapping[str, int]) -> dict[str, Usage]:
    """A daemon's own and each of its children's (verification workers) under names of their own, which a
    child that comes in the place of another does not take over.

    Nothing of those that are gone. Everything is a child of this process, which therefore counts alone.
    """
    table = ProcessTable.read()
    usages = {BENCH: table.usage(os.getpid())}
    for name, pid in pids.items():
        for number, member in enumerate(table.family(pid)):
            usages[name if not number else f"{name}/{member}"] = table.usage(member)
    return usages
