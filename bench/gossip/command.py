"""`isthmus-bench gossip`: how many messages a second one node gets to its peers, each a process of its own.

The publisher keeps a window of messages that not every peer has confirmed, so that no queue overflows; every
body is different, every delivery accepted by the application, announced to the others and counted by its
receiver. A message counts once all peers have it. With `--direct`: what the same messages cost when they are
sent to each peer and nobody announces them. With `--sim`: how heights travel among observers, in virtual
time.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import click
import trio

from bench.finiterange import FiniteRange
from bench.gossip import observed
from bench.gossip.members import DIRECT, MESSAGES, PROGRESS, config_of, identity_of, listening, port_of
from bench.gossip.simulated import VALIDATORS, NotDelivered, simulate
from bench.machine import describe_machine, noise_around, probe_noise
from bench.processes import machine
from bench.recordoption import record_option
from bench.results import append, record_now
from p2p import Delivery, Network, open_network

WINDOW = 2_048
"""Messages published and not confirmed by all: a quarter of a send queue."""
GROUP = 64
"""Messages published before anything else has its turn."""
SIMULATED_MAX = 500
"""Nodes of a simulation: each is a whole validator."""
START_SECONDS = 30
PATIENCE_SECONDS = 30
"""After the last message: what is not there by then is lost."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One run. `delivered_per_second` counts each message at each peer; CPU is of all processes together."""

    peers: int
    message_bytes: int
    seconds: float
    messages: int
    lost: int
    messages_per_second: float
    delivered_per_second: float
    cpu_us_per_delivery: float


class _Publisher:
    def __init__(self, network: Network, peers: int, message_bytes: int, direct: bool) -> None:
        self._network = network
        self._direct = direct
        self._taken = {identity_of(number).peer_id: 0 for number in range(1, peers + 1)}
        self._body_bytes = message_bytes - 8
        self._padding = random.Random(0).randbytes(self._body_bytes)
        self.published = 0

    @property
    def confirmed(self) -> int:
        """Deliveries that every peer has told of."""
        return min(self._taken.values())

    async def run(self, seconds: float) -> None:
        """Publish as fast as the peers take it; return when they have it all."""
        deadline = trio.current_time() + seconds
        while trio.current_time() < deadline:
            if self.published - self.confirmed < WINDOW:
                self._publish_group()
                await trio.lowlevel.checkpoint()
                self._hear()
            else:
                self._note(await self._network.inbox.receive())
        with trio.move_on_after(PATIENCE_SECONDS):
            while self.confirmed < self.published:
                self._note(await self._network.inbox.receive())

    def _publish_group(self) -> None:
        self._network.hold()
        for _ in range(GROUP):
            self.published += 1
            body = self.published.to_bytes(8, "big") + self._padding
            if self._direct:
                self._network.broadcast(DIRECT.code, body)
            else:
                self._network.publish(MESSAGES.code, body)
        self._network.release()

    def _hear(self) -> None:
        while self._network.inbox.items:
            self._note(self._network.inbox.receive_nowait())

    def _note(self, event: object) -> None:
        if isinstance(event, Delivery) and event.topic == PROGRESS.code:
            self._taken[event.peer] = int.from_bytes(event.body, "big")


async def measure(peers: int, message_bytes: int, seconds: float, direct: bool = False) -> Figures:
    """One run, by gossip or directly. Raises trio.TooSlowError when the peers do not come up."""
    before = _cpu_seconds()
    async with trio.open_nursery() as nursery:
        with trio.fail_after(START_SECONDS):
            children = [await _start(nursery, number) for number in range(1, peers + 1)]
            listeners = await listening()
            ports = [port_of(listeners)] + [await _port(child) for child in children]
            for child in children:
                assert child.stdin is not None
                await child.stdin.send_all(json.dumps(ports).encode())
        async with open_network(config_of(0, ports), identity_of(0), random.Random(0), listeners) as network:
            with trio.fail_after(START_SECONDS):
                while sum(peer.connected for peer in network.status()) < peers:  # noqa: ASYNC110  # no event
                    await trio.sleep(0.02)
            publisher = _Publisher(network, peers, message_bytes, direct)
            started = time.perf_counter()
            await publisher.run(seconds)
            took = time.perf_counter() - started
        for child in children:
            assert child.stdin is not None
            await child.stdin.aclose()
    cpu_seconds = _cpu_seconds() - before
    done = publisher.confirmed
    return Figures(
        peers,
        message_bytes,
        took,
        publisher.published,
        publisher.published - done,
        done / took,
        done * peers / took,
        1e6 * cpu_seconds / max(1, done * peers),
    )


