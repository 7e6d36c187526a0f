"""`Replica.step` by kind of event: a fresh replica is told again what a running one was told.

All events are replayed, since each builds on those before; only the steps of one kind are timed.
"""

from collections.abc import Callable
from functools import partial

from bench.micro.ring import fresh_replica, recorded
from bench.micro.subject import Sampler, Subject, Workshop
from consensus import (
    Event,
    HeaderComputed,
    HeaderSignature,
    Message,
    PayloadChecked,
    PayloadReady,
    Persisted,
    Proposal,
    Received,
    Status,
    Timeout,
    TimerFired,
    Vote,
)

_CLOCK_READS = 1_000


def _is_message(kind: type[Message], event: Event) -> bool:
    return isinstance(event, Received) and isinstance(event.message, kind)


def _is_event(kind: type[Event], event: Event) -> bool:
    return isinstance(event, kind)


def _make(nodes: int, rounds: int, is_timed: Callable[[Event], bool], workshop: Workshop) -> Sampler:
    told = recorded(nodes, rounds)
    marks = [is_timed(item.event) for item in told]
    if not any(marks):
        raise AssertionError("the recording holds no event of this kind")
    now = workshop.clock.now

    def replay(count: int) -> tuple[float, int]:
        """Seconds in, and number of, timed steps: `count`, or all of the recording."""
        replica, seconds, done = fresh_replica(nodes, 0), 0.0, 0
        for item, timed in zip(told, marks, strict=True):
            if not timed:
                replica.step(item.event, item.now_ms)
                continue
            started = now()
            replica.step(item.event, item.now_ms)
            seconds += now() - started
            done += 1
            if done == count:
                break
        return seconds, done

    def sample(count: int) -> float:
        wanted, seconds = count, 0.0
        while count > 0:
            spent, done = replay(count)
            seconds += spent
            count -= done
        return max(0.0, seconds - wanted * _clock_cost(now))

    return sample


def _clock_cost(now: Callable[[], float]) -> float:
    """Seconds that one pair of clock reads adds to what lies between them."""
    started = now()
    for _ in range(_CLOCK_READS):
        now()
    return (now() - started) / _CLOCK_READS


_SMALL = (4, 60)
_LARGE = (31, 8)
_KINDS: tuple[tuple[str, tuple[int, int], Callable[[Event], bool]], ...] = (
    ("proposal", _SMALL, partial(_is_message, Proposal)),
    ("vote", _SMALL, partial(_is_message, Vote)),
    ("timeout", _SMALL, partial(_is_message, Timeout)),
    ("header-signature", _SMALL, partial(_is_message, HeaderSignature)),
    ("status", _SMALL, partial(_is_message, Status)),
    ("persisted", _SMALL, partial(_is_event, Persisted)),
    ("payload-ready", _SMALL, partial(_is_event, PayloadReady)),
    ("payload-checked", _SMALL, partial(_is_event, PayloadChecked)),
    ("header-computed", _SMALL, partial(_is_event, HeaderComputed)),
    ("timer-fired", _SMALL, partial(_is_event, TimerFired)),
    ("proposal", _LARGE, partial(_is_message, Proposal)),
    ("vote", _LARGE, partial(_is_message, Vote)),
    ("header-signature", _LARGE, partial(_is_message, HeaderSignature)),
)

SUBJECTS = tuple(
    Subject(f"step/{name}/n{size[0]}", "step", partial(_make, *size, is_timed))
    for name, size, is_timed in _KINDS
)
