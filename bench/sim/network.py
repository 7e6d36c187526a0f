"""The network of a world: who hears whom, how late, how often, in which order; all from one seed.

Frames may be lost, doubled, overtaken and delayed; a partition also ends links, as TCP does after a while,
while a one-way drop is silent: both ends believe in the link. What left a host arrives after its death too,
even after the news of it: the system sends what a killed process wrote, and what is urgent overtakes.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations
from random import Random
from typing import TYPE_CHECKING

from bench.sim.clock import Clock

if TYPE_CHECKING:
    from bench.sim.host import Host

Filter = Callable[["Host", "Host", int, bytes], bool]
Carry = Callable[[tuple[int, int], int, bytes, int, Callable[[], None]], None]
"""Way, topic, body, delay in us, and what is called when the frame has arrived."""
Watch = Callable[["Host", "Host", int, bytes], None]


@dataclass(frozen=True, slots=True)
class Quality:
    """How frames travel one way. Delays are uniform in `delay_us`; `slow_percent` of them take
    `slow_factor` times as long, which is a long tail and reorders."""

    delay_us: tuple[int, int] = (1_000, 3_000)
    loss_percent: int = 0
    duplicate_percent: int = 0
    slow_percent: int = 0
    slow_factor: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.delay_us[0] <= self.delay_us[1] or self.slow_factor < 1:
            raise ValueError("delay_us are two times, the shorter first, and slow_factor is at least 1")
        if not all(0 <= p <= 100 for p in (self.loss_percent, self.duplicate_percent, self.slow_percent)):
            raise ValueError("percentages are from 0 to 100")


def _everything(source: "Host", target: "Host", topic: int, body: bytes) -> bool:
    return True


class Network:
    """Links between hosts, by their place in the world."""

    def __init__(self, clock: Clock, random: Random, quality: Quality) -> None:
        self.quality = quality
        self.filter: Filter = _everything
        self.watch: Watch | None = None
        self.carry: Carry | None = None
        """Takes the place of links that carry everything at once; see wires.py."""
        self.sent: Counter[int] = Counter()
        self.bytes = 0
        self.doubled = 0
        """Frames that arrive twice."""
        self._clock = clock
        self._random = random
        self._hosts: list[Host] = []
        self._group: list[int] = []
        self._worse: dict[tuple[int, int], Quality] = {}
        self._silent: dict[tuple[int, int], None] = {}
        self._apart: dict[tuple[int, int], None] = {}
        self._hasher = sha256()

    def join(self, host: "Host") -> None:
        """A new host, connected to everybody."""
        self._hosts.append(host)
        self._group.append(0)

    @property
    def fingerprint(self) -> str:
        """Of every frame sent, where from and to, and when."""
        return self._hasher.hexdigest()

    # --- who hears whom --------------------------------------------------------------------------------

    def connected(self, one: "Host", other: "Host") -> bool:
        """Whether a link stands: both are up and in one group."""
        return one.up and other.up and self._together(one, other)

    def _together(self, one: "Host", other: "Host") -> bool:
        if self._apart and (one.place, other.place) in self._apart:
            return False
        return self._group[one.place] == self._group[other.place]

    def keep_apart(self, one: int, other: int) -> None:
        """These two never have a link, like nodes that do not know of each other. Before they start."""
        self._apart[one, other] = self._apart[other, one] = None

    def partition(self, *groups: tuple[int, ...]) -> None:
        """Only hosts of one group keep their links; who is in none is alone."""
        before = self._pairs()
        alone = len(groups)
        for place in range(len(self._hosts)):
            self._group[place] = next((n for n, group in enumerate(groups) if place in group), alone + place)
        for (one, other), was, now in zip(combinations(self._hosts, 2), before, self._pairs(), strict=True):
            if was != now:
                one.link(other, up=now)
                other.link(one, up=now)

    def _pairs(self) -> list[bool]:
        return [self.connected(*pair) for pair in combinations(self._hosts, 2)]

    def link_up(self, host: "Host") -> None:
        """A started host's links come up."""
        for other in self._hosts:
            if other is not host and self.connected(host, other):
                host.link(other, up=True)
                other.link(host, up=True)

    def link_down(self, host: "Host") -> None:
        """A crashed host's links end."""
        for other in self._hosts:
            if other is not host and other.up:
                other.link(host, up=False)

    def silence(self, source: int, target: int) -> None:
        """Nothing from `source` arrives at `target` any more, and neither is told."""
        self._silent[source, target] = None

    def worsen(self, source: int, target: int, quality: Quality) -> None:
        """Frames of this direction travel so from now on."""
        self._worse[source, target] = quality

    def restore(self, source: int, target: int) -> None:
        """This direction is as all others again."""
        self._silent.pop((source, target), None)
        self._worse.pop((source, target), None)

    def mend(self) -> None:
        """Silent and slow directions are as all others again; partitions stay."""
        self._silent.clear()
        self._worse.clear()
        self.filter = _everything

    def heal(self) -> None:
        """Everybody hears everybody and nothing is lost."""
        self.mend()
        self.quality = Quality(self.quality.delay_us)
        self.partition(tuple(range(len(self._hosts))))

    # --- frames ----------------------------------------------------------------------------------------

    def send(self, source: "Host", target: "Host", topic: int, body: bytes, *, gossip: bool) -> None:
        """A frame leaves; it arrives later, perhaps never, perhaps twice, in any order."""
        self.sent[topic] += 1
        self.bytes += len(body)
        self._hasher.update(b"%d %d %d %d " % (self._clock.now_us, source.place, target.place, topic))
        self._hasher.update(body)
        if self.watch is not None:
            self.watch(source, target, topic, body)
        way = (source.place, target.place)
        if way in self._silent or not self.filter(source, target, topic, body):
            return
        quality, random = self._worse.get(way, self.quality), self._random
        if quality.loss_percent and random.randrange(100) < quality.loss_percent:
            return
        copies = 1
        if quality.duplicate_percent and random.randrange(100) < quality.duplicate_percent:
            copies = 2
            self.doubled += 1
        life = target.life

        def arrive() -> None:
            if target.life == life and target.up and self._together(source, target):
                target.receive(source.peer, topic, body, gossip=gossip)

        for _ in range(copies):
            low, high = quality.delay_us
            delay_us = low + int(random.random() * (high - low + 1))
            if quality.slow_percent and random.randrange(100) < quality.slow_percent:
                delay_us *= quality.slow_factor
            if self.carry is None:
                self._clock.after(delay_us, arrive)
            else:
                self.carry(way, topic, body, delay_us, arrive)
