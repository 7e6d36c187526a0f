"""One fight: a cluster of shipped validators, some hosts driven, a workload, somebody away for a while.

Judged are the world's checkers all along, and at the end: every honest validator takes transactions and all
store them while the drivers go on; nobody honest is accused, punished by somebody honest, or in doubt of its
ledger; ledger time is not ahead of true time by more than voters allow. Then the drivers rest, and all
honest hosts must show all that was acknowledged.
"""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from bench.sim.host import Host
from bench.sim.keyedhash import KEYED_HASH
from bench.sim.network import Quality
from bench.sim.setting import CREATED_MS, Setting, make_setting
from bench.sim.violation import Violation
from bench.sim.world import World
from consensus import Evidence, Offence
from node.ledger.params import Params
from node.storage import ChainTable
from node.validator import Tuning
from tests.byzantine.driver import Attacker
from tests.byzantine.drivers import FACTORIES, TRUSTED

LIVELY_MS = 30_000
"""While one or f lie: virtual time in which every honest validator gets a transaction stored everywhere.
Rounds of liars cost a timeout each, which grow; a handful of them follow each other at worst."""
SETTLE_MS = 60_000
"""Back-off from the eventful part may still stand, and catch-up rotates past liars in steps of 5 s."""
_TURNS = 6
_TURNS_AWAY = 4
_LAG_MAX = 6
_HEIGHTS_AWAY = _LAG_MAX + 4
"""With an odd seed somebody misses so many heights, or what `_AWAY_TURNS_MAX` turns bring, and fetches them
by header (C25); with an even one a few blocks, which are walked back one by one."""
_AWAY_TURNS_MAX = 24
_AWAY_TURN_MS = 700
"""Longer than a round of the one who is away."""
_LARGE = 1_000
"""Characters that make a batch too large to go inline."""
_PROOFS_MAX = 4_096
_SHARED_COUNT, _SHARED_SIZE, _SHARED_PAUSE_MS, _SHARED_MS = 9, 100, 250, 6_000


@lru_cache(maxsize=4)
def _setting(nodes: int) -> Setting:
    params = Params(
        created_ms=CREATED_MS, inline_bytes_max=1_024, certification_lag_max=_LAG_MAX, idle_interval_ms=2_000
    )
    return make_setting(nodes, KEYED_HASH, params=params)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a fight came to, for the tests' own judgement."""

    strikes: Counter[str]
    offences: frozenset[Offence]
    """What honest hosts hold proofs of."""
    faults: frozenset[str]
    """For what honest hosts punished a liar's link."""
    rounds: int
    height: int
    lively_ms: int
    """How long the slowest of the transactions took while the drivers went on."""
    fingerprint: str


def fight(name: str, seed: int, nodes: int = 4, *others: str, trusting: bool = False) -> Outcome:
    """`name`, and `others` as its accomplices, against the rest; who believes verification certificates if
    `trusting`, or if one of the drivers is about them. Raises Violation."""
    random = Random(f"{name} {seed} {nodes}")
    names = (name, *others)
    places = random.sample(range(nodes), len(names))
    drivers: dict[int, Attacker] = {
        place: FACTORIES[driver](seed * 1_000 + place) for place, driver in zip(places, names, strict=True)
    }
    # links are TCP: frames get lost with a link, and overtake each other on several, but are never doubled
    quality = Quality(
        (random.randint(300, 2_000), random.randint(2_000, 9_000)),
        loss_percent=random.choice((0, 0, 1)),
        slow_percent=random.choice((0, 3)),
    )
    trusting = trusting or not TRUSTED.isdisjoint(names)
    world = World(
        _setting(nodes),
        random.randrange(2**32),
        quality=quality,
        tuning=Tuning(verification_certificates=trusting),
        behaviours=dict(drivers.items()),
    )
    world.start()
    if trusting:
        _shared(world)
    _eventful(world, random, long_away=seed % 2 == 1)
    lively_ms = _stay_lively(world)
    for driver in drivers.values():
        driver.resting = True
    world.heal()
    world.settle(SETTLE_MS)
    _judge(world)
    return Outcome(
        sum((driver.strikes for driver in drivers.values()), Counter()),
        frozenset(proof.offence for host in world.honest for proof in proofs_of(host)),
        frozenset(code for host in world.honest for code in _faults_of(world, host)),
        max(host.validator.replica.view().round for host in world.honest),
        max(host.height for host in world.honest),
        lively_ms,
        world.fingerprint,
    )


