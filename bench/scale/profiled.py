"""Where a replica's CPU goes besides signatures: a deterministic profile of its steps, by phase.

The profiler sees every call, which makes small functions look dearer than they are, and Python dearer
than C; shares are what it is read for, not microseconds.
"""

import re
from cProfile import Profile
from dataclasses import dataclass
from pstats import Stats
from typing import TypeAlias

from bench.profiling.phases import OTHER, phase_of_file

Place: TypeAlias = tuple[str, int, str]
_IMPORTED = re.compile(r".*/(?:site-packages|python3\.\d+)/|.*/(?=(?:consensus|p2p|node|bench)/)")
_BUILTIN = "~"


@dataclass(frozen=True, slots=True)
class Share:
    """A phase's or a function's own part of all profiled time, without what it calls."""

    name: str
    share: float


@dataclass(frozen=True, slots=True)
class Shares:
    """The dearest first."""

    phases: tuple[Share, ...]
    functions: tuple[Share, ...]


def shares_of(profiler: Profile, top: int) -> Shares:
    """Of a finished profile. What is built in counts for whoever called it."""
    phases: dict[str, float] = {}
    functions: dict[str, float] = {}
    for place, (_, _, own_seconds, _, callers) in _table(profiler).items():
        name = f"{_file(place)}:{place[2]}" if place[0] != _BUILTIN else place[2]
        functions[name] = functions.get(name, 0.0) + own_seconds
        if place[0] != _BUILTIN:
            _add(phases, place, own_seconds)
            continue
        for caller, (_, _, part_seconds, _) in callers.items():
            _add(phases, caller, part_seconds)
    total = sum(functions.values()) or 1.0
    return Shares(_ordered(phases, total, len(phases)), _ordered(functions, total, top))


Row: TypeAlias = tuple[int, int, float, float, dict[Place, tuple[int, int, float, float]]]


def _table(profiler: Profile) -> dict[Place, Row]:
    table: dict[Place, Row] = vars(Stats(profiler))["stats"]
    return table


def _file(place: Place) -> str:
    return _IMPORTED.sub("", place[0])


def _add(phases: dict[str, float], place: Place, seconds: float) -> None:
    phase = phase_of_file(_file(place)) or OTHER
    phases[phase] = phases.get(phase, 0.0) + seconds


def _ordered(amounts: dict[str, float], total: float, count: int) -> tuple[Share, ...]:
    ordered = sorted(amounts.items(), key=lambda item: (-item[1], item[0]))[:count]
    return tuple(Share(name, seconds / total) for name, seconds in ordered)
