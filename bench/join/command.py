"""`isthmus-bench join`: an empty observer joins a chain of many blocks: time, rate, CPU and memory."""

import json
import tempfile
from pathlib import Path

import click
import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bench.join.joining import Figures, JoinFailed, measure, remove
from bench.machine import describe_machine, noise_around, probe_noise
from bench.processes import machine
from bench.recordoption import record_option
from bench.results import append, record_now
from node.local.supervisor import ProgramDied

_MIB = 1024 * 1024


class _Bars:
    """One bar a phase, on standard error."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def show(self, phase: str, done: int, total: int) -> None:
        """How far a phase has come."""
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(phase, total=total)
        self._progress.update(self._tasks[phase], completed=done)


@click.command("join")
@click.option("--blocks", type=click.IntRange(1, 10_000_000), default=5_000, show_default=True)
@click.option("--txs", type=click.IntRange(1, 1_000), default=10, show_default=True, help="In each block.")
@click.option("--kill-at", type=click.IntRange(1), help="Kill the observer -9 at this height, and go on.")
@click.option("--keep", type=click.Path(path_type=Path), help="Leave homes and logs in this new folder.")
@click.option("--json", "as_json", is_flag=True)
@record_option
def command(
    blocks: int, txs: int, kill_at: int | None, keep: Path | None, as_json: bool, record: Path | None
) -> None:
    """An empty observer joins a chain: the chain is signed by the cluster's own keys without agreement, then
    one real daemon serves it and another one, empty, verifies, executes and stores it."""
    described, noise = describe_machine(), probe_noise()
    directory = keep or Path(tempfile.mkdtemp(prefix="isthmus-join-"))
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        try:
            figures = trio.run(measure, directory / "net", blocks, txs, kill_at, _Bars(progress).show)
        except (JoinFailed, ProgramDied) as error:
            raise click.ClickException(f"{error}\nIts files are left in {directory}") from error
    noise = noise_around(noise)
    if keep is None:
        remove(directory)
    if record is not None:
        label = f"join blocks={blocks} txs={txs}"
        append(record_now("join", label, described, noise, figures.to_json()), record)
    if as_json:
        click.echo(json.dumps({"machine": machine(), "noise": noise.to_json()} | figures.to_json()))
    else:
        click.echo(_words(figures) + (f"\nNOISY MACHINE: {noise}" if noise.is_noisy else ""))


def _words(f: Figures) -> str:
    killed = "" if f.killed_at is None else f", killed at height {f.killed_at} and gone on"
    return (
        f"{f.blocks} blocks, {f.transactions} transactions ({f.chain_bytes / _MIB:.0f} MiB on disk, built in "
        f"{f.build_seconds:.1f} s), {machine()}:\n"
        f"joined in {f.join_seconds:.1f} s{killed}: {f.blocks_per_second:.0f} blocks and "
        f"{f.transactions_per_second:.0f} transactions a second\n"
        f"observer {f.observer_cpu_seconds:.1f} s of CPU, {f.observer_peak_bytes / _MIB:.0f} MiB at most, "
        f"{f.observer_idle_bytes / _MIB:.0f} MiB afterwards; "
        f"server {f.server_cpu_seconds:.1f} s of CPU, {f.server_peak_bytes / _MIB:.0f} MiB at most"
    )
