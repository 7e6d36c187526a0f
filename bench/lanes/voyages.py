"""What is made of a run: when each message was meant to be sent, was handled at its destination, and was
acknowledged at its source.

Times are microseconds since the begin of the load, on one clock. Both clusters are watched through one of
their nodes, which tells how far the lane has come *contiguously*: a message counts as handled when it and all
before it are, so gaps make figures worse and never better. Latency counts from the intended time.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.cluster.figures import Latency, latency_of

LATE_US = 100_000
"""A message handed in later than this after its time was not offered at its time."""
OFFERED_MIN = 0.99
CARRIED_MIN = 0.95
"""Part of the rate that must be acknowledged within the time of the load, whose end takes some."""
_SECOND_US = 1_000_000


@dataclass(slots=True)
class Course:
    """How far a lane has come at one end, as it was seen: (time, sequence) in order."""

    seen_us: list[int] = field(default_factory=list)
    reached: list[int] = field(default_factory=list)

    def note(self, now_us: int, sequence: int) -> None:
        """The lane stands at `sequence` now; what is no progress is not kept."""
        if not self.reached or sequence > self.reached[-1]:
            self.seen_us.append(now_us)
            self.reached.append(sequence)

    @property
    def last(self) -> int:
        """The highest sequence reached, 0 before any."""
        return self.reached[-1] if self.reached else 0

    def time_of(self, sequence: int) -> int | None:
        """When the lane was first seen at or beyond a sequence."""
        at = bisect_left(self.reached, sequence)
        return self.seen_us[at] if at < len(self.seen_us) else None


@dataclass(frozen=True, slots=True)
class Sent:
    """One message: its intended time, when it was handed in, and when its sender had the certified receipt.
    `sequence` is None when the ledger refused it, with `refusal` in words."""

    intended_us: int
    handed_us: int
    certified_us: int
    sequence: int | None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """What clients of the source saw of one load."""

    rate: int
    seconds: float
    messages: int
    offered_per_s: float
    acknowledged_per_s: float
    acknowledged: int
    certified_ms: Latency | None
    """From the intended time until the source's ledger had said it, certified."""
    one_way_ms: Latency | None
    """Until the handler was executed at the destination, certified and stored."""
    round_trip_ms: Latency | None
    """Until the acknowledgement was executed at the source, certified and stored."""
    refused: Mapping[str, int]

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the rate was not carried, in sentences; nothing when it was."""
        found = []
        if self.offered_per_s < OFFERED_MIN * self.rate:
            found.append(
                f"Only {self.offered_per_s:,.1f} of {self.rate} messages/s were handed in within "
                f"{LATE_US // 1000} ms of their times: the source, or this machine, cannot take this rate."
            )
        if self.acknowledged_per_s < CARRIED_MIN * self.rate:
            found.append(
                f"Only {self.acknowledged_per_s:,.1f} of {self.rate} messages/s were acknowledged in time."
            )
        if self.refused:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.refused.items())
            found.append(f"Not all messages were sent: {reasons}.")
        elif self.acknowledged < self.messages:
            found.append(f"{self.messages - self.acknowledged:,} messages were never acknowledged.")
        return tuple(found)


def passage_of(
    sent: Sequence[Sent], handled: Course, acknowledged: Course, rate: int, seconds: float
) -> Passage:
    """The figures of one load of `rate` messages a second for so long; there must be at least one."""
    end_us = int(seconds * _SECOND_US)
    refused: dict[str, int] = {}
    one_way, round_trip, in_time, arrived = [], [], 0, 0
    for each in sent:
        if each.sequence is None:
            refused[each.refusal] = refused.get(each.refusal, 0) + 1
            continue
        at_us, back_us = handled.time_of(each.sequence), acknowledged.time_of(each.sequence)
        if at_us is not None:
            one_way.append(at_us - each.intended_us)
        if back_us is not None:
            round_trip.append(back_us - each.intended_us)
            arrived += 1
            in_time += back_us < end_us
    on_time = sum(each.handed_us - each.intended_us <= LATE_US for each in sent)
    certified = [each.certified_us - each.intended_us for each in sent if each.sequence is not None]
    return Passage(
        rate,
        seconds,
        len(sent),
        on_time / seconds,
        in_time / seconds,
        arrived,
        latency_of(certified),
        latency_of(one_way),
        latency_of(round_trip),
        dict(sorted(refused.items())),
    )
