"""Everything that can grow stays within its bound: what the validator says it holds, and what it makes its
shell hold, which the validator cannot see.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.sim.violation import Violation

if TYPE_CHECKING:
    from bench.sim.host import Host

JOURNAL_RECORDS_MAX = 65_536
"""Journal records between two trims: a flush is due after 16 MiB, of records of at least 256 bytes."""
TIMERS_MAX = 64
"""Timers that run at one time."""


@dataclass(frozen=True, slots=True)
class HighWater:
    """The most that was ever seen of something, on any host."""

    most: int
    bound: int


class Bounds:
    """`high_water` is the table for reports, by name."""

    def __init__(self) -> None:
        self.high_water: dict[str, HighWater] = {}
        self._most: dict[str, int] = {}

    def check(self, host: "Host") -> None:
        """All gauges of a running host. The journal's is checked while the database takes what it holds:
        the shell stops a database that cannot be written, not the validator."""
        most = self._most
        for name, current, bound in host.validator.limits():
            if not 0 <= current <= bound:
                self._wrong(host, name, current, bound)
            if current > most.get(name, -1):
                self._raise(name, current, bound)
        for name, current, bound in (
            ("shell_journal_records", len(host.disk.journal), JOURNAL_RECORDS_MAX),
            ("shell_timers", len(host.timers), TIMERS_MAX),
        ):
            is_stuck = name == "shell_journal_records" and (host.disk.is_full or not host.flushing)
            if current > bound and not is_stuck:
                self._wrong(host, name, current, bound)
            if current > most.get(name, -1):
                self._raise(name, current, bound)

    def _raise(self, name: str, current: int, bound: int) -> None:
        self._most[name] = current
        self.high_water[name] = HighWater(current, bound)

    def _wrong(self, host: "Host", name: str, current: int, bound: int) -> None:
        raise Violation("bounds", f"host {host.name}: {name} is {current}, bound {bound}")
