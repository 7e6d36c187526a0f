"""`python -m bench.chaos.launcher SWITCHES ARGUMENTS...`: the ordinary command line on a bad machine.

Before `isthmus ARGUMENTS` runs, the calls by which a process learns the time and the room on its disk are
replaced by ones that obey the switch file. The product has no code for this and does not know. Nothing
is imported here that a worker process, which imports this module again, would not need.
"""

import errno
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.chaos.switches import Disk, Switches
from node.cli.main import run
from node.local.lifeline import lifeline_descriptor

_LITTLE_BLOCKS = 16
_FREE, _AVAILABLE = 3, 4
"""Where `os.statvfs_result` has f_bfree and f_bavail."""


def wake_when_abandoned(descriptor: int) -> None:
    """A stopped process cannot follow its lifeline: a child of ours reads it too, and wakes us at its end."""
    daemon = os.getpid()
    if os.fork():
        return
    while os.read(descriptor, 4096):
        pass
    if os.getppid() == daemon:
        os.kill(daemon, signal.SIGCONT)
    os._exit(0)


def shift_clock(clock: ModuleType, switches: Switches) -> None:
    """Make `clock.time` and `clock.time_ns` wrong by what the switch says; monotonic time stays."""
    true_ns: Callable[[], int] = clock.time_ns

    def time_ns() -> int:
        ahead_ms = switches.clock_ahead_ms
        if ahead_ms:
            switches.count_shifted_reading()
        return true_ns() + 1_000_000 * ahead_ms

    _replace(clock, time_ns=time_ns, time=lambda: time_ns() / 1e9)


def fill_disk(system: ModuleType, switches: Switches) -> None:
    """Make `system.statvfs`, `posix_fallocate` and `pwrite` behave as on a disk in the switch's state."""
    true_statvfs, true_pwrite = system.statvfs, system.pwrite
    true_fallocate = getattr(system, "posix_fallocate", None)  # macOS has none, and nobody calls it there

    def statvfs(path: Any) -> os.statvfs_result:
        found: os.statvfs_result = true_statvfs(path)
        if switches.disk is Disk.GOOD:
            return found
        switches.count_low_answer()
        values = list(found)
        values[_FREE], values[_AVAILABLE] = _LITTLE_BLOCKS, _LITTLE_BLOCKS
        return os.statvfs_result(values)

    def posix_fallocate(descriptor: int, offset: int, length: int) -> None:
        if switches.disk >= Disk.FULL:
            switches.count_refused_write()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if true_fallocate is not None:
            true_fallocate(descriptor, offset, length)

    def pwrite(descriptor: int, data: Any, offset: int) -> int:
        if switches.disk is Disk.DEAD:
            switches.count_refused_write()
            half = len(data) // 2
            if switches.refused_writes % 2 and half:  # first half of it, then nothing: a torn write
                return int(true_pwrite(descriptor, memoryview(data)[:half], offset))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(true_pwrite(descriptor, data, offset))

    _replace(system, statvfs=statvfs, posix_fallocate=posix_fallocate, pwrite=pwrite)


def fill_database(engine: ModuleType, switches: Switches) -> None:
    """Make write transactions of `engine` (lmdb) fail as they do when the file cannot grow."""
    true_environment = engine.Environment

    class Environment:
        """The engine's own, but for `begin`."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._inner = true_environment(*arguments, **options)

        def begin(self, *arguments: Any, **options: Any) -> Any:
            """A transaction, or the engine's error of a full disk."""
            if options.get("write") and switches.disk >= Disk.FULL:
                switches.count_refused_commit()
                error = engine.DiskError(f"mdb_txn_commit: {os.strerror(errno.ENOSPC)}")
                error.code = errno.ENOSPC
                raise error
            return self._inner.begin(*arguments, **options)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    _replace(engine, Environment=Environment)


def _replace(module: ModuleType, **calls: object) -> None:
    for name, call in calls.items():
        setattr(module, name, call)


def main(arguments: list[str]) -> int:
    """Interpose, then run the ordinary command line; its exit code."""
    switches = Switches(Path(arguments[0]))
    descriptor = lifeline_descriptor(os.environ)
    if descriptor is not None:
        wake_when_abandoned(descriptor)
    shift_clock(time, switches)
    fill_disk(os, switches)
    fill_database(importlib.import_module("lmdb"), switches)
    return run(arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
