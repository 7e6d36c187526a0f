"""What the operating system says of a process: CPU seconds and resident memory, children included.

Read from /proc, so on Linux only; the measurements that need it say so.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds used so far (user and system) and memory now, of a process and its children.

    `anonymous_bytes` is what the program itself holds; `file_bytes` are pages of mapped files (the database)
    that happen to be in memory and that the kernel takes back when it needs them; together the resident set.
    """

    cpu_seconds: float
    anonymous_bytes: int
    file_bytes: int

    @property
    def rss_bytes(self) -> int:
        """The resident set."""
        return self.anonymous_bytes + self.file_bytes


@dataclass(frozen=True, slots=True)
class ProcessTable:
    """All processes of the machine at one moment: whose child each is, and its CPU time in ticks."""

    parents: Mapping[int, int]
    ticks: Mapping[int, int]

    @staticmethod
    def read() -> "ProcessTable":
        """Now. The kernel's list of children is incomplete for a running process: all are looked at."""
        parents: dict[int, int] = {}
        ticks: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            number = int(entry.name)
            parents[number] = int(fields[1])
            ticks[number] = int(fields[11]) + int(fields[12])
        return ProcessTable(parents, ticks)

    def family(self, pid: int) -> tuple[int, ...]:
        """A process, first, and everything below it in the order of birth; nothing when it is gone."""
        below = sorted(number for number in self.parents if _is_below(number, pid, self.parents))
        return (pid, *(number for number in below if number != pid)) if pid in self.parents else ()

    def usage(self, pid: int) -> Usage:
        """Of this process alone; raises KeyError when it was not there."""
        anonymous, mapped = _memory_of(pid)
        return Usage(self.ticks[pid] / _TICKS_PER_SECOND, anonymous, mapped)


def usage_of(pid: int) -> Usage:
    """The usage of `pid` and everything below it. Raises ProcessLookupError when it is gone."""
    table = ProcessTable.read()
    family = [table.usage(member) for member in table.family(pid)]
    if not family:
        raise ProcessLookupError(f"process {pid} is gone")
    return Usage(
        sum(usage.cpu_seconds for usage in family),
        sum(usage.anonymous_bytes for usage in family),
        sum(usage.file_bytes for usage in family),
    )


def _memory_of(pid: int) -> tuple[int, int]:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    sizes = dict(line.split(":", 1) for line in status.splitlines() if line.startswith("Rss"))
    anonymous, mapped = (int(sizes.get(name, "0 kB").split()[0]) for name in ("RssAnon", "RssFile"))
    return _KIB * anonymous, _KIB * mapped


def _is_below(number: int, ancestor: int, parents: Mapping[int, int]) -> bool:
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
