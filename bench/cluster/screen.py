"""What people see: live figures while a trial runs, tables at its end. Progress goes to standard error."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.cluster.outcome import (
    Outcome,
    code_name,
    cpu_us_per_transaction,
    fsyncs_of,
    pause_words,
    rounds_per_second,
)
from bench.cluster.scenarios import MODE_MARKS, PROMISE_MARKS, Fault
from bench.machine import NOISE_RULE
from node.local.interruption import INTERRUPTED

_NOTHING_YET: Mapping[str, Any] = {"sent": 0, "certified": 0, "p99_ms": None}
INTERRUPTED_WORDS = "interrupted; there are no figures"
_SYNCED = ("journal syncs", "guard syncs", "database syncs")
_SPARKS = " ▁▂▃▄▅▆▇█"


class Screen:
    """A watcher for people: a live picture on a terminal, one line for each phase elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._stack = ExitStack()
        self._words = ""
        self._seconds = 0.0
        self._began = 0.0
        self._heard: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {}
        """Of each load process the last word but one, and the last."""

    def __enter__(self) -> "Screen":
        if self._console.is_terminal:
            live = Live(
                console=self._console, get_renderable=self.picture, refresh_per_second=4, transient=True
            )
            self._stack.enter_context(live)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def say(self, text: str) -> None:
        """One line that stays."""
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    def phase(self, words: str, seconds: float) -> None:
        """This begins now and takes about so long; 0 when nobody knows."""
        self._words, self._seconds, self._began = words, seconds, time.monotonic()
        if not self._console.is_terminal:
            self.say(words + (f", {seconds:g} s" if seconds else ""))

    def second(self, process: str, heard: Mapping[str, Any]) -> None:
        """What a load process did so far."""
        _, before = self._heard.get(process, ({}, _NOTHING_YET))
        is_new = heard["sent"] < before["sent"]  # another trial's process of this name
        self._heard[process] = (_NOTHING_YET if is_new else before, heard)

    def picture(self) -> RenderableType:
        """What is shown now; asked for in a thread of the display's."""
        rows: list[RenderableType] = [Text(self._words)]
        if self._seconds:
            passed = min(time.monotonic() - self._began, self._seconds)
            rows.append(ProgressBar(total=self._seconds, completed=passed, width=40))
        heard = tuple(self._heard.values())
        if heard:
            sent, certified = (
                sum(now[name] - before[name] for before, now in heard) for name in ("sent", "certified")
            )
            slowest = max((now["p99_ms"] or 0.0) for _, now in heard)
            rows.append(Text(f"{sent:,} sent, {certified:,} done in the last second, p99 {slowest:.0f} ms"))
        return Group(*rows)


def show_one(outcome: Outcome) -> None:
    """Everything of one trial, to standard output."""
    console = Console(highlight=False)
    show_conditions(console, [outcome])
    scenario, trial = outcome.scenario, outcome.trial
    traffic = trial.traffic
    title = f"{scenario.label}{marks(outcome)}: {scenario.shape.words()}"
    console.print(title, soft_wrap=True, markup=False)
    table = Table(show_header=False)
    table.add_row("throughput", f"{traffic.throughput_tps:,.1f} {scenario.promise.value} tx/s")
    if traffic.latency_ms is not None:
        found = traffic.latency_ms
        values = (found.p50, found.p90, found.p99, found.p99_9, found.max)
        words = "  ".join(
            f"{name} {value:,.1f}"
            for name, value in zip(("p50", "p90", "p99", "p99.9", "max"), values, strict=True)
        )
        table.add_row("latency, ms", words)
        table.add_row(
            "longest pause", "  ".join(f"{p.length_ms:,.0f} ms at {p.at_s:.1f} s" for p in traffic.pauses[:3])
        )
        table.add_row("tx/s by second", sparkline([second.certified for second in traffic.series]))
    rounds = rounds_per_second(trial.work)
    if rounds is not None:
        table.add_row("rounds a second", f"{rounds:,.1f}")
    cost = cpu_us_per_transaction(trial)
    if cost is not None:
        table.add_row(
            "CPU a transaction", f"{cost['daemons']:,.0f} us in the daemons, {cost['all']:,.0f} with the load"
        )
    if scenario.fault is not Fault.NONE:
        at = f"{trial.fault_at_s:.1f} s: " if trial.fault_at_s is not None else ""
        if trial.aftermath is not None:
            table.add_row("pause after the fault", pause_words(trial.aftermath))
        killed = f" ({', '.join(trial.killed)})" if trial.killed else ""
        table.add_row("fault", f"{at}{scenario.fault_words}{killed}")
    if scenario.means is not None:
        table.add_row("links", f"through {scenario.means.value}: {scenario.links.why}")
    if trial.lost is not None:
        table.add_row("packets lost", f"{trial.lost.lost:,} of {trial.lost.sent:,}")
    if trial.refusals:
        table.add_row(
            "not now", ", ".join(f"{count:,} {code_name(code)}" for code, count in trial.refusals.items())
        )
    console.print(table)
    _show_processes(console, outcome)
    _show_nodes(console, outcome)
    _show_links(console, outcome)
    show_problems([outcome])


