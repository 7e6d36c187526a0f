"""`isthmus-bench sim flood`: what a flood of valid transactions does to the time a round takes.

Clients hand every validator more than its uplink can carry. Consensus frames leave before batches, so a round
waits for writes that were begun and for nothing that is queued: its time may double, and no more. The same
flood through one queue for everything shows what the classes are worth; nothing else is held back in either.

A client that sends one transaction at a time waits for its receipt meanwhile: twice as long as without the
flood at most where the validators watch how long their batches are under way (`node/pool/window.py`).
"""

import json
import sys
from dataclasses import asdict, dataclass
from statistics import median

import click

from bench.sim.keyedhash import KEYED_HASH
from bench.sim.network import Quality
from bench.sim.setting import CREATED_MS, make_setting
from bench.sim.violation import Violation
from bench.sim.wires import Wires
from bench.sim.world import World
from consensus import Digest
from node.config import LimitSettings
from node.ledger.params import Params
from node.validator import Tuning

NODES_MAX = 32
SLOWER_MAX = 2
"""How many times as long a round may take in a flood."""
_WARM_MS = 500
_CALM_MS = 1_500
_LOOK_MS = 2
_REQUEST_MS = 20
_SIZE = 1_000
_WIRE_BYTES = 1_250
"""About what one of these transactions takes of an uplink, for each peer."""
_DELAY_US = (30_000, 40_000)
"""Between cities: what a round takes without a flood is two ways and a little."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """What was seen at one validator in `ms` of virtual time."""

    offered_per_second: int
    ms: int
    rounds: int
    failed: int
    certified: int
    dropped: int

    @property
    def round_ms(self) -> float:
        """How long a round took."""
        return self.ms / max(1, self.rounds)


def play(
    nodes: int, ms: int, megabits: int, offered_per_second: int, *, priorities: bool = True, seed: int = 0
) -> Rounds:
    """So many transactions a second to all validators together. Raises Violation when a checker sees anything
    wrong."""
    params = Params(created_ms=CREATED_MS, idle_interval_ms=0)
    world = World(make_setting(nodes, KEYED_HASH, params=params), seed, quality=Quality(_DELAY_US))
    wires = Wires(world.clock, megabits * 125_000, priorities=priorities)
    world.network.carry = wires.carry
    world.start()
    witness = world.hosts[0].validator.replica
    each = offered_per_second * _REQUEST_MS // 1_000 // nodes

    def ask() -> None:
        for place in range(nodes):
            world.submit(place, each, size=_SIZE)
        world.after(_REQUEST_MS, ask)

    if each:
        ask()
    world.run(_WARM_MS)
    before = witness.view()
    certified = len(world.checkers.acknowledged)
    world.run(ms)
    after = witness.view()
    failed = _failed(after.timeouts_by_reason) - _failed(before.timeouts_by_reason)
    news = len(world.checkers.acknowledged) - certified
    return Rounds(offered_per_second, ms, after.round - before.round, failed, news, wires.dropped)


def _failed(timeouts: tuple[tuple[object, int], ...]) -> int:
    return sum(times for _, times in timeouts)


@dataclass(frozen=True, slots=True)
class Waits:
    """How long the lone client waited, the median, and what was certified in the flood a second."""

    calm_ms: float
    flood_ms: float
    certified: int

    @property
    def slower(self) -> float:
        """How many times as long it waits in the flood."""
        return self.flood_ms / self.calm_ms


class Lone:
    """A client of the first validator with a key of its own: the next transaction follows each receipt."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sent: tuple[Digest, int] | None = None
        self.waits_ms: list[int] = []

    def look(self) -> None:
        """Whether the receipt has come; if so, the next transaction."""
        world = self._world
        if self._sent is not None and self._sent[0] in world.checkers.acknowledged:
            self.waits_ms.append(world.elapsed_ms - self._sent[1])
            self._sent = None
        if self._sent is None:
            transaction = world.transaction(key=world.setting.clients[1])
            world.hosts[0].submit(transaction)
            self._sent = transaction.id, world.elapsed_ms
        world.after(_LOOK_MS, self.look)


