"""What is made of the samples of a run: percentiles, rates, a series by seconds, the longest pauses.

A sample is one transaction: when it was meant to be sent, when it really was, when its answer came, and with
which outcome. Latency counts from the *intended* time: a generator or a cluster that stalls delays everything
that should have been sent meanwhile, and those delays belong to the figure (coordinated omission). All times
are microseconds on one clock, relative to the start of the load.
"""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import ceil
from statistics import median_low

UNSENT, PENDING, UNREACHABLE, UNREADABLE = -1, -2, -3, -4
"""Outcomes that no node told: never sent; not certified in time; no node answered; a wrong answer."""
OUTCOME_NAMES = {
    UNSENT: "not-sent",
    PENDING: "not-certified-in-time",
    UNREACHABLE: "no-node-answered",
    UNREADABLE: "wrong-answer",
}
CERTIFIED = 0
LATE_US = 100_000
"""A transaction sent later than this after its time was not offered at its time."""
SHARES = (0.01, 0.05, *(number / 10 for number in range(1, 10)), 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)
"""Where a distribution is read, for drawing it."""
PAUSE_MIN_US, PAUSE_GAPS = 250_000, 5
"""After a fault, what counts as a pause: longer than this, and than so many usual gaps."""
_PAUSES_TOLD_MAX = 20
_SECOND_US = 1_000_000


