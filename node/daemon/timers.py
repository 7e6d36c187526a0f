"""Named timers for the validator: one task, one heap, restarting a timer costs two operations.

Timers run on the monotonic clock, so that a jump of the wall clock neither fires nor delays them.
"""

import heapq
from collections.abc import Callable

import trio

STALE_FACTOR_MAX = 8
"""Heap entries per running timer before those of restarted timers are thrown out."""


class Timers:
    """At most one timer a name; `expired(name)` is called from the task that runs `run`."""

    def __init__(self, expired: Callable[[str], None]) -> None:
        self._expired = expired
        self._deadlines: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._wake = trio.Event()
        self._sleeping_until = float("inf")

    def start(self, name: str, delay_ms: int) -> None:
        """Start or restart the timer `name`."""
        deadline = trio.current_time() + delay_ms / 1000
        self._deadlines[name] = deadline
        heapq.heappush(self._heap, (deadline, name))
        if len(self._heap) > STALE_FACTOR_MAX * (len(self._deadlines) + 16):
            self._heap = [(at, of) for of, at in self._deadlines.items()]
            heapq.heapify(self._heap)
        if deadline < self._sleeping_until:
            self._wake.set()

    def stop(self, name: str) -> None:
        """Stop the timer `name`, if it runs."""
        self._deadlines.pop(name, None)

    def __len__(self) -> int:
        return len(self._deadlines)

    async def run(self) -> None:
        """Fire timers until cancelled."""
        while True:
            self._fire_due()
            self._wake = trio.Event()
            self._sleeping_until = self._heap[0][0] if self._heap else float("inf")
            with trio.move_on_at(self._sleeping_until):
                await self._wake.wait()

    def _fire_due(self) -> None:
        now = trio.current_time()
        # A restarted timer leaves its old entry in the heap; it is recognised by its deadline.
        while self._heap and (self._heap[0][0] <= now or self._is_stale(self._heap[0])):
            deadline, name = heapq.heappop(self._heap)
            if self._deadlines.get(name) == deadline:
                del self._deadlines[name]
                self._expired(name)

    def _is_stale(self, entry: tuple[float, str]) -> bool:
        return self._deadlines.get(entry[1]) != entry[0]
