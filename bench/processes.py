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
    """The usage of `pid` and everything below it. Raises FileNotFoundError when it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu = (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND
    rss = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        below = usage_of(int(child))
        cpu += below.cpu_seconds
        rss += below.rss_bytes
    return Usage(cpu, rss)


def machine() -> str:
    """One line that says what the figures were taken on."""
    model = "unknown CPU"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{os.cpu_count()} cores, {model}"
