"""Finds the highest rate that a system still carries: doubling until it fails, then bisection.

Rates are compared as ratios, because that is how a load grows. Whether a rate is carried is measured, so two
answers may contradict each other near the knee; the search then ends at the highest rate that was carried
below the lowest that was not.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import isqrt

RATE_MAX = 1_000_000
_FALL_MAX = 6
"""How often the first rate is halved when not even that is carried."""


@dataclass(frozen=True, slots=True)
class Knee:
    """`rate` is None when no rate was carried; `refused` the lowest that was not, None when all were.

    `tried` are all rates in order, with the answers.
    """

    rate: int | None
    refused: int | None
    tried: tuple[tuple[int, bool], ...]


async def find_knee(
    carries: Callable[[int], Awaitable[bool]], first: int, *, precision: float = 0.1, tries_max: int = 14
) -> Knee:
    """The knee, to within `precision` (0.1: the refused rate is at most 10 % above the carried one)."""
    tried: list[tuple[int, bool]] = []
    good: int | None = None
    bad: int | None = None
    rate = first
    while len(tried) < tries_max:
        is_carried = await carries(rate)
        tried.append((rate, is_carried))
        if is_carried:
            good = rate
        else:
            bad = rate
        following = _next(good, bad, first, precision)
        if following is None:
            break
        rate = following
    return Knee(good, bad, tuple(tried))


def _next(good: int | None, bad: int | None, first: int, precision: float) -> int | None:
    """The rate to try now, or None when there is nothing more to learn."""
    if bad is None:
        return None if good is None or good >= RATE_MAX else min(2 * good, RATE_MAX)
    if good is None:
        lower = bad // 2
        return None if not lower or bad * 2**_FALL_MAX <= first else lower
    if bad <= good * (1 + precision) or bad - good <= 1:
        return None
    return max(good + 1, isqrt(good * bad))
