"""One load on a federation: the passage, what the daemons spent on it, and what the ledgers say of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench.cluster.readings import BENCH, NodeReading, Reading, take_reading
from bench.lanes.ground import Ground
from bench.lanes.sailing import Lane
from bench.lanes.voyages import Passage, passage_of
from node.api.federation_talk import explanation_of
from node.client import AsyncClient
from node.local.testnet import Testnet

DRAIN_SECONDS = 60.0
_SAMPLED_MAX = 64
"""Messages whose outcome the source is asked for by name; older results are pruned."""
COURIER_COUNTS = ("bundles", "bundle_bytes", "leaves", "submitted", "forestalled", "rounds")


@dataclass(frozen=True, slots=True)
class Couriers:
    """What all couriers of one cluster did with one peer, and their failed rounds by code."""

    counts: Mapping[str, int]
    verify_seconds: float
    errors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Trial:
    """One load. CPU is of a whole cluster's daemons with their workers, by cluster name, in seconds;
    `heights` what each certified; `ends` the outcomes of the last messages, by result;
    `found_full` how often one was sent again because the lane was full."""

    passage: Passage
    work_seconds: float
    cpu_seconds: Mapping[str, float]
    heights: Mapping[str, int]
    receiving: Couriers
    hearing: Couriers
    ends: Mapping[str, int]
    found_full: int
    deaths: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Why this is no success."""
        wrong = {end: count for end, count in self.ends.items() if end != "ok"}
        found = [f"Messages ended as {wrong}, not as ok."] if wrong else []
        return (*self.passage.problems, *found, *self.deaths)

    @property
    def cpu_us_per_message(self) -> float:
        """Of all daemons of all clusters together, what runs besides included."""
        daemons = sum(cpu for name, cpu in self.cpu_seconds.items() if name != BENCH)
        return 1e6 * daemons / max(1, self.passage.messages)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        passage = asdict(self.passage)
        return {
            **passage,
            "success": not self.problems,
            "problems": list(self.problems),
            "work_seconds": self.work_seconds,
            "cpu_seconds": dict(self.cpu_seconds),
            "cpu_us_per_message": self.cpu_us_per_message,
            "heights": dict(self.heights),
            "receiving": asdict(self.receiving),
            "hearing": asdict(self.hearing),
            "ends": dict(self.ends),
            "found_full": self.found_full,
        }


async def run_trial(ground: Ground, lane: Lane, rate: int, seconds: float) -> Trial:
    """`rate` messages a second for so long, from the first cluster to the second. Raises ClientError."""
    shares = await lane.sign(max(1, int(rate * seconds)))
    before = await take_reading(ground.urls(), ground.pids())
    lane.begin()
    sent = await lane.send(shares, rate, seconds)
    sequences = [each.sequence for each in sent if each.sequence is not None]
    if sequences:
        await lane.all_acknowledged(max(sequences), DRAIN_SECONDS)
    after = await take_reading(ground.urls(), ground.pids())
    source, destination = lane.source, lane.destination
    return Trial(
        passage_of(sent, lane.handled, lane.acknowledged, rate, seconds),
        after.second - before.second,
        _cpu(before, after),
        {
            testnet.name: _grown(before, after, f"{testnet.name}/node0", "isthmus_consensus_certified_height")
            for testnet in ground.local.testnets
        },
        _couriers(before, after, destination, source),
        _couriers(before, after, source, destination),
        await _ends(source, destination, sorted(sequences)[-_SAMPLED_MAX:]),
        lane.found_full,
        tuple(str(death) for death in ground.deaths),
    )


async def _ends(source: Testnet, destination: Testnet, sequences: list[int]) -> dict[str, int]:
    found: dict[str, int] = {}
    async with AsyncClient([node.url for node in source.nodes]) as client:
        for sequence in sequences:
            answer = await client.look(explanation_of(destination.cluster_id, sequence))
            end = answer.result or answer.step
            found[end] = found.get(end, 0) + 1
    return found


def _cpu(before: Reading, after: Reading) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, usage in after.processes.items():
        if name in before.processes:
            cluster = name.partition("/")[0]
            spent = usage.cpu_seconds - before.processes[name].cpu_seconds
            found[cluster] = found.get(cluster, 0.0) + spent
    return found


def _grown(before: Reading, after: Reading, node: str, metric: str) -> int:
    if node not in before.nodes or node not in after.nodes:
        return 0
    earlier, later = (reading.nodes[node].samples.get((metric, ()), 0.0) for reading in (before, after))
    return round(later - earlier)


def _couriers(before: Reading, after: Reading, at: Testnet, peer: Testnet) -> Couriers:
    counts = dict.fromkeys(COURIER_COUNTS, 0)
    verify_seconds, errors = 0.0, dict[str, int]()
    for name in (f"{at.name}/{node.name}" for node in at.nodes):
        if name not in before.nodes or name not in after.nodes:
            continue
        for count in COURIER_COUNTS:
            counts[count] += round(_difference(before.nodes[name], after.nodes[name], count, peer.name))
        verify_seconds += _difference(before.nodes[name], after.nodes[name], "verify_seconds", peer.name)
        for (metric, labels), value in after.nodes[name].samples.items():
            told = dict(labels)
            if metric == "isthmus_federation_courier_errors_total" and told["cluster"] == peer.name:
                grown = round(value - before.nodes[name].samples.get((metric, labels), 0.0))
                if grown:
                    errors[told["code"]] = errors.get(told["code"], 0) + grown
    return Couriers(counts, verify_seconds, errors)


def _difference(before: NodeReading, after: NodeReading, count: str, peer: str) -> float:
    key = (f"isthmus_federation_courier_{count}_total", (("cluster", peer),))
    return after.samples.get(key, 0.0) - before.samples.get(key, 0.0)
