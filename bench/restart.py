"""`isthmus-bench restart`: all nodes of a cluster end at once and start again; how long nothing is committed.

The worst that a machine room does: every daemon is killed (or told to end) in the same moment, and started
again as soon as it has ended. The time runs from the first start, and again from the end of the last node, to
the first certified receipt of a client that asks all nodes, and to the last node's being ready. An observer
follows the cluster meanwhile, untouched: what it holds of the machine's memory is told as well.
"""

import json
import signal
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import click
import trio

from bench.join.joining import write_observer
from bench.local import Running, make_record, running_cluster
from bench.machine import describe_machine, noise_around, probe_noise
from bench.processes import machine, usage_of
from bench.recordoption import record_option
from bench.results import append, record_now
from node.api.exchange import ApiError
from node.client import AsyncClient, ClientError
from node.local.testnet import LocalNode

READY_TIMEOUT_MS = 120_000
SETTLE_SECONDS = 2.0
"""The observer's memory is looked at when the last record reached it and it had so long to rest."""
ASK_AGAIN_SECONDS = 0.02
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Turn:
    """One restart of all, in milliseconds: until the last had ended, then from the first start until a client
    had a certified receipt, and until the last node was ready."""

    end_ms: int
    commit_ms: int
    ready_ms: int


@dataclass(frozen=True, slots=True)
class Figures:
    """`observer_*_bytes` are what it holds itself and pages of mapped files, after the last record and before
    the first restart; `validator_bytes` the same of the validators, without mapped files, the largest."""

    nodes: int
    killed: bool
    records: int
    turns: tuple[Turn, ...]
    height: int
    observer_bytes: int
    observer_file_bytes: int
    validator_bytes: int

    @property
    def commit_ms(self) -> int:
        """The median."""
        return round(median(turn.commit_ms for turn in self.turns))

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self) | {"commit_ms": self.commit_ms}


async def measure(cluster: Running, directory: Path, records: int, times: int, killed: bool) -> Figures:
    """Fill the chain, look at the observer, restart all so many times. Raises ClientError when nothing is
    committed any more."""
    nodes = cluster.testnet.nodes
    observer = write_observer(cluster.testnet, directory / "observer")
    await cluster.supervisor.start(observer.program())
    await _fill(cluster, records)
    height = await _caught_up(observer, nodes[0])
    await trio.sleep(SETTLE_SECONDS)
    seen = usage_of(cluster.supervisor.process(observer.name).pid)
    validators = max(usage.anonymous_bytes for usage in cluster.usages())
    turns = [await _restart(cluster, records + turn, killed) for turn in range(times)]
    await _caught_up(observer, nodes[0])
    return Figures(
        len(nodes),
        killed,
        records,
        tuple(turns),
        height,
        seen.anonymous_bytes,
        seen.file_bytes,
        validators,
    )


async def _fill(cluster: Running, records: int) -> None:
    transactions = [make_record(cluster.wallet, number, 100) for number in range(records)]
    async with AsyncClient((cluster.testnet.nodes[0].url,), timeout_ms=READY_TIMEOUT_MS) as client:
        outcomes = await client.submit_many(transactions)
    failed = [outcome for outcome in outcomes if outcome.state != "certified" or outcome.code]
    if failed:
        raise click.ClickException(f"a transaction failed: {failed[0]}")


async def _caught_up(observer: LocalNode, node: LocalNode) -> int:
    """The height of `node`, once the observer has it, too."""
    async with AsyncClient((node.url,), timeout_ms=READY_TIMEOUT_MS) as client:
        height = (await client.status()).certified_height
    async with AsyncClient((observer.url,), timeout_ms=READY_TIMEOUT_MS) as client:
        await client.wait_ready(READY_TIMEOUT_MS)
        with trio.fail_after(READY_TIMEOUT_MS / 1000):
            while True:
                try:
                    await client.validators(min_height=height)
                    return height
                except ApiError:  # not there yet: it was waited for at the node
                    continue


