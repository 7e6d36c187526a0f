"""How much of each author's was executed lately: a queue is not due to who had less than others.

All see a queue alike, and all would make their windows smaller for it (`window.py`). But a wide window has
many batches under way, of which one or the other comes back fast, and a narrow one has few, which are all
slow: the wide would stay wide, and the narrow become as small as they get, with everybody who waits at their
nodes. What was executed of others is known from the ledger, and of oneself by what one sealed: nobody can
make us look rich. An author's part is what the author of an average byte had: of many authors the richest is
rich by chance, and all others would be poor beside it; and who sends little makes nobody's part smaller.
Source: max-min fairness, Bertsekas and Gallager, Data Networks, 2nd edition, section 6.5.2.
"""

PERIOD_MS = 100
PERIOD_BATCHES = 4
"""What was executed in a period and in the one before counts. A period is as long as so many slow batches
take one after the other, and no shorter."""
POOR_TIMES, PART_TIMES = 3, 2
"""Poor is who had less than two thirds of its part."""


class Shares:
    """Bytes by author; times are elapsed milliseconds."""

    def __init__(self) -> None:
        self._now: dict[int, int] = {}
        self._before: dict[int, int] = {}
        self._since_ms = 0

    def executed(self, author: int, size: int, elapsed_ms: int, batch_ms: int) -> None:
        """A batch of `size` bytes, where one takes about `batch_ms`."""
        period_ms = max(PERIOD_MS, PERIOD_BATCHES * batch_ms)
        age_ms = elapsed_ms - self._since_ms
        if age_ms >= period_ms:
            self._before = self._now if age_ms < 2 * period_ms else {}
            self._now = {}
            self._since_ms = elapsed_ms
        self._now[author] = self._now.get(author, 0) + size

    def is_poor(self, author: int) -> bool:
        """Whether clearly less was executed of this author's than of others', by weight of their bytes."""
        had = self._before.copy()
        for other, size in self._now.items():
            had[other] = had.get(other, 0) + size
        squares = sum(size * size for size in had.values())
        return POOR_TIMES * had.get(author, 0) * sum(had.values()) < PART_TIMES * squares
