"""Twenty seconds of chaos on real daemons; and whatever ends the command, none of them is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from bench.chaos.checks.finding import Verdict
from bench.chaos.cluster import ChaosCluster
from bench.chaos.history import History, Result
from bench.chaos.injector import Injected
from bench.chaos.run import Plan, run_chaos
from bench.chaos.schedule import FaultKind

SEED = 1
FAULTS_MS = 20_000
PATIENCE_SECONDS = 120


class Notes:
    """A watcher that remembers what was said, for the message of a test that failed."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        """Something happened."""
        self.said.append(text)

    def started(self, cluster: ChaosCluster, history: History, injected: Injected) -> None:
        """Nothing is drawn."""

    def collecting(self, requests: int) -> Callable[[int], None]:
        """Nothing is drawn."""
        return lambda done: None


async def test_what_clients_were_told_holds_after_every_kind_of_fault(tmp_path: Path) -> None:
    notes = Notes()
    plan = Plan(SEED, 4, FAULTS_MS, tuple(FaultKind), PATIENCE_SECONDS * 1000)
    report = await run_chaos(plan, tmp_path, notes)
    story = "\n".join(notes.said)
    assert [finding for finding in report.findings if finding.verdict is not Verdict.HOLDS] == [], story
    assert len(report.findings) == 7, story
    assert all(report.injected.by_kind[kind] > 0 for kind in FaultKind), story
    assert (report.injected.all_at_once, report.injected.beyond_minority) == (1, 1), story
    assert report.starts >= 4 + 1 + 4  # the beginning, one killed, all killed
    strikes = report.strikes
    assert strikes.severed + strikes.held_chunks + strikes.delayed_chunks > 0, story
    assert strikes.refused_commits + strikes.refused_writes + strikes.low_answers > 0, story
    assert strikes.shifted_readings > 0, story
    for reads in (False, True):
        assert report.count(Result.OK, reads=reads) > 0, story
    assert all(finding.examined > 0 for finding in report.findings)
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == len(report.operations)
    assert processes_of(tmp_path) == []


def processes_of(directory: Path) -> list[str]:
    """The command lines of running processes that name this folder."""
    listed = subprocess.run(["ps", "-axwwo", "stat=,command="], capture_output=True, text=True, check=True)
    rows = [line for line in listed.stdout.splitlines() if not line.startswith("Z")]
    return [row for row in rows if str(directory) in row]


@contextmanager
def started_command(directory: Path, until: str) -> Iterator[subprocess.Popen[str]]:
    """`isthmus-bench chaos` that only stops nodes, from the moment it says `until`."""
    program = (sys.executable, "-c", "from bench.main import main; main()")
    command = (*program, "chaos", "--faults", "stop", "--keep", str(directory))
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if until in line:
                break
        else:
            raise AssertionError("".join(lines))
        yield process
    finally:
        process.kill()
        process.communicate()


async def gone(directory: Path) -> None:
    """Until nothing that belongs to this folder runs."""
    with trio.fail_after(PATIENCE_SECONDS):
        while left := processes_of(directory):
            assert left
            await trio.sleep(0.1)


async def one_stopped(directory: Path) -> None:
    """Until one of them is stopped: that is said before the signal is obeyed."""
    with trio.fail_after(PATIENCE_SECONDS):
        while "T" not in {row[0] for row in processes_of(directory)}:
            assert processes_of(directory)
            await trio.sleep(0.01)


async def test_an_interrupted_run_ends_all_its_nodes_and_says_what_it_kept(tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    with started_command(directory, " stopped") as process:
        os.kill(process.pid, signal.SIGINT)
        told, _ = await trio.to_thread.run_sync(process.communicate)
        assert process.returncode == 130
        assert "interrupted; there is no verdict" in told
        assert f"Kept: {directory}" in told
        assert processes_of(directory) == []


async def test_nodes_that_are_stopped_do_not_outlive_a_killed_run(tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    with started_command(directory, " stopped") as process:
        await one_stopped(directory)
        process.kill()
        await gone(directory)
