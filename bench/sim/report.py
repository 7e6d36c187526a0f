"""What a person sees of a run: the lines that matter, a table of figures, and the command to see it again."""

import re
import shlex
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from bench.sim.drivers import Drivers
from bench.sim.scenario import REST, Options, Outcome, Scenario
from bench.sim.schedule import KINDS
from bench.sim.sweep import Totals
from bench.sim.timeline import Line

SCREEN_LINES_MAX = 120
_TAIL_LINES = 40
_TOLD_AGAIN_MAX = 2
_NUMBER = re.compile(r"\d+")
_REPEATING = ("tells", "punishes")
_PROGRESS_AFTER_S = 2.0
_LEGEND = (
    "Seconds, then who: a host by its number (1' is a second instance of validator 1), or the world around\n"
    "them. A host starts from the height on its disk; what it may sign then is as on a first start, as\n"
    "before (normal), only above what it may have signed with lost data (behind), or nothing (no-guard).\n"
    "Heights are of hosts 0, 1, 2 and so on, twins last."
)
_HIGH_WATER_SHOWN = 8


class Waiting:
    """A progress bar on standard error, for what takes longer than two seconds."""

    def __init__(self, words: str, total: int) -> None:
        self._words, self._total = words, total
        self._started_s = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> "Waiting":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: int, words: str = "") -> None:
        """So much of the total is done."""
        passed_s = time.monotonic() - self._started_s
        if self._bar is None:
            if passed_s < _PROGRESS_AFTER_S:
                return
            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._words, total=self._total)
        if self._task is not None:
            self._bar.update(
                self._task, completed=min(done, self._total), description=f"{self._words} {words}"
            )

    def rate(self, done: int) -> str:
        """How many a second so far."""
        return f"{done / max(0.001, time.monotonic() - self._started_s):.1f}/s"


def command_of(options: Options, drivers: Drivers) -> str:
    """The command of these options, without what is played; options that are as shipped are left out."""
    plain = Options()
    words = ["isthmus-bench", "sim"]
    if options.nodes != plain.nodes:
        words += ["--nodes", str(options.nodes)]
    if options.ms != plain.ms:
        words += ["--minutes", repr(options.ms / 60_000)]
    if options.faults != plain.faults:
        words += ["--faults", ",".join(options.faults) or "none"]
    if options.signatures != plain.signatures:
        words += ["--signatures", options.signatures]
    if options.rounds_per_second != plain.rounds_per_second:
        words += ["--rounds-per-second", str(options.rounds_per_second)]
    return " ".join([shlex.join(words), *_driver_words(drivers)])


def scenario_command(path: str, drivers: Drivers) -> str:
    """The command that plays a saved scenario."""
    return " ".join([shlex.join(["isthmus-bench", "sim", "--scenario", path]), *_driver_words(drivers)])


def _driver_words(drivers: Drivers) -> list[str]:
    words = [word for name in drivers.behaviours for word in ("--behaviour", name)]
    if drivers.mutant is not None:
        words += ["--mutant", drivers.mutant]
    return [shlex.join(words)] if words else []


# --- one world --------------------------------------------------------------------------------------


def show_lines(lines: Iterable[Line]) -> None:
    """A timeline for people: what hosts tell again and again is told a few times, and of a long one the
    beginning and the end are left."""
    told: Counter[tuple[str, str, str]] = Counter()
    kept, repeated = [], 0
    for line in lines:
        told[key := (line.who, line.what, _NUMBER.sub("", line.words))] += 1
        if line.what in _REPEATING and told[key] > _TOLD_AGAIN_MAX:
            repeated += 1
        else:
            kept.append(line)
    click.echo(_LEGEND)
    left_out = max(0, len(kept) - SCREEN_LINES_MAX)
    head = kept if not left_out else kept[: SCREEN_LINES_MAX - _TAIL_LINES]
    for line in head:
        click.echo(str(line))
    if left_out:
        click.echo(f"{'...':>11}  {left_out} more lines; --trace FILE writes all of them")
        for line in kept[-_TAIL_LINES:]:
            click.echo(str(line))
    if repeated:
        click.echo(f"{'':>11}  {repeated} lines that say the same again are left out")


