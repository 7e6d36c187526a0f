"""A cluster of four and many observers in virtual time, every one the shipped validator: how far a height
travels, how often, how fast, and what the validators pay for it.

Observers know a few nodes that were there before them, as operators would name them. Half-way the busiest
feeders die at once, and the heights after that must reach everybody who is left all the same.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import combinations
from random import Random
from statistics import median

from bench.micro.sampling import without_collection
from bench.scale.metering import Meter
from bench.sim.host import Host
from bench.sim.network import Quality
from bench.sim.remembered import remembered
from bench.sim.setting import CREATED_MS, make_setting
from bench.sim.world import Pace, World
from node import wire
from node.ledger.params import Params

VALIDATORS = 4
QUALITY = Quality(delay_us=(1_000, 10_000))
_SETTLE_MS = 5_000
_POLL_MS = 2
_PATIENCE_MS = 30_000
_TRANSACTIONS = 10


class NotDelivered(Exception):
    """Somebody did not get a height; `str()` says how many."""


@dataclass(frozen=True, slots=True)
class Spread:
    """What `heights` heights of some kilobytes came to. Bodies are heights sent to who follows; delays are
    virtual milliseconds from the last validator that stored a height to the median and the last observer.

    `redundancy` is bodies sent for each delivered. `feeders_killed` observers that fed others died half-way;
    `repair_ms` is how long after that the next height took to reach all who were left. `validator_cpu_us` is
    what the steps of a validator cost for a height (median), and `alone_cpu_us` the same without observers.
    """

    nodes: int
    observers: int
    links: int
    heights: int
    delivered: int
    bodies: int
    bodies_of_validators: int
    news: int
    redundancy: float
    distance_max: int
    delay_p50_ms: int
    delay_max_ms: int
    feeders_killed: int
    repair_ms: int
    validator_cpu_us: float
    alone_cpu_us: float

    @property
    def cpu_percent(self) -> float:
        """What observers add to a validator's steps, in percent of these alone: not of what a node costs, of
        which they are a part. The median of few heights scatters by more than observers add."""
        return 100 * (self.validator_cpu_us / self.alone_cpu_us - 1)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self) | {"cpu_percent": self.cpu_percent}


def simulate(nodes: int, heights: int, links: int, said: Callable[[str], None], seed: int = 0) -> Spread:
    """Run `nodes` nodes, four of them validators. Raises NotDelivered, bench.sim.violation.Violation."""
    said(f"{VALIDATORS} validators, {nodes - VALIDATORS} observers that are not up")
    alone_cpu_us = _Run(nodes - VALIDATORS, links, seed, observed=False).validators_cpu_us(heights)
    said(f"{VALIDATORS} validators and {nodes - VALIDATORS} observers")
    cpu_us = _Run(nodes - VALIDATORS, links, seed).validators_cpu_us(heights)
    run = _Run(nodes - VALIDATORS, links, seed)
    run.heights(heights)
    bodies = Counter(run.bodies)
    delays, distance = sorted(run.delays_ms), run.distance_max
    news, delivered = run.news, run.delivered
    killed = run.kill_feeders(max(1, (nodes - VALIDATORS) // 20))
    run.delays_ms.clear()
    run.heights(1)
    repair_ms = max(run.delays_ms, default=0)
    run.heights(heights)
    return Spread(
        nodes,
        nodes - VALIDATORS,
        links,
        heights,
        delivered,
        bodies.total(),
        bodies[True],
        news,
        bodies.total() / max(1, delivered),
        distance,
        delays[len(delays) // 2] if delays else 0,
        delays[-1] if delays else 0,
        killed,
        repair_ms,
        cpu_us,
        alone_cpu_us,
    )


class _Run:
    """One world, height by height."""

    def __init__(self, observers: int, links: int, seed: int, *, observed: bool = True) -> None:
        self._random = Random(seed)
        setting = make_setting(
            VALIDATORS, remembered(), params=Params(created_ms=CREATED_MS), candidates=observers
        )
        self._meter = Meter()
        parts = self._meter.parts(range(VALIDATORS), [key.public_key for key in setting.validators])
        self._world = World(setting, seed, quality=QUALITY, pace=Pace(), parts=parts)
        self._part_strangers(links)
        self.delays_ms: list[int] = []
        self.bodies: Counter[bool] = Counter()
        self.news = self.delivered = 0
        with without_collection():
            for host in self._world.hosts if observed else self._world.hosts[:VALIDATORS]:
                host.start()
            self._world.run(_SETTLE_MS)
        self._world.network.watch = self._watch

    @property
    def distance_max(self) -> int:
        """Steps from a validator to the observer that is farthest."""
        distances = (host.validator.feeding.following.distance for host in self._observers)
        return max((distance for distance in distances if distance is not None), default=0)

    @property
    def _observers(self) -> list[Host]:
        return [host for host in self._world.hosts[VALIDATORS:] if host.up]

    def heights(self, count: int) -> None:
        """So many heights, each once the one before is everywhere. Raises NotDelivered."""
        with without_collection():
            for number in range(count):
                self._height(number)

    def kill_feeders(self, count: int) -> int:
        """The observers that feed most others die; how many that were."""
        ranked = sorted(self._observers, key=lambda host: -len(host.validator.feeding.following.fed))
        for host in ranked[:count]:
            host.crash()
        return len(ranked[:count])

    def validators_cpu_us(self, count: int) -> float:
        """The median of what a height costs a validator's steps. What is sent to observers gets lost: were
        they to work between the validators' steps, in the same process, they would be measured too."""
        self._world.network.filter = lambda source, target, topic, body: target.place < VALIDATORS
        found: list[float] = []
        with without_collection():
            for number in range(count):
                self._meter.reset()
                self._certify(number)
                found.append(self._meter.total().seconds * 1_000_000 / VALIDATORS)
        return median(found)

    def _certify(self, number: int) -> None:
        sent = self._world.submit(number % VALIDATORS, _TRANSACTIONS)
        if not self._world.stored(sent, _PATIENCE_MS, *range(VALIDATORS)):
            raise NotDelivered(f"the validators did not store a height within {_PATIENCE_MS} ms")

    def _height(self, number: int) -> None:
        world = self._world
        self._certify(number)
        height, since_ms = world.hosts[0].height, world.now_ms
        waiting = self._observers
        while waiting:
            arrived = [host for host in waiting if host.height >= height]
            self.delivered += len(arrived)
            self.delays_ms += [world.now_ms - since_ms] * len(arrived)
            waiting = [host for host in waiting if host.height < height]
            if waiting and world.now_ms - since_ms > _PATIENCE_MS:
                raise NotDelivered(f"{len(waiting)} observers lack height {height} after {_PATIENCE_MS} ms")
            world.run(_POLL_MS)

    def _part_strangers(self, links: int) -> None:
        """Each observer knows `links` nodes of those before it, the first ones validators."""
        known: dict[tuple[int, int], None] = dict.fromkeys(combinations(range(VALIDATORS), 2))
        total = len(self._world.hosts)
        for place in range(VALIDATORS, total):
            for other in self._random.sample(range(place), min(links, place)):
                known[other, place] = None
        for one, other in combinations(range(total), 2):
            if (one, other) not in known:
                self._world.network.keep_apart(one, other)

    def _watch(self, source: Host, target: Host, topic: int, body: bytes) -> None:
        if target.place < VALIDATORS and source.place < VALIDATORS:
            return
        if topic == wire.Code.SYNC:
            self.bodies[source.place < VALIDATORS] += 1
        else:
            self.news += 1
