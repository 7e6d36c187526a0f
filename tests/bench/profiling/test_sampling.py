"""Beside a window: a process is sampled with what runs below it, and a failure is told at once."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from bench.processes import ProcessTable
from bench.profiling.sampling import Sampler
from bench.profiling.spy import Spy, SpyError

HAS_SPY = shutil.which("py-spy") is not None or Path(sys.executable).with_name("py-spy").exists()
WORKER = """
def toil():
    while True:
        sum(range(1000))
toil()
"""
DAEMON = f"""
import subprocess, sys
worker = subprocess.Popen([sys.executable, "-c", {WORKER!r}])
print("ready", flush=True)
try:
    sys.stdin.read()
finally:
    worker.kill()
    worker.wait()
"""


@pytest.fixture
def daemon() -> Iterator[int]:
    """A process that waits, whose worker toils."""
    pipe = subprocess.PIPE
    with subprocess.Popen((sys.executable, "-c", DAEMON), stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.communicate()


@pytest.mark.skipif(not HAS_SPY, reason="needs py-spy, the optional extra `profile`")
async def test_a_daemon_is_sampled_with_its_workers(daemon: int, tmp_path: Path) -> None:
    assert len(ProcessTable.read().family(daemon)) == 2
    sampler = Sampler(Spy.find(100), {"node0": daemon}, 1.0, tmp_path)
    await sampler.sample()
    (found,) = sampler.processes
    toil = sum(seconds for name, seconds in found.functions.items() if name.endswith("toil"))
    assert (found.name, found.samples > 0) == ("node0", True)
    assert toil > found.cpu_seconds / 2, "the worker's CPU is not where it went"


async def test_a_sampler_that_fails_does_not_wait_for_the_window(daemon: int, tmp_path: Path) -> None:
    sampler = Sampler(Spy(shutil.which("false") or "false", 100), {"node0": daemon}, 3_600.0, tmp_path)
    with trio.fail_after(60), pytest.raises(ExceptionGroup) as raised:
        await sampler.sample()
    assert raised.group_contains(SpyError)
    assert sampler.processes == ()
