"""`isthmus-bench micro`: asks for subjects, shows the figures, and compares with another revision."""

import json
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bench.finiterange import FiniteRange
from bench.machine import Machine, Noise, describe_machine, filesystem_of, noise_around, probe_noise
from bench.micro.comparison import GENERATIONS, RULE, Comparison, MeasurerFailed, compare
from bench.micro.registry import Registry, UnknownSubject
from bench.micro.revision import RevisionError, open_sources
from bench.micro.sampling import NOISE_RULE, Figure, measure_all
from bench.micro.subject import Clock, Subject
from bench.recordoption import record_option
from bench.results import append, record_now

SECONDS_DEFAULT = 1.0
SECONDS_RANGE = (0.001, 600.0)
_PROGRESS_AFTER_SECONDS = 2.0
_PAPER_COLUMNS = 140


@click.command("micro")
@click.argument("names", nargs=-1)
@click.option(
    "--seconds",
    default=SECONDS_DEFAULT,
    show_default=True,
    type=FiniteRange(*SECONDS_RANGE),
    help="For each subject; its preparation comes on top.",
)
@click.option("--compare", "revision", metavar="REV", help="Alternate with this revision and print ratios.")
@click.option(
    "--scratch",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="A folder on the disk to measure; by default the system's temporary one.",
)
@click.option("--list", "only_list", is_flag=True, help="Name the subjects and measure nothing.")
@click.option("--json", "as_json", is_flag=True)
@record_option
def command(
    names: tuple[str, ...],
    seconds: float,
    revision: str | None,
    scratch: Path | None,
    only_list: bool,
    as_json: bool,
    record: Path | None,
) -> None:
    """CPU microseconds of single operations: codec, signatures, trees, disk, steps, batches, TLS.

    NAMES are subjects, beginnings of them (codec/decode) or patterns (*/n100); all without any.
    """
    if record is not None and (only_list or revision is not None):
        raise click.UsageError("--record is for figures of this revision; leave --compare and --list out.")
    registry = Registry.load()
    earlier = signal.signal(signal.SIGTERM, _end)
    try:
        subjects = registry.choose(names)
        if only_list:
            _list(subjects, as_json)
        elif revision is None:
            label = " ".join(
                ("micro", *names, *([] if seconds == SECONDS_DEFAULT else [f"seconds={seconds:g}"]))
            )
            _measure(subjects, registry, seconds, scratch, as_json, _Memory(label, record))
        else:
            _compare(subjects, revision, seconds, scratch, as_json)
    except (UnknownSubject, RevisionError) as error:
        raise click.UsageError(str(error)) from error
    except MeasurerFailed as error:
        raise click.ClickException(str(error)) from error
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _end(number: int, _: FrameType | None) -> NoReturn:
    """SIGTERM unwinds like Ctrl-C, so that every temporary folder goes."""
    raise SystemExit(128 + number)


def _list(subjects: Sequence[Subject], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([[s.name, s.unit, s.clock.value] for s in subjects]))
        return
    for subject in subjects:
        click.echo(f"{subject.name:36} {subject.unit:12} {subject.clock.value}")


@dataclass(frozen=True, slots=True)
class _Memory:
    """Under which label a run is remembered, and where; None: nowhere."""

    label: str
    path: Path | None


