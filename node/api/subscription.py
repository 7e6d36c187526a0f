"""Following the cluster's events across broken connections: which place is next, what a line means.

Sans-IO like `exchange.py`: the clients own the stream, this owns the cursor. Each event is seen once and
in order, whatever node it came from, because its id is its place in the one certified history.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from node.api.exchange import ClientError, Cluster, NoReply, NotReachable, Reply, UnexpectedAnswer, read_error

_NOTICES = ("gap", "end")
"""Kinds without a place; the stream's format repeats the last event's id for them."""
_FAILURES_MAX = 20
_BACK_OFF_MS = (100, 200, 500, 1_000, 2_000, 5_000)


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """One event: its place `height:index` (None for a notice), its kind, and its JSON fields."""

    cursor: str | None
    kind: str
    fields: Mapping[str, Any]


class Subscription:
    """The place of one reader. `next_place` is where the next stream starts."""

    def __init__(self, cluster: Cluster, next_place: str) -> None:
        """Raises ValueError unless `next_place` is `height:index`."""
        height, _, index = next_place.partition(":")
        self._next = (int(height), int(index))
        self._cluster = cluster
        self._failures = 0

    @property
    def url(self) -> str:
        """The stream to open now."""
        return f"{self._cluster.url}/v1/events?from={self._next[0]}:{self._next[1]}"

    def take(self, kind: str, data: str, place: str) -> ClusterEvent | None:
        """The event in one message of the stream; None for an empty one and for one seen already."""
        if not data:
            return None
        try:
            fields = json.loads(data)
            if kind in _NOTICES:
                return ClusterEvent(None, kind, fields)
            height, index = (int(part) for part in place.split(":"))
        except ValueError as error:
            raise UnexpectedAnswer(f"An event cannot be read: {error}.") from error
        if (height, index) < self._next:
            return None
        self._failures = 0
        self._next = (height, index + 1)
        return ClusterEvent(place, kind, fields)

    def pause_after(self, failure: Reply | NoReply) -> int:
        """How long to wait before the next node is asked, in ms. Raises ClientError when it is hopeless."""
        if isinstance(failure, Reply) and failure.status not in (429, 502, 503, 504):
            raise read_error(failure)
        self._failures += 1
        self._cluster.move_on()
        if self._failures >= _FAILURES_MAX:
            raise self._last(failure)
        if self._failures < len(self._cluster.urls):
            return 0
        return _BACK_OFF_MS[min(self._failures - 1, len(_BACK_OFF_MS) - 1)]

    def _last(self, failure: Reply | NoReply) -> ClientError:
        if isinstance(failure, Reply):
            return read_error(failure)
        return NotReachable(self._cluster.urls, failure.reason)
