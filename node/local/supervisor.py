"""Runs the daemons of a local cluster as child processes: the laptop's supervisor.

It restarts nothing by itself, so that a crash is seen and not papered over. Each child's output goes to
its log file, each child follows a lifeline (a pipe on its standard input) and has its own process group,
so that Ctrl-C reaches the supervisor alone, which then stops all children in an orderly way.
"""

import os
import signal
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from node.local.lifeline import VARIABLE

STOP_SECONDS = 12
"""A daemon ends within 10 s of SIGTERM; then it is killed."""
LAST_LINES = 15
_TAIL_BYTES = 64 * 1024
_LIFELINE_ON_STDIN = "0"


@dataclass(frozen=True, slots=True)
class Program:
    """One child: a command, the log file that gets its output, and additions to the environment."""

    name: str
    command: tuple[str, ...]
    log_file: Path
    environment: Mapping[str, str]


class ProgramDied(Exception):
    """A child ended although nobody asked it to; carries the last lines of its log."""

    def __init__(self, name: str, return_code: int, log_file: Path) -> None:
        super().__init__(name, return_code, log_file)
        self.name = name
        self.return_code = return_code
        self.log_file = log_file
        self.last_lines = last_lines(log_file)

    def __str__(self) -> str:
        cause = (
            f"was killed by {signal.Signals(-self.return_code).name}"
            if self.return_code < 0
            else f"ended with exit code {self.return_code}"
        )
        shown = "".join(f"\n    {line}" for line in self.last_lines) or " is empty"
        return f"{self.name} {cause}; the end of {self.log_file}:{shown}"


def last_lines(log_file: Path, count: int = LAST_LINES) -> tuple[str, ...]:
    """The last lines of a log, at most 64 KiB of it; nothing when there is no log."""
    try:
        with log_file.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ()
    return tuple(deque((line for line in text.splitlines() if line.strip()), maxlen=count))


class Supervisor:
    """The running children by name. Made by `open_supervisor`, which also stops them."""

    def __init__(self, nursery: trio.Nursery, on_death: Callable[[ProgramDied], None]) -> None:
        self._nursery = nursery
        self._on_death = on_death
        self._processes: dict[str, trio.Process] = {}
        self._expected: set[trio.Process] = set()
        self._told: dict[trio.Process, trio.Event] = {}

    def process(self, name: str) -> trio.Process:
        """The latest process of this name; raises KeyError when none was started."""
        return self._processes[name]

    def running(self) -> tuple[str, ...]:
        """Names of the children that have not ended, in the order of their first start."""
        return tuple(name for name, process in self._processes.items() if process.poll() is None)

    async def start(self, program: Program) -> None:
        """Start a child; a child of this name that ended may be started again. Raises OSError."""
        earlier = self._processes.get(program.name)
        if earlier is not None and earlier.poll() is None:
            raise ValueError(f"{program.name} is running already")
        program.log_file.parent.mkdir(parents=True, exist_ok=True)
        with program.log_file.open("ab") as log:
            process = await trio.lowlevel.open_process(
                program.command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**_inherited(os.environ), **program.environment, VARIABLE: _LIFELINE_ON_STDIN},
            )
        if earlier is not None:
            self._told.pop(earlier, None)
        self._processes[program.name] = process
        self._told[process] = trio.Event()
        self._nursery.start_soon(self._watch, program, process)

    async def _watch(self, program: Program, process: trio.Process) -> None:
        return_code = await process.wait()
        await _let_go(process)
        if process not in self._expected:
            self._on_death(ProgramDied(program.name, return_code, program.log_file))
        self._expected.discard(process)
        told = self._told.get(process)
        if told is not None:
            told.set()

    async def ended(self, name: str) -> None:
        """Until the latest process of this name has ended, and its death was told if nobody wanted it: who
        starts it again sooner has the old death judged by the new life. Raises KeyError."""
        told = self._told[self._processes[name]]
        await told.wait()

    def send_signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a child; SIGKILL and SIGTERM make its end expected."""
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._expected.add(self._processes[name])
        self._processes[name].send_signal(number)

    async def stop(self, names: Iterable[str] | None = None) -> tuple[str, ...]:
        """End children (all by default) with SIGTERM; returns the names that had to be killed."""
        chosen = tuple(self._processes) if names is None else tuple(names)
        killed: list[str] = []
        async with trio.open_nursery() as nursery:
            for name in chosen:
                self._expected.add(self._processes[name])
                nursery.start_soon(self._stop_one, name, killed)
        return tuple(killed)

    async def _stop_one(self, name: str, killed: list[str]) -> None:
        process = self._processes[name]
        if process.poll() is None:
            process.terminate()
            process.send_signal(signal.SIGCONT)  # a child that was paused could not hear the first one
            with trio.move_on_after(STOP_SECONDS):
                await process.wait()
            if process.poll() is None:
                process.kill()
                killed.append(name)
        await process.wait()
        await _let_go(process)


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Our environment without ISTHMUS_ variables: they were meant for one node, not for every child."""
    return {name: value for name, value in environ.items() if not name.startswith("ISTHMUS_")}


async def _let_go(process: trio.Process) -> None:
    """Close our end of an ended child's lifeline."""
    if process.stdin is not None:
        await process.stdin.aclose()


@asynccontextmanager
async def open_supervisor(on_death: Callable[[ProgramDied], None]) -> AsyncIterator[Supervisor]:
    """A supervisor whose children are all stopped when the block ends, however it ends."""
    async with trio.open_nursery() as nursery:
        supervisor = Supervisor(nursery, on_death)
        try:
            yield supervisor
        finally:
            with trio.CancelScope(shield=True):
                await supervisor.stop()