@dataclass(slots=True)
class Samples:
    """The transactions of one load process, by position; times in microseconds, 0 while unknown."""

    intended_us: "array[int]" = field(default_factory=lambda: array("q"))
    sent_us: "array[int]" = field(default_factory=lambda: array("q"))
    answered_us: "array[int]" = field(default_factory=lambda: array("q"))
    codes: "array[int]" = field(default_factory=lambda: array("q"))

    def __len__(self) -> int:
        return len(self.codes)

    def plan(self, intended_us: int) -> int:
        """One more transaction that should be sent at this time; its position."""
        self.intended_us.append(intended_us)
        self.sent_us.append(0)
        self.answered_us.append(0)
        self.codes.append(UNSENT)
        return len(self.codes) - 1

    def send(self, position: int, now_us: int) -> None:
        """It is handed to a connection."""
        self.sent_us[position] = now_us
        self.codes[position] = PENDING

    def answer(self, position: int, now_us: int, code: int) -> None:
        """Its outcome is known: `CERTIFIED`, a code of the node, or one of ours."""
        self.answered_us[position] = now_us
        self.codes[position] = code

    def extend(self, other: "Samples") -> None:
        """Add another process's."""
        for own, theirs in zip(self._columns(), other._columns(), strict=True):
            own.extend(theirs)

    def to_bytes(self) -> bytes:
        """For another process of this machine."""
        return b"".join(column.tobytes() for column in self._columns())

    @staticmethod
    def from_bytes(data: bytes) -> "Samples":
        """The inverse of `to_bytes`; raises ValueError."""
        samples = Samples()
        columns = samples._columns()
        size, rest = divmod(len(data), len(columns))
        if rest:
            raise ValueError(f"{len(data)} bytes are no samples")
        for number, column in enumerate(columns):
            column.frombytes(data[number * size : (number + 1) * size])
        return samples

    def _columns(self) -> "tuple[array[int], ...]":
        return self.intended_us, self.sent_us, self.answered_us, self.codes


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from the intended time to the certified receipt; exact samples by nearest rank."""

    count: int
    p50: float
    p90: float
    p99: float
    p99_9: float
    max: float
    mean: float


@dataclass(frozen=True, slots=True)
class Second:
    """One second of the measured window: transactions sent and certified in it, and the latencies of those
    certified in it, None when there were none."""

    second: int
    sent: int
    certified: int
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Pause:
    """A time without any certified receipt: from `at_s` of the window on."""

    at_s: float
    length_ms: float


@dataclass(frozen=True, slots=True)
class Aftermath:
    """From a fault to the window's end, the times without a certified receipt, longest first; their `at_s`
    count from the fault. `pauses` are the first of the `count` that are longer than `bound_ms`."""

    longest: Pause | None
    bound_ms: float
    count: int
    pauses: tuple[Pause, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """The measured part of a run."""

    begin_us: int
    end_us: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end_us - self.begin_us) / _SECOND_US

    def holds(self, time_us: int) -> bool:
        """Whether this moment is in it."""
        return self.begin_us <= time_us < self.end_us


@dataclass(frozen=True, slots=True)
class Traffic:
    """What clients saw in the window.

    `sent_tps`: transactions whose time lay in the window and that were sent no later than `LATE_US` after it.
    `throughput_tps`: certified receipts that came in the window. `failed`: by outcome, of the transactions
    whose time lay in the window.
    """

    planned: int
    sent_tps: float
    throughput_tps: float
    latency_ms: Latency | None
    distribution_ms: tuple[tuple[float, float], ...]
    """Pairs of a share of the certified transactions and the latency that so many do not exceed."""
    failed: Mapping[int, int]
    series: tuple[Second, ...]
    pauses: tuple[Pause, ...]


def percentile(ordered: Sequence[float], share: float) -> float:
    """By nearest rank: the smallest sample that at least this share of all do not exceed.

    Raises ValueError without any sample.
    """
    if not ordered:
        raise ValueError("there is no percentile of nothing")
    # Rounded, because 0.999 * 1000 is a little more than 999 in binary and would be the next rank.
    return ordered[max(0, ceil(round(share * len(ordered), 6)) - 1)]


def latency_of(samples_us: Sequence[int]) -> Latency | None:
    """The distribution; None of nothing."""
    if not samples_us:
        return None
    ordered = [sample / 1000 for sample in sorted(samples_us)]
    p50, p90, p99, p99_9 = (percentile(ordered, share) for share in (0.5, 0.9, 0.99, 0.999))
    return Latency(len(ordered), p50, p90, p99, p99_9, ordered[-1], sum(ordered) / len(ordered))


def distribution_of(samples_us: Sequence[int]) -> tuple[tuple[float, float], ...]:
    """The latencies in milliseconds at `SHARES`; nothing of nothing."""
    ordered = sorted(samples_us)
    return tuple((share, percentile(ordered, share) / 1000) for share in SHARES) if ordered else ()


def traffic_of(samples: Samples, window: Window, pauses_max: int = 5, weight: int = 1) -> Traffic:
    """What happened in a window, the longest pauses included. Each sample stands for `weight` transactions
    that were meant, sent and answered together; percentiles of all of them are those of the samples."""
    planned = on_time = 0
    latencies: list[int] = []
    failed: Counter[int] = Counter()
    sent: list[int] = []
    certified: list[tuple[int, int]] = []
    rows = zip(samples.intended_us, samples.sent_us, samples.answered_us, samples.codes, strict=True)
    for intended_us, sent_us, answered_us, code in rows:
        if code != UNSENT and window.holds(sent_us):
            sent.append(sent_us)
        if code == CERTIFIED and window.holds(answered_us):
            certified.append((answered_us, answered_us - intended_us))
        if not window.holds(intended_us):
            continue
        planned += 1
        on_time += code != UNSENT and sent_us - intended_us <= LATE_US
        if code == CERTIFIED:
            latencies.append(answered_us - intended_us)
        else:
            failed[code] += 1
    latency = latency_of(latencies)
    series = series_of(sent, certified, window)
    return Traffic(
        planned * weight,
        on_time * weight / window.seconds,
        len(certified) * weight / window.seconds,
        None if latency is None else replace(latency, count=latency.count * weight),
        distribution_of(latencies),
        {code: count * weight for code, count in sorted(failed.items())},
        tuple(replace(s, sent=s.sent * weight, certified=s.certified * weight) for s in series),
        pauses_of([at_us for at_us, _ in certified], window, pauses_max),
    )


def aftermath_of(samples: Samples, window: Window, fault_us: int) -> Aftermath:
    """What a fault at this moment of the window did to the certified receipts until its end.

    A time without any counts as a pause when it is longer than both `PAUSE_MIN_US` and `PAUSE_GAPS` times the
    median gap before the fault, so that a slow load is not one pause after another.
    """
    rows = zip(samples.answered_us, samples.codes, strict=True)
    moments = sorted({at_us for at_us, code in rows if code == CERTIFIED and window.holds(at_us)})
    usual = [after - before for before, after in pairwise(at_us for at_us in moments if at_us < fault_us)]
    bound_us = max(PAUSE_MIN_US, PAUSE_GAPS * median_low(usual) if usual else 0)
    broken = Window(fault_us, window.end_us)
    certified = [at_us for at_us in moments if broken.holds(at_us)]
    pauses = pauses_of(certified, broken, len(certified) + 1)
    long = tuple(pause for pause in pauses if pause.length_ms * 1000 > bound_us)
    return Aftermath(next(iter(pauses), None), bound_us / 1000, len(long), long[:_PAUSES_TOLD_MAX])


def series_of(
    sent_us: Sequence[int], certified_us: Sequence[tuple[int, int]], window: Window
) -> tuple[Second, ...]:
    """By whole seconds of the window; `certified_us` are pairs of time and latency, all in the window."""
    seconds = ceil(window.seconds)
    sent = Counter((at_us - window.begin_us) // _SECOND_US for at_us in sent_us)
    latencies: list[list[float]] = [[] for _ in range(seconds)]
    for at_us, latency_us in certified_us:
        latencies[(at_us - window.begin_us) // _SECOND_US].append(latency_us / 1000)
    rows = []
    for second, found in enumerate(latencies):
        found.sort()
        p50, p99 = (percentile(found, share) if found else None for share in (0.5, 0.99))
        rows.append(Second(second, sent[second], len(found), p50, p99))
    return tuple(rows)


def pauses_of(certified_us: Sequence[int], window: Window, count: int) -> tuple[Pause, ...]:
    """The longest times of the window without a certified receipt, longest first; its ends count."""
    moments = [window.begin_us, *sorted(certified_us), window.end_us]
    gaps = [(after - before, before) for before, after in pairwise(moments)]
    longest = sorted(gaps, key=lambda gap: (-gap[0], gap[1]))[:count]
    return tuple(Pause((at - window.begin_us) / _SECOND_US, gap / 1000) for gap, at in longest if gap)
