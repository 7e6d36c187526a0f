"""`isthmus-bench sim absence`: rounds that dead validators cost a busy cluster before it passes over them,
and whether they lead again when they are back (C12).

A dead validator costs the round it should have led, once in a memory of rounds; with several dead, the turn
that a TC gives may fall on another of them. Everything is counted at one validator that never fails.
"""

import json
import sys
from dataclasses import asdict, dataclass

import click

from bench.sim import report
from bench.sim.keyedhash import KEYED_HASH
from bench.sim.network import Quality
from bench.sim.setting import CREATED_MS, make_setting
from bench.sim.violation import Violation
from bench.sim.world import World
from consensus import MEMORY_ROUNDS, ReplicaView
from node.ledger.params import Params

NODES_MAX = 64
WARM_MS = 1_000
BACK_MS = 2_000
"""How long the returned are watched."""
_PAUSE_MS = 100
"""Between two transactions: the round timer runs all the time (C7)."""


@dataclass(frozen=True, slots=True)
class Absence:
    """What `dead` of `nodes` validators cost in `ms` of virtual time; those named in `led_again` led a round
    after they were back. `lost_late` of the `lost` rounds came after the first cycle of turns."""

    nodes: int
    dead: tuple[int, ...]
    ms: int
    rounds: int
    lost: int
    lost_late: int
    left_out: tuple[int, ...]
    led_again: tuple[int, ...]

    @property
    def lost_max(self) -> int:
        """What the rule allows: the round of each and a turn after it, in every memory."""
        memories = 1 + self.rounds // MEMORY_ROUNDS
        return 2 * len(self.dead) * memories

    def judge(self) -> None:
        """Raises Violation when absence costs more than that, or does not end."""
        if self.lost > self.lost_max:
            words = f"{len(self.dead)} dead of {self.nodes} cost {self.lost} of {self.rounds} rounds"
            raise Violation("absence", f"{words}, allowed are {self.lost_max}")
        if self.lost_late > 2 * len(self.dead) * (self.rounds // MEMORY_ROUNDS):
            raise Violation("absence", f"{self.lost_late} rounds were lost after everybody had a turn")
        if self.left_out != self.dead:
            raise Violation("absence", f"left out are {self.left_out}, dead are {self.dead}")
        if self.led_again != self.dead:
            raise Violation("absence", f"of {self.dead}, {self.led_again} led again within {BACK_MS} ms")


def spread(nodes: int, dead: int) -> tuple[int, ...]:
    """So many places, spread over the cluster, never the first."""
    return tuple(1 + index * (nodes - 1) // dead for index in range(dead))


def be_absent(nodes: int, dead: tuple[int, ...], ms: int, seed: int = 0) -> Absence:
    """Play it. Raises Violation when a checker sees anything wrong."""
    params = Params(created_ms=CREATED_MS, idle_interval_ms=20)
    setting = make_setting(nodes, KEYED_HASH, params=params)
    world = World(setting, seed, quality=Quality((500, 1_500))).start()
    alive = [place for place in range(nodes) if place not in dead]
    witness = world.hosts[alive[0]]

    def ask() -> None:
        world.hosts[world.random.choice(alive)].submit(world.transaction())
        world.after(_PAUSE_MS, ask)

    def view() -> ReplicaView:
        return witness.validator.replica.view()

    def given_up() -> int:
        return sum(count for _, count in view().timeouts_by_reason)

    ask()
    world.run(WARM_MS)
    begun, before = view().round, given_up()
    for place in dead:
        world.hosts[place].crash()
    world.run(ms, lambda: view().round >= begun + 2 * nodes)
    early = given_up() - before
    world.run(WARM_MS + ms - world.elapsed_ms)
    absent = view()
    lost = given_up() - before
    for place in dead:
        world.hosts[place].start()
    led: dict[int, None] = {}

    def look() -> None:
        led[view().leader] = None
        world.after(1, look)

    world.run(BACK_MS // 3)
    look()
    world.run(BACK_MS - BACK_MS // 3)
    again = tuple(place for place in dead if place in led)
    rounds = absent.round - begun
    return Absence(nodes, dead, ms, rounds, lost, lost - early, tuple(map(int, absent.left_out)), again)


@click.command("absence")
@click.option("--nodes", type=click.IntRange(4, NODES_MAX), default=4, show_default=True)
@click.option("--dead", type=click.IntRange(1), default=1, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 3_600), default=10, show_default=True, help="Virtual ones.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def absence_command(nodes: int, dead: int, seconds: int, seed: int, as_json: bool) -> None:
    """What dead validators cost a busy cluster, in rounds, and whether they lead again when back."""
    if 3 * dead >= nodes:
        raise click.UsageError(f"{dead} dead of {nodes} are a third or more: nothing would be certified")
    stopwatch = report.Stopwatch()
    found = be_absent(nodes, spread(nodes, dead), seconds * 1_000, seed)
    spent = stopwatch.read()
    if as_json:
        click.echo(json.dumps(asdict(found) | {"real_ms": spent.real_ms}))
    else:
        click.echo(
            f"{dead} dead of {nodes} for {seconds} s: {found.lost} of {found.rounds} rounds lost, "
            f"{found.lost_late} of them after everybody had two turns; left out were {found.left_out}, "
            f"{found.led_again} led again when back"
        )
    try:
        found.judge()
    except Violation as violation:
        click.echo(str(violation), err=True)
        sys.exit(1)