def _measure(
    subjects: Sequence[Subject],
    registry: Registry,
    seconds: float,
    scratch: Path | None,
    as_json: bool,
    memory: _Memory,
) -> None:
    machine, noise = describe_machine(), probe_noise()
    with tempfile.TemporaryDirectory(prefix="isthmus-micro-", dir=scratch) as folder:
        disk = filesystem_of(Path(folder))
        with _progress(len(subjects)) as step:
            figures = measure_all(subjects, Path(folder), seconds, lambda figure: step(figure.name))
    noise = noise_around(noise)
    document = {
        "scratch_filesystem": disk,
        "seconds": seconds,
        "noise_rule": NOISE_RULE,
        "subjects": [figure.to_json() for figure in figures],
        "missing": dict(registry.missing),
    }
    if memory.path is not None:
        append(record_now("micro", memory.label, machine, noise, document), memory.path)
    if as_json:
        click.echo(json.dumps({"machine": machine.to_json(), "noise": noise.to_json()} | document))
        return
    _say_machine(machine, noise)
    _paper().print(_figures_table(figures), soft_wrap=True)
    click.echo(
        f"Medians of {len(figures[0].runs_us)} runs; {NOISE_RULE}. 'wall' includes waiting for {disk}."
    )
    for module, reason in registry.missing.items():
        click.echo(f"Not measured: {module}: {reason}", err=True)


def _compare(
    subjects: Sequence[Subject], revision: str, seconds: float, scratch: Path | None, as_json: bool
) -> None:
    with open_sources(revision) as (here, base), _progress(GENERATIONS * len(subjects)) as step:
        machine, noise = describe_machine(), probe_noise()
        found = compare(here, base, subjects, seconds, step, scratch=scratch)
        noise = noise_around(noise)
    if as_json:
        document = {
            "machine": machine.to_json(),
            "noise": noise.to_json(),
            "base": {"revision": revision, "commit": base.label},
            "seconds": seconds,
            "rule": RULE,
            "ratios": [ratio.to_json() for ratio in found.ratios],
            "not_compared": dict(found.not_compared),
        }
        click.echo(json.dumps(document))
        return
    _say_machine(machine, noise)
    _paper().print(_ratios_table(found, base.label), soft_wrap=True)
    for name, reason in found.not_compared:
        click.echo(f"Not compared: {name}: {reason}")
    click.echo(f"Ratio: microseconds here / microseconds in {base.label}, below 1 is faster here; {RULE}.")


def _paper() -> Console:
    """Standard output; wide enough for every name where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=_PAPER_COLUMNS)


def _say_machine(machine: Machine, noise: Noise) -> None:
    click.echo(str(machine))
    if noise.is_noisy:
        click.secho(f"This machine is noisy now: {noise}.", fg="yellow")


def _figures_table(figures: Sequence[Figure]) -> Table:
    table = Table("subject", "unit", "clock", box=None)
    for heading in ("median us", "min us", "max us", "noise"):
        table.add_column(heading, justify="right")
    for figure in figures:
        noise = f"[yellow]noisy +{figure.spread:.0%}[/]" if figure.is_noisy else f"+{figure.spread:.0%}"
        numbers = (figure.median_us, min(figure.runs_us), max(figure.runs_us))
        clock = "" if figure.clock == Clock.CPU.value else figure.clock
        table.add_row(figure.name, figure.unit, clock, *(f"{number:,.2f}" for number in numbers), noise)
    return table


_STYLES = {"faster": "green", "slower": "red", "within noise": "dim"}


def _ratios_table(found: Comparison, base: str) -> Table:
    table = Table("subject", box=None)
    for heading in (f"{base} us", "here us", "ratio", "middle half"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for ratio in found.ratios:
        low, high = ratio.middle_half
        table.add_row(
            ratio.name,
            f"{ratio.base_median_us:,.2f}",
            f"{ratio.here_median_us:,.2f}",
            f"{ratio.ratio:.3f}",
            f"{low:.3f}..{high:.3f}",
            f"[{_STYLES[ratio.verdict]}]{ratio.verdict}[/]",
        )
    return table


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """A bar on standard error once this takes longer than two seconds; called after each subject."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task("", total=total)
    started = time.monotonic()
    shown = False

    def step(name: str) -> None:
        nonlocal shown
        bar.update(task, advance=1, description=name)
        if not shown and console.is_terminal and time.monotonic() - started > _PROGRESS_AFTER_SECONDS:
            bar.start()
            shown = True

    try:
        yield step
    finally:
        bar.stop()
