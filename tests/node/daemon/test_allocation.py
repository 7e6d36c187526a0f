"""Freed memory stays with the process: the kernel is not asked for the same pages again and again."""

import subprocess
import sys

import pytest

from node.daemon.allocation import keep_freed_memory

_COUNT_FAULTS = """
import resource, sys
from node.daemon.allocation import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
batch = bytes(262_144)
def copies():
    first = batch + b"1"
    second = first + b"2"
    return len(second)
for _ in range(10):
    copies()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    copies()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(how: str) -> int:
    done = subprocess.run(
        (sys.executable, "-c", _COUNT_FAULTS, how), capture_output=True, text=True, check=True, timeout=60
    )
    return int(done.stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="this allocator has no such settings")
def test_copies_of_a_batch_cause_no_page_faults() -> None:
    assert _faults("kept") < 100, "less than one page for each pair of copies, which have 128"
