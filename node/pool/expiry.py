"""Digests by the second in which they expire: exact removal, cheap expiry, nothing left behind."""

from collections.abc import Iterator

_BUCKET_MS = 1_000


class ExpiryIndex:
    """Which keys end when. A key counts as ended once its whole second is over (at most 1 s late)."""

    __slots__ = ("_buckets",)

    def __init__(self) -> None:
        self._buckets: dict[int, dict[bytes, None]] = {}

    def add(self, key: bytes, expires_at_ms: int) -> None:
        """Remember when `key` ends."""
        self._buckets.setdefault(expires_at_ms // _BUCKET_MS, {})[key] = None

    def remove(self, key: bytes, expires_at_ms: int) -> None:
        """Forget `key`, which was added with this very time."""
        bucket = self._buckets.get(expires_at_ms // _BUCKET_MS)
        if bucket is not None:
            bucket.pop(key, None)
            if not bucket:
                del self._buckets[expires_at_ms // _BUCKET_MS]

    def take_ended(self, time_ms: int) -> Iterator[bytes]:
        """Remove and give every key whose second ended at or before `time_ms`, oldest second first."""
        for second in sorted(s for s in self._buckets if (s + 1) * _BUCKET_MS <= time_ms):
            yield from self._buckets.pop(second)

    def take_oldest(self) -> bytes | None:
        """Remove and give one key of the earliest second."""
        if not self._buckets:
            return None
        second = min(self._buckets)
        bucket = self._buckets[second]
        key = next(iter(bucket))
        self.remove(key, second * _BUCKET_MS)
        return key
