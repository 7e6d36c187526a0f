"""`isthmus demo` (and `make demo`): the first thing a newcomer runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import click
import trio
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from node.cli.options import json_option
from node.cli.output import Output, program, table
from node.local.demo import Report, run_demo
from node.local.interruption import until_interrupted

_MIB = 1024 * 1024


@click.command("demo", help="Start a local cluster, publish real data, verify it, show a table, stop.")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder to publish; default: the inventory of the software installed here.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".isthmus/demo"),
    show_default=True,
    help="Where the cluster lives; an earlier demo there is replaced.",
)
@json_option
def command(data: Path | None, out: Path, output: Output) -> None:
    """Exit code 0 only when every promise held."""
    report = trio.run(until_interrupted, lambda: run_demo(out, data, Narration()))
    if report is None:
        raise KeyboardInterrupt
    output.answer(_document(report), lambda console: _describe(console, report))


class Narration:
    """Tells on standard error: moving bars on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(text, markup=False)

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """One step; the yielded function counts what is done."""
        started = monotonic()
        if self._console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            with Progress(*columns, TimeElapsedColumn(), console=self._console, transient=True) as progress:
                task = progress.add_task(title, total=total)
                yield lambda count: progress.advance(task, count)
        else:
            yield lambda count: None
        counted = "" if total is None else f"{total} in "
        self.say(f"{title}: {counted}{monotonic() - started:.1f} s")


def _rows(report: Report) -> list[tuple[str, str]]:
    return [
        (
            "published",
            f"{report.source}: {_packages(report)}{report.files} files, {_size(report.bytes)}",
        ),
        (
            "certified",
            f"{report.records} records in {report.publish_s:.1f} s, {report.records_per_s:.0f} a second",
        ),
        ("a lone transaction", f"{report.lone_ms:.1f} ms from submission to certified receipt (median)"),
        (
            "read back",
            f"from {report.reader} in {report.read_s:.1f} s, every record proven, every file as on disk",
        ),
        ("tampering", f"one byte changed in a copy of {report.tampered_file}: caught"),
        (
            "proof",
            f"{report.bundle} ({report.bundle_bytes} bytes): verified offline; with one bit flipped: refused",
        ),
        ("cluster id", report.cluster_id.hex()),
        ("all of it", f"{report.total_s:.1f} s"),
    ]


def _packages(report: Report) -> str:
    return f"{report.packages} packages, " if report.packages > 1 else ""


def _size(count: int) -> str:
    return f"{count / _MIB:.1f} MiB" if count >= _MIB else f"{count} bytes"


def _describe(console: Console, report: Report) -> None:
    console.print()
    console.print(table(("what", "result"), _rows(report)))
    console.print("What the proof cannot say:")
    for sentence in report.not_checked:
        console.print(f"  - {sentence}", markup=False)
    console.print("Everything is stopped. The same cluster again, with its data:")
    console.print(f"  {program()} testnet --out {report.directory} --start", markup=False)
    console.print(f"  {program()} verify {report.bundle} --trust {report.cluster_id.hex()}", markup=False)
    console.print("Its nodes then answer at " + ", ".join(report.urls))


def _document(report: Report) -> dict[str, object]:
    fields = {name: getattr(report, name) for name in report.__slots__}
    return {**fields, "records_per_s": report.records_per_s, "ok": True}
