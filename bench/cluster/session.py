"""What one command measures: one trial, a row of rates, or the search for the knee, on one cluster."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from bench.cluster.children import ChildFailed
from bench.cluster.ground import Ground, GroundError, open_attached, open_local
from bench.cluster.knee import Knee, find_knee
from bench.cluster.outcome import Outcome
from bench.cluster.scenarios import Fault, Mode, Scenario, row_at
from bench.cluster.shapes import ClosedLoop
from bench.cluster.trial import Watcher, run_trial, settle
from bench.cluster.wiring import Wiring
from bench.machine import Machine, Noise
from bench.namespaces import NamespaceError
from node.client import ClientError
from node.home import HomeError, KeyFileError
from node.local.testnet import TestnetError

MEASURING_FAILURES: tuple[type[Exception], ...] = (
    ChildFailed,
    ClientError,
    GroundError,
    HomeError,
    KeyFileError,
    NamespaceError,
    TestnetError,
    OSError,
)
"""What keeps a measurement from its figures, each with a sentence."""
_LONE_TPS_MAX = 500
_SCOUT_TPS = 8_000
_SCOUT_SECONDS = 2.0
_MARGIN = 1.6
"""Transactions are signed ahead for this multiple of what was scouted."""


@dataclass(frozen=True, slots=True)
class Search:
    """How to find the knee: the first rate, and the 99th percentile that a carried rate stays under."""

    first_rate: int
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where to measure: `attach` are URLs of a running cluster with the keys of members, else a new one is
    made in `directory`, in the namespaces of `wiring` if there are any."""

    directory: Path
    attach: tuple[str, ...] = ()
    keys: tuple[Path, ...] = ()
    wiring: Wiring | None = None


@dataclass(slots=True)
class Session:
    """An open cluster; trials follow each other on it, every one with records of its own names."""

    ground: Ground
    scenario: Scenario
    directory: Path
    watcher: Watcher
    machine: Machine
    noise: Noise
    per_request: int | None = None
    """In rows of rates; None: by the rate."""
    outcomes: list[Outcome] = field(default_factory=list)
    _token: str = field(default_factory=lambda: secrets.token_hex(4))
    _count: int = 0

    async def measure(
        self,
        scenario: Scenario,
        p99_ms_bound: float | None = None,
        beside: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    ) -> Outcome:
        """One trial, with this beside its measured window; kept in `outcomes`."""
        if self.outcomes:
            await settle(self.ground, self.watcher)
        ceiling = await self._ceiling_tps(scenario)
        outcome = replace(await self._try(scenario, ceiling, beside), p99_ms_bound=p99_ms_bound)
        self.outcomes.append(outcome)
        return outcome

    async def measure_rates(self, rates: Sequence[int]) -> None:
        """One trial for each."""
        for rate in rates:
            self._tell(await self.measure(self.at(rate)))

    async def find_knee(self, search: Search) -> Knee:
        """The highest rate that is carried under the bound on latency."""

        async def carries(rate: int) -> bool:
            outcome = await self.measure(self.at(rate), search.p99_ms)
            self._tell(outcome)
            return not outcome.problems and outcome.trial.traffic.latency_ms is not None

        return await find_knee(carries, search.first_rate)

    def at(self, rate: int) -> Scenario:
        """This session's scenario at a rate."""
        return row_at(self.scenario, rate, self.per_request)

    def _tell(self, outcome: Outcome) -> None:
        traffic = outcome.trial.traffic
        p99 = "" if traffic.latency_ms is None else f", p99 {traffic.latency_ms.p99:,.0f} ms"
        counted = f"{traffic.throughput_tps:,.0f} {outcome.scenario.promise.value} tx/s"
        self.watcher.say(f"{outcome.scenario.label}: {counted}{p99}")

    async def _ceiling_tps(self, scenario: Scenario) -> int:
        """How many transactions a second a closed loop may need: found by a short trial."""
        if scenario.mode is not Mode.HONEST:
            return 0  # a few bodies go round
        match scenario.shape:
            case ClosedLoop(outstanding=1):
                return _LONE_TPS_MAX
            case ClosedLoop():
                scout = replace(scenario, warmup_seconds=1.0, seconds=_SCOUT_SECONDS, fault=Fault.NONE)
                found = (await self._try(scout, _SCOUT_TPS)).trial
                await settle(self.ground, self.watcher)
                if found.ran_out:
                    return 4 * _SCOUT_TPS
                return int(_MARGIN * max(second.certified for second in found.traffic.series)) + 100
        return 0

    async def _try(
        self,
        scenario: Scenario,
        ceiling_tps: int,
        beside: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    ) -> Outcome:
        self._count += 1
        name = f"{self._token}-{self._count}"
        trial = await run_trial(
            self.ground, scenario, name, self.directory, self.watcher, ceiling_tps, beside
        )
        return Outcome(scenario, trial, self.ground.daemons is None, self.machine, self.noise)


@asynccontextmanager
async def open_session(
    place: Place, scenario: Scenario, watcher: Watcher, machine: Machine, noise: Noise
) -> AsyncIterator[Session]:
    """A cluster that is ready. Raises GroundError, ClientError, HomeError, OSError."""
    watcher.phase("waiting for the cluster to be ready", 0)
    opened = (
        open_attached(place.attach, place.keys, scenario.mode)
        if place.attach
        else open_local(scenario, place.directory / "net", place.wiring)
    )
    async with opened as ground:
        shown = replace(scenario, nodes=len(ground.urls), clients=len(ground.seeds))
        yield Session(ground, shown, place.directory, watcher, machine, noise)
