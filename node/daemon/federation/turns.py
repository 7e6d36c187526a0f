"""Whose turn it is to bring bundles: usually one of n validators does, and no validator is waited for long.

All of them know when they anchored the other cluster last, so they agree on the order. A turn lasts some
seconds: who brings one bundle knows the most about the next, and nobody has to find out that the turn is his.
A duplicate costs a little and changes nothing.
"""

STEP_MS = 600
"""How much longer each validator waits than the one before it, at least."""
STEP_MS_MAX = 10_000
TURN_MS = 8_000
"""Of the ledger's time. What a courier that brings nothing useful can delay is one step a bundle, so long."""


def turn_of(anchored_ms: int) -> int:
    """The turn in which the next bundle is brought, by the block time of the last anchor."""
    return anchored_ms // TURN_MS


def rank(index: int, count: int, turn: int) -> int:
    """How many validators come before the one at `index`."""
    return (index - turn) % count


def step_ms(usual_ms: int) -> int:
    """How much longer than the one before: twice what a bundle takes here from the wish for it to its
    execution, lately. Else a cluster that is busy would be given every bundle by every validator, and be
    busier for it."""
    return min(STEP_MS_MAX, max(STEP_MS, 2 * usual_ms))


def usual_ms(before_ms: int, seen_ms: int) -> int:
    """What a bundle takes lately, once one more was seen: busier is believed at once, quieter by and by."""
    return max(seen_ms, (3 * before_ms + seen_ms) // 4)


def wait_ms(position: int, step: int = STEP_MS) -> int:
    """How long the validator of this rank holds back: growing, for those before it come to a height, too."""
    return step * position * (position + 1) // 2


def backoff_ms(failures: int, base_ms: int, max_ms: int) -> int:
    """The pause after so many rounds in a row that came to nothing."""
    return min(max_ms, base_ms << min(failures, 16))
