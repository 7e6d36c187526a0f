"""The loop's thread asks for short turns, and nobody who computes gets them with it."""

import platform
import subprocess
import sys

import pytest

from node.daemon.timeslice import _SYSCALLS

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in _SYSCALLS, reason="this system has no slices"
)

_LOOK = """
import ctypes, os, platform, subprocess, sys, threading
from node.daemon import timeslice
{before}
asked = timeslice.ask_for_short_turns()
look = lambda: timeslice._slice_ns(ctypes.CDLL(None).syscall, timeslice._SYSCALLS[platform.machine()][1])
others = []
thread = threading.Thread(target=lambda: others.append(look()))
thread.start()
thread.join()
print(asked, look(), others[0], os.getpriority(os.PRIO_PROCESS, 0))
"""


def looked(before: str = "") -> list[str]:
    """In a process of its own: whether it was done, the slices of its two threads, and its nice value."""
    code = _LOOK.format(before=before)
    command = (sys.executable, "-c", code)
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


def test_the_thread_that_asks_gets_short_turns_and_those_it_starts_do_not() -> None:
    asked, own, others, _ = looked()
    if asked == "False":
        pytest.skip("this kernel takes no slices")
    assert int(own) == 100_000
    assert int(others) > 1_000_000


def test_a_nice_process_stays_as_nice_as_it_was() -> None:
    asked, own, _, nice = looked("os.nice(7)")
    assert int(nice) >= 7
    assert (int(own) == 100_000) is (asked == "True")


def test_who_is_scheduled_otherwise_is_left_alone() -> None:
    asked, _, _, _ = looked("os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))")
    assert asked == "False"


def test_a_system_that_does_not_even_tell_is_left_alone() -> None:
    asked, _, _, _ = looked("def refuse(pid): raise PermissionError(1, 'no')\nos.sched_getscheduler = refuse")
    assert asked == "False"
