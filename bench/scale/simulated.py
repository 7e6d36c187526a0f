"""A cluster of n shipped validators in virtual time, some of them measured, for a number of rounds.

While the cluster runs, all share a memory of which signatures are good, which changes nothing that anybody
says (`bench.sim.remembered`), so that a hundred validators fit one core. What some of them were told is then
repeated under the clock, one replica after the other, each checking every signature itself (`alone`).
"""

from collections import Counter
from collections.abc import Callable, Mapping
from cProfile import Profile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.micro.sampling import without_collection
from bench.scale.alone import Notes, repeat
from bench.scale.metering import Cost, Meter, message_kind
from bench.sim.network import Quality
from bench.sim.remembered import remembered
from bench.sim.setting import CREATED_MS, make_setting
from bench.sim.world import Pace, World
from node.ledger.params import Params

if TYPE_CHECKING:
    from bench.sim.host import Host

QUALITY = Quality(delay_us=(1_000, 3_000))
PACE = Pace()
NETWORK_WORDS = (
    f"every message takes {QUALITY.delay_us[0] / 1000:g} to {QUALITY.delay_us[1] / 1000:g} ms, a journal "
    f"write {PACE.persist_us / 1000:g} ms, computing no time at all"
)
WARMUP_ROUNDS = 8
MEASURED_MAX = 8
"""Replicas that are measured: all of a small cluster, so many of a large one."""
_STALLED_MS = 60_000
_POLL_MS = 1


class Stalled(Exception):
    """A cluster without faults stopped: our fault; `str()` says where."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """What `rounds` rounds of a cluster cost `measured` of its replicas together, and what all of them sent.

    `headers` is how many ledger headers a round came to; `virtual_us` what the rounds took on the network.
    """

    nodes: int
    measured: int
    rounds: int
    headers: float
    virtual_us: int
    kinds: Mapping[str, Cost]
    sent: Mapping[str, int]
    sent_bytes: Mapping[str, int]

    @property
    def total(self) -> Cost:
        """Of all kinds of events."""
        return Meter(kinds=dict(self.kinds)).total()

    def per_round(self, amount: float) -> float:
        """Of what the measured replicas did together, one replica's share of one round."""
        return amount / self.rounds / self.measured

    def sent_per_round(self, amount: float) -> float:
        """Of what all replicas sent together, the same."""
        return amount / self.rounds / self.nodes

    @property
    def cpu_us(self) -> float:
        """CPU microseconds of a replica's steps in a round."""
        return self.per_round(self.total.seconds) * 1_000_000

    @property
    def crypto_us(self) -> float:
        """Those of signatures."""
        return self.per_round(self.total.crypto_seconds) * 1_000_000

    @property
    def rounds_per_second(self) -> float:
        """On the network alone."""
        return self.rounds * 1_000_000 / self.virtual_us


def measured_of(nodes: int) -> tuple[int, ...]:
    """Which replicas are measured: evenly spread over the set."""
    count = min(nodes, MEASURED_MAX)
    return tuple(number * nodes // count for number in range(count))


def simulate(
    nodes: int,
    rounds: int,
    *,
    with_payload: bool,
    profiler: Profile | None = None,
    on_round: Callable[[int], None] = lambda number: None,
) -> Simulated:
    """Run past the warm-up and `rounds` more. `with_payload`: one transaction is submitted each round, so
    that most blocks yield a header. Raises Stalled, NotRepeated, bench.sim.violation.Violation."""
    setting = make_setting(nodes, remembered(), params=Params(created_ms=CREATED_MS, idle_interval_ms=0))
    meter, chosen = Meter(profiler), measured_of(nodes)
    notes = Notes([setting.validators[index].public_key for index in chosen])
    world = World(setting, quality=QUALITY, pace=PACE, parts=notes.parts())
    run = _Run(world, with_payload, on_round)
    with without_collection():
        world.start()
        run.until(WARMUP_ROUNDS)
        notes.begin()
        first, headers, began_us = run.round, run.headers, world.clock.now_us
        world.network.watch = run.watch
        run.until(first + rounds)
        for noted in notes.noted:
            repeat(noted, meter)
    done = run.round - first
    return Simulated(
        nodes,
        len(chosen),
        done,
        (run.headers - headers) / done,
        world.clock.now_us - began_us,
        dict(meter.kinds),
        dict(run.sent),
        dict(run.sent_bytes),
    )


class _Run:
    """Follows a world round by round."""

    def __init__(self, world: World, with_payload: bool, on_round: Callable[[int], None]) -> None:
        self._world = world
        self._with_payload = with_payload
        self._on_round = on_round
        self._seen = 0
        self.sent: Counter[str] = Counter()
        self.sent_bytes: Counter[str] = Counter()

    @property
    def round(self) -> int:
        """The highest that any replica is in."""
        return max(host.validator.replica.view().round for host in self._world.hosts)

    @property
    def headers(self) -> int:
        """The highest height that is certified anywhere."""
        return max(host.validator.replica.view().certified_height for host in self._world.hosts)

    def until(self, wanted: int) -> None:
        """Let time pass until this round has begun. Raises Stalled."""
        deadline_ms = self._world.elapsed_ms + _STALLED_MS
        while self.round < wanted:
            if self._world.elapsed_ms > deadline_ms:
                raise Stalled(
                    f"{len(self._world.hosts)} replicas were in round {self.round} after "
                    f"{_STALLED_MS // 1000} s without any fault"
                )
            self._world.run(_POLL_MS)
            if self.round > self._seen:
                self._seen = self.round
                self._on_round(self._seen)
                if self._with_payload:
                    self._world.submit(self._seen % len(self._world.hosts))

    def watch(self, source: "Host", target: "Host", topic: int, body: bytes) -> None:
        """A frame leaves."""
        kind = message_kind(topic, body)
        self.sent[kind] += 1
        self.sent_bytes[kind] += len(body)
