"""How the sparse Merkle tree is stored, and how a batch of changes goes through it; see `smt`.

A slot is what a parent keeps of a child: b"" for an empty one, the 32-byte hash of an inner node, or the 64
bytes H(key) || H(value) of a leaf. The value stored for an inner node is one byte, the length of its left
slot in units of 32, then both slots. With two inner children (the usual case near the root) that byte is 0x01
and the stored value is already the hash's preimage.
"""

from bisect import bisect_left
from collections.abc import Callable
from hashlib import sha256
from typing import TypeAlias

from consensus import LocalError

HASH_BYTES = 32
MAX_DEPTH = 256
"""Levels below the root: one a bit of SHA-256(key)."""
LEAF_BYTES = 2 * HASH_BYTES
INNER_PAIR_BYTES = 1 + 2 * HASH_BYTES

EMPTY = bytes(HASH_BYTES)
"""The hash of an empty subtree, and so the root of an empty tree."""
NOTHING = b""
"""The slot of an empty subtree."""

Write: TypeAlias = tuple[bytes, bytes | None]
"""(storage key, new value), or None to delete what is stored there."""

BYTE = tuple(bytes((number,)) for number in range(256))


class Batch:
    """One update under way: the sorted changes, and the writes collected so far.

    A node's place is (tile, at): `tile` is the count of whole path bytes above it and those bytes, `at`
    the further bits behind a leading 1; its storage key is both joined. Storage thus keeps eight levels
    of a subtree side by side, so that one path touches few database pages. A place with all eight bits
    (`at` above 255) is the root of the next tile.
    """

    __slots__ = ("_get", "_key_hashes", "_leaves", "writes")

    def __init__(
        self, get: Callable[[bytes], bytes | None], key_hashes: list[bytes], leaves: list[bytes]
    ) -> None:
        self._get = get
        self._key_hashes = key_hashes
        self._leaves = leaves
        self.writes: list[Write] = []

    def apply(self, slot: bytes, low: int, high: int, tile: bytes, at: int) -> bytes:
        """The slot that replaces `slot` at (tile, at) once changes [low, high) happened below it."""
        if len(slot) != HASH_BYTES:
            return self._rebuild(slot, low, high, tile, at)
        if at > 0xFF:
            tile, at = next_tile(tile, at)
        if high - low == 1:
            return self._apply_one(slot, self._key_hashes[low], self._leaves[low], tile, at)
        key = tile + BYTE[at]
        value = self._get(key)
        if value is not None and len(value) == INNER_PAIR_BYTES and value[0] == 1:
            left, right = value[1:33], value[33:]
        else:
            left, right = children(value, key)
        middle = bisect_left(self._key_hashes, tile[1:] + _BOUND[at], low, high)
        new_left = self.apply(left, low, middle, tile, at * 2) if middle > low else left
        new_right = self.apply(right, middle, high, tile, at * 2 + 1) if high > middle else right
        if new_left == left and new_right == right:
            return slot
        if len(new_left) == HASH_BYTES == len(new_right):
            value = b"\x01" + new_left + new_right
            self.writes.append((key, value))
            return sha256(value).digest()
        return self._join(key, new_left, new_right)

    def _apply_one(self, unchanged: bytes, key_hash: bytes, leaf: bytes, tile: bytes, at: int) -> bytes:
        """`apply` for a single change below an inner node: down with a stack, up with joins."""
        depth = len(tile) * 8 - 8 + at.bit_length() - 1
        get = self._get
        # Each node on the way: its key, what its value has before the slot that changes, and what behind.
        above: list[tuple[bytes, bytes, bytes]] = []
        bits = key_hash[len(tile) - 1] | 0x100
        shift = 8 - at.bit_length()
        while True:
            key = tile + BYTE[at]
            value = get(key) or NOTHING
            at = bits >> shift
            if len(value) == INNER_PAIR_BYTES and value[0] == 1:
                if at & 1:
                    above.append((key, value[:33], NOTHING))
                    slot = value[33:]
                else:
                    above.append((key, b"\x01", value[33:]))
                    slot = value[1:33]
            else:
                left, right = children(value, key)
                above.append((key, b"\x00" + left, NOTHING) if at & 1 else (key, b"\x00", right))
                slot = right if at & 1 else left
                if len(slot) != HASH_BYTES:
                    break
            shift -= 1
            if shift < 0:
                tile, at = next_tile(tile, at)
                bits, shift = key_hash[len(tile) - 1] | 0x100, 7
        if not slot or slot[:HASH_BYTES] == key_hash:
            new = leaf
        elif leaf:
            new = self._build_two(slot, leaf, len(tile) * 8 - 8 + at.bit_length() - 1)
        else:
            return unchanged
        if new == slot:
            return unchanged
        writes = self.writes
        bits = int.from_bytes(key_hash, "big") >> (MAX_DEPTH - len(above) - depth)
        for key, before, after in reversed(above):
            if len(new) == HASH_BYTES and before[0] == 1:
                value = before + new + after
                writes.append((key, value))
                new = sha256(value).digest()
            elif bits & 1:
                new = self._join(key, before[1:], new)
            else:
                new = self._join(key, new, after)
            bits >>= 1
        return new

    def _rebuild(self, slot: bytes, low: int, high: int, tile: bytes, at: int) -> bytes:
        """`apply` where the subtree was empty or one leaf: nothing is stored below, all is new."""
        leaves = [leaf for leaf in self._leaves[low:high] if leaf]
        if slot:
            key_hash = slot[:HASH_BYTES]
            position = bisect_left(self._key_hashes, key_hash, low, high)
            if position == high or self._key_hashes[position] != key_hash:
                leaves.append(slot)
                leaves.sort()
        return self._build(leaves, 0, len(leaves), tile, at)

    def _build(self, leaves: list[bytes], low: int, high: int, tile: bytes, at: int) -> bytes:
        """The slot over the sorted new `leaves` [low, high), writing every inner node of it."""
        if high - low <= 1:
            return leaves[low] if high > low else NOTHING
        if high - low == 2:
            return self._build_two(leaves[low], leaves[low + 1], len(tile) * 8 - 8 + at.bit_length() - 1)
        if at > 0xFF:
            tile, at = next_tile(tile, at)
        middle = bisect_left(leaves, _right_bound(tile, at), low, high)
        left = self._build(leaves, low, middle, tile, at * 2)
        right = self._build(leaves, middle, high, tile, at * 2 + 1)
        return self._join(tile + BYTE[at], left, right)

    def _build_two(self, left: bytes, right: bytes, depth: int) -> bytes:
        """`_build` for two leaves in any order below `depth`: where their paths part, and up from there past
        empty siblings."""
        if left > right:
            left, right = right, left
        differing = int.from_bytes(left[:HASH_BYTES], "big") ^ int.from_bytes(right[:HASH_BYTES], "big")
        parting = MAX_DEPTH - differing.bit_length()
        writes = self.writes
        writes.append((_place(left, parting), b"\x02" + left + right))
        left_hash, right_hash = sha256(b"\x00" + left).digest(), sha256(b"\x00" + right).digest()
        slot = sha256(b"\x01" + left_hash + right_hash).digest()
        for above in range(parting - 1, depth - 1, -1):
            if left[above >> 3] >> (7 - (above & 7)) & 1:
                writes.append((_place(left, above), b"\x00" + slot))
                slot = sha256(b"\x01" + EMPTY + slot).digest()
            else:
                writes.append((_place(left, above), b"\x01" + slot))
                slot = sha256(b"\x01" + slot + EMPTY).digest()
        return slot

    def _join(self, key: bytes, left: bytes, right: bytes) -> bytes:
        """The slot over two child slots at storage key `key`, writing that node or deleting it collapsed."""
        left_bytes, right_bytes = len(left), len(right)
        if left_bytes == HASH_BYTES == right_bytes:
            value = b"\x01" + left + right
            self.writes.append((key, value))
            return sha256(value).digest()
        if not left_bytes and right_bytes != HASH_BYTES:
            self.writes.append((key, None))
            return right
        if not right_bytes and left_bytes != HASH_BYTES:
            self.writes.append((key, None))
            return left
        self.writes.append((key, BYTE[left_bytes >> 5] + left + right))
        left_hash = left if left_bytes == HASH_BYTES else slot_hash(left)
        right_hash = right if right_bytes == HASH_BYTES else slot_hash(right)
        return sha256(b"\x01" + left_hash + right_hash).digest()


