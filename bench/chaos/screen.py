"""What people see of a run: what is broken now while it lasts, and a table at the end."""

import sys
from collections.abc import Callable
from contextlib import ExitStack

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from bench.chaos.checks.finding import Verdict
from bench.chaos.cluster import ChaosCluster
from bench.chaos.history import History, Result
from bench.chaos.injector import Injected
from bench.chaos.run import Report, clock_us
from bench.chaos.schedule import FaultKind, Phase

_STYLES = {Verdict.HOLDS: "green", Verdict.VIOLATED: "bold red", Verdict.GAVE_UP: "yellow"}


class Screen:
    """A watcher for people: a live picture on a terminal, plain lines elsewhere; all of it to stderr."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._stack = ExitStack()
        self._cluster: ChaosCluster | None = None
        self._history: History | None = None
        self._injected: Injected | None = None
        self._began_us = clock_us()

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def say(self, text: str) -> None:
        """One line, with the seconds since the start."""
        seconds = (clock_us() - self._began_us) / 1e6
        self._console.print(f"{seconds:7.1f} s  {text}", highlight=False, soft_wrap=True)

    def started(self, cluster: ChaosCluster, history: History, injected: Injected) -> None:
        """From now on there is something to look at."""
        self._cluster, self._history, self._injected = cluster, history, injected
        if self._console.is_terminal:
            live = Live(
                console=self._console, get_renderable=self._picture, refresh_per_second=4, transient=True
            )
            self._stack.enter_context(live)

    def collecting(self, requests: int) -> Callable[[int], None]:
        """A bar for the questions to all nodes."""
        self.say(f"asking every node for everything it holds: {requests} requests")
        self._stack.close()
        if not self._console.is_terminal:
            return lambda done: None
        progress = self._stack.enter_context(Progress(console=self._console, transient=True))
        task = progress.add_task("reading all nodes", total=requests)
        return lambda done: progress.advance(task, done)

    def _picture(self) -> RenderableType:
        if self._cluster is None or self._history is None or self._injected is None:
            return Text("")
        table = Table.grid(padding=(0, 2))
        for machine in self._cluster.machines:
            hurt = ", ".join(machine.conditions)
            table.add_row(machine.name, f"[red]{hurt}[/red]" if hurt else "[green]good[/green]")
        operations = self._history.operations
        good = sum(operation.outcome.result is Result.OK for operation in operations)
        since_ms = (clock_us() - self._history.acknowledged_at_us) // 1000
        line = (
            f"{len(operations)} operations, {good} ok, height {self._history.told_height}, "
            f"last write acknowledged {since_ms} ms ago"
        )
        return Group(table, Text(line))


def show(report: Report) -> None:
    """The table at the end, to stdout."""
    console = Console(highlight=False)
    table = Table(title="Operations", title_justify="left")
    for column in ("", *(result.value for result in Result)):
        table.add_column(column, justify="left" if not column else "right")
    for name, reads in (("writes", False), ("reads", True)):
        table.add_row(name, *(str(report.count(result, reads=reads)) for result in Result))
    console.print(table)
    done = report.injected
    table = Table("Faults", "times", "longest time without a write")
    rows = [(kind.value, done.by_kind[kind], kind.value) for kind in FaultKind]
    rows += [("all nodes at once", done.all_at_once, Phase.ALL.value)]
    rows += [("more than f at once", done.beyond_minority, Phase.BEYOND.value)]
    rows += [("nodes ended by their full disk", done.ended_by_disk, "")]
    for name, times, label in rows:
        pause_ms = report.pauses_by_fault_ms.get(label)
        table.add_row(name, str(times), "" if pause_ms is None else f"{pause_ms} ms")
    console.print(table)
    table = Table("Check", "Verdict", "Examined")
    for finding in report.findings:
        style = _STYLES[finding.verdict]
        table.add_row(
            finding.check, f"[{style}]{finding.verdict.value}[/{style}]", f"{finding.examined} {finding.what}"
        )
    console.print(table)
    pauses = ", ".join(f"{name} {pause} ms" for name, pause in sorted(report.pauses_ms.items()))
    console.print(f"Longest time between two acknowledged writes: {pauses}", soft_wrap=True)
    for finding in report.findings:
        for sentence in finding.against:
            console.print(f"{finding.check}: {sentence}", soft_wrap=True, markup=False)
    for sentence in done.late:
        console.print(f"Note: {sentence}", soft_wrap=True, markup=False)
    sys.stdout.flush()
