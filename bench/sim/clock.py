"""Virtual time: a heap of what happens next. Nothing waits; equal times happen in the order they were set."""

from collections.abc import Callable
from heapq import heappop, heappush

EVENTS_MAX = 50_000_000
"""A world that takes more than this is a storm, and ends with an error."""


class Storm(Exception):
    """More events than any sane world has."""


class Clock:
    """Integer microseconds since 1970, advanced by `run_until` alone."""

    def __init__(self, start_us: int, events_max: int = EVENTS_MAX) -> None:
        self.now_us = start_us
        self.events = 0
        self._events_max = events_max
        self._queue: list[tuple[int, int, Callable[[], None]]] = []

    def after(self, delay_us: int, action: Callable[[], None]) -> None:
        """`action` happens `delay_us` from now. Raises Storm."""
        self.events += 1
        if self.events > self._events_max:
            raise Storm(f"{self._events_max} events")
        heappush(self._queue, (self.now_us + delay_us, self.events, action))

    def run_until(self, deadline_us: int, until: Callable[[], bool] | None = None) -> bool:
        """Let everything up to `deadline_us` happen; True, and early, once `until` is."""
        if until is not None and until():
            return True
        queue = self._queue
        while queue and queue[0][0] <= deadline_us:
            self.now_us, _, action = heappop(queue)
            action()
            if until is not None and until():
                return True
        self.now_us = deadline_us
        return False

    @property
    def waiting(self) -> int:
        """Events that have not happened yet."""
        return len(self._queue)