async def _start(nursery: trio.Nursery, number: int) -> trio.Process:
    child: trio.Process = await nursery.start(
        partial(
            trio.run_process,
            [sys.executable, "-m", "bench.gossip.peer", str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    )
    return child


async def _port(child: trio.Process) -> int:
    assert child.stdout is not None
    return int(await child.stdout.receive_some())


def _cpu_seconds() -> float:
    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


@click.command("gossip")
@click.option("--peers", type=click.IntRange(1, 8), default=3, show_default=True)
@click.option("--bytes", "message_bytes", type=click.IntRange(16, 65_536), default=1_024, show_default=True)
@click.option("--seconds", type=FiniteRange(0.1, 3_600), default=5.0, show_default=True)
@click.option("--direct", is_flag=True, help="And send the same without gossip, for comparison.")
@click.option("--sim", is_flag=True, help="Heights among observers, simulated with the shipped validator.")
@click.option(
    "--observers",
    type=click.IntRange(1, 64),
    help="What so many observers cost four validators, all of them real processes, at --rate.",
)
@click.option("--rate", type=FiniteRange(0.1, 1_000), default=10.0, show_default=True)
@click.option("--nodes", default="50,200", show_default=True, help="With --sim: sizes, four are validators.")
@click.option("--heights", type=click.IntRange(1, 1_000), default=20, show_default=True, help="With --sim.")
@click.option("--links", type=click.IntRange(1, 64), default=4, show_default=True, help="With --sim.")
@click.option("--json", "as_json", is_flag=True)
@record_option
def command(
    peers: int,
    message_bytes: int,
    seconds: float,
    direct: bool,
    sim: bool,
    observers: int | None,
    rate: float,
    nodes: str,
    heights: int,
    links: int,
    as_json: bool,
    record: Path | None,
) -> None:
    """Messages a second from one node to its peers, over TLS, each a process of its own."""
    if sim:
        if record is not None:
            raise click.UsageError("--record is for what is measured; --sim runs in virtual time")
        _simulate(_sizes(nodes), heights, links, as_json)
        return
    described, noise = describe_machine(), probe_noise()
    if observers is not None:
        found = _observe(observers, rate, seconds, as_json)
        if record is not None:
            label = f"gossip observers={observers} rate={rate:g}"
            append(record_now("gossip", label, described, noise_around(noise), found.to_json()), record)
        return
    directly = trio.run(measure, peers, message_bytes, seconds, True) if direct else None
    figures = trio.run(measure, peers, message_bytes, seconds)
    noise = noise_around(noise)
    told = asdict(figures) | ({} if directly is None else _beside(figures, directly))
    if record is not None:
        label = f"gossip peers={peers} bytes={message_bytes}" + (" direct" if direct else "")
        append(record_now("gossip", label, described, noise, told), record)
    if as_json:
        click.echo(json.dumps({"machine": machine(), "noise": noise.to_json()} | told))
    else:
        click.echo(_words(figures, directly) + (f"\nNOISY MACHINE: {noise}" if noise.is_noisy else ""))
    if figures.lost:
        raise click.ClickException(f"{figures.lost} messages did not arrive within {PATIENCE_SECONDS} s")


def _beside(gossip: Figures, direct: Figures) -> dict[str, float]:
    return {
        "direct_delivered_per_second": direct.delivered_per_second,
        "direct_cpu_us_per_delivery": direct.cpu_us_per_delivery,
        "direct_lost": direct.lost,
        "gossip_over_direct": gossip.cpu_us_per_delivery / direct.cpu_us_per_delivery,
    }


def _words(gossip: Figures, direct: Figures | None) -> str:
    words = (
        f"{gossip.messages} messages of {gossip.message_bytes} bytes to {gossip.peers} peers "
        f"in {gossip.seconds:.1f} s, {machine()}: {gossip.delivered_per_second:.0f} delivered a second "
        f"({gossip.messages_per_second:.0f} to each), {gossip.cpu_us_per_delivery:.0f} us of CPU each, "
        f"{gossip.lost} lost"
    )
    if direct is None:
        return words
    ratio = gossip.cpu_us_per_delivery / direct.cpu_us_per_delivery
    return (
        f"{words}\nsent directly: {direct.delivered_per_second:.0f} delivered a second, "
        f"{direct.cpu_us_per_delivery:.0f} us of CPU each: gossip costs {ratio:.2f} times as much"
    )


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or not all(VALIDATORS < size <= SIMULATED_MAX for size in sizes):
        wanted = f"numbers from {VALIDATORS + 1} to {SIMULATED_MAX}, joined by commas"
        raise click.BadParameter(f"{wanted}, not {text!r}", param_hint="--nodes")
    return sizes


def _simulate(sizes: tuple[int, ...], heights: int, links: int, as_json: bool) -> None:
    found = []
    for size in sizes:
        try:
            found.append(simulate(size, heights, links, _say))
        except NotDelivered as error:
            raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps({"machine": machine(), "sizes": [spread.to_json() for spread in found]}))
        return
    for spread in found:
        click.echo(
            f"{spread.nodes} nodes, {spread.observers} of them observers that name {spread.links} peers, "
            f"{spread.heights} heights:\n"
            f"  {spread.delivered} delivered, {spread.redundancy:.2f} bodies sent for each, "
            f"{spread.bodies_of_validators} of {spread.bodies} by validators; {spread.news} other frames\n"
            f"  {spread.delay_p50_ms} ms after the validators in the median, the last one "
            f"{spread.delay_max_ms} ms; farthest {spread.distance_max} steps\n"
            f"  {spread.feeders_killed} feeders killed: all others have the next height after "
            f"{spread.repair_ms} ms\n"
            f"  steps of a validator {spread.validator_cpu_us:.0f} us a height, without observers "
            f"{spread.alone_cpu_us:.0f} ({spread.cpu_percent:+.1f} %): its pure steps alone, with neither "
            "TLS nor disk; what observers cost a node, --observers tells"
        )


def _observe(observers: int, rate: float, seconds: float, as_json: bool) -> observed.Observed:
    with tempfile.TemporaryDirectory(prefix="isthmus-observed-") as directory:
        place = Path(directory) / "net"
        try:
            found = trio.run(observed.measure, observers, rate, seconds, place, _say)
        except observed.NotObserved as error:
            raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps({"machine": machine()} | found.to_json()))
        return found
    click.echo(
        f"{found.observers} observers, {found.transactions} transactions, {machine()}:\n"
        f"  a validator's process {found.observed_cpu_us:.0f} us of CPU a transaction, without observers "
        f"{found.alone_cpu_us:.0f} ({found.cpu_percent:+.1f} %)\n"
        f"  an observer {found.observer_cpu_us:.0f} us, {found.observer_bytes / 2**20:.0f} MiB; "
        f"{found.behind} heights behind at the end"
    )
    return found


def _say(words: str) -> None:
    click.echo(words, err=True)
