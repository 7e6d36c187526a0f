"""One world from its seed to its verdict: what is played, how it is drawn, how it is written down, and how it
is run.

A scenario is complete: it replays exactly from its JSON, also after it was cut down by hand or by the
minimiser, and never looks back at the options it was drawn from.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random

from bench.sim.checkers.liveness import bound_ms, longest_ms
from bench.sim.clock import EVENTS_MAX, Storm
from bench.sim.conditions import Conditions
from bench.sim.faults import CrashAtWrite, Fault, Twin, check
from bench.sim.keyedhash import KEYED_HASH
from bench.sim.network import Quality
from bench.sim.notation import NotationError, from_plain, to_plain
from bench.sim.remembered import remembered
from bench.sim.schedule import KINDS, Ground, schedule
from bench.sim.seams import SHIPPED, Behaviour, Parts
from bench.sim.setting import CREATED_MS, make_setting
from bench.sim.timeline import Timeline
from bench.sim.violation import Violation
from bench.sim.workload import Clients, Workload
from bench.sim.world import Pace, World
from consensus import ED25519
from node.ledger.params import Params

FORMAT = "isthmus-simulation/1"
NODES_MAX = 128
SCHEMES = (ED25519.name, KEYED_HASH.name)
REST = "rest_ms"
"""Among the counts: how long peace took to bring everything in order, or to be given up."""
EVENTS_PER_LINK = 1_000
"""A second, on average over a world; the busiest sane ones have a tenth."""
_SLICE_MS = 250
_PROBE_LIFE_MS = 560_000
"""Longer than the bound of `checkers.liveness` in worlds of up to nine validators, however long their rounds
became, within the cap of what may be asked for (F17)."""
_RETRY_MS = 1_000
_LOOK_MS = 50
_SUMMARIES = 20
_QUIET_INTERVAL_MS = 10_000


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that decides a run. `ms` of virtual time are played with the faults on; after that there is
    peace and everything must come to rest. `rounds_per_second` is the pace of an idle cluster, 0 for one that
    rests when there is nothing to order. `signatures` is one of SCHEMES."""

    seed: int
    weights: tuple[int, ...]
    ms: int
    signatures: str
    rounds_per_second: int
    certification_lag_max: int
    quality: Quality
    pace: Pace
    workload: Workload
    faults: tuple[Fault, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.weights) <= NODES_MAX or min(self.weights) < 1:
            raise ValueError(f"there are 1 to {NODES_MAX} validators, each with a weight of at least 1")
        if self.signatures not in SCHEMES:
            raise ValueError(f"signatures are {' or '.join(SCHEMES)}, not {self.signatures!a:.40}")
        if self.ms < 1 or not 0 <= self.rounds_per_second <= 1_000:
            raise ValueError("ms is at least 1, and rounds_per_second from 0 to 1000")
        if self.certification_lag_max < 1:
            raise ValueError("certification_lag_max is at least 1")
        hosts = len(self.weights) + len(self.twins)
        for number, fault in enumerate(self.faults):
            try:
                check(fault, hosts)
            except ValueError as error:
                raise ValueError(f"faults[{number}]: {error}") from error

    @property
    def twins(self) -> tuple[int, ...]:
        """Validators that run a second time at some moment, each once."""
        return tuple(dict.fromkeys(fault.host for fault in self.faults if isinstance(fault, Twin)))

    def encode(self, story: str = "") -> str:
        """JSON for people and for `decode`; the story says why it is kept."""
        return json.dumps({"format": FORMAT, "story": story, "scenario": to_plain(self)}, indent=1) + "\n"

    @staticmethod
    def decode(text: str) -> "Scenario":
        """The inverse of `encode`; raises NotationError naming the first wrong place."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise NotationError(f"not JSON: {error}") from error
        if not isinstance(document, Mapping) or sorted(document) != ["format", "scenario", "story"]:
            raise NotationError('must be an object of "format", "story" and "scenario"')
        if document["format"] != FORMAT:
            raise NotationError(f"format: must be {FORMAT}, not {document['format']!a:.40}")
        return from_plain(Scenario, document["scenario"], "scenario")


@dataclass(frozen=True, slots=True)
class Options:
    """What a seed is drawn under. `byzantine` are hosts that somebody gives a behaviour."""

    nodes: int = 4
    ms: int = 60_000
    faults: tuple[str, ...] = KINDS
    signatures: str = ED25519.name
    rounds_per_second: int = 50
    byzantine: tuple[int, ...] = ()


def generate(seed: int, options: Options) -> Scenario:
    """The scenario of a seed: a pure function of both."""
    random = Random(f"scenario {seed}")
    weights = (1,) * options.nodes
    if random.randrange(4) == 0:
        drawn = tuple(random.randint(1, 3) for _ in range(options.nodes))
        # what somebody makes Byzantine stays below a third
        if 3 * sum(drawn[place] for place in options.byzantine) < sum(drawn):
            weights = drawn
    low_ms = random.choice((1, 1, 1, 5, 20))
    quality = Quality(
        (low_ms * 1_000, low_ms * 1_000 * random.randint(2, 4)),
        random.choice((0, 0, 0, 1)),
        random.choice((0, 0, 0, 2)),
        random.choice((0, 0, 2)),
    )
    pace = Pace(
        random.choice((300, 1_000, 3_000)),
        random.choice((1_000, 5_000, 50_000, 400_000)),
        random.choice(((300, 900), (1_000, 2_000), (2_000, 30_000))),
    )
    workload = Workload(
        random.randint(1, 4),
        random.choice((1, 4, 12)),
        random.choice((1, 8, 60)),
        random.choice((0, 100, 900)),
        random.randint(500, 5_000),
        random.choice((0, 500, 4_000)),
        random.choice((0, 10, 50)),
        random.choice((0, 20, 40)),
    )
    lag = random.choice((2, 4, 64, 64))
    faults = schedule(random, Ground(weights, options.byzantine, options.ms), options.faults)
    return Scenario(
        seed,
        weights,
        options.ms,
        options.signatures,
        options.rounds_per_second,
        lag,
        quality,
        pace,
        workload,
        faults,
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the broken invariant if any, what was counted, and what happened. `high_water` tells
    of every bound (most held, bound)."""

    violation: Violation | None
    fingerprint: str
    virtual_ms: int
    counts: dict[str, int]
    faults: dict[str, int]
    fates: dict[str, int]
    high_water: dict[str, tuple[int, int]]
    timeline: Timeline


