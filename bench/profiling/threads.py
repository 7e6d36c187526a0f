"""CPU seconds of each thread of processes, by the kernel's account (Linux)."""

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_of_threads(processes: Iterable[int]) -> dict[int, float]:
    """Thread id -> seconds so far, of all these processes; whatever ends meanwhile is left out."""
    found: dict[int, float] = {}
    for process in processes:
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
