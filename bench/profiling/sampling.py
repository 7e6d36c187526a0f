"""What goes on beside a measured window so that it is known where its CPU went: sampling, between two looks.

The kernel's account of every thread is read at both ends of the window. The sampler takes a moment to begin
and runs as long as the window: its last samples are of the moment after, and only shares are taken from
it. Verification workers are children of their daemons, and looked at with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

from bench.processes import ProcessTable
from bench.profiling.costs import ProcessProfile
from bench.profiling.spy import Spy
from bench.profiling.stacks import Recording
from bench.profiling.threads import cpu_of_threads


@dataclass(slots=True)
class Sampler:
    """Daemons to sample, by name; the samples go through `directory`."""

    spy: Spy
    pids: Mapping[str, int]
    seconds: float
    directory: Path
    processes: tuple[ProcessProfile, ...] = ()
    """What was found, once the window is over."""

    async def sample(self) -> None:
        """From now on, for the seconds. Raises SpyError in a group."""
        end = trio.current_time() + self.seconds
        before = self._spent()
        files = {name: self.directory / f"{name}.raw" for name in self.pids}
        async with trio.open_nursery() as nursery:
            for name, pid in self.pids.items():
                nursery.start_soon(self.spy.raw, pid, self.seconds, files[name])
            await trio.sleep_until(end)
            after = self._spent()
        self.processes = tuple(
            _profile(name, before[name], after[name], file.read_bytes()) for name, file in files.items()
        )

    def _spent(self) -> dict[str, "_Spent"]:
        table = ProcessTable.read()
        return {name: _Spent.of(table, pid) for name, pid in self.pids.items()}


@dataclass(frozen=True, slots=True)
class _Spent:
    """CPU seconds of a daemon with its workers, and of each of their threads."""

    cpu_seconds: float
    threads: Mapping[int, float]

    @staticmethod
    def of(table: ProcessTable, pid: int) -> "_Spent":
        family = table.family(pid)
        return _Spent(sum(table.usage(member).cpu_seconds for member in family), cpu_of_threads(family))


def _profile(name: str, before: _Spent, after: _Spent, samples: bytes) -> ProcessProfile:
    threads = {thread: seconds - before.threads.get(thread, 0.0) for thread, seconds in after.threads.items()}
    return ProcessProfile.of(name, after.cpu_seconds - before.cpu_seconds, threads, Recording.parse(samples))