async def _restart(cluster: Running, number: int, killed: bool) -> Turn:
    supervisor, nodes = cluster.supervisor, cluster.testnet.nodes
    began = time.perf_counter()
    for node in nodes:
        supervisor.send_signal(node.name, signal.SIGKILL if killed else signal.SIGTERM)
    for node in nodes:
        await supervisor.ended(node.name)
    started = time.perf_counter()
    took: dict[str, int] = {}

    async def commit() -> None:
        await _first_receipt(cluster, number)
        took["commit"] = _since(started)

    async def be_ready() -> None:
        for node in nodes:
            async with AsyncClient((node.url,), timeout_ms=2_000) as client:
                await client.wait_ready(READY_TIMEOUT_MS)
        took["ready"] = _since(started)

    for node in nodes:
        await supervisor.start(node.program())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(commit)
        nursery.start_soon(be_ready)
    return Turn(round((started - began) * 1_000), took["commit"], took["ready"])


async def _first_receipt(cluster: Running, number: int) -> None:
    """One record, sent until a node takes it and the receipt is there."""
    record = make_record(cluster.wallet, number, 100)
    urls = tuple(node.url for node in cluster.testnet.nodes)
    with trio.fail_after(READY_TIMEOUT_MS / 1000):
        while True:
            try:
                async with AsyncClient(urls, timeout_ms=READY_TIMEOUT_MS) as client:
                    receipt = await client.submit(record)
            except ClientError:
                await trio.sleep(ASK_AGAIN_SECONDS)
                continue
            if not receipt.ok:
                raise click.ClickException(f"a transaction failed: {receipt.explanation}")
            return


def _since(started: float) -> int:
    return round((time.perf_counter() - started) * 1_000)


@click.command("restart")
@click.option("--nodes", type=click.IntRange(1, 16), default=4, show_default=True)
@click.option("--records", type=click.IntRange(1, 1_000_000), default=500, show_default=True, help="Before.")
@click.option("--times", type=click.IntRange(1, 100), default=3, show_default=True, help="Restarts.")
@click.option("--term", is_flag=True, help="End the nodes in good order; otherwise they are killed.")
@click.option("--json", "as_json", is_flag=True, help="One object instead of a table.")
@record_option
def command(nodes: int, records: int, times: int, term: bool, as_json: bool, record: Path | None) -> None:
    """All nodes end at once and start again: time to the first commit; and an observer's memory."""
    described, noise = describe_machine(), probe_noise()
    with tempfile.TemporaryDirectory(prefix="isthmus-restart-") as folder:
        figures = trio.run(_run, nodes, Path(folder), records, times, not term)
    noise = noise_around(noise)
    if record is not None:
        label = f"restart nodes={nodes} records={records} {'term' if term else 'kill'}"
        append(record_now("restart", label, described, noise, figures.to_json()), record)
    if as_json:
        click.echo(json.dumps({"machine": machine(), "noise": noise.to_json()} | figures.to_json()))
    else:
        click.echo("\n".join(_lines(figures)) + (f"\nNOISY MACHINE: {noise}" if noise.is_noisy else ""))


async def _run(nodes: int, directory: Path, records: int, times: int, killed: bool) -> Figures:
    async with running_cluster(nodes, directory / "net") as cluster:
        return await measure(cluster, directory, records, times, killed)


def _lines(found: Figures) -> Iterable[str]:
    yield machine()
    how = "killed" if found.killed else "ended in good order"
    yield f"all {found.nodes} nodes {how} at height {found.height}, {len(found.turns)} times"
    yield "ended after   first commit   all ready     (the last two from the first start on)"
    for turn in found.turns:
        yield f"{turn.end_ms:8} ms {turn.commit_ms:11} ms {turn.ready_ms:8} ms"
    yield (
        f"observer {found.observer_bytes / _MIB:.0f} MiB of its own, {found.observer_file_bytes / _MIB:.0f} "
        f"MiB of mapped files; a validator {found.validator_bytes / _MIB:.0f} MiB"
    )
