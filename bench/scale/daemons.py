"""The same question asked of real processes: empty rounds as fast as they go, on the cores there are."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench.cluster.outcome import rounds_per_second
from bench.cluster.scenarios import BY_NAME
from bench.cluster.session import Place, open_session
from bench.cluster.trial import Watcher
from bench.machine import Machine, Noise

_SCENARIO = BY_NAME["idle-rounds"]


@dataclass(frozen=True, slots=True)
class RealRounds:
    """Empty rounds of `nodes` daemons on one machine, with `headers` ledger headers in each, which should be
    none. CPU and bytes are a replica's in one round; bytes are those on the links, with frames and without
    TLS. `problems` are sentences."""

    nodes: int
    seconds: float
    rounds: int
    headers: float
    rounds_per_second: float
    cpu_us: float
    bytes: float
    timeouts: int
    fsync: bool
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


class NoRounds(Exception):
    """A cluster of daemons did nothing that could be measured; `str()` says which."""


async def measure_daemons(
    nodes: int, seconds: float, directory: Path, watcher: Watcher, machine: Machine, noise: Noise
) -> RealRounds:
    """Start, measure and stop a cluster in `directory`. Raises NoRounds, and what `open_session` raises."""
    scenario = replace(_SCENARIO, nodes=nodes, seconds=seconds, warmup_seconds=min(2.0, seconds))
    async with open_session(Place(directory), scenario, watcher, machine, noise) as session:
        outcome = await session.measure(session.scenario)
    work, rate = outcome.trial.work, rounds_per_second(outcome.trial.work)
    rounds = max((node.rounds for node in work.nodes.values()), default=0)
    heights = max((node.heights for node in work.nodes.values()), default=0)
    if rate is None or not rounds:
        raise NoRounds(f"{nodes} daemons finished no round in {work.seconds:.1f} s")
    cpu = sum(spent for name, spent in work.cpu_seconds.items() if name.startswith("node"))
    sent = sum(sum(node.link_bytes.values()) for node in work.nodes.values())
    timeouts = sum(sum(node.timeouts.values()) for node in work.nodes.values())
    return RealRounds(
        nodes,
        work.seconds,
        rounds,
        heights / rounds,
        rate,
        cpu * 1_000_000 / rounds / nodes,
        sent / rounds / nodes,
        timeouts,
        scenario.fsync,
        outcome.problems,
    )
