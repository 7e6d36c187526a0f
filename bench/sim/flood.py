"""`isthmus-bench sim flood`: what a flood of valid transactions does to the time a round takes.

Clients hand every validator more than its uplink can carry. Consensus frames leave before batches, so a round
waits for writes that were begun and for nothing that is queued: its time may double, and no more. The same
flood through one queue for everything shows what the classes are worth.
"""

import json
import sys
from dataclasses import asdict, dataclass

import click

from bench.sim.keyedhash import KEYED_HASH
from bench.sim.network import Quality
from bench.sim.setting import CREATED_MS, make_setting
from bench.sim.violation import Violation
from bench.sim.wires import Wires
from bench.sim.world import World
from node.ledger.params import Params

NODES_MAX = 32
SLOWER_MAX = 2
"""How many times as long a round may take in a flood."""
_WARM_MS = 500
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
    except Violation as violation:
        click.echo(f"violation: {violation}", err=True)
        sys.exit(1)
    slower = flood.round_ms / calm.round_ms
    if as_json:
        named = {"calm": asdict(calm), "flood": asdict(flood), "one_queue": asdict(without)}
        click.echo(json.dumps({"nodes": nodes, "megabits": megabits, "slower": round(slower, 3), **named}))
    else:
        rows = (("calm", calm), ("flood", flood), ("flood, one queue", without))
        for name, seen in rows:
            click.echo(
                f"{name:<18}{seen.offered_per_second:>7} tx/s offered, {seen.round_ms:7.1f} ms a round, "
                f"{seen.failed} failed, {seen.certified} certified, {seen.dropped} frames dropped"
            )
        click.echo(f"a round takes {slower:.2f} times as long in the flood; allowed is {SLOWER_MAX}")
    sys.exit(0 if slower <= SLOWER_MAX and not flood.failed else 1)
