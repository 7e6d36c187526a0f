"""Memory under steady load: minute 10 against minute 2, and every bound against what it holds.

A leak of a few bytes a transaction shows as a slope; a cache that fills shows as a bend. Load is honest:
signed, executed, certified transactions through all nodes at a fixed rate. What counts is the memory the
program holds; pages of the mapped database that are in memory grow with the database, belong to the kernel
and are told apart.
"""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
import httpx2
import trio
from prometheus_client.parser import text_string_to_metric_families

from bench.finiterange import FiniteRange
from bench.local import Running, make_record, running_cluster
from bench.processes import machine
from node.client import AsyncClient
from node.local.testnet import NODES_MAX

SAMPLE_SECONDS = 10.0
BURSTS_PER_SECOND = 4


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds since the start, memory of each node with its workers, transactions certified."""

    second: float
    anonymous_bytes: tuple[int, ...]
    file_bytes: tuple[int, ...]
    certified: int


@dataclass(slots=True)
class _Progress:
    certified: int = 0
    late_bursts: int = 0


async def soak(cluster: Running, minutes: float, rate: int) -> tuple[list[Sample], list[str], int]:
    """Samples, the bounds that were exceeded (there should be none), and bursts that came too late."""
    progress, samples, exceeded = _Progress(), list[Sample](), list[str]()
    started = time.monotonic()
    with trio.move_on_after(minutes * 60):
        async with trio.open_nursery() as nursery:
            for index, node in enumerate(cluster.testnet.nodes):
                share = rate // len(cluster.testnet.nodes)
                nursery.start_soon(_load, cluster, node.url, index, share, progress)
            while True:
                await trio.sleep(SAMPLE_SECONDS)
                usages = cluster.usages()
                own = tuple(usage.anonymous_bytes for usage in usages)
                mapped = tuple(usage.file_bytes for usage in usages)
                samples.append(Sample(time.monotonic() - started, own, mapped, progress.certified))
                for node in cluster.testnet.nodes:
                    exceeded += await _exceeded(node.url)
                click.echo(f"{samples[-1].second:6.0f} s  {own}  {mapped}  {progress.certified}", err=True)
    return samples, exceeded, progress.late_bursts


async def _load(cluster: Running, url: str, index: int, rate: int, progress: _Progress) -> None:
    """Bursts at fixed times; a burst that would overtake its predecessor is late and counted."""
    number = index * 100_000_000
    size = max(1, rate // BURSTS_PER_SECOND)
    due = trio.current_time()
    async with AsyncClient((url,), timeout_ms=60_000) as client:
        while True:
            due += 1 / BURSTS_PER_SECOND
            if trio.current_time() > due:
                progress.late_bursts += 1
            await trio.sleep_until(due)
            burst = [make_record(cluster.wallet, number + i, 100) for i in range(size)]
            number += size
            outcomes = await client.submit_many(burst)
            progress.certified += sum(outcome.state == "certified" for outcome in outcomes)


async def _exceeded(url: str) -> list[str]:
    async with httpx2.AsyncClient() as http:
        text = (await http.get(f"{url}/metrics")).text
    held: dict[str, float] = {}
    bound: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "isthmus_bounded_items":
                held[sample.labels["name"]] = sample.value
            elif sample.name == "isthmus_bounded_limit":
                bound[sample.labels["name"]] = sample.value
    return [f"{url} {name}: {value} of {bound[name]}" for name, value in held.items() if value > bound[name]]


def ratio_of(samples: list[Sample], early_s: float, late_s: float) -> list[float]:
    """For each node, its own memory at `late_s` over that at `early_s` (the nearest samples)."""
    early = min(samples, key=lambda sample: abs(sample.second - early_s))
    late = min(samples, key=lambda sample: abs(sample.second - late_s))
    return [b / a for a, b in zip(early.anonymous_bytes, late.anonymous_bytes, strict=True)]


@click.command("soak")
@click.option("--nodes", type=click.IntRange(1, NODES_MAX), default=4, show_default=True)
@click.option("--minutes", type=FiniteRange(0.1, 10_000), default=10.5, show_default=True)
@click.option(
    "--rate",
    type=click.IntRange(1, 100_000),
    default=200,
    show_default=True,
    help="Transactions a second, all nodes together.",
)
@click.option("--json", "as_json", is_flag=True)
def command(nodes: int, minutes: float, rate: int, as_json: bool) -> None:
    """Memory under steady load, and every bound checked while it runs."""

    async def run() -> tuple[list[Sample], list[str], int]:
        with tempfile.TemporaryDirectory(prefix="isthmus-soak-") as folder:
            async with running_cluster(nodes, Path(folder) / "net") as cluster:
                return await soak(cluster, minutes, rate)

    samples, exceeded, late = trio.run(run)
    last = samples[-1].second
    early_s, late_s = min(120.0, last / 5), min(600.0, last)
    ratios = ratio_of(samples, early_s, late_s)
    figures = {
        "machine": machine(),
        "ratio": ratios,
        "early_s": early_s,
        "late_s": late_s,
        "certified": samples[-1].certified,
        "late_bursts": late,
        "exceeded_bounds": sorted(set(exceeded)),
        "anonymous_bytes": samples[-1].anonymous_bytes,
        "file_bytes": samples[-1].file_bytes,
    }
    if as_json:
        click.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        click.echo(f"{name:16} {value}")
