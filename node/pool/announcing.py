"""Telling agreement whether there is something to order (C7): it arms its timers by that.

Told are changes only, and once more when something came, or time went by, after a request for payload found
nothing to take: else a leader that fell back to waiting would sleep over it.
"""

from consensus import PendingPayload
from node.pool.effects import Answer, PoolEffect
from node.pool.shelf import Shelf


class Announcer:
    """The last word told to agreement."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._told = False
        self._answered_empty = False
        self._time_went_by = False

    def on_answered(self, payload: bytes) -> None:
        """A request for payload was answered."""
        self._answered_empty = payload == b""

    def on_tick(self) -> None:
        """Time went by: what could not be taken before may be eligible now."""
        self._time_went_by = True

    def run(self) -> list[PoolEffect]:
        """The announcement due after this event, if any."""
        exists = bool(self._shelf.orderable)
        changed = self._shelf.became_orderable or self._time_went_by
        self._shelf.became_orderable = self._time_went_by = False
        if exists == self._told and not (exists and changed and self._answered_empty):
            return []
        self._told, self._answered_empty = exists, False
        return [Answer(PendingPayload(exists))]
