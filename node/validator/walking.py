"""Whether what agreement brings by itself keeps up with what others certify; else catching up brings it.

Agreement walks, block by block and batch by batch, up to `certification_lag_max` heights; beyond that it
reports `FellBehind`. Within, it may be slower than the chain grows, and where committed blocks wait for
batches that do not come it sees nothing to report. So a walk is judged by its progress, in heights: no clock
decides.
"""

NEAR = 16
"""Heights behind what is certified at which a walk is as good as at its end: about what is on its way."""
STRETCH = 64
"""Certified heights after which a walk must have come nearer than it was."""


class Walk:
    """From being further behind than `NEAR` to being near, or to being given up."""

    def __init__(self) -> None:
        self._since = self._behind = 0

    def is_losing(self, certified: int, brought: int) -> bool:
        """Whether to give up: a stretch of the chain went by, and what is `brought` here (to be executed, or
        executed) is as far behind what is `certified` as before. The next look begins anew."""
        behind = certified - brought
        if behind <= NEAR:
            self._behind = 0
            return False
        if self._behind and certified < self._since + STRETCH:
            return False
        losing = 0 < self._behind <= behind
        self._since, self._behind = certified, behind
        return losing

    def rest(self) -> None:
        """Nobody walks."""
        self._behind = 0
