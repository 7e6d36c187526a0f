"""CPU seconds of each thread of a process and of its children, by the kernel's account (Linux)."""

import os
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_of_threads(pid: int) -> dict[int, float]:
    """Thread id -> seconds so far, of `pid` and everything below it; whatever ends meanwhile is left out."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _fields(entry)):
            parents[int(entry.name)] = int(fields[1])
    found: dict[int, float] = {}
    for process in parents:
        if not _is_below(process, pid, parents):
            continue
        for thread in _threads(process):
            if fields := _fields(thread):
                found[int(thread.name)] = (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND
    return found


def _threads(process: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{process}/task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []


def _fields(place: Path) -> list[str]:
    """What the kernel lists behind the name, which may hold spaces; nothing for what has ended."""
    try:
        return (place / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _is_below(number: int, ancestor: int, parents: dict[int, int]) -> bool:
    while number and number != ancestor:
        number = parents.get(number, 0)
    return number == ancestor
