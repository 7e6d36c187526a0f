"""How long blocks take to be final, from their proposal as their proposers' clocks have it: consensus latency
as this node sees it. Sums since the start, of which a monitor takes the differences.
"""

from collections.abc import Iterable

from consensus import CommittedBlock


class CommitTimes:
    """Of blocks with payload; the empty ones behind them are proposed only to commit them."""

    __slots__ = ("blocks", "total_ms")

    def __init__(self) -> None:
        self.blocks = 0
        self.total_ms = 0

    def note(self, committed: Iterable[CommittedBlock], now_ms: int) -> None:
        """These are committed here now; a proposer whose clock is ahead counts as no time."""
        for item in committed:
            if item.block.has_payload:
                self.blocks += 1
                self.total_ms += max(0, now_ms - item.block.time_ms)
