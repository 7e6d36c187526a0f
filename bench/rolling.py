"""`isthmus-bench rolling`: a rolling upgrade rehearsed under load, as operators are told to make one.

Every node of a cluster in turn is told to end (SIGTERM), started again, and is ready before the next one's
turn comes, while clients go on at a fixed rate (openload.py). What counts is that nothing is lost; how long
the longest pause was is told beside the timeout of a round.

With `--from` the nodes run another installation at first and each restart brings it to this one: releases
work together until the last node's turn has come.
"""

import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import trio

from bench.local import Running, running_cluster
from bench.openload import Account, Load, now_ms, offer, settle
from bench.processes import machine
from node.client import AsyncClient
from node.local.testnet import LocalNode
from node.validator import Tuning

READY_TIMEOUT_MS = 120_000
DRAIN_MS_MAX = 10_000
"""What a node promises to take from SIGTERM to its end."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One node's restart, in milliseconds: from SIGTERM to its end, and from its start to being ready.
    `pause_ms` is the longest time in between without any client's getting an answer."""

    node: str
    exit_code: int
    drain_ms: int
    ready_ms: int
    pause_ms: int


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a rolling restart came to."""

    turns: tuple[Turn, ...]
    account: Account
    pause_ms: int
    longest_wait_ms: int
    timeout_ms: int

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost and every node ended as it promises."""
        in_time = all(turn.exit_code == 0 and turn.drain_ms <= DRAIN_MS_MAX for turn in self.turns)
        return in_time and self.account.is_whole

    @property
    def is_smooth(self) -> bool:
        """Whether no pause was longer than one timeout of a round."""
        return self.pause_ms <= self.timeout_ms


async def rehearse(cluster: Running, rate: int, nodes: Sequence[LocalNode] | None = None) -> Rehearsal:
    """Restart `nodes`, by default every one, in turn under `rate` transactions a second. Raises ClientError
    when a node does not get ready again."""
    load, stop = Load(), trio.Event()
    turns: list[Turn] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(offer, cluster, rate, load, stop)
        await load.warm.wait()
        for node in nodes or cluster.testnet.nodes:
            turns.append(await _restart(cluster, node, load))
        stop.set()
    return Rehearsal(
        tuple(turns),
        await settle(cluster, load),
        load.longest_pause_ms(min(load.answered_ms), max(load.answered_ms)),
        max(load.waited_ms),
        Tuning().base_timeout_ms,
    )


async def _restart(cluster: Running, node: LocalNode, load: Load) -> Turn:
    supervisor, start_ms = cluster.supervisor, now_ms()
    supervisor.send_signal(node.name, signal.SIGTERM)
    await supervisor.ended(node.name)
    ended_ms, exit_code = now_ms(), supervisor.process(node.name).returncode
    await supervisor.start(node.program())
    async with AsyncClient((node.url,), timeout_ms=2_000) as client:
        await client.wait_ready(READY_TIMEOUT_MS)
    ready_ms = now_ms()
    pause_ms = load.longest_pause_ms(start_ms, ready_ms)
    code = -1 if exit_code is None else exit_code
    return Turn(node.name, code, ended_ms - start_ms, ready_ms - ended_ms, pause_ms)


@click.command("rolling")
@click.option("--nodes", type=click.IntRange(4, 16), default=4, show_default=True)
@click.option("--rate", type=click.IntRange(1, 2_000), default=100, show_default=True, help="A second.")
@click.option(
    "--from",
    "before",
    type=click.Path(exists=True, dir_okay=False),
    metavar="PYTHON",
    help="The interpreter of the installation that the nodes run before their restart.",
)
@click.option("--json", "as_json", is_flag=True, help="One object instead of a table.")
def command(nodes: int, rate: int, before: str | None, as_json: bool) -> None:
    """Restart each node of a cluster in turn while clients go on; exit code 1 when anything is lost."""
    with tempfile.TemporaryDirectory() as folder:
        found = trio.run(_run, nodes, Path(folder), rate, before or sys.executable)
    click.echo(json.dumps(asdict(found), indent=2) if as_json else _table(found, rate))
    if not found.is_good:
        raise SystemExit(1)


async def _run(nodes: int, directory: Path, rate: int, before: str) -> Rehearsal:
    async with running_cluster(nodes, directory, python=before) as cluster:
        return await rehearse(cluster, rate)


def _table(found: Rehearsal, rate: int) -> str:
    lines = [
        machine(),
        f"{rate} transactions a second, open loop, all nodes; a round's timeout is {found.timeout_ms} ms",
        "node      drained   ready after   longest pause",
        *(
            f"{turn.node:8} {turn.drain_ms:6} ms {turn.ready_ms:10} ms {turn.pause_ms:12} ms"
            + ("" if turn.exit_code == 0 else f"   EXIT CODE {turn.exit_code}")
            for turn in found.turns
        ),
        *found.account.lines(),
        f"longest pause {found.pause_ms} ms, {'within' if found.is_smooth else 'LONGER THAN'} a timeout; "
        f"longest wait of a client {found.longest_wait_ms} ms",
        "nothing was lost" if found.is_good else "NOT GOOD",
    ]
    return "\n".join(lines)
