"""The end of the door: whatever a request waits for, it is told at once that this node leaves.

What a request waits for (a certificate, a height, the rest of its own body) may come, but whoever stops a
node waits too, and another node answers the same question now. So such waits are entered here, and end
together: what was taken is told as taken, all else is refused with the way on. What needs no waiting is still
answered.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from node.api.faults import ApiFault, Fault


class Departure:
    """When the node stops, and the waits that end with it. Their number is bounded by the connections."""

    def __init__(self, shutdown: trio.Event, retry_after_ms: int) -> None:
        self.shutdown = shutdown
        self._retry_after_ms = retry_after_ms
        self._waits: dict[trio.CancelScope, None] = {}

    @property
    def has_begun(self) -> bool:
        """Whether the node stops."""
        return self.shutdown.is_set()

    def begin(self) -> None:
        """End all waits; `shutdown` is set."""
        for scope in self._waits:
            scope.cancel()

    def require_stay(self) -> None:
        """Raises ApiFault SHUTTING_DOWN when the node stops: nothing is begun."""
        if self.has_begun:
            raise self.fault("This node is stopping and begins nothing that has to be waited for.")

    @contextmanager
    def until(self, seconds: float = math.inf) -> Iterator[trio.CancelScope]:
        """A wait of at most `seconds`: the scope says whether they are over. Raises ApiFault SHUTTING_DOWN
        when the node stops before or meanwhile; so not for what was taken already, for this says that nothing
        was."""
        self.require_stay()
        with self.cut(seconds) as scope:
            yield scope
        if scope.cancelled_caught and self.has_begun:
            raise self.fault("This node is stopping and waits no longer.")

    @contextmanager
    def cut(self, seconds: float = math.inf) -> Iterator[trio.CancelScope]:
        """A wait of at most `seconds` that is over as well when the node stops, or has begun to: the scope
        says whether it was cut."""
        with trio.move_on_after(0 if self.has_begun else seconds) as scope:
            self._waits[scope] = None
            try:
                yield scope
            finally:
                del self._waits[scope]

    def fault(self, message: str) -> ApiFault:
        """SHUTTING_DOWN: the caller asks another node, or this one later, over another connection."""
        kind = Fault.SHUTTING_DOWN.value
        return ApiFault(kind, message, retry_after_ms=self._retry_after_ms).closing()
