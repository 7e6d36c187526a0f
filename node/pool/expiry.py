"""Digests by the second in which they expire: exact removal, cheap expiry, nothing left behind."""

from collections.abc import Iterator

_BUCKET_MS = 1_000


class ExpiryIndex:
    """Which keys end when. A key counts as ended once its whole second is over (at most 1 s late)."""

    __slots__ = ("_buckets", "_earliest")

    def __init__(self) -> None:
        self._buckets: dict[int, dict[bytes, None]] = {}
        self._earliest = 0  # no bucket is of a second before this one

    def add(self, key: bytes, expires_at_ms: int) -> None:
        """Remember when `key` ends."""
        second = expires_at_ms // _BUCKET_MS
        self._buckets.setdefault(second, {})[key] = None
        self._earliest = min(self._earliest, second)

    def remove(self, key: bytes, expires_at_ms: int) -> None:
        """Forget `key`, which was added with this very time."""
        bucket = self._buckets.get(expires_at_ms // _BUCKET_MS)
        if bucket is not None:
            bucket.pop(key, None)
            if not bucket:
                del self._buckets[expires_at_ms // _BUCKET_MS]

    def take_ended(self, time_ms: int) -> Iterator[bytes]:
        """Remove and give every key whose second ended at or before `time_ms`, oldest second first."""
        if time_ms // _BUCKET_MS <= self._earliest:
            return  # asked with every commit, and hardly ever is anything over
        for second in sorted(s for s in self._buckets if (s + 1) * _BUCKET_MS <= time_ms):
            yield from self._buckets.pop(second)
        self._earliest = min(self._buckets, default=time_ms // _BUCKET_MS)

    def take_oldest(self) -> bytes | None:
        """Remove and give one key of the earliest second."""
        if not self._buckets:
            return None
        second = min(self._buckets)
        bucket = self._buckets[second]
        key = next(iter(bucket))
        self.remove(key, second * _BUCKET_MS)
        return key
