"""Committed blocks above the target of a catch-up: they are executed when it is done.

Two rules keep them few. A target moves when what is certified is more than `certification_lag_max` above it,
and what it comes to cover is dropped; and what may be ordered above what is certified is as much again (C13).
"""

from collections import deque
from collections.abc import Iterable, Sequence

from consensus import Digest
from node.pool.effects import BlockReady


class HeldBlocks:
    """In the order in which they were committed."""

    def __init__(self, certification_lag_max: int) -> None:
        self._bound = 2 * (certification_lag_max + 1)
        self._blocks: deque[BlockReady] = deque()

    def __len__(self) -> int:
        return len(self._blocks)

    def keep(self, blocks: Iterable[BlockReady]) -> None:
        """These as well."""
        self._blocks.extend(blocks)

    def keep_above(self, target_height: int, blocks: Sequence[BlockReady]) -> list[Digest]:
        """Those of these that catch-up does not bring; of the others the ids."""
        brought = [ready.block.block.id for ready in blocks if ready.block.height <= target_height]
        self.keep(ready for ready in blocks if ready.block.height > target_height)
        return brought

    def take(self) -> deque[BlockReady]:
        """All of them; none are held afterwards."""
        blocks, self._blocks = self._blocks, deque()
        return blocks

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound)."""
        return (("sync_held_blocks", len(self._blocks), self._bound),)
