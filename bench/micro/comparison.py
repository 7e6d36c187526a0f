"""Two revisions against each other: both alternate, pair by pair, so that a slow moment hits both.

The order is A B B A, so that a drift cancels. The pairs come from several generations of processes, since
where a process lies in memory is worth a few per cent for its whole life.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from math import comb
from pathlib import Path
from statistics import median

from bench.micro.revision import Sources
from bench.micro.subject import Subject

GENERATIONS = 3
PAIRS = 6
"""In each generation."""
CHANCE_MAX = 0.01
RATIO_MIN = 0.05
RULE = (
    f"beyond noise when the pairs agree on the direction so often that chance alone does it in less than "
    f"{CHANCE_MAX:.0%} of all cases (sign test), the medians of all generations of processes agree too, and "
    f"the median ratio is further than {RATIO_MIN:.0%} from 1"
)
_STOP_SECONDS = 10


class MeasurerFailed(Exception):
    """A measuring process ended or imported the wrong sources: our fault."""


class CannotMeasure(Exception):
    """This revision has no such subject; `str()` says why."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """One subject: each pair's microseconds, and here / base of them. Below 1: faster here than in base."""

    name: str
    unit: str
    clock: str
    base_us: tuple[float, ...]
    here_us: tuple[float, ...]
    generations: int
    """The pairs are equally many consecutive ones of each."""

    @property
    def ratios(self) -> tuple[float, ...]:
        """Of each pair."""
        return tuple(here / base for here, base in zip(self.here_us, self.base_us, strict=True))

    @property
    def ratio(self) -> float:
        """The median of the pairs."""
        return median(self.ratios)

    @property
    def middle_half(self) -> tuple[float, float]:
        """The ratios between which half of the pairs lie."""
        ordered = sorted(self.ratios)
        return ordered[len(ordered) // 4], ordered[-1 - len(ordered) // 4]

    @property
    def base_median_us(self) -> float:
        """An operation's in the other revision."""
        return median(self.base_us)

    @property
    def here_median_us(self) -> float:
        """An operation's in this one."""
        return median(self.here_us)

    @property
    def chance(self) -> float:
        """How likely equal revisions agree on a direction at least this often (two-sided sign test)."""
        ratios = [ratio for ratio in self.ratios if ratio != 1]
        fewer = min(sum(ratio < 1 for ratio in ratios), sum(ratio > 1 for ratio in ratios))
        tail = sum(comb(len(ratios), k) for k in range(fewer + 1)) / 2 ** len(ratios)
        return float(min(1.0, 2 * tail))

    @property
    def is_beyond_noise(self) -> bool:
        """By `RULE`."""
        size = len(self.ratios) // self.generations
        parts = [median(self.ratios[size * g : size * (g + 1)]) for g in range(self.generations)]
        agree = all(part < 1 for part in parts) or all(part > 1 for part in parts)
        return agree and self.chance < CHANCE_MAX and abs(self.ratio - 1) > RATIO_MIN

    @property
    def verdict(self) -> str:
        """faster, slower, or within noise."""
        if not self.is_beyond_noise:
            return "within noise"
        return "faster" if self.ratio < 1 else "slower"

    def to_json(self) -> dict[str, object]:
        """Plain values, the derived ones included."""
        low, high = self.middle_half
        return {
            **asdict(self),
            "base_median_us": self.base_median_us,
            "here_median_us": self.here_median_us,
            "ratio": self.ratio,
            "ratio_low": low,
            "ratio_high": high,
            "verdict": self.verdict,
        }


class Process:
    """A measurer on some sources. Made by `open_process`."""

    def __init__(self, sources: Sources, process: "subprocess.Popen[str]") -> None:
        self._sources = sources
        self._process = process

    def ask(self, verb: str, *arguments: object) -> object:
        """The answer. Raises CannotMeasure, MeasurerFailed."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise MeasurerFailed("a measuring process has no pipes")
        try:
            stdin.write(json.dumps([verb, *arguments]) + "\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise MeasurerFailed(f"the process that measures {self._sources.label} has ended")
        state, value = json.loads(line)
        if state != "ok":
            raise CannotMeasure(str(value))
        return value

    def number(self, verb: str, *arguments: object) -> float:
        """An answer that is a number."""
        value = self.ask(verb, *arguments)
        if not isinstance(value, int | float):
            raise MeasurerFailed(f"{verb} answered {value!r}")
        return value


@contextmanager
def open_process(sources: Sources, scratch: Path | None = None) -> Iterator[Process]:
    """A measurer that has imported exactly these sources; ended with the block. Raises MeasurerFailed."""
    folder = () if scratch is None else (str(scratch),)
    child = subprocess.Popen(
        (sys.executable, "-P", "-m", "bench.micro.measurer", *folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=sources.environment(),
        start_new_session=True,  # Ctrl-C is this process's to handle
    )
    try:
        process = Process(sources, child)
        places = process.ask("places")
        wanted = sources.tree.resolve()
        if not isinstance(places, list) or any(Path(place).resolve() != wanted for place in places):
            raise MeasurerFailed(f"the process for {sources.label} imported other sources: {places}")
        yield process
    finally:
        if child.stdin is not None:
            child.stdin.close()
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared, and of what could not be, why."""

    ratios: tuple[Ratio, ...]
    not_compared: tuple[tuple[str, str], ...]


def compare(
    here: Sources,
    base: Sources,
    subjects: Sequence[Subject],
    seconds: float,
    on_subject: Callable[[str], None],
    *,
    scratch: Path | None = None,
    generations: int = GENERATIONS,
    pairs: int = PAIRS,
) -> Comparison:
    """Each subject in about `seconds` for both revisions together, and what its preparation takes."""
    collected: dict[str, tuple[list[float], list[float]]] = {s.name: ([], []) for s in subjects}
    refused: dict[str, str] = {}
    for _ in range(generations):
        with ExitStack() as stack:
            both = tuple(stack.enter_context(open_process(sources, scratch)) for sources in (base, here))
            for subject in subjects:
                on_subject(subject.name)
                if subject.name in refused:
                    continue
                run_seconds = seconds / (2 * generations * pairs)
                try:
                    alternate(both, subject.name, run_seconds, pairs, collected[subject.name])
                except CannotMeasure as fault:
                    refused[subject.name] = str(fault)
    ratios = tuple(
        Ratio(subject.name, subject.unit, subject.clock.value, tuple(base_us), tuple(here_us), generations)
        for subject in subjects
        for base_us, here_us in (collected[subject.name],)
        if subject.name not in refused
    )
    return Comparison(ratios, tuple(refused.items()))


def alternate(
    both: tuple[Process, ...],
    name: str,
    run_seconds: float,
    pairs: int,
    samples: tuple[list[float], list[float]],
) -> None:
    """One subject on both, A B B A. Raises CannotMeasure, MeasurerFailed."""
    for process, side in zip(both, ("the other revision", "this one"), strict=True):
        try:
            process.ask("make", name)
        except CannotMeasure as fault:
            raise CannotMeasure(f"{side} cannot run it: {fault}") from fault
    # Both, though one count is for both: its trials warm up what is measured.
    _, count = (int(process.number("calibrate", run_seconds)) for process in both)
    for pair in range(pairs):
        for place in (0, 1) if pair % 2 == 0 else (1, 0):
            samples[place].append(both[place].number("run", count))
