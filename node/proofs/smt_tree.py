"""How the sparse Merkle tree is stored, and how a batch of changes goes through it; see `smt`.

A slot is what a parent keeps of a child: b"" for an empty one, the 32-byte hash of an inner node, or the 64
bytes H(key) || H(value) of a leaf. Four levels are stored together: a pack holds the slots below one inner
node whose depth is a multiple of `PACK_LEVELS`, as a msgpack array in the order of a heap, its two children
first, then their four, and so on as far down as there is any slot; below a leaf or an empty slot all are
empty. A path of sixteen levels is thus four stored values, each decoded and encoded in one call.
"""

from bisect import bisect_left
from collections.abc import Callable
from hashlib import sha256
from typing import TypeAlias

import msgpack

from consensus import LocalError, encode_trusted

HASH_BYTES = 32
MAX_DEPTH = 256
"""Levels below the root: one a bit of SHA-256(key)."""
LEAF_BYTES = 2 * HASH_BYTES
PACK_LEVELS = 4
"""Half a byte of the path: the whole bytes above a pack, and perhaps a half one, are its storage key."""

EMPTY = bytes(HASH_BYTES)
"""The hash of an empty subtree, and so the root of an empty tree."""
NOTHING = b""
"""The slot of an empty subtree."""

Write: TypeAlias = tuple[bytes, bytes | None]
"""(storage key, new value), or None to delete what is stored there."""

_BYTE = tuple(bytes((number,)) for number in range(256))
_HALF = tuple(bytes((number & 0xF0, 2)) for number in range(256))
_BOTTOM = 1 << PACK_LEVELS
"""The first place of a pack's lowest level: places are numbered as in a heap, 1 is the pack's own slot."""
_SLOTS = 2 * _BOTTOM
_MISSING = {held: [NOTHING] * (_SLOTS - held) for held in (4, 8, 16, 32)}
"""By the places that a stored pack fills: what it leaves out."""
_RIGHT = tuple((2 * place + 1) << PACK_LEVELS - place.bit_length() & 0x0F for place in range(_BOTTOM))
"""The least half byte of a path below the right child of a place."""


def pack_key(path: bytes, depth: int) -> bytes:
    """The storage key of the pack with `depth` bits of `path` above it: the whole bytes above, perhaps a half
    one, and how it ends, 1 or 2. A subtree thus lies side by side: a path touches few database pages."""
    whole = depth >> 3
    return path[:whole] + _HALF[path[whole]] if depth & 4 else path[:whole] + b"\x01"


def load_pack(value: bytes | None, key: bytes, slot: bytes) -> list[bytes]:
    """The slots of the pack stored as `value`, by place; `slot` is its own, at place 1. Raises LocalError
    when it cannot be one."""
    try:
        slots = [NOTHING, slot, *msgpack.unpackb(value or b"")]
        return slots + _MISSING[len(slots)]
    except (TypeError, ValueError, KeyError, msgpack.UnpackException) as error:
        raise LocalError(f"the state tree node {key.hex()} is missing or damaged") from error


def slot_hash(slot: bytes) -> bytes:
    """The hash of the subtree that `slot` stands for."""
    if len(slot) == HASH_BYTES:
        return slot
    return sha256(b"\x00" + slot).digest() if slot else EMPTY


