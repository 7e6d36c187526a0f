"""How long to wait for a peer, how much to forgive it, and which of two connections to keep.

Pure: the clock (`now_ms`, any monotonic milliseconds) and the randomness are arguments.
"""

import random
from collections import deque
from enum import Enum

from p2p.identity import PeerId

_INSTANCES_KEPT = 8
_FINE = 60_000
"""Fine points in a point: a decay of n points a minute is exactly n fine points a millisecond."""


class Backoff:
    """Exponential waiting between attempts with full jitter in the upper half, so that nodes that lost
    each other together do not come back together."""

    def __init__(self, rng: random.Random, base_ms: int, max_ms: int) -> None:
        self._rng = rng
        self._base_ms = base_ms
        self._max_ms = max_ms
        self._failures = 0

    def next_delay_ms(self) -> int:
        """The wait before the next attempt: between half of and all of `base * 2**failures`, capped."""
        ceiling = min(self._max_ms, self._base_ms << min(self._failures, 30))
        self._failures += 1
        return ceiling // 2 + self._rng.randrange(ceiling // 2 + 1)

    def reset(self) -> None:
        """The link was stable: the next failure waits the base again."""
        self._failures = 0


class Standing:
    """A peer's misbehaviour score and ban. Scores decay; every ban is twice as long as the one before, and
    a ban's length is forgotten step by step while the peer behaves."""

    def __init__(self, *, limit: int, decay_per_minute: int, ban_base_ms: int, ban_max_ms: int) -> None:
        self._limit = limit
        self._decay_per_minute = decay_per_minute
        self._ban_base_ms = ban_base_ms
        self._ban_max_ms = ban_max_ms
        self._fine_points = 0
        self._as_of_ms = 0
        self._bans = 0
        self._banned_until_ms = 0

    def score(self, now_ms: int) -> int:
        """The score left at `now_ms`."""
        self._decay(now_ms)
        return self._fine_points // _FINE

    def report(self, weight: int, now_ms: int) -> bool:
        """Adds `weight` points; True if this bans the peer now (the score starts again from zero)."""
        self._decay(now_ms)
        self._fine_points += max(0, weight) * _FINE
        if self._fine_points < self._limit * _FINE or self.banned_for_ms(now_ms):
            return False
        quiet_ms = now_ms - self._banned_until_ms
        self._bans = max(0, self._bans - quiet_ms // self._ban_max_ms) if self._bans else 0
        length_ms = min(self._ban_max_ms, self._ban_base_ms << min(self._bans, 30))
        self._bans += 1
        self._banned_until_ms = now_ms + length_ms
        self._fine_points = 0
        return True

    def banned_for_ms(self, now_ms: int) -> int:
        """How long the ban still lasts; 0 when there is none."""
        return max(0, self._banned_until_ms - now_ms)

    def _decay(self, now_ms: int) -> None:
        lost = self._decay_per_minute * (now_ms - self._as_of_ms)
        self._as_of_ms = now_ms
        self._fine_points = max(0, self._fine_points - lost)


class Pace:
    """How fast one peer is read: frames and bytes a second, with a second's worth in advance."""

    def __init__(self, frames_per_second: int, bytes_per_second: int) -> None:
        self._rates = (frames_per_second, bytes_per_second)
        self._owed = [0, 0]  # thousandths of a frame, of a byte
        self._as_of_ms = 0

    def wait_ms(self, now_ms: int) -> int:
        """What `take` would answer for a frame of no bytes; nothing is counted."""
        passed_ms = now_ms - self._as_of_ms
        waits = (
            -(-(max(0, owed - rate * passed_ms) + amount * 1000 - rate * 1000) // rate)
            for owed, rate, amount in zip(self._owed, self._rates, (1, 0), strict=True)
        )
        return max(0, *waits)

    def take(self, size: int, now_ms: int) -> int:
        """Counts one frame of `size` bytes; answers for how many milliseconds nothing more is read."""
        passed_ms, self._as_of_ms = now_ms - self._as_of_ms, now_ms
        wait_ms = 0
        for index, amount in enumerate((1, size)):
            rate = self._rates[index]
            owed = max(0, self._owed[index] - rate * passed_ms) + amount * 1000
            self._owed[index] = owed
            wait_ms = max(wait_ms, -(-(owed - rate * 1000) // rate))
        return wait_ms


class KeyUse:
    """Which processes use one peer's key. Each start draws an instance, and what was restarted never speaks
    again; so when an instance comes back after another one was heard, two processes run with the key."""

    def __init__(self) -> None:
        self._newest = b""
        self._former: deque[bytes] = deque(maxlen=_INSTANCES_KEPT)
        self._twice_at_ms: int | None = None

    def heard(self, instance: bytes, now_ms: int) -> None:
        """An authenticated hello of `instance`."""
        if instance == self._newest:
            return
        if instance in self._former:
            self._former.remove(instance)
            self._twice_at_ms = now_ms
        if self._newest:
            self._former.append(self._newest)
        self._newest = instance

    def twice_ms_ago(self, now_ms: int) -> int | None:
        """How long ago that was seen last; None when it never was."""
        return None if self._twice_at_ms is None else now_ms - self._twice_at_ms


class Choice(Enum):
    """What to do with a second, fully authenticated connection of one peer."""

    REPLACE = "replace"
    REFUSE = "refuse"


def choose(
    own: PeerId,
    peer: PeerId,
    *,
    old_dialled_by_us: bool,
    old_instance: bytes,
    new_dialled_by_us: bool,
    new_instance: bytes,
) -> Choice:
    """Which of two connections of a pair survives; both ends come to the same answer.

    A peer that restarted (another instance) or dialled again has lost the old connection, whatever we
    think of it. Otherwise both dialled at once, and the connection dialled by the smaller id stays.
    """
    if new_instance != old_instance or new_dialled_by_us == old_dialled_by_us:
        return Choice.REPLACE
    return Choice.REPLACE if new_dialled_by_us == (own < peer) else Choice.REFUSE
