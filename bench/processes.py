"""What the operating system says of a process: CPU seconds and resident memory, children included.

Read from /proc, so on Linux only; the measurements that need it say so.
"""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds used so far (user and system) and resident bytes now, of a process and its children."""

    cpu_seconds: float
    rss_bytes: int


def usage_of(pid: int) -> Usage:
    """The usage of `pid` and everything below it. Raises ProcessLookupError when it is gone."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    pages: dict[int, int] = {}
    # The kernel's list of children is incomplete for a running process: all processes are looked at.
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        number = int(entry.name)
        parents[number] = int(fields[1])
        ticks[number] = int(fields[11]) + int(fields[12])
        pages[number] = int(fields[21])
    if pid not in parents:
        raise ProcessLookupError(f"process {pid} is gone")
    family = [number for number in parents if _is_below(number, pid, parents)]
    return Usage(
        sum(ticks[number] for number in family) / _TICKS_PER_SECOND,
        sum(pages[number] for number in family) * _PAGE_BYTES,
    )


def _is_below(number: int, ancestor: int, parents: dict[int, int]) -> bool:
    while number and number != ancestor:
        number = parents.get(number, 0)
    return number == ancestor


def machine() -> str:
    """One line that says what the figures were taken on."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{os.cpu_count()} cores, {model}"