def _eventful(world: World, random: Random, *, long_away: bool) -> None:
    """Traffic everywhere; somebody honest is cut off for longer than blocks are walked back; a restart."""
    _traffic(world, random, range(len(world.hosts)), _TURNS)
    victim = random.choice(world.honest)
    rest = [host.place for host in world.hosts if host is not victim]
    world.partition(tuple(rest))
    if long_away:
        _leave_behind(world, victim, rest)
    else:
        _traffic(world, random, rest, _TURNS_AWAY)
    _reconnect(world)
    _traffic(world, random, range(len(world.hosts)), _TURNS)
    again = random.choice(world.honest)
    again.crash()
    world.run(random.randint(10, 400))
    again.start()


def _leave_behind(world: World, victim: Host, rest: list[int]) -> None:
    """The others go on without the victim; whoever lies may keep them from it."""
    others = [host for host in world.honest if host is not victim]
    for turn in range(_AWAY_TURNS_MAX):
        top = max(host.height for host in others)
        if top >= victim.height + _HEIGHTS_AWAY:
            return
        world.submit(rest[turn % len(rest)])
        world.run(_AWAY_TURN_MS, lambda: max(host.height for host in others) > top)  # noqa: B023  # runs now


def _reconnect(world: World) -> None:
    # not `heal`: what drivers laid over the network stays
    world.network.partition(tuple(range(len(world.hosts))))


def _shared(world: World) -> None:
    """All the while, requests whose batches are worth an attestation."""

    def ask() -> None:
        if world.elapsed_ms < _SHARED_MS:
            for host in world.honest:
                if host.up:
                    world.submit(host.place, _SHARED_COUNT, size=_SHARED_SIZE)
            world.after(_SHARED_PAUSE_MS, ask)

    ask()


def _traffic(world: World, random: Random, places: "range | list[int]", turns: int) -> None:
    for _ in range(turns):
        place = random.choice(places)
        sent = world.submit(place, random.randint(1, 3), size=random.choice((0, 0, _LARGE)))
        if random.random() < 0.2:
            world.hosts[random.choice(places)].submit(*sent)  # must be executed once
        world.run(random.randint(20, 160))


def _stay_lively(world: World) -> int:
    """Every honest host takes a small and a large transaction, and all store them. Raises Violation."""
    began_ms = world.elapsed_ms
    sent = [
        transaction
        for host in world.honest
        for size in (0, _LARGE)
        for transaction in world.submit(host.place, size=size)
    ]
    if not world.stored(sent, LIVELY_MS):
        views = {host.name: host.validator.replica.view() for host in world.honest}
        where = {
            name: (view.round, view.committed_height, view.certified_height) for name, view in views.items()
        }
        raise Violation("liveness", f"round, committed, certified after {LIVELY_MS} ms: {where}")
    return world.elapsed_ms - began_ms


def proofs_of(host: Host) -> list[Evidence]:
    """The evidence a host has stored."""
    with host.disk.store.snapshot() as snapshot:
        return [
            Evidence.decode(data) for _, data in snapshot.scan(ChainTable.EVIDENCE, b"", limit=_PROOFS_MAX)
        ]


def _faults_of(world: World, host: Host) -> list[str]:
    honest = {other.peer: other.name for other in world.honest}
    for punished in host.punished:
        if punished.peer in honest:
            words = f"{host.name} punishes {honest[punished.peer]} for {punished.code}: {punished.detail}"
            raise Violation("honest-punished", words)
    return [punished.code for punished in host.punished]


def _judge(world: World) -> None:
    liars = world.checkers.exempt
    for host in world.honest:
        accused = [proof.accused for proof in proofs_of(host) if proof.accused not in liars]
        if accused:
            raise Violation("honest-accused", f"{host.name} holds a proof against {accused}")
        if "diverged" in host.events:
            raise Violation("honest-diverged", f"{host.name}: {host.told[-1].detail}")
        tip = host.validator.data.line.tip.header
        ahead_ms = tip.time_ms - world.now_ms
        if ahead_ms > world.genesis.params.precision_ms:
            raise Violation("ledger-time", f"{host.name}: the ledger is {ahead_ms} ms ahead")
