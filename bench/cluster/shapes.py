"""How load is offered: at fixed times whatever happens (open loop), or so many at once (closed loop)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

REQUESTS_PER_SECOND = 100
"""Above this rate one request carries several transactions: HTTP itself must not be what is measured."""
_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """`rate` transactions a second, `per_request` at a time, sent at their times whether answers come or not.

    `in_flight` bounds the requests under way, all load processes together, so that a cluster that stands
    still does not drown; a generator at its bound sends late, and says so.
    """

    rate: int
    per_request: int
    in_flight: int

    def words(self) -> str:
        """For people."""
        return f"open loop: {self.rate} tx/s at fixed times, {self.per_request} a request"


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """The next `per_request` are sent when earlier ones are answered: at most `outstanding` are under way.

    The intended time of a transaction is then the time at which it was sent, and latency is mostly the
    waiting that `outstanding` causes, unless it is one.
    """

    outstanding: int
    per_request: int

    def words(self) -> str:
        """For people."""
        if self.outstanding == 1:
            return "closed loop: one transaction at a time"
        return (
            f"closed loop: {self.outstanding} transactions outstanding, {self.per_request} a request; "
            "the cluster sets the rate, and latency is mostly waiting"
        )


@dataclass(frozen=True, slots=True)
class NoLoad:
    """Nobody sends anything."""

    def words(self) -> str:
        """For people."""
        return "no load"


Shape: TypeAlias = OpenLoop | ClosedLoop | NoLoad


@dataclass(frozen=True, slots=True)
class Share:
    """Which of how many load processes."""

    number: int
    processes: int

    def of(self, total: int) -> int:
        """This one's part of a whole number, at least 1."""
        return max(1, (total + self.processes - 1 - self.number) // self.processes)


@dataclass(frozen=True, slots=True)
class Due:
    """A request's number among all processes' and its time, in microseconds since the start."""

    number: int
    at_us: int


def timetable(shape: OpenLoop, share: Share, seconds: float) -> Iterator[Due]:
    """The requests of one load process before the end, in order: processes take turns."""
    number = share.number
    end_us = seconds * _SECOND_US
    while (at_us := number * shape.per_request * _SECOND_US // shape.rate) < end_us:
        yield Due(number, at_us)
        number += share.processes


def per_request_for(rate: int) -> int:
    """So many a request that there are at most REQUESTS_PER_SECOND requests a second."""
    return max(1, -(-rate // REQUESTS_PER_SECOND))