def show_scenario(scenario: Scenario) -> None:
    """What is about to be played, in a few words."""
    load = scenario.workload
    low, high = scenario.quality.delay_us
    weights = " ".join(map(str, scenario.weights))
    click.echo(
        f"Seed {scenario.seed}: {len(scenario.weights)} validators of weights {weights}, "
        f"{scenario.ms / 1_000:g} s with {len(scenario.faults)} faults; frames take {low / 1_000:g} to "
        f"{high / 1_000:g} ms, a journal write {scenario.pace.persist_us / 1_000:g} ms; "
        f"{load.clients} clients, {load.per_second} requests a second, {load.hostile_percent} % hostile."
    )


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run took: milliseconds by the wall, and of this process's CPU."""

    real_ms: int
    cpu_ms: int


class Stopwatch:
    """Runs from its making."""

    def __init__(self) -> None:
        self._real_s, self._cpu_s = time.monotonic(), time.process_time()

    def read(self) -> Spent:
        """What was spent so far, at least a millisecond."""
        real_s, cpu_s = time.monotonic() - self._real_s, time.process_time() - self._cpu_s
        return Spent(max(1, int(real_s * 1_000)), max(1, int(cpu_s * 1_000)))


def figures(outcome: Outcome, spent: Spent) -> dict[str, object]:
    """Everything there is to say about a run, for JSON and for tables."""
    broken = outcome.violation
    return {
        "violation": None if broken is None else {"invariant": broken.invariant, "words": broken.words},
        "fingerprint": outcome.fingerprint,
        "virtual_ms": outcome.virtual_ms,
        "real_ms": spent.real_ms,
        "cpu_ms": spent.cpu_ms,
        "speed": round(outcome.virtual_ms / spent.real_ms, 3),
        "counts": outcome.counts,
        "faults": outcome.faults,
        "transactions": outcome.fates,
        "high_water": {name: list(reached) for name, reached in outcome.high_water.items()},
    }


def show_outcome(outcome: Outcome, spent: Spent) -> None:
    """The table at the end."""
    speed, cpu_speed = outcome.virtual_ms / spent.real_ms, outcome.virtual_ms / spent.cpu_ms
    _table(
        ("virtual time", f"{outcome.virtual_ms / 1_000:.2f} s"),
        ("real time", f"{spent.real_ms / 1_000:.2f} s, {speed:.3g} x real time"),
        ("CPU time", f"{spent.cpu_ms / 1_000:.2f} s, {cpu_speed:.3g} x on a core of one's own"),
        ("rounds, heights", f"{outcome.counts['rounds']}, {outcome.counts['heights']}"),
        ("frames, events", f"{outcome.counts['frames']}, {outcome.counts['events']}"),
        ("peace took", f"{outcome.counts[REST] / 1_000:g} s until all was stored everywhere"),
        ("transactions", _counted(outcome.fates)),
        ("faults", _counted({name: n for name, n in outcome.faults.items() if n}) or "none"),
        ("fullest bounds", _fullest(outcome.high_water)),
        ("fingerprint", outcome.fingerprint),
        ("verdict", "nothing broken" if outcome.violation is None else f"BROKEN {outcome.violation}"),
    )


def _table(*rows: tuple[str, str]) -> None:
    for name, value in rows:
        click.echo(f"{name:24} {value}")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _fullest(high_water: Mapping[str, tuple[int, int]]) -> str:
    shares = sorted(high_water.items(), key=lambda item: -item[1][0] / max(1, item[1][1]))
    return ", ".join(f"{name} {held} of {bound}" for name, (held, bound) in shares[:_HIGH_WATER_SHOWN])


# --- many worlds ------------------------------------------------------------------------------------


def show_totals(totals: Totals) -> None:
    """What a whole sweep found."""
    count = totals.last - totals.first + 1
    idle = [kind for kind in KINDS if not totals.faults.get(kind)]
    _table(
        ("seeds", f"{totals.first}..{totals.last}, {count} of them, {len(totals.failed)} failed"),
        ("virtual time", f"{totals.virtual_ms / 3_600_000:.2f} h"),
        ("real time", f"{totals.real_ms / 1_000:.0f} s, all processes together"),
        ("counts", _counted({name: count for name, count in totals.counts.items() if name != REST})),
        ("slowest to rest", f"seed {totals.slowest[0]}, {totals.slowest[1] / 1_000:g} s after calm"),
        ("transactions", _counted(totals.fates)),
        ("faults", _counted(totals.faults) or "none"),
        (
            "kinds that never struck",
            ", ".join(idle) or "none",
        ),
        ("fingerprint", totals.fingerprint),
    )
    for seed, invariant, words in totals.failed:
        click.echo(f"seed {seed} broke {invariant}: {words}\n  {totals.what} --seed {seed}")
