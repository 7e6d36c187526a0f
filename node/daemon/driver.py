"""The loop between the pure validator and the world: drain, step, make durable, send.

One task owns the validator. It drains the postbox up to a bound, steps through it, writes everything that
asked for durability to the journal in one write and one sync (C1), tells the validator, and only then
lets go of what was waiting behind it (C2). Nobody else touches the validator.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import trio

from node.daemon.journal import Journal
from node.daemon.postbox import Postbox
from node.validator import (
    Append,
    ClockSet,
    Input,
    Output,
    Resume,
    Resumed,
    Written,
)

DRAIN_MAX = 256
"""Inputs stepped before the journal is synced and frames leave: enough to share one sync under load,
few enough that a vote does not wait for a backlog."""

TURNS_MAX = 4
"""Drains in a row before other tasks run, if none of them waited long for the disk."""
LONG_WRITE_BYTES = 64 * 1024
"""Who has written so much has waited long enough that more has come meanwhile."""


class Stepper(Protocol):
    """The validator, as the driver sees it."""

    def step(self, item: Input, now_ms: int) -> list[Output]:
        """The outputs of one input, to be performed in order."""


class GuardStore(Protocol):
    """The guard file, as the driver sees it."""

    def store(self, payload: bytes) -> None:
        """Make the payload durable."""


class Departures(Protocol):
    """The links, as the driver sees them: frames wait from `hold` on and leave together at `release`."""

    def hold(self) -> None:
        """Let frames wait."""

    def release(self) -> None:
        """Send them."""


@dataclass(slots=True)
class DriverCounts:
    """What the loop has done, for metrics."""

    inputs: int = 0
    groups: int = 0
    appends: int = 0
    journal_bytes: int = 0
    guard_writes: int = 0


class Driver:
    """Owns the validator; `run` never returns normally."""

    def __init__(
        self,
        validator: Stepper,
        postbox: Postbox,
        journal: Journal,
        guard: GuardStore | None,
        perform: Callable[[Output], None],
        wall_ms: Callable[[], int],
        departures: Departures,
        stepped: Callable[[], None] = lambda: None,
        clock_set_by: Callable[[int], int] = lambda _wall_ms: 0,
    ) -> None:
        """`stepped` is called after each group, when all that it led to was performed; `clock_set_by` with
        each time that the validator is to be told: milliseconds, 0 when the clock was not set."""
        self._validator = validator
        self._postbox = postbox
        self._journal = journal
        self._guard = guard
        self._perform = perform
        self._wall_ms = wall_ms
        self._departures = departures
        self._stepped = stepped
        self._clock_set_by = clock_set_by
        self.counts = DriverCounts()

    async def run(self) -> None:
        """Step until cancelled. Raises what journal, guard or validator raise: all of it is fatal."""
        deferred = False
        turns = 0
        while True:
            if not deferred and not len(self._postbox):
                turns = 0
                await self._postbox.wait()
            written = self.counts.journal_bytes
            outputs = self._drain(deferred)
            deferred = self._settle(outputs)
            self._stepped()
            # What is here already is taken at once: a turn of the scheduler costs as much as a vote. But
            # the links are read by other tasks, and nobody may keep them from it for long: what came while
            # this one wrote a batch is read first, and shares the next sync.
            turns += 1
            if turns >= TURNS_MAX or self.counts.journal_bytes - written >= LONG_WRITE_BYTES:
                turns = 0
                await trio.lowlevel.checkpoint()

    def _drain(self, deferred: bool) -> list[Output]:
        now_ms, came = self._look_at_clock()
        outputs = [*came]
        items = self._postbox.take(DRAIN_MAX)
        for item in items:
            outputs += self._validator.step(item, now_ms)
        self.counts.inputs += len(items)
        if deferred:
            outputs += self._validator.step(Resumed(), now_ms)
        return outputs

    def _look_at_clock(self) -> tuple[int, list[Output]]:
        """The time, and what comes of its not following from the one before."""
        now_ms = self._wall_ms()
        by_ms = self._clock_set_by(now_ms)
        return now_ms, self._validator.step(ClockSet(by_ms), now_ms) if by_ms else []

    def _settle(self, outputs: list[Output]) -> bool:
        """Perform outputs in order, and what the durable ones lead to; True when work was deferred."""
        deferred = False
        self._departures.hold()
        while outputs:
            group = [output for output in outputs if type(output) is Append]
            following: list[Output] = []
            for output in outputs:
                if type(output) is Append:
                    if group:
                        following = self._make_durable(group)
                        group = []
                elif type(output) is Resume:
                    deferred = True
                else:
                    self._perform(output)
            outputs = following
        self._departures.release()
        return deferred

    def _make_durable(self, group: list[Append]) -> list[Output]:
        # All appends of the group go in one write at the place of the first: what stood between them
        # waits a little longer than it must, and nothing leaves too early. What may leave does so first: a
        # sync takes longer than a write.
        self._departures.release()
        for append in group:
            if append.guard is not None and self._guard is not None:
                self._guard.store(append.guard)
                self.counts.guard_writes += 1
        records: list[bytes] = []
        size = 0
        for append in group:
            if records and not self._journal.fits_one_group(len(records) + 1, size + len(append.record)):
                self._journal.append(records)
                records, size = [], 0
            records.append(append.record)
            size += len(append.record)
        self._journal.append(records)
        self.counts.groups += 1
        self.counts.appends += len(group)
        self.counts.journal_bytes += sum(len(append.record) for append in group)
        self._departures.hold()
        now_ms, came = self._look_at_clock()
        return came + self._validator.step(Written(group[-1].seq), now_ms)