def _place(path: bytes, depth: int) -> bytes:
    """The storage key of the inner node with `depth` bits of `path` above it."""
    whole, bits = depth >> 3, depth & 7
    return BYTE[whole] + path[:whole] + BYTE[(path[whole] | 0x100) >> (8 - bits)]


def next_tile(tile: bytes, at: int) -> tuple[bytes, int]:
    """The place of the same node as the root of its own tile; `at` has all eight bits."""
    return BYTE[len(tile)] + tile[1:] + BYTE[at & 0xFF], 1


_BOUND = tuple(BYTE[(at * 2 + 1 << 8 - at.bit_length()) & 0xFF] for at in range(256))
"""The last byte of the smallest path below the right child of `at`."""


def _right_bound(tile: bytes, at: int) -> bytes:
    """The smallest path below the right child of (tile, at), as a prefix to compare key hashes with."""
    return tile[1:] + _BOUND[at]


def slot_hash(slot: bytes) -> bytes:
    if len(slot) == HASH_BYTES:
        return slot
    return sha256(b"\x00" + slot).digest() if slot else EMPTY


def children(value: bytes | None, key: bytes) -> tuple[bytes, bytes]:
    """The two child slots of the inner node stored as `value`; LocalError when it cannot be one."""
    if value is None or len(value) & 31 != 1 or value[0] > 2:
        raise LocalError(f"the state tree node {key.hex()} is missing or damaged")
    split = 1 + (value[0] << 5)
    return value[1:split], value[split:]
