"""Elapsed time that never runs backwards, and one timer.

The wall clock may be set back or forth, and what is measured here must not see it: a wait would end early, a
batch seem slow for an hour. So everything is counted in elapsed milliseconds, which leave out by how much the
clock was set, as far as that is told; of what is not told, a step back counts as no time.
"""

from node.pool.effects import Wake


class Alarm:
    """`elapsed_ms` grows with the wall clock; `rearm` asks for the machine's one timer when that changes."""

    __slots__ = ("_due_ms", "_last_ms", "elapsed_ms")

    def __init__(self) -> None:
        self.elapsed_ms = 0
        self._last_ms: int | None = None
        self._due_ms: int | None = None

    def advance(self, now_ms: int) -> int:
        """Take note of the wall clock; answers with the elapsed time."""
        if self._last_ms is not None and now_ms > self._last_ms:
            self.elapsed_ms += now_ms - self._last_ms
        self._last_ms = now_ms
        return self.elapsed_ms

    def clock_set(self, by_ms: int) -> None:
        """The wall clock was set by so much since it was last looked at, forth or (negative) back; `advance`
        is told of it from now on."""
        if self._last_ms is not None:
            self._last_ms += by_ms

    def fired(self) -> None:
        """The timer went off: none is running now."""
        self._due_ms = None

    def rearm(self, due_ms: int | None) -> list[Wake]:
        """A `Wake` for `due_ms` (elapsed), unless the running timer goes off by then already."""
        if due_ms is None or (self._due_ms is not None and self._due_ms <= due_ms):
            return []
        self._due_ms = due_ms
        return [Wake(max(0, due_ms - self.elapsed_ms))]
