"""By how much the wall clock was set, told by the monotonic one beside it.

The validator is told one time alone, the wall clock's, for that is what blocks carry and what a recording
repeats. What it measures by it is wrong across a step of that clock, and it cannot know of one by itself.
"""

import time
from collections.abc import Callable

SET_MS = 2
"""Clocks that have come apart by more than this between two looks were set: what is less is rounding, and how
fast a clock is made to go that is a little off."""


def elapsed_ms() -> int:
    """Milliseconds since some moment, whatever anybody does to the wall clock."""
    return time.monotonic_ns() // 1_000_000


class ClockWatch:
    """Looks at both clocks, again and again."""

    __slots__ = ("_ahead_ms", "_elapsed_ms")

    def __init__(self, elapsed_ms: Callable[[], int] = elapsed_ms) -> None:
        self._elapsed_ms = elapsed_ms
        self._ahead_ms: int | None = None

    def set_by(self, wall_ms: int) -> int:
        """Milliseconds by which the wall clock, which shows `wall_ms` now, was set since the last look, forth
        or (negative) back; 0 if it was not. It is told once; a process that is held between its looks at the
        two may be told so for nothing, and of as much the other way next."""
        before, self._ahead_ms = self._ahead_ms, wall_ms - self._elapsed_ms()
        by_ms = 0 if before is None else self._ahead_ms - before
        return by_ms if abs(by_ms) > SET_MS else 0
