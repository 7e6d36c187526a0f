"""How much of something each of many keys may have in a second: token buckets in a bounded table.

Pure: the clock (`now_ms`, any monotonic milliseconds) is an argument. A key's bucket is full when it is first
seen, and a full bucket need not be remembered, so the table holds only who was here lately. When it is
full, who was here longest ago is forgotten: that gives a burst back, and only to who could have had one under
a new key anyway.
"""

from collections import OrderedDict
from typing import Generic, TypeVar

Key = TypeVar("Key", bytes, str)
_THOUSAND = 1_000


class Allowances(Generic[Key]):
    """`per_second` of something for each key, and up to `burst` of it at once after a pause."""

    def __init__(self, per_second: int, burst: int, keys_max: int) -> None:
        """`per_second` 0 allows everything and remembers nobody."""
        if per_second < 0 or burst < 1 or keys_max < 1:
            raise ValueError(f"an allowance of {per_second} a second, {burst} at once, {keys_max} keys")
        self.per_second = per_second
        self.burst = burst
        self.keys_max = keys_max
        self.refused = 0
        """How often `take` refused."""
        self._owed: OrderedDict[Key, tuple[int, int]] = OrderedDict()  # thousandths taken, as of which ms

    def __len__(self) -> int:
        return len(self._owed)

    def take(self, key: Key, now_ms: int, amount: int = 1) -> int:
        """0 if `amount` is granted; otherwise nothing is taken, and the wait in ms until it would be.

        More than the burst is granted like the burst and owed in full: the next wait is as much longer.
        """
        if not self.per_second:
            return 0
        owed, as_of_ms = self._owed.get(key, (0, now_ms))
        owed = max(0, owed - self.per_second * max(0, now_ms - as_of_ms))
        over = owed + (min(amount, self.burst) - self.burst) * _THOUSAND
        if over > 0:
            self.refused += 1
            return -(-over // self.per_second)
        self._remember(key, owed + amount * _THOUSAND, now_ms)
        return 0

    def charge(self, key: Key, now_ms: int, amount: int, wait_max_ms: int) -> None:
        """Takes `amount` whether it is there or not; whoever is charged waits `wait_max_ms` at most."""
        if not self.per_second:
            return
        owed, as_of_ms = self._owed.get(key, (0, now_ms))
        owed = max(0, owed - self.per_second * max(0, now_ms - as_of_ms)) + amount * _THOUSAND
        most = (self.burst - 1) * _THOUSAND + self.per_second * wait_max_ms
        self._remember(key, min(owed, most), now_ms)

    def _remember(self, key: Key, owed: int, now_ms: int) -> None:
        self._owed[key] = (owed, now_ms)
        self._owed.move_to_end(key)
        if len(self._owed) > self.keys_max:
            self._owed.popitem(last=False)
