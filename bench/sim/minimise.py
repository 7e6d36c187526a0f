"""The smallest scenario that still breaks the same invariant.

Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002) over the
faults, then less time, shorter faults, fewer clients and a plainer network. Every candidate is played in
full: taking a fault away changes every delay after it, so a smaller scenario counts because it fails, not
because it ought to.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from bench.sim.faults import Fault
from bench.sim.network import Quality
from bench.sim.scenario import Scenario
from bench.sim.workload import Workload
from bench.sim.world import Pace

RUNS_MAX = 300
_SHORTEST_MS = 50
_SPARE_MS = 200
_SHORT_ENOUGH_MS = 1_000
_PLAINER_LOADS: tuple[dict[str, int], ...] = (
    {"hostile_percent": 0},
    {"twice_percent": 0},
    {"burst": 1},
    {"size_max": 0},
    {"clients": 1},
    {"per_second": 1},
    {"pause_ms": 0},
)
_HELD = ("ms", "age_ms", "ahead")

Fails = Callable[[Scenario], bool]
"""Whether a scenario breaks the invariant that the first one broke."""


@dataclass(frozen=True, slots=True)
class Minimal:
    """`runs` candidates were played; `is_done` is False when the bound of runs ended the search."""

    scenario: Scenario
    runs: int
    is_done: bool


class _Spent(Exception):
    """No more runs are allowed."""


class _Search:
    """The smallest failing scenario so far."""

    def __init__(self, scenario: Scenario, fails: Fails, runs_max: int) -> None:
        self.best = scenario
        self.runs = 0
        self._fails = fails
        self._runs_max = runs_max
        self._seen: dict[Scenario, None] = {scenario: None}

    def accept(self, **changes: object) -> bool:
        """Whether the best scenario fails with these changes too; it is the best one then."""
        try:
            candidate = replace(self.best, **changes)  # type: ignore[arg-type]  # names and types are ours
        except ValueError:
            # a fault names the twin of a fault that was taken away
            return False
        if candidate in self._seen:
            return False
        self._seen[candidate] = None
        if self.runs >= self._runs_max:
            raise _Spent
        self.runs += 1
        if not self._fails(candidate):
            return False
        self.best = candidate
        return True


def minimise(scenario: Scenario, fails: Fails, runs_max: int = RUNS_MAX) -> Minimal:
    """Shrink a failing scenario. `fails` must be true of it and depend on nothing else."""
    search = _Search(scenario, fails, runs_max)
    try:
        _fewer_faults(search)
        _less_time(search)
        _shorter_faults(search)
        _plainer(search)
        _fewer_faults(search)
    except _Spent:
        return Minimal(search.best, search.runs, False)
    return Minimal(search.best, search.runs, True)


def _fewer_faults(search: _Search) -> None:
    parts = 2
    if search.best.faults and search.accept(faults=()):
        return
    while len(search.best.faults) >= 2:
        faults = search.best.faults
        parts = min(parts, len(faults))
        pieces = list(_pieces(faults, parts))
        if any(search.accept(faults=piece) for piece in pieces):
            parts = 2
        elif any(search.accept(faults=_without(pieces, number)) for number in range(len(pieces))):
            parts = max(2, parts - 1)
        elif parts < len(faults):
            parts *= 2
        else:
            return


def _pieces(faults: tuple[Fault, ...], parts: int) -> Iterator[tuple[Fault, ...]]:
    for number in range(parts):
        yield faults[len(faults) * number // parts : len(faults) * (number + 1) // parts]


def _without(pieces: list[tuple[Fault, ...]], left_out: int) -> tuple[Fault, ...]:
    return tuple(fault for number, piece in enumerate(pieces) if number != left_out for fault in piece)


def _less_time(search: _Search) -> None:
    """Everything earlier, then less time after the last fault."""
    while (best := search.best).ms > _SHORT_ENOUGH_MS:
        sooner = tuple(replace(fault, at_ms=fault.at_ms // 2) for fault in best.faults)
        if not search.accept(faults=sooner, ms=best.ms // 2):
            break
    last_ms = max((fault.at_ms for fault in search.best.faults), default=0)
    if search.accept(ms=min(search.best.ms, last_ms + _SPARE_MS)):
        return
    while search.best.ms - last_ms > _SPARE_MS and search.accept(ms=(search.best.ms + last_ms) // 2):
        pass


def _shorter_faults(search: _Search) -> None:
    for number in range(len(search.best.faults)):
        for name in _HELD:
            while True:
                fault = search.best.faults[number]
                held = getattr(fault, name, 0)
                # a count of writes is small, a time is not
                if held <= (1 if name == "ahead" else _SHORTEST_MS):
                    break
                shorter = replace(fault, **{name: held // 2})  # type: ignore[arg-type]  # it has that field
                faults = (*search.best.faults[:number], shorter, *search.best.faults[number + 1 :])
                if not search.accept(faults=faults):
                    break


def _plainer(search: _Search) -> None:
    if search.accept(workload=Workload(0, 0, 1, 0, 1_000, 0, 0, 0)):
        _plainer_network(search)
        return
    for changes in _PLAINER_LOADS:
        search.accept(workload=replace(search.best.workload, **changes))
    _plainer_network(search)


def _plainer_network(search: _Search) -> None:
    search.accept(quality=Quality())
    search.accept(pace=Pace())
    search.accept(weights=(1,) * len(search.best.weights))
    search.accept(certification_lag_max=64)
    search.accept(rounds_per_second=10)
