"""How many views of a store may be open at once, and for how long (rule C17).

An open view keeps every page that is freed meanwhile from being used again, so a forgotten one makes
the database grow without end. Views over their age are ended when the next one is asked for and
before every write.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from node.storage import SnapshotLimit


class Endable(Protocol):
    """A view that can be taken away from its user."""

    def end(self, reason: str) -> None:
        """Give the pages back; reading afterwards raises SnapshotExpired with `reason`."""


View = TypeVar("View", bound=Endable)


class SnapshotPool(Generic[View]):
    """The open views of one store; any thread may use it."""

    def __init__(self, limit: int, max_age_ms: int, clock_ms: Callable[[], int]) -> None:
        """At most `limit` views, none older than `max_age_ms` by `clock_ms`."""
        self.limit = limit
        self._max_age_ms = max_age_ms
        self._clock_ms = clock_ms
        self._lock = threading.Lock()
        self._lent: dict[int, tuple[int, View]] = {}
        self._next_number = 0
        self.ended = 0
        """Views that were ended for their age."""

    @property
    def max_age_ms(self) -> int:
        """How old a view may become."""
        return self._max_age_ms

    def oldest_ms(self) -> int:
        """The age of the oldest view; 0 when there is none."""
        with self._lock:
            began_ms = min((began_ms for began_ms, _ in self._lent.values()), default=self._clock_ms())
        return self._clock_ms() - began_ms

    def __len__(self) -> int:
        return len(self._lent)

    @contextmanager
    def lend(self, begin: Callable[[], View]) -> Iterator[View]:
        """The view that `begin` makes, until the block ends; raises SnapshotLimit."""
        self.end_old()
        with self._lock:
            if len(self._lent) >= self.limit:
                raise SnapshotLimit(f"{self.limit} queries are being answered already: try again")
            number = self._next_number
            view = begin()
            self._next_number += 1
            self._lent[number] = self._clock_ms(), view
        try:
            yield view
        finally:
            view.end("this snapshot was closed")
            with self._lock:
                self._lent.pop(number, None)

    def end_old(self) -> None:
        """End the views over their age."""
        oldest_ms = self._clock_ms() - self._max_age_ms
        with self._lock:
            for number, (began_ms, view) in tuple(self._lent.items()):
                if began_ms < oldest_ms:
                    view.end(f"this query took longer than {self._max_age_ms} ms: ask for less at once")
                    del self._lent[number]
                    self.ended += 1

    def end_all(self) -> None:
        """End every view, because the store closes."""
        with self._lock:
            for _, view in self._lent.values():
                view.end("the database was closed")
            self._lent.clear()
