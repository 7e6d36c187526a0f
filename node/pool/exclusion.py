"""Authors left out for a while because their batches kept voters waiting (C9).

Only a blocking set of reports counts, so that one liar excludes nobody. While it lasts, leaders name only
batches of that author that everybody else acknowledged; small ones still go inline, where nothing can be
missing. The time doubles with each report after it ended, and halves as the author's batches are committed.
An epoch's end ends none of that: its validators are known again by their keys.
Who attests nothing in time is left out in the same way, for longer (VC4, `attesting.py`).
"""

from collections.abc import Mapping

from consensus import ValidatorSet
from node.pool.shelf import HeldBatch


class Exclusions:
    """For each author how long it stays excluded: `base_ms` at first, `longest_ms` at most. Times are elapsed
    milliseconds. At most n entries."""

    def __init__(self, base_ms: int, longest_ms: int) -> None:
        self._base_ms = base_ms
        self._longest_ms = longest_ms
        self._until: dict[int, int] = {}
        self._duration: dict[int, int] = {}

    def blame(self, author: int, weight: int, validators: ValidatorSet, elapsed_ms: int) -> bool:
        """Reports of `weight` say that payload of `author` was unavailable; True when it is excluded now."""
        if not validators.contains(author) or not validators.is_blocking(weight):
            return False
        if self.is_excluded(author, elapsed_ms):
            return True
        duration = min(2 * self._duration.get(author, self._base_ms // 2), self._longest_ms)
        self._duration[author] = duration
        self._until[author] = elapsed_ms + duration
        return True

    def is_excluded(self, author: int, elapsed_ms: int) -> bool:
        """Whether leaders leave this author out now."""
        return self._until.get(author, 0) > elapsed_ms

    def leaves_out(self, held: HeldBatch, validators: ValidatorSet, elapsed_ms: int) -> bool:
        """Whether a leader must not name this batch now: its author is excluded, and not everybody has it."""
        return self.is_excluded(held.batch.author, elapsed_ms) and held.weight < validators.total_weight

    def forgive(self, author: int) -> None:
        """It did what is expected: a referenced batch of this author was committed."""
        duration = self._duration.get(author)
        if duration is not None:
            self._duration[author] = duration // 2
            if duration // 2 < self._base_ms // 2:
                del self._duration[author]
                self._until.pop(author, None)

    def succeed(
        self, before: "Exclusions", seats: Mapping[int, int], before_ms: int, elapsed_ms: int
    ) -> None:
        """Go on in the next epoch; who was at fault in the last one is the same. `seats`: by their indices
        then those that they have now, one each; who has none is forgotten. `before_ms` is the elapsed time
        there, `elapsed_ms` that here."""
        for author, duration in before._duration.items():
            if (seat := seats.get(author)) is not None:
                self._duration[seat] = duration
                self._until[seat] = before._until[author] - before_ms + elapsed_ms

    def end_ms(self, elapsed_ms: int) -> int | None:
        """When the next exclusion ends."""
        return min((until for until in self._until.values() if until > elapsed_ms), default=None)
