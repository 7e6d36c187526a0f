"""Bugs planted on purpose, for tests of what finds, replays and shrinks them; named on command lines as
`tests.bench.sim.planted:chokes_on_wiped_data`.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from bench.sim.disk import Disk
from bench.sim.host import Host
from bench.sim.seams import Parts
from consensus import GuardRecord, SafetyRecord, SafetyRules, decode
from node.validator import Input
from node.wire import Code


def _choke(disk: Disk) -> None:
    if disk.guard is None or disk.last_seq:
        return
    if GuardRecord.from_value(decode(disk.guard)).boot:
        raise KeyError("planted: the data is gone")


def chokes_on_wiped_data() -> Parts:
    """A start that breaks when everything but the guard is gone: only a wipe brings it out."""
    return Parts(before_start=_choke)


def _overlook(disk: Disk) -> None:
    disk.is_journal_lost = False


class _ReservesAhead(SafetyRules):
    def _keep(self, record: SafetyRecord) -> None:
        self.reserves_ahead = True
        super()._keep(record)

    def bring_guard_back(self) -> None:
        """Never."""


def overlooks_a_lost_journal() -> Parts:
    """A start that takes an empty journal for a trimmed one, as the simulated host once did, and a guard that
    reserves ahead, as all did then: one that says exactly what was signed notices such a copy."""
    return Parts(before_start=_overlook, safety=_ReservesAhead)


@contextmanager
def chokes_for_a_while() -> Iterator[Parts]:
    """The same, as a context manager."""
    yield chokes_on_wiped_data()


NO_PARTS = 7


class _Mute:
    def started(self, host: Host) -> None:
        """Nothing."""

    def incoming(self, host: Host, item: Input) -> Iterable[Input]:
        """As it is."""
        return (item,)

    def outgoing(self, host: Host, target: Host, topic: int, body: bytes) -> Iterable[tuple[int, bytes]]:
        """No word of agreement."""
        return () if topic == Code.AGREEMENT else ((topic, body),)


def mute(seed: int) -> _Mute:
    """A validator that listens and says nothing."""
    return _Mute()


def interrupts(seed: int) -> _Mute:
    """The person at the keyboard has seen enough at seed 7."""
    if seed == 7:
        raise KeyboardInterrupt
    return mute(seed)


def dies(seed: int) -> _Mute:
    """The system kills the process that plays seed 7."""
    if seed == 7:
        os._exit(9)
    return mute(seed)