def wait(
    nodes: int, ms: int, megabits: int, offered_per_second: int, commit_target_ms: int, seed: int = 0
) -> Waits:
    """The lone client in calm and, for so long, in a flood of so many transactions a second. Raises
    Violation."""
    params = Params(created_ms=CREATED_MS, idle_interval_ms=0)
    tuning = Tuning(commit_target_ms=commit_target_ms)
    world = World(
        make_setting(nodes, KEYED_HASH, params=params), seed, quality=Quality(_DELAY_US), tuning=tuning
    )
    world.network.carry = Wires(world.clock, megabits * 125_000, priorities=True).carry
    world.start()
    lone = Lone(world)
    lone.look()
    world.run(_CALM_MS)
    calm_ms = median(lone.waits_ms)
    each = offered_per_second * _REQUEST_MS // 1_000 // nodes

    def ask() -> None:
        for place in range(nodes):
            world.submit(place, each, size=_SIZE)
        world.after(_REQUEST_MS, ask)

    ask()
    world.run(_WARM_MS)
    lone.waits_ms.clear()
    before = len(world.checkers.acknowledged)
    world.run(ms)
    certified = (len(world.checkers.acknowledged) - before) * 1_000 // ms
    return Waits(calm_ms, median(lone.waits_ms or [ms]), certified)


def overload_of(nodes: int, megabits: int) -> int:
    """Half as much again as all uplinks together can carry to everybody else, in transactions a second."""
    return nodes * megabits * 125_000 * 3 // 2 // ((nodes - 1) * _WIRE_BYTES)


@click.command("flood")
@click.option("--nodes", type=click.IntRange(4, NODES_MAX), default=4, show_default=True)
@click.option(
    "--megabits", type=click.IntRange(1, 10_000), default=40, show_default=True, help="Of an uplink."
)
@click.option("--seconds", type=click.IntRange(1, 600), default=2, show_default=True, help="Virtual ones.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def flood_command(nodes: int, megabits: int, seconds: int, seed: int, as_json: bool) -> None:
    """How much longer a round takes while clients send more valid transactions than uplinks carry."""
    offered, ms = overload_of(nodes, megabits), 1_000 * seconds
    try:
        calm = play(nodes, ms, megabits, 0, seed=seed)
        flood = play(nodes, ms, megabits, offered, seed=seed)
        without = play(nodes, ms, megabits, offered, priorities=False, seed=seed)
        watched = wait(nodes, ms, megabits, offered, LimitSettings().commit_target_ms, seed)
        unwatched = wait(nodes, ms, megabits, offered, 0, seed)
    except Violation as violation:
        click.echo(f"violation: {violation}", err=True)
        sys.exit(1)
    slower = flood.round_ms / calm.round_ms
    if as_json:
        named = {"calm": asdict(calm), "flood": asdict(flood), "one_queue": asdict(without)}
        lone = {"watched": asdict(watched), "unwatched": asdict(unwatched)}
        figures = {"nodes": nodes, "megabits": megabits, "slower": round(slower, 3), **named, **lone}
        click.echo(json.dumps(figures))
    else:
        rows = (("calm", calm), ("flood", flood), ("flood, one queue", without))
        for name, seen in rows:
            click.echo(
                f"{name:<18}{seen.offered_per_second:>7} tx/s offered, {seen.round_ms:7.1f} ms a round, "
                f"{seen.failed} failed, {seen.certified} certified, {seen.dropped} frames dropped"
            )
        for name, seen_by in (("batches watched", watched), ("not watched", unwatched)):
            click.echo(
                f"lone client, {name:<16} {seen_by.calm_ms:.0f} ms in calm, {seen_by.flood_ms:.0f} ms in the "
                f"flood ({seen_by.slower:.2f} times), {seen_by.certified} tx/s certified"
            )
        click.echo(f"a round takes {slower:.2f} times as long in the flood; allowed is {SLOWER_MAX}")
    sys.exit(0 if max(slower, watched.slower) <= SLOWER_MAX and not flood.failed else 1)
