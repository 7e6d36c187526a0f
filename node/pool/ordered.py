"""What committed blocks have ordered: never to be ordered again, and handed to execution in order.

Voters refuse a digest that is committed already, so digests are remembered until a batch of that block must
have expired (a function of the block's time). The memory is bounded; beyond the bound the replay rule of
execution (F17) still keeps every transaction to one execution.
"""

from collections import deque
from collections.abc import Iterable

from consensus import CommittedBlock, Digest
from node.pool.config import PoolConfig
from node.pool.contents import Contents
from node.pool.expiry import ExpiryIndex

WAITING_MAX = 4096
"""Committed blocks that wait for their batches: as many as a start may find in its journal."""
EMPTY_MAX = WAITING_MAX // 2
"""How many may wait where another one is kept that yields no header."""


class OrderedBlocks:
    """The queue of committed blocks, those being executed, and the memory of ordered digests."""

    def __init__(self, config: PoolConfig) -> None:
        self._config = config
        self._remembered: dict[Digest, None] = {}
        self._expiry = ExpiryIndex()
        self.waiting: deque[tuple[CommittedBlock, Contents]] = deque()
        """Committed, not yet handed to execution; oldest first."""
        self.executing: dict[Digest, Contents] = {}
        """Handed to execution, by block id."""

    def contains(self, name: Digest) -> bool:
        """Whether a committed block ordered this batch and it may not have expired yet."""
        return name in self._remembered

    def commit(self, block: CommittedBlock, contents: Contents) -> None:
        """The next committed block. Of those that order nothing only so many wait behind one whose batch does
        not come: handing them over leads to nothing."""
        if block.yields_header or len(self.waiting) < EMPTY_MAX:
            self.waiting.append((block, contents))
        self.remember(contents.names(), block.block.time_ms)

    def remember(self, names: Iterable[Digest], block_time_ms: int) -> None:
        """These were ordered by a block of this time."""
        ends_ms = block_time_ms + self._config.payload.horizon_ms
        for name in names:
            if name not in self._remembered:
                self._remembered[name] = None
                self._expiry.add(name, ends_ms)
        while len(self._remembered) > self._config.ordered_digests_max:
            oldest = self._expiry.take_oldest()
            if oldest is None:
                return
            self._remembered.pop(Digest(oldest), None)

    def forget_expired(self, time_ms: int) -> None:
        """Cluster time has come to `time_ms`."""
        for name in self._expiry.take_ended(time_ms):
            self._remembered.pop(Digest(name), None)

    def skip_through(self, height: int) -> list[Contents]:
        """Catch-up brings, or has executed, everything up to `height`: drop what waits for it."""
        skipped = []
        while self.waiting and self.waiting[0][0].height <= height:
            skipped.append(self.waiting.popleft()[1])
        return skipped

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """`(name, current, bound)` for metrics. The queue is kept short by who leaves it to catch-up: what is
        certified, when it becomes long; only a start may find more."""
        return (
            ("pool_ordered_digests", len(self._remembered), self._config.ordered_digests_max),
            ("pool_committed_waiting", len(self.waiting), WAITING_MAX),
        )
