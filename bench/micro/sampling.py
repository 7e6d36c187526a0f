"""How long to measure, how often, and what to make of it: the median of several runs, with their spread.

The number of operations in a run is found by doubling until a run is long enough. Garbage collection rests
meanwhile, as in the standard library's `timeit`.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench.micro.subject import Clock, Sampler, Subject, Workshop

RUNS = 7
SPREAD_MAX = 0.15
"""Noisy: the median of the runs lies further above the fastest than this part of it."""
NOISE_RULE = f"noisy when the median of the runs exceeds the fastest by more than {SPREAD_MAX:.0%}"
_CALIBRATED_PART = 0.1
"""A trial this part of a run's length is long enough to calculate the rest from it."""
_COUNT_MAX = 100_000_000


@dataclass(frozen=True, slots=True)
class Figure:
    """Microseconds an operation of one subject: each run's, by its clock; `count` operations a run."""

    name: str
    unit: str
    clock: str
    count: int
    runs_us: tuple[float, ...]

    @property
    def median_us(self) -> float:
        """The figure."""
        return median(self.runs_us)

    @property
    def spread(self) -> float:
        """How far the median lies above the fastest run, as part of that."""
        fastest = min(self.runs_us)
        return self.median_us / fastest - 1 if fastest > 0 else 0.0

    @property
    def is_noisy(self) -> bool:
        """By `NOISE_RULE`."""
        return self.spread > SPREAD_MAX

    def to_json(self) -> dict[str, object]:
        """Plain values, the derived ones included."""
        return {
            **asdict(self),
            "median_us": self.median_us,
            "min_us": min(self.runs_us),
            "max_us": max(self.runs_us),
            "spread": self.spread,
            "is_noisy": self.is_noisy,
        }


def calibrate(sampler: Sampler, clock: Clock, run_seconds: float) -> int:
    """How many calls fill a run, their untimed preparation included; the trials warm up what is measured."""
    count = 1
    while count < _COUNT_MAX:
        started = clock.now()
        sampler(count)
        seconds = clock.now() - started
        if seconds >= run_seconds:
            return count
        if seconds >= run_seconds * _CALIBRATED_PART:
            return max(1, round(count * run_seconds / seconds))
        count *= 2
    return count


@contextmanager
def without_collection() -> Iterator[None]:
    """Garbage is collected once, and then not while the block lasts."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def microseconds(sampler: Sampler, count: int, per: int) -> float:
    """An operation's, in one run of `count` calls of `per` operations each."""
    return sampler(count) / (count * per) * 1_000_000


def measure(subject: Subject, folder: Path, seconds: float, runs: int = RUNS) -> Figure:
    """The figure of one subject, in about `seconds` and what its preparation takes."""
    with ExitStack() as stack:
        sampler = subject.make(Workshop(folder, subject.clock, stack))
        with without_collection():
            count = calibrate(sampler, subject.clock, seconds / runs)
            samples = tuple(microseconds(sampler, count, subject.per) for _ in range(runs))
    return Figure(subject.name, subject.unit, subject.clock.value, count * subject.per, samples)


def measure_all(
    subjects: Sequence[Subject], folder: Path, seconds: float, on_figure: Callable[[Figure], None]
) -> list[Figure]:
    """Each in turn, in a folder of its own; `on_figure` hears of each."""
    figures: list[Figure] = []
    for number, subject in enumerate(subjects):
        place = folder / str(number)
        place.mkdir()
        figures.append(measure(subject, place, seconds))
        on_figure(figures[-1])
    return figures