class Batch:
    """One update under way: the sorted changes, and the writes collected so far."""

    __slots__ = ("_get", "_key_hashes", "_leaves", "writes")

    def __init__(
        self, get: Callable[[bytes], bytes | None], key_hashes: list[bytes], leaves: list[bytes]
    ) -> None:
        self._get = get
        self._key_hashes = key_hashes
        self._leaves = leaves
        self.writes: list[Write] = []

    def apply(self, slot: bytes, low: int, high: int, depth: int) -> bytes:
        """The slot that replaces `slot` at `depth`, a multiple of `PACK_LEVELS`, once changes [low, high)
        happened below it."""
        if len(slot) != HASH_BYTES:
            return self._build(self._merged(slot, low, high), depth)
        key = pack_key(self._key_hashes[low], depth)
        slots = load_pack(self._get(key), key, slot)
        if high - low == 1:
            new = self._change_one(slots, 1, low, depth)
        else:
            new = self._change(slots, 1, low, high, depth)
        if new != slot:
            self.writes.append((key, _stored(slots) if len(new) == HASH_BYTES else None))
        return new

    def _change(self, slots: list[bytes], place: int, low: int, high: int, depth: int) -> bytes:
        """The new slot of the inner node at `place` of the pack at `depth`, for at least two changes."""
        middle = bisect_left(self._key_hashes, _right_bound(self._key_hashes[low], depth, place), low, high)
        child = 2 * place
        if middle > low:
            slots[child] = self._change_child(slots, child, low, middle, depth)
        if high > middle:
            slots[child + 1] = self._change_child(slots, child + 1, middle, high, depth)
        return _join(slots, place)

    def _change_child(self, slots: list[bytes], place: int, low: int, high: int, depth: int) -> bytes:
        """The new slot at `place` for changes [low, high), whatever stands there."""
        if place >= _BOTTOM:
            return self.apply(slots[place], low, high, depth + PACK_LEVELS)
        slot = slots[place]
        if len(slot) != HASH_BYTES:
            return self._build_inside(slots, place, self._merged(slot, low, high), depth)
        if high - low == 1:
            return self._change_one(slots, place, low, depth)
        return self._change(slots, place, low, high, depth)

    def _change_one(self, slots: list[bytes], top: int, change: int, depth: int) -> bytes:
        """The new slot of the inner node at `top` for a single change: down to where its path ends or leaves
        the pack, and up again."""
        key_hash, leaf = self._key_hashes[change], self._leaves[change]
        bottom = _BOTTOM | (key_hash[depth >> 3] & 0x0F if depth & 4 else key_hash[depth >> 3] >> 4)
        shift = PACK_LEVELS - top.bit_length()
        place = bottom >> shift
        while shift and len(slots[place]) == HASH_BYTES:
            shift -= 1
            place = bottom >> shift
        slot = slots[place]
        if len(slot) == HASH_BYTES:
            new = self.apply(slot, change, change + 1, depth + PACK_LEVELS)
        elif not slot or slot[:HASH_BYTES] == key_hash:
            new = leaf
        elif leaf:
            new = self._build_two(slots, place, slot, leaf, depth)
        else:
            return slots[top]
        if new == slot:
            return slots[top]
        while place > top:
            slots[place] = new
            other = slots[place ^ 1]
            if len(new) == HASH_BYTES == len(other):
                new = sha256(b"\x01" + other + new if place & 1 else b"\x01" + new + other).digest()
            else:
                new = _join(slots, place >> 1)
            place >>= 1
        return new

    def _merged(self, slot: bytes, low: int, high: int) -> list[bytes]:
        """The leaves, in order, where `slot` (a leaf or nothing) was, after changes [low, high)."""
        leaves = [leaf for leaf in self._leaves[low:high] if leaf]
        if slot:
            key_hash = slot[:HASH_BYTES]
            position = bisect_left(self._key_hashes, key_hash, low, high)
            if position == high or self._key_hashes[position] != key_hash:
                leaves.append(slot)
                leaves.sort()
        return leaves

    def _build(self, leaves: list[bytes], depth: int) -> bytes:
        """The slot at `depth`, a multiple of `PACK_LEVELS`, over new `leaves` where nothing is stored."""
        if len(leaves) < 2:
            return leaves[0] if leaves else NOTHING
        slots = [NOTHING] * _SLOTS
        new = self._build_inside(slots, 1, leaves, depth)
        self.writes.append((pack_key(leaves[0], depth), _stored(slots)))
        return new

    def _build_inside(self, slots: list[bytes], place: int, leaves: list[bytes], depth: int) -> bytes:
        """The slot at `place`, below which all is empty, over the sorted new `leaves`."""
        if len(leaves) < 2:
            return leaves[0] if leaves else NOTHING
        if place >= _BOTTOM:
            return self._build(leaves, depth + PACK_LEVELS)
        if len(leaves) == 2:
            return self._build_two(slots, place, leaves[0], leaves[1], depth)
        middle = bisect_left(leaves, _right_bound(leaves[0], depth, place))
        child = 2 * place
        slots[child] = self._build_inside(slots, child, leaves[:middle], depth)
        slots[child + 1] = self._build_inside(slots, child + 1, leaves[middle:], depth)
        return _join(slots, place)

    def _build_two(self, slots: list[bytes], top: int, left: bytes, right: bytes, depth: int) -> bytes:
        """`_build_inside` for two leaves in any order: where their paths part, and up from there past empty
        siblings."""
        if left > right:
            left, right = right, left
        differing = int.from_bytes(left[:HASH_BYTES], "big") ^ int.from_bytes(right[:HASH_BYTES], "big")
        levels = MAX_DEPTH - differing.bit_length() - depth
        place = _BOTTOM | (left[depth >> 3] & 0x0F if depth & 4 else left[depth >> 3] >> 4)
        if levels < PACK_LEVELS:
            place >>= PACK_LEVELS - levels
            slots[2 * place], slots[2 * place + 1] = left, right
            left_hash, right_hash = sha256(b"\x00" + left).digest(), sha256(b"\x00" + right).digest()
            new = sha256(b"\x01" + left_hash + right_hash).digest()
        else:
            new = self._build([left, right], depth + PACK_LEVELS)
        while place > top:
            slots[place] = new
            new = sha256(b"\x01" + EMPTY + new if place & 1 else b"\x01" + new + EMPTY).digest()
            place >>= 1
        return new


def _right_bound(path: bytes, depth: int, place: int) -> bytes:
    """The smallest path below the right child of `place` in the pack that lies at `depth` on `path`, as a
    prefix to compare key hashes with."""
    whole = depth >> 3
    if depth & 4:
        return path[:whole] + _BYTE[path[whole] & 0xF0 | _RIGHT[place]]
    return path[:whole] + _BYTE[_RIGHT[place] << 4]


def _join(slots: list[bytes], place: int) -> bytes:
    """The slot over the two children of `place`, whose own slots are emptied when they collapse into it."""
    child = 2 * place
    left, right = slots[child], slots[child + 1]
    left_bytes, right_bytes = len(left), len(right)
    if left_bytes == HASH_BYTES == right_bytes:
        return sha256(b"\x01" + left + right).digest()
    if not left_bytes and right_bytes != HASH_BYTES:
        slots[child + 1] = NOTHING
        return right
    if not right_bytes and left_bytes != HASH_BYTES:
        slots[child] = NOTHING
        return left
    left_hash = left if left_bytes == HASH_BYTES else slot_hash(left)
    right_hash = right if right_bytes == HASH_BYTES else slot_hash(right)
    return sha256(b"\x01" + left_hash + right_hash).digest()


def _stored(slots: list[bytes]) -> bytes:
    """The stored value of a pack: the levels that hold anything."""
    held = _SLOTS
    while held > 4 and not any(slots[held // 2 : held]):
        held //= 2
    return encode_trusted(slots[2:held])
