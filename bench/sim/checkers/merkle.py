"""The two trees of a header, written a second time and as short as they can be.

The product's trees are incremental and shared with everybody who proves something; these are whole and
share nothing with them, so that a fault there is not a fault here.
Sources: RFC 6962 section 2.1; ICS-23 `SmtSpec`, with single-leaf subtrees standing for themselves.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

_EMPTY_LEAVES = bytes(32)


def list_root(items: Sequence[bytes]) -> bytes:
    """RFC 6962's tree head over `items`: 32 bytes."""
    if not items:
        return sha256(b"").digest()
    if len(items) == 1:
        return sha256(b"\x00" + items[0]).digest()
    split = 1 << (len(items) - 1).bit_length() - 1
    return sha256(b"\x01" + list_root(items[:split]) + list_root(items[split:])).digest()


def map_root(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The sparse tree's root over (key, value) entries of different keys: 32 bytes, zeros when empty."""
    hashed = sorted((sha256(key).digest(), sha256(value).digest()) for key, value in entries)
    return _map_root(
        [(int.from_bytes(key, "big"), sha256(b"\x00" + key + value).digest()) for key, value in hashed], 255
    )


def _map_root(leaves: list[tuple[int, bytes]], bit: int) -> bytes:
    if not leaves:
        return _EMPTY_LEAVES
    if len(leaves) == 1:
        return leaves[0][1]
    low = [leaf for leaf in leaves if not leaf[0] >> bit & 1]
    left, right = _map_root(low, bit - 1), _map_root(leaves[len(low) :], bit - 1)
    return sha256(b"\x01" + left + right).digest()


class GrowingList:
    """RFC 6962's tree head over items that only grow; holds one hash a level."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[tuple[int, bytes]] = []  # (leaves below, hash), largest first

    def append(self, item: bytes) -> None:
        """One item more."""
        self.size += 1
        width, current = 1, sha256(b"\x00" + item).digest()
        while self._peaks and self._peaks[-1][0] == width:
            current = sha256(b"\x01" + self._peaks.pop()[1] + current).digest()
            width *= 2
        self._peaks.append((width, current))

    @property
    def root(self) -> bytes:
        """The tree head now."""
        if not self._peaks:
            return sha256(b"").digest()
        current = self._peaks[-1][1]
        for _, peak in reversed(self._peaks[:-1]):
            current = sha256(b"\x01" + peak + current).digest()
        return current
