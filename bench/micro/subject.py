"""A subject: one operation that is timed, and how to time many of it without timing anything else."""

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TypeAlias, TypeVar

T = TypeVar("T")

_CHUNK = 1_000
"""Operations prepared at a time by `prepared`: bounds memory, and is long beside reading a clock."""


class Clock(Enum):
    """Which clock a subject is timed by."""

    CPU = "cpu"
    """This process's CPU time: what others take from the machine does not count."""
    WALL = "wall"
    """Elapsed time: the operation waits for a disk."""

    def now(self) -> float:
        """Seconds since some moment."""
        return time.process_time() if self is Clock.CPU else time.perf_counter()


Sampler: TypeAlias = Callable[[int], float]
"""Performs this many (>= 1) operations and answers how many seconds they alone took."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What a subject may use: an empty folder on the disk to be measured, its clock, and a stack for what
    must be closed when it was measured."""

    folder: Path
    clock: Clock
    stack: ExitStack


@dataclass(frozen=True, slots=True)
class Subject:
    """`name` is `noun/operation[/size]`; `unit` says what one operation is. One call of the sampler's
    operation does `per` of them (a block of 100 transactions)."""

    name: str
    unit: str
    make: Callable[[Workshop], Sampler]
    clock: Clock = Clock.CPU
    per: int = 1


def repeated(clock: Clock, operation: Callable[[], object]) -> Sampler:
    """For an operation that leaves nothing behind. The loop adds about 0.05 us an operation."""

    def sample(count: int) -> float:
        rounds = range(count)
        started = clock.now()
        for _ in rounds:
            operation()
        return clock.now() - started

    return sample


def prepared(
    clock: Clock, prepare: Callable[[int], Iterable[T]], operation: Callable[[T], object]
) -> Sampler:
    """For an operation that uses up its input: `prepare(count)` makes them, untimed, some at a time."""

    def sample(count: int) -> float:
        seconds = 0.0
        while count > 0:
            inputs = list(prepare(min(count, _CHUNK)))
            count -= len(inputs)
            started = clock.now()
            for item in inputs:
                operation(item)
            seconds += clock.now() - started
        return seconds

    return sample
