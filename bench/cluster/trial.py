"""One measurement on a running cluster: sign ahead, offer load, look twice, gather what clients saw."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import trio

from bench.cluster.children import Child, ChildFailed, open_child
from bench.cluster.figures import Aftermath, Samples, Traffic, Window, aftermath_of, traffic_of
from bench.cluster.ground import Ground
from bench.cluster.injuries import injure
from bench.cluster.loader import LoadPlan
from bench.cluster.opaque import BODIES
from bench.cluster.readings import Reading, Work, take_reading, work_between
from bench.cluster.scenarios import Fault, Mode, Scenario
from bench.cluster.shapes import ClosedLoop, NoLoad, OpenLoop, Share, timetable
from bench.cluster.signedbodies import BodiesPlan
from bench.cluster.signing import SigningPlan
from bench.machine import usable_cores
from bench.packetloss import Lost

LIFETIME_MS = 590_000
"""Of a transaction, from its signing: within the ten minutes that a cluster allows by default."""
TIMEOUT_MS = 30_000
_LEAD_US = 500_000
"""From telling the load processes when to begin until then."""
_DRAIN_SECONDS = TIMEOUT_MS / 1000 + 30
_ONE_PROCESS_RATE = 1_000
_SETTLED_SECONDS = 30.0
_SETTLED_PAUSE = 0.25
_SECOND_US = 1_000_000


class Watcher(Protocol):
    """Who follows a trial and tells people."""

    def say(self, text: str) -> None:
        """Something is known now."""

    def phase(self, words: str, seconds: float) -> None:
        """This begins now and takes about so long; 0 when nobody knows."""

    def second(self, process: str, heard: Mapping[str, Any]) -> None:
        """What a load process did so far."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it. `work` lacks what could not be seen; `refusals` are nodes' "not now", by code, after
    which the transactions were sent again; `deaths` are sentences about daemons that ended by themselves."""

    traffic: Traffic
    work: Work
    refusals: Mapping[int, int]
    ran_out: bool
    transaction_bytes: int
    killed: tuple[str, ...]
    fault_at_s: float | None
    aftermath: Aftermath | None
    """What the fault did; None without one."""
    deaths: tuple[str, ...]
    lost: Lost | None = None
    """Packets of the lossy link, where they were really lost."""


@dataclass(slots=True)
class _Gathered:
    samples: Samples = field(default_factory=Samples)
    refusals: Counter[int] = field(default_factory=Counter)
    ran_out: bool = False
    killed: tuple[str, ...] = ()


async def run_trial(
    ground: Ground,
    scenario: Scenario,
    name: str,
    directory: Path,
    watcher: Watcher,
    ceiling_tps: int,
    beside: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
) -> Trial:
    """Measure once. `name` is unlike any other of this cluster's; files go to `directory`, which exists.

    `ceiling_tps`: for a closed loop, how many transactions a second are signed ahead. `beside` is begun
    with the measured window and waited for. Raises ChildFailed, OSError, and what `beside` does, in a group.
    """
    duration = scenario.warmup_seconds + scenario.seconds
    shares = _shares(scenario)
    counts = [_count(scenario, share, duration, ceiling_tps) for share in shares]
    size = scenario.payload_bytes
    if scenario.mode is Mode.HONEST:
        watcher.phase(f"signing {sum(counts):,} transactions", 0)
        size = await _sign(ground, scenario, name, directory, counts)
    elif scenario.mode is Mode.SIGNED and not isinstance(scenario.shape, NoLoad):
        watcher.phase(f"signing {BODIES * scenario.shape.per_request:,} transactions", 0)
        await _sign_bodies(
            ground, scenario, scenario.shape, directory, _transactions_file(directory, name, shares[0])
        )
    gathered = _Gathered()
    async with AsyncExitStack() as stack:
        loaders = []
        for share in shares:
            plan = _load_plan(ground, scenario, share, duration, name, directory)
            child = open_child("bench.cluster.loader", f"load{share.number}", plan.to_json(), directory)
            loaders.append(await stack.enter_async_context(child))
        for loader in loaders:
            await loader.expect("ready")
        pids = ground.pids() | {loader.name: loader.pid for loader in loaders}
        begin_us = time.monotonic_ns() // 1000 + _LEAD_US
        for loader in loaders:
            await loader.tell(str(begin_us))
        before, after = await _watch(ground, scenario, loaders, pids, begin_us, gathered, watcher, beside)
    for share in shares:
        gathered.samples.extend(_read(_samples_file(directory, name, share)))
        _transactions_file(directory, name, share).unlink(missing_ok=not scenario.mode.is_signed)
    window = Window(int(scenario.warmup_seconds * _SECOND_US), int(duration * _SECOND_US))
    fault_at_s, aftermath = None, None
    if scenario.fault is not Fault.NONE:
        fault_at_s = scenario.seconds / 2
        aftermath = aftermath_of(gathered.samples, window, window.begin_us + int(fault_at_s * _SECOND_US))
    daemons = ground.daemons
    deaths = () if daemons is None else tuple(str(death) for death in daemons.deaths)
    loss = None if daemons is None else daemons.loss
    return Trial(
        traffic_of(gathered.samples, window, weight=_weight(scenario)),
        work_between(before, after),
        dict(sorted(gathered.refusals.items())),
        gathered.ran_out,
        size,
        gathered.killed,
        fault_at_s,
        aftermath,
        deaths,
        None if loss is None else loss.lost,
    )


async def settle(ground: Ground, watcher: Watcher) -> None:
    """Wait, for a bounded time, until no node has transactions left over from the trial before."""
    watcher.phase("waiting for the cluster to settle", 0)
    with trio.move_on_after(_SETTLED_SECONDS):
        while True:
            reading = await take_reading(ground.urls, {})
            if not any(node.has_work_left() for node in reading.nodes.values()):
                return
            await trio.sleep(_SETTLED_PAUSE)


def _weight(scenario: Scenario) -> int:
    """Transactions that one sample stands for."""
    if scenario.mode is not Mode.HONEST and not isinstance(scenario.shape, NoLoad):
        return scenario.shape.per_request
    return 1


def _shares(scenario: Scenario) -> tuple[Share, ...]:
    """One load process for what one does easily, two for more."""
    if scenario.mode is not Mode.HONEST:
        return (Share(0, 1),)
    match scenario.shape:
        case NoLoad():
            return ()
        case OpenLoop(rate=rate) if rate <= _ONE_PROCESS_RATE:
            return (Share(0, 1),)
        case ClosedLoop(outstanding=outstanding, per_request=size) if outstanding < 2 * size:
            return (Share(0, 1),)
    return (Share(0, 2), Share(1, 2))


def _count(scenario: Scenario, share: Share, duration: float, ceiling_tps: int) -> int:
    match scenario.shape:
        case OpenLoop(per_request=size) as shape:
            return size * sum(1 for _ in timetable(shape, share, duration))
        case ClosedLoop(outstanding=outstanding):
            return share.of(int(ceiling_tps * duration) + outstanding)
    return 0


def _load_plan(
    ground: Ground, scenario: Scenario, share: Share, duration: float, name: str, directory: Path
) -> LoadPlan:
    if isinstance(scenario.shape, NoLoad):
        raise ValueError("there is nothing to plan without load")
    return LoadPlan(
        tuple(ground.urls.values()),
        scenario.shape,
        share,
        duration,
        TIMEOUT_MS,
        str(_transactions_file(directory, name, share)),
        str(_samples_file(directory, name, share)),
        scenario.mode,
        0 if scenario.mode is Mode.HONEST else scenario.payload_bytes,
        scenario.promise,
    )


async def _sign(ground: Ground, scenario: Scenario, name: str, directory: Path, counts: Sequence[int]) -> int:
    """Have all transactions signed, one file for each load process; the size of one."""
    limit = trio.CapacityLimiter(usable_cores())
    sizes: list[int] = []

    async def sign(number: int, count: int) -> None:
        file = str(_transactions_file(directory, name, Share(number, len(counts))))
        seeds, step = ground.seeds, len(counts)
        plan = SigningPlan(
            ground.cluster_id, seeds, name, number, step, count, scenario.payload_bytes, LIFETIME_MS, file
        )
        module, child_name = "bench.cluster.signing", f"signer{number}"
        async with limit, open_child(module, child_name, plan.to_json(), directory) as child:
            sizes.append((await child.expect("signed"))["transaction_bytes"])

    async with trio.open_nursery() as nursery:
        for number, count in enumerate(counts):
            nursery.start_soon(sign, number, count)
    return max(sizes, default=0)


async def _sign_bodies(
    ground: Ground, scenario: Scenario, shape: OpenLoop | ClosedLoop, directory: Path, file: Path
) -> None:
    """Have the bodies of a load signed, side by side on all cores, into one file."""
    step = min(usable_cores(), BODIES)

    async def sign(number: int) -> None:
        plan = BodiesPlan(
            ground.cluster_id,
            ground.seeds,
            number,
            step,
            BODIES,
            shape.per_request,
            scenario.payload_bytes,
            str(file),
        )
        module, child_name = "bench.cluster.signedbodies", f"signer{number}"
        async with open_child(module, child_name, plan.to_json(), directory) as child:
            await child.expect("signed")

    async with trio.open_nursery() as nursery:
        for number in range(step):
            nursery.start_soon(sign, number)


async def _watch(
    ground: Ground,
    scenario: Scenario,
    loaders: Sequence[Child],
    pids: Mapping[str, int],
    begin_us: int,
    gathered: _Gathered,
    watcher: Watcher,
    beside: Callable[[], Awaitable[None]],
) -> tuple[Reading, Reading]:
    """Follow a load from its begin until everything is answered; the looks at the window's ends."""

    async def sleep_until(second: float) -> None:
        await trio.sleep(max(0.0, second + (begin_us - time.monotonic_ns() // 1000) / _SECOND_US))

    async def hurt() -> None:
        if ground.daemons is not None:
            await sleep_until(scenario.warmup_seconds + scenario.seconds / 2)
            gathered.killed = await injure(scenario.fault, ground.daemons)

    async def look() -> None:
        before.append(await take_reading(ground.urls, pids))

    before: list[Reading] = []
    async with trio.open_nursery() as nursery:
        for loader in loaders:
            nursery.start_soon(_listen, loader, gathered, watcher)
        watcher.phase("warming up", scenario.warmup_seconds)
        await sleep_until(scenario.warmup_seconds)
        watcher.phase("measuring", scenario.seconds)
        async with trio.open_nursery() as first_look:
            # Beside the window: a node that is slow to tell may move neither a fault nor the window's end.
            first_look.start_soon(look)
            first_look.start_soon(beside)
            async with trio.open_nursery() as window:
                window.start_soon(hurt)
                await sleep_until(scenario.warmup_seconds + scenario.seconds)
                after = await take_reading(ground.urls, pids)
                window.cancel_scope.cancel()
        watcher.phase("waiting for the last answers", 0)
        nursery.cancel_scope.deadline = trio.current_time() + _DRAIN_SECONDS
    if nursery.cancel_scope.cancelled_caught:
        raise ChildFailed(f"a load process still waited {_DRAIN_SECONDS:.0f} s after its load had ended")
    return before[0], after


async def _listen(loader: Child, gathered: _Gathered, watcher: Watcher) -> None:
    while True:
        heard = await loader.hear()
        if heard["event"] == "done":
            gathered.refusals.update({int(code): count for code, count in heard["refusals"].items()})
            gathered.ran_out |= heard["ran_out"]
            return
        watcher.second(loader.name, heard)


def _transactions_file(directory: Path, name: str, share: Share) -> Path:
    return directory / f"{name}-{share.number}.transactions"


def _samples_file(directory: Path, name: str, share: Share) -> Path:
    return directory / f"{name}-{share.number}.samples"


def _read(file: Path) -> Samples:
    return Samples.from_bytes(file.read_bytes())
