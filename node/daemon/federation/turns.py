"""Whose turn it is to bring a bundle: usually one of n validators does, and no validator is waited for long.

All of them know the height at which they hold the other cluster, so they agree on the order; it moves on with
each anchor. A duplicate costs a little and changes nothing.
"""

TURN_MS = 600
"""How much longer each validator waits than the one before it: about what it takes to see that one's."""


def rank(index: int, count: int, anchored_height: int) -> int:
    """How many validators come before the one at `index`."""
    return (index - anchored_height) % count


def wait_ms(position: int, turn_ms: int = TURN_MS) -> int:
    """How long the validator of this rank holds back: growing, for those before it come to a height, too."""
    return turn_ms * position * (position + 1) // 2


def backoff_ms(failures: int, base_ms: int, max_ms: int) -> int:
    """The pause after so many rounds in a row that came to nothing."""
    return min(max_ms, base_ms << min(failures, 16))