def world_of(
    scenario: Scenario, parts: Parts = SHIPPED, behaviours: Mapping[int, Behaviour] | None = None
) -> World:
    """The world of a scenario, not started."""
    scheme = KEYED_HASH if scenario.signatures == KEYED_HASH.name else remembered(ED25519)
    params = Params(
        created_ms=CREATED_MS,
        idle_interval_ms=_idle_interval_ms(scenario),
        certification_lag_max=scenario.certification_lag_max,
    )
    return World(
        make_setting(len(scenario.weights), scheme, scenario.weights, params),
        scenario.seed,
        quality=scenario.quality,
        pace=scenario.pace,
        parts=parts,
        twins=scenario.twins,
        behaviours=dict(behaviours or {}),
        events_max=events_max(scenario),
    )


def events_max(scenario: Scenario) -> int:
    """What no sane world of this size and length needs: frames are for each pair of hosts and each moment."""
    links = (len(scenario.weights) + len(scenario.twins)) ** 2
    seconds = (scenario.ms + 2 * bound_ms(longest_ms(scenario.ms), scenario.weights)) // 1_000 + 1
    return max(EVENTS_MAX, EVENTS_PER_LINK * links * seconds)


def _idle_interval_ms(scenario: Scenario) -> int:
    if not scenario.rounds_per_second:
        return _QUIET_INTERVAL_MS
    # a round is a proposal and a vote on their way, two journal writes, and the leader's wait
    low_us, high_us = scenario.quality.delay_us
    working_us = low_us + high_us + 2 * scenario.pace.persist_us
    return max(0, 1_000_000 // scenario.rounds_per_second - working_us) // 1_000


def run(
    scenario: Scenario,
    parts: Parts = SHIPPED,
    behaviours: Mapping[int, Behaviour] | None = None,
    on_progress: Callable[[int], None] = lambda elapsed_ms: None,
    prepare: Callable[[World], None] = lambda world: None,
) -> Outcome:
    """Play a scenario to its end. `on_progress` is told the virtual time every quarter of a second of it;
    `prepare` sees the world before it starts."""
    world = world_of(scenario, parts, behaviours)
    prepare(world)
    conditions = Conditions(world)
    clients = Clients(world, scenario.workload, scenario.seed)
    violation = None
    try:
        _play(scenario, world, conditions, clients, on_progress)
    except Violation as found:
        violation = found
    except Storm as storm:
        violation = Violation("storm", f"the world does not come to rest: {storm}")
    except Exception as error:  # the edge: whatever the shipped code raises is a finding of this seed
        violation = Violation("exception", f"{type(error).__name__}: {error}")
        violation.__cause__ = error
    if violation is not None:
        world.timeline.note("world", "violation", str(violation))
    counts = {
        "rounds": _round(world),
        "heights": max(host.height for host in world.hosts),
        "frames": sum(world.network.sent.values()),
        "events": world.clock.events,
        REST: max(0, world.elapsed_ms - scenario.ms),
    }
    happened = Counter(conditions.counts)
    # planned is not yet struck: the host may have been idle, or down
    happened[CrashAtWrite.KIND] = world.timeline.counts["boundary"]
    return Outcome(
        violation,
        world.fingerprint,
        world.elapsed_ms,
        counts,
        dict(happened),
        clients.fates(),
        {name: (held.most, held.bound) for name, held in sorted(world.checkers.high_water.items())},
        world.timeline,
    )


def _play(
    scenario: Scenario,
    world: World,
    conditions: Conditions,
    clients: Clients,
    on_progress: Callable[[int], None],
) -> None:
    for host in conditions.members:
        host.start()
    clients.start()
    for fault in scenario.faults:
        conditions.after(fault.at_ms, partial(fault.apply, conditions))
    between_ms = max(1_000, scenario.ms // _SUMMARIES)
    while world.elapsed_ms < scenario.ms:
        world.run(min(_SLICE_MS, scenario.ms - world.elapsed_ms))
        on_progress(world.elapsed_ms)
        if world.elapsed_ms % between_ms < _SLICE_MS:
            world.timeline.note("world", "so far", _so_far(world))
    clients.stop()
    conditions.calm()
    world.checkers.on_calm()
    _expect_rest(scenario, world, on_progress)


def _so_far(world: World) -> str:
    heights = [host.height for host in world.hosts]
    certified = len(world.checkers.acknowledged)
    return f"round {_round(world)}, heights {' '.join(map(str, heights))}, {certified} transactions certified"


def _round(world: World) -> int:
    return max((host.validator.replica.view().round for host in world.hosts if host.life), default=0)


def _expect_rest(scenario: Scenario, world: World, on_progress: Callable[[int], None]) -> None:
    """A new transaction is everywhere within the bound of `checkers.liveness`, and everybody at one height
    within as long again."""
    limit_ms = world.checkers.liveness.bound_ms
    honest = world.honest
    probe = world.transaction(life_ms=_PROBE_LIFE_MS)
    began_ms, asked = world.elapsed_ms, 0
    while not world.everywhere([probe]):
        waited_ms = world.elapsed_ms - began_ms
        if waited_ms >= limit_ms:
            missing = [host.name for host in honest if not world.holds(host, [probe])]
            raise Violation(
                "liveness", f"hosts {' '.join(missing)} lack a new transaction after {waited_ms} ms of peace"
            )
        if waited_ms >= asked * _RETRY_MS:
            # a client that is refused by one host tries the next
            honest[asked % len(honest)].submit(probe)
            asked += 1
        world.run(_LOOK_MS)
        on_progress(world.elapsed_ms)
    world.timeline.note("world", "stored", "a transaction made in peace is on every honest host")
    world.settle(limit_ms)
    world.checkers.check_blame()
    world.timeline.note("world", "rest", f"everybody is at height {max(host.height for host in honest)}")
