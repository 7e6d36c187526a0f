"""The peers one can catch up from: what they claim to have, how they behaved, whom to ask next.

A failure (slow, empty, wrong) sends a peer to the end of the line with a growing pause, a lie for longer.
Whoever was too slow is given longer the next time, and nobody else is: what one peer did not answer costs the
next no more than its own patience. Nobody is given up for good: in a cluster of few, the liar of today may be
all there is after a repair.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_PARALLEL_MAX = 2
_BACKOFF_STEPS_MAX = 6
_PATIENCE_STEPS_MAX = 3


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """Times in milliseconds: pauses after failures and lies, patience; and how many peers are kept."""

    pause_base_ms: int = 500
    lie_pause_ms: int = 60_000
    patience_ms: int = 5_000
    """For an answer of a peer that has not been slow; twice as long for each time that it was, eight times at
    most."""
    sources_max: int = 256


@dataclass(slots=True)
class _Source:
    height: int
    failures: int = 0
    slow: int = 0
    free_at_ms: int = 0
    asked: int = 0
    turn: int = 0


class Sources:
    """Peers by link key; times are elapsed milliseconds."""

    def __init__(self, limits: SourceLimits) -> None:
        self._limits = limits
        self._sources: dict[bytes, _Source] = {}
        self._turns = 0

    def __len__(self) -> int:
        return len(self._sources)

    def heights(self) -> dict[bytes, int]:
        """The certified height each peer claims."""
        return {peer: source.height for peer, source in self._sources.items()}

    def claim(self, peer: bytes, height: int) -> None:
        """`peer` says that it has everything up to `height`, certified."""
        source = self._sources.get(peer)
        if source is not None:
            source.height = max(source.height, height)
        elif len(self._sources) < self._limits.sources_max:
            self._sources[peer] = _Source(height)

    def rename(self, renamed: Mapping[bytes, bytes]) -> None:
        """These links have another identity now."""
        self._sources = {renamed.get(peer, peer): source for peer, source in self._sources.items()}

    def drop(self, peer: bytes) -> None:
        """The link went down."""
        self._sources.pop(peer, None)

    def choose(self, height: int, tried: dict[bytes, None], elapsed_ms: int) -> bytes | None:
        """Whom to ask for `height`: who has it and is free, best behaved and longest unused first, those
        who failed this very range last. The chosen one counts as asked."""
        candidates = [
            (peer in tried, source.failures, source.asked, source.turn, peer)
            for peer, source in self._sources.items()
            if source.height >= height and source.free_at_ms <= elapsed_ms and source.asked < _PARALLEL_MAX
        ]
        if not candidates:
            return None
        peer = min(candidates)[-1]
        self._turns += 1
        self._sources[peer].turn = self._turns
        self._sources[peer].asked += 1
        return peer

    def patience_ms(self, peer: bytes) -> int:
        """How long to wait for an answer of `peer`."""
        source = self._sources.get(peer)
        return self._limits.patience_ms << (0 if source is None else source.slow)

    def succeeded(self, peer: bytes, took_ms: int | None) -> None:
        """`peer` gave a proven answer after so long; None: it may still give one, which is not needed."""
        source = self._sources.get(peer)
        if source is None:
            return
        source.asked = max(0, source.asked - 1)
        source.failures = max(0, source.failures - 1)
        if took_ms is not None and source.slow and 2 * took_ms <= self.patience_ms(peer):
            source.slow -= 1

    def failed(self, peer: bytes, elapsed_ms: int, *, lied: bool = False, slow: bool = False) -> None:
        """`peer` was slow, had nothing, or lied."""
        source = self._sources.get(peer)
        if source is None:
            return
        source.asked = max(0, source.asked - 1)
        source.failures += 1
        source.slow = min(source.slow + slow, _PATIENCE_STEPS_MAX)
        steps = min(source.failures - 1, _BACKOFF_STEPS_MAX)
        pause = self._limits.lie_pause_ms if lied else self._limits.pause_base_ms << steps
        source.free_at_ms = elapsed_ms + pause

    def free_at_ms(self, elapsed_ms: int) -> int | None:
        """When the next pause ends."""
        return min((s.free_at_ms for s in self._sources.values() if s.free_at_ms > elapsed_ms), default=None)
