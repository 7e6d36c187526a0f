"""Which faults strike when: a pure function of a random stream and of what is allowed.

Faults strike more or less evenly over the time there is. A budget of less than a third of the weight is drawn
first: only validators in it forget, run twice or have clocks that are hours off, and a Byzantine host is
charged to it before anybody else. Crashes and cut networks may hit everybody at once: they cost time, never
safety.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from bench.sim.faults import (
    ClockSkew,
    Crash,
    CrashAll,
    CrashAtWrite,
    DiskFull,
    Duplicate,
    Fault,
    GuardLost,
    Loss,
    OneWay,
    Partition,
    Reorder,
    RestartAll,
    RestoreBackup,
    SlowLink,
    Twin,
    Wipe,
)

EVERY_MS = 1_500
"""One fault in this time, on average."""
_SETTLED_MS = 400
"""Nothing strikes before: a cluster that never was is a start-up test."""
_DOWN_MS = (1, 3_000)
_HELD_MS = (50, 4_000)
_AHEAD_WRITES = (1, 60)
_CLOCKS_MS = (-30_000, -5_000, -600, 300, 700, 5_000, 30_000)
_FAR_CLOCKS_MS = (-3_600_000, 3_600_000)
_DELAYS_MS = ((20, 60), (100, 300), (500, 900))


@dataclass(frozen=True, slots=True)
class Ground:
    """What a schedule is made for: `weights` of the validators, `byzantine` ones among them, and the time."""

    weights: tuple[int, ...]
    byzantine: tuple[int, ...]
    ms: int


def budget_of(random: Random, ground: Ground) -> tuple[int, ...]:
    """Validators that may be faulty together, Byzantine ones first: less than a third of the weight."""
    total = sum(ground.weights)
    chosen = list(ground.byzantine)
    spent = sum(ground.weights[place] for place in chosen)
    others = [place for place in range(len(ground.weights)) if place not in chosen]
    random.shuffle(others)
    for place in others:
        if 3 * (spent + ground.weights[place]) < total:
            spent += ground.weights[place]
            chosen.append(place)
    return tuple(place for place in chosen if place not in ground.byzantine)


class _Draft:
    """The draws of one schedule. `budget` are the validators that may forget; `twins` those of them that
    run twice, at most one."""

    def __init__(self, random: Random, ground: Ground, budget: Sequence[int], twins: Sequence[int]) -> None:
        self.random = random
        self.ground = ground
        self.budget = budget
        self.twins = twins
        self.instances = len(ground.weights) + len(twins)

    def host(self) -> int:
        return self.random.randrange(len(self.ground.weights))

    def down_ms(self) -> int:
        return self.random.randint(*_DOWN_MS)

    def held_ms(self) -> int:
        return self.random.randint(*_HELD_MS)

    def way(self) -> tuple[int, int]:
        source, target = self.random.sample(range(self.instances), 2)
        return source, target

    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Two or three groups at random, or one host cut off."""
        places = list(range(self.instances))
        self.random.shuffle(places)
        if self.random.randrange(3) == 0:
            return tuple(sorted(places[1:])), (places[0],)
        cuts = sorted(
            self.random.sample(range(1, len(places)), min(self.random.randint(1, 2), len(places) - 1))
        )
        edges = [0, *cuts, len(places)]
        return tuple(tuple(sorted(places[a:b])) for a, b in pairwise(edges))

    def clock(self, at_ms: int) -> ClockSkew:
        if self.budget and self.random.randrange(4) == 0:
            return ClockSkew(
                at_ms, self.random.choice(self.budget), self.random.choice(_FAR_CLOCKS_MS), self.held_ms()
            )
        return ClockSkew(at_ms, self.host(), self.random.choice(_CLOCKS_MS), self.held_ms())


_Drawn = Callable[[_Draft, int], Fault]
_DRAWS: Mapping[str, _Drawn] = {
    Crash.KIND: lambda d, at: Crash(at, d.host(), d.down_ms()),
    CrashAtWrite.KIND: lambda d, at: CrashAtWrite(at, d.host(), d.random.randint(*_AHEAD_WRITES)),
    CrashAll.KIND: lambda d, at: CrashAll(at, d.random.randint(1, 1_500), d.random.choice((0, 10, 300))),
    RestartAll.KIND: lambda d, at: RestartAll(at, d.random.choice((5, 40, 400))),
    Partition.KIND: lambda d, at: Partition(at, d.groups(), d.held_ms()),
    OneWay.KIND: lambda d, at: OneWay(at, *d.way(), d.held_ms()),
    SlowLink.KIND: lambda d, at: SlowLink(at, *d.way(), d.random.choice(_DELAYS_MS), d.held_ms()),
    Loss.KIND: lambda d, at: Loss(at, d.random.choice((2, 10, 30)), d.held_ms()),
    Duplicate.KIND: lambda d, at: Duplicate(at, d.random.choice((10, 50)), d.held_ms()),
    Reorder.KIND: lambda d, at: Reorder(at, d.random.choice((10, 40)), d.held_ms()),
    ClockSkew.KIND: lambda d, at: d.clock(at),
    DiskFull.KIND: lambda d, at: DiskFull(at, d.host(), d.held_ms()),
    Wipe.KIND: lambda d, at: Wipe(at, d.random.choice(d.budget), d.down_ms()),
    RestoreBackup.KIND: lambda d, at: RestoreBackup(
        at, d.random.choice(d.budget), d.random.randrange(2) == 0, d.random.randint(100, 2_000), d.down_ms()
    ),
    GuardLost.KIND: lambda d, at: GuardLost(at, d.random.choice(d.budget), d.down_ms()),
    Twin.KIND: lambda d, at: Twin(at, d.twins[0], d.random.randrange(2) == 0),
}
KINDS = tuple(_DRAWS)
"""Every kind of fault."""
_OF_BUDGET = (Wipe.KIND, RestoreBackup.KIND, GuardLost.KIND)
_OF_PAIRS = (Partition.KIND, OneWay.KIND, SlowLink.KIND)
_RARE = {CrashAll.KIND: 2, RestartAll.KIND: 2, GuardLost.KIND: 1, Twin.KIND: 1}
"""How often the kinds are drawn that are not drawn 4 times."""


def schedule(random: Random, ground: Ground, kinds: Sequence[str]) -> tuple[Fault, ...]:
    """Faults of these kinds in the order of their times; none that could make a third of the weight lie."""
    budget = budget_of(random, ground)
    wanted = [kind for kind in KINDS if kind in kinds]
    twins = tuple(budget[:1]) if Twin.KIND in wanted and random.randrange(3) == 0 else ()
    impossible = [
        *(_OF_BUDGET if not budget else ()),
        *((Twin.KIND,) if not twins else ()),
        *(_OF_PAIRS if len(ground.weights) == 1 else ()),
    ]
    possible = [kind for kind in wanted if kind not in impossible]
    last_ms = ground.ms - _SETTLED_MS
    if not possible or last_ms <= _SETTLED_MS:
        return ()
    draft = _Draft(random, ground, budget, twins)
    shares = [_RARE.get(kind, 4) for kind in possible]
    times = sorted(random.randint(_SETTLED_MS, last_ms) for _ in range(max(1, ground.ms // EVERY_MS)))
    faults = [_DRAWS[random.choices(possible, shares)[0]](draft, at_ms) for at_ms in times]
    if twins and not any(isinstance(fault, Twin) for fault in faults):
        faults[0] = _DRAWS[Twin.KIND](draft, times[0])
    return tuple(faults)