def show_rates(outcomes: Sequence[Outcome], rates: Sequence[int]) -> None:
    """One line for each rate, to standard output."""
    console = Console(highlight=False)
    show_conditions(console, outcomes)
    console.print(f"Rates{marks(outcomes[0])}", soft_wrap=True, markup=False)
    table = Table()
    done = outcomes[0].scenario.promise.value
    for name in ("tx/s", "in time", done, "p50 ms", "p99 ms", "p99.9 ms", "pause ms"):
        table.add_column(name, justify="right")
    table.add_column("", no_wrap=True)
    for outcome, rate in zip(outcomes, rates, strict=True):
        traffic = outcome.trial.traffic
        found = traffic.latency_ms
        latencies = (
            ("", "", "")
            if found is None
            else tuple(f"{value:,.0f}" for value in (found.p50, found.p99, found.p99_9))
        )
        table.add_row(
            f"{rate:,}",
            f"{traffic.sent_tps:,.0f}",
            f"{traffic.throughput_tps:,.0f}",
            *latencies,
            f"{traffic.pauses[0].length_ms:,.0f}" if traffic.pauses else "",
            "[red]not carried[/]" if outcome.problems else "[green]carried[/]",
        )
    console.print(table)
    show_problems(outcomes)


def show_problems(outcomes: Sequence[Outcome]) -> None:
    """What keeps trials from being a success, to standard error."""
    for outcome in outcomes:
        for sentence in outcome.problems:
            click.secho(f"{outcome.scenario.label}: {sentence}", fg="red", err=True)


def tell_failure(problem: str, *, as_json: bool) -> int:
    """There are no figures, and why; the exit code."""
    if as_json:
        click.echo(json.dumps({"success": False, "problems": [problem]}))
    else:
        click.echo(f"Error: {problem}", err=True)
    return INTERRUPTED if problem == INTERRUPTED_WORDS else 1


def sparkline(values: Sequence[float]) -> str:
    """A row of bars; nothing of nothing."""
    highest = max(values, default=0)
    if not highest:
        return ""
    return (
        "".join(_SPARKS[round(value / highest * (len(_SPARKS) - 1))] for value in values)
        + f"  max {highest:,.0f}"
    )


def marks(outcome: Outcome) -> str:
    """What must stand beside every figure of a run that is not like others."""
    found = [MODE_MARKS[outcome.scenario.mode], *PROMISE_MARKS[outcome.scenario.promise]]
    if not outcome.scenario.fsync:
        found.append("NO FSYNC")
    if outcome.scenario.means is not None:
        found.append(f"through {outcome.scenario.means.value}")
    if outcome.attached:
        found.append("cluster elsewhere")
    if outcome.noise.is_noisy:
        found.append("NOISY MACHINE")
    return f" ({', '.join(found)})"


def show_conditions(console: Console, outcomes: Sequence[Outcome]) -> None:
    """The machine, its noise, and the load."""
    outcome = outcomes[0]
    console.print(str(outcome.machine), soft_wrap=True, markup=False)
    if outcome.noise.is_noisy:
        console.print(f"NOISY: {outcome.noise}; {NOISE_RULE}.", soft_wrap=True, markup=False)
    scenario, size = outcome.scenario, outcome.trial.transaction_bytes
    clients = f"{scenario.clients} clients, " if scenario.mode.is_signed else ""
    load = f"{clients}{size} B a transaction, " if size else ""
    measured = f"{scenario.seconds:g} s measured after {scenario.warmup_seconds:g} s"
    console.print(f"{scenario.nodes} nodes, {load}{measured}", soft_wrap=True)


def _show_processes(console: Console, outcome: Outcome) -> None:
    work = outcome.trial.work
    table = Table("process", title="Processes", title_justify="left")
    for name in ("CPU s", "part of a core", "memory MiB"):
        table.add_column(name, justify="right")
    for name, cpu in work.cpu_seconds.items():
        memory = work.rss_bytes.get(name, 0) / 2**20
        table.add_row(name, f"{cpu:.2f}", f"{cpu / work.seconds:.2f}", f"{memory:.0f}")
    console.print(table)


def _show_links(console: Console, outcome: Outcome) -> None:
    nodes = outcome.trial.work.nodes
    peers = sorted({peer for node in nodes.values() for peer in node.link_bytes})
    if not peers:
        return
    table = Table("KiB from", title="Links", title_justify="left")
    for peer in peers:
        table.add_column(f"to {peer}", justify="right")
    for name, node in nodes.items():
        sent = (node.link_bytes.get(peer) for peer in peers)
        table.add_row(name, *("" if count is None else f"{count / 1024:,.0f}" for count in sent))
    console.print(table)


def _show_nodes(console: Console, outcome: Outcome) -> None:
    table = Table("node", title="Nodes", title_justify="left")
    for name in ("rounds", "heights", *_SYNCED, "MiB sent", "timeouts"):
        table.add_column(name, justify="right")
    for name, node in outcome.trial.work.nodes.items():
        timeouts = ", ".join(f"{count} {reason}" for reason, count in node.timeouts.items() if count)
        sent = sum(node.link_bytes.values()) / 2**20
        synced = fsyncs_of(node, fsync=outcome.scenario.fsync)
        numbers = (node.rounds, node.heights, *synced.values())
        table.add_row(name, *(f"{number:,}" for number in numbers), f"{sent:.1f}", timeouts or "0")
    console.print(table)
