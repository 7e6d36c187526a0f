"""Sends requests at their times, or as many as may be under way, and writes down when each really went.

Nothing here waits for a slow cluster before the next request is due, but for the bound on requests under
way. What that bound or a busy machine delays is sent late, and the samples show by how much.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Generic, TypeAlias, TypeVar

import trio

from bench.cluster.figures import CERTIFIED, Samples
from bench.cluster.shapes import Due, Share

Item = TypeVar("Item")
"""What is sent: a transaction, or a body of many."""
Deliver: TypeAlias = Callable[[int, Sequence[Item]], Awaitable[tuple[int, ...]]]
"""Sends the items of the request with this number; their outcomes, in order."""
_SECOND_US = 1_000_000


@dataclass(slots=True)
class Tally:
    """What one load process did so far, for people who watch."""

    sent: int = 0
    certified: int = 0
    latencies_us: list[int] = field(default_factory=list)
    """Since somebody looked last."""
    ran_out: bool = False
    """There were too few transactions."""


@dataclass(slots=True)
class Pacer(Generic[Item]):
    """One load process. `clock_us` is the clock of the samples and stands at 0 when the load begins.

    An item has one sample and counts as `weight` transactions in what people watch."""

    deliver: Deliver[Item]
    transactions: Iterator[Item]
    share: Share
    clock_us: Callable[[], int]
    weight: int = 1
    samples: Samples = field(default_factory=Samples)
    tally: Tally = field(default_factory=Tally)

    async def open_loop(self, timetable: Iterable[Due], per_request: int, in_flight: int) -> None:
        """Every request at its time; ends when all are answered."""
        limit = trio.Semaphore(in_flight)
        async with trio.open_nursery() as nursery:
            for due in timetable:
                batch = self._take(per_request)
                if not batch:
                    return
                positions = [self.samples.plan(due.at_us) for _ in batch]
                await self._sleep_until(due.at_us)
                await limit.acquire()
                nursery.start_soon(self._send, due.number, batch, positions, limit)

    async def closed_loop(self, lanes: int, per_request: int, end_us: int) -> None:
        """Each lane sends its next request when the one before is answered, until the end."""
        numbers = count(self.share.number, self.share.processes)

        async def run() -> None:
            while self.clock_us() < end_us:
                batch = self._take(per_request)
                if not batch:
                    return
                now = self.clock_us()
                positions = [self.samples.plan(now) for _ in batch]
                await self._send(next(numbers), batch, positions, None)

        await self._sleep_until(0)
        async with trio.open_nursery() as nursery:
            for _ in range(lanes):
                nursery.start_soon(run)

    async def _send(
        self, number: int, batch: Sequence[Item], positions: Sequence[int], limit: trio.Semaphore | None
    ) -> None:
        sent_us = self.clock_us()
        for position in positions:
            self.samples.send(position, sent_us)
        self.tally.sent += len(positions) * self.weight
        codes = await self.deliver(number, batch)
        if limit is not None:
            limit.release()
        answered_us = self.clock_us()
        for position, code in zip(positions, codes, strict=True):
            self.samples.answer(position, answered_us, code)
            if code == CERTIFIED:
                self.tally.certified += self.weight
                self.tally.latencies_us.append(answered_us - self.samples.intended_us[position])

    def _take(self, size: int) -> tuple[Item, ...]:
        taken = tuple(islice(self.transactions, size))
        self.tally.ran_out |= not taken
        return taken

    async def _sleep_until(self, at_us: int) -> None:
        """By the clock of the samples; at once when the time has passed."""
        left_us = at_us - self.clock_us()
        if left_us > 0:
            await trio.sleep(left_us / _SECOND_US)
