"""What an operator is told of catching up: that it began, now and then how far it is, and how long it took.

A follower takes every height by catching up, so a run of a few heights is no news.
"""

from node.pool.effects import SyncProgress

TOLD_HEIGHTS_MIN = 8
"""Runs over fewer heights are not told."""
TOLD_EVERY_MS = 5_000


class SyncNews:
    """The telling of one run after another."""

    def __init__(self) -> None:
        self._began: tuple[int, int] | None = None
        self._told_ms = 0

    def on_progress(self, progress: SyncProgress, now_ms: int) -> str | None:
        """Words for the log, if it is time for some."""
        start, at, target = progress.from_height, progress.at_height, progress.target_height
        if self._began is None:
            if target - start < TOLD_HEIGHTS_MIN:
                return None
            self._began, self._told_ms = (start, now_ms), now_ms
            return f"began at height {start} towards {target}"
        if at < target and 0 <= now_ms - self._told_ms < TOLD_EVERY_MS:
            return None
        self._told_ms = now_ms
        began_at, began_ms = self._began
        elapsed_ms = max(1, now_ms - began_ms)
        rate = (at - began_at) * 1_000 // elapsed_ms
        if at < target:
            left_s = (target - at) * elapsed_ms // max(1, at - began_at) // 1_000
            return f"height {at} of {target}, {rate} heights a second, {left_s} s to go"
        self._began = None
        return f"done: {at - began_at} heights in {elapsed_ms} ms, {rate} a second"
