"""The sparse Merkle tree behind state, anchors and registry: any key is provably present or absent.

Leaves sit at the bits of SHA-256(key), most significant first; a subtree that holds a single leaf is
that leaf, an empty one is 32 zero bytes. The hashes are those of ICS-23's `SmtSpec` (as celestia/smt
computes them), so that foreign verifiers exist already:
leaf = H(0x00 || H(key) || H(value)), inner = H(0x01 || left || right).

Only the latest version is kept. Each inner node lives under a key that is a function of its place
alone, is overwritten there, and is deleted when it collapses, so the stored set is a function of the
tree's content. Leaves are stored inside their parents. `update` takes one batch a block, walks the
shared upper levels once, and answers with the writes; it reads through `NodeReader` and writes nothing.
Source: cosmos/ics23 `SmtSpec`; celestiaorg/smt.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol, TypeAlias

from consensus import CodecError, LocalError, Value, as_bytes, as_int, as_tuple
from node.proofs.errors import ProofError

HASH_BYTES = 32
MAX_DEPTH = 256
"""Levels below the root: one a bit of SHA-256(key)."""
LEAF_BYTES = 2 * HASH_BYTES

EMPTY = bytes(HASH_BYTES)
"""The hash of an empty subtree, and so the root of an empty tree."""

ROOT_KEY = b"\x00\x00"
"""Where the root slot is stored. No inner node can have this key: their last byte is never zero."""

Write: TypeAlias = tuple[bytes, bytes | None]
"""(storage key, new value), or None to delete what is stored there."""

_BYTE = tuple(bytes((number,)) for number in range(256))

# A slot is what a parent keeps of a child: b"" for an empty one, the 32-byte hash of an inner node, or
# the 64 bytes H(key) || H(value) of a leaf. The value stored for an inner node is one byte, the length
# of its left slot in units of 32, then both slots. With two inner children (the usual case near the
# root) that byte is 0x01 and the stored value is already the hash's preimage.
_NOTHING = b""
_INNER_PAIR_BYTES = 1 + 2 * HASH_BYTES


class NodeReader(Protocol):
    """The stored nodes of one tree at one version."""

    def get(self, key: bytes) -> bytes | None:
        """The value stored under `key` (2 to 33 bytes), or None."""
        ...


@dataclass(frozen=True, slots=True)
class SmtUpdate:
    """What a batch comes to: the new 32-byte root, and the writes that make the store hold it.

    Every storage key occurs at most once; the order is deterministic and carries no meaning.
    """

    root: bytes
    writes: tuple[Write, ...]


def root(reader: NodeReader) -> bytes:
    """The 32-byte root of the stored tree, `EMPTY` when nothing is stored; one read."""
    return _slot_hash(_root_slot(reader))


def update(reader: NodeReader, changes: Sequence[tuple[bytes, bytes | None]]) -> SmtUpdate:
    """Apply one block's `changes` (key, new value or None to delete) in whatever order they come.

    Deleting an absent key and writing an equal value change nothing and cost no write. An empty value
    is a value; only strict ICS-23 verifiers refuse those, so applications that want foreign readers
    store none. Raises ValueError when a key occurs twice, LocalError when the store contradicts itself.
    """
    entries = []
    for key, value in changes:
        key_hash = sha256(key).digest()
        entries.append((key_hash, _NOTHING if value is None else key_hash + sha256(value).digest()))
    entries.sort()
    key_hashes = [entry[0] for entry in entries]
    for position in range(1, len(key_hashes)):
        if key_hashes[position] == key_hashes[position - 1]:
            raise ValueError(f"two changes in one batch for the key hash {key_hashes[position].hex()}")
    before = _root_slot(reader)
    batch = _Batch(reader.get, key_hashes, [entry[1] for entry in entries])
    after = batch.apply(before, 0, len(entries), b"\x00", 1) if entries else before
    if after != before:
        batch.writes.append((ROOT_KEY, after or None))
    return SmtUpdate(_slot_hash(after), tuple(batch.writes))


@dataclass(frozen=True, slots=True)
class OtherLeaf:
    """The leaf that stands where an absent key would: both hashes, never the neighbour's value."""

    key_hash: bytes
    value_hash: bytes


@dataclass(frozen=True, slots=True)
class SmtProof:
    """What is known about one key: the siblings from the root down, and what its path ends in.

    `siblings` are 32-byte hashes (`EMPTY` for an empty subtree), at most `MAX_DEPTH`. A proof of
    presence has no `other_leaf`: the path ends in the key's own leaf. A proof of absence ends in an
    `other_leaf`, or, without one, in an empty subtree.
    """

    siblings: tuple[bytes, ...]
    other_leaf: OtherLeaf | None = None

    def to_value(self) -> Value:
        """[depth, bitmap of the siblings that are not empty, those siblings joined, other leaf or nil].

        Bitmap: first sibling in the highest bit of the first byte, unused low bits zero.
        """
        depth = len(self.siblings)
        bits = 0
        for sibling in self.siblings:
            bits = bits << 1 | (sibling != EMPTY)
        bitmap = (bits << -depth % 8).to_bytes((depth + 7) // 8, "big")
        joined = b"".join(sibling for sibling in self.siblings if sibling != EMPTY)
        other = self.other_leaf
        return (depth, bitmap, joined, None if other is None else other.key_hash + other.value_hash)

    @classmethod
    def from_value(cls, value: object) -> "SmtProof":
        """The proof that `to_value` described; CodecError for every other shape."""
        fields = as_tuple(value, 4, "state proof")
        depth = as_int(fields[0], "state proof depth", high=MAX_DEPTH)
        bitmap_bytes = as_bytes(fields[1], "state proof bitmap", length=(depth + 7) // 8)
        bitmap = int.from_bytes(bitmap_bytes, "big")
        padding = -depth % 8
        if bitmap & ((1 << padding) - 1):
            raise CodecError("state proof bitmap has bits beyond its depth")
        joined = as_bytes(fields[2], "state proof siblings", length=HASH_BYTES * bitmap.bit_count())
        siblings = []
        at = 0
        for level in range(depth):
            if bitmap >> (padding + depth - 1 - level) & 1:
                siblings.append(joined[at : at + HASH_BYTES])
                at += HASH_BYTES
                if siblings[-1] == EMPTY:
                    raise CodecError("state proof spells out an empty sibling")
            else:
                siblings.append(EMPTY)
        if fields[3] is None:
            return cls(tuple(siblings))
        leaf = as_bytes(fields[3], "state proof leaf", length=LEAF_BYTES)
        return cls(tuple(siblings), OtherLeaf(leaf[:HASH_BYTES], leaf[HASH_BYTES:]))


def prove(reader: NodeReader, key: bytes) -> SmtProof:
    """The proof of presence of `key`, or of its absence when it is not there.

    Raises LocalError when the store contradicts itself.
    """
    key_hash = sha256(key).digest()
    siblings: list[bytes] = []
    slot = _root_slot(reader)
    tile, at = b"\x00", 1
    while len(slot) == HASH_BYTES:
        node_key = tile + _BYTE[at]
        left, right = _children(reader.get(node_key), node_key)
        if _bit(key_hash, len(siblings)):
            siblings.append(_slot_hash(left))
            slot, at = right, at * 2 + 1
        else:
            siblings.append(_slot_hash(right))
            slot, at = left, at * 2
        if at > 0xFF:
            tile, at = _next_tile(tile, at)
    if not slot or slot[:HASH_BYTES] == key_hash:
        return SmtProof(tuple(siblings))
    return SmtProof(tuple(siblings), OtherLeaf(slot[:HASH_BYTES], slot[HASH_BYTES:]))


def verify_presence(root: bytes, key: bytes, value: bytes, proof: SmtProof) -> None:
    """Accept when `proof` shows that the tree under `root` holds `value` at `key`; ProofError otherwise."""
    _check_proof(root, proof)
    if proof.other_leaf is not None:
        raise ProofError("a proof of presence names another leaf")
    key_hash = sha256(key).digest()
    _check_climb(root, key_hash, _slot_hash(key_hash + sha256(value).digest()), proof.siblings)


def verify_absence(root: bytes, key: bytes, proof: SmtProof) -> None:
    """Accept when `proof` shows that the tree under `root` holds nothing at `key`; ProofError otherwise.

    Another leaf proves absence only when it stands on the key's own path: its key hash must share as
    many leading bits with the key's as there are siblings, and must differ.
    """
    _check_proof(root, proof)
    key_hash = sha256(key).digest()
    other = proof.other_leaf
    if other is None:
        _check_climb(root, key_hash, EMPTY, proof.siblings)
        return
    if other.key_hash == key_hash:
        raise ProofError("the leaf that shall prove absence is the key's own")
    depth = len(proof.siblings)
    differing = int.from_bytes(other.key_hash, "big") ^ int.from_bytes(key_hash, "big")
    if differing >> (MAX_DEPTH - depth):
        raise ProofError(f"the other leaf leaves the path of the key above depth {depth}")
    _check_climb(root, key_hash, _slot_hash(other.key_hash + other.value_hash), proof.siblings)


class _Batch:
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
            tile, at = _next_tile(tile, at)
        if high - low == 1:
            return self._apply_one(slot, self._key_hashes[low], self._leaves[low], tile, at)
        key = tile + _BYTE[at]
        left, right = _children(self._get(key), key)
        middle = bisect_left(self._key_hashes, _right_bound(tile, at), low, high)
        new_left = self.apply(left, low, middle, tile, at * 2) if middle > low else left
        new_right = self.apply(right, middle, high, tile, at * 2 + 1) if high > middle else right
        if new_left == left and new_right == right:
            return slot
        return self._join(key, new_left, new_right)

    def _apply_one(self, slot: bytes, key_hash: bytes, leaf: bytes, tile: bytes, at: int) -> bytes:
        """`apply` for a single change below an inner node: down with a stack, up with joins."""
        get = self._get
        above: list[tuple[bytes, bytes, int]] = []
        current = slot
        bits = key_hash[len(tile) - 1] | 0x100
        shift = 8 - at.bit_length()
        while True:
            key = tile + _BYTE[at]
            value = get(key) or _NOTHING
            at = bits >> shift
            above.append((key, value, at & 1))
            if len(value) == _INNER_PAIR_BYTES and value[0] == 1:
                current = value[33:] if at & 1 else value[1:33]
            else:
                current = _children(value, key)[at & 1]
            if len(current) != HASH_BYTES:
                break
            shift -= 1
            if shift < 0:
                tile, at = _next_tile(tile, at)
                bits, shift = key_hash[len(tile) - 1] | 0x100, 7
        if not current or current[:HASH_BYTES] == key_hash:
            new = leaf
        elif leaf:
            new = self._build(sorted((current, leaf)), 0, 2, tile, at)
        else:
            return slot
        if new == current:
            return slot
        writes = self.writes
        for key, value, is_right in reversed(above):
            if len(value) == _INNER_PAIR_BYTES and value[0] == 1 and len(new) == HASH_BYTES:
                value = value[:33] + new if is_right else b"\x01" + new + value[33:]
                writes.append((key, value))
                new = sha256(value).digest()
            else:
                left, right = _children(value, key)
                new = self._join(key, left, new) if is_right else self._join(key, new, right)
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
            return leaves[low] if high > low else _NOTHING
        if at > 0xFF:
            tile, at = _next_tile(tile, at)
        middle = bisect_left(leaves, _right_bound(tile, at), low, high)
        left = self._build(leaves, low, middle, tile, at * 2)
        right = self._build(leaves, middle, high, tile, at * 2 + 1)
        return self._join(tile + _BYTE[at], left, right)

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
        self.writes.append((key, _BYTE[left_bytes >> 5] + left + right))
        return sha256(b"\x01" + _slot_hash(left) + _slot_hash(right)).digest()


def _next_tile(tile: bytes, at: int) -> tuple[bytes, int]:
    """The place of the same node as the root of its own tile; `at` has all eight bits."""
    return _BYTE[len(tile)] + tile[1:] + _BYTE[at & 0xFF], 1


def _right_bound(tile: bytes, at: int) -> bytes:
    """The smallest path below the right child of (tile, at), as a prefix to compare key hashes with."""
    return tile[1:] + _BYTE[(at * 2 + 1 << 8 - at.bit_length()) & 0xFF]


def _bit(key_hash: bytes, depth: int) -> int:
    return key_hash[depth >> 3] >> (7 - (depth & 7)) & 1


def _root_slot(reader: NodeReader) -> bytes:
    return reader.get(ROOT_KEY) or _NOTHING


def _slot_hash(slot: bytes) -> bytes:
    if len(slot) == HASH_BYTES:
        return slot
    return sha256(b"\x00" + slot).digest() if slot else EMPTY


def _children(value: bytes | None, key: bytes) -> tuple[bytes, bytes]:
    """The two child slots of the inner node stored as `value`; LocalError when it cannot be one."""
    if value is None or len(value) & 31 != 1 or value[0] > 2:
        raise LocalError(f"the state tree node {key.hex()} is missing or damaged")
    split = 1 + (value[0] << 5)
    return value[1:split], value[split:]


def _check_proof(root: bytes, proof: SmtProof) -> None:
    """Every length before any hash, and the two shapes that no compact tree has."""
    if len(proof.siblings) > MAX_DEPTH:
        raise ProofError(f"{len(proof.siblings)} siblings exceed the depth of {MAX_DEPTH}")
    other = proof.other_leaf
    leaf_fields = () if other is None else (other.key_hash, other.value_hash)
    for field in (root, *proof.siblings, *leaf_fields):
        if type(field) is not bytes or len(field) != HASH_BYTES:
            raise ProofError(f"every hash of a state proof must be {HASH_BYTES} bytes")
    if proof.siblings and proof.siblings[-1] == EMPTY:
        raise ProofError("the path ends beside an empty subtree, where it would have collapsed")


def _check_climb(root: bytes, key_hash: bytes, terminal: bytes, siblings: tuple[bytes, ...]) -> None:
    current = terminal
    for depth in range(len(siblings) - 1, -1, -1):
        if _bit(key_hash, depth):
            current = sha256(b"\x01" + siblings[depth] + current).digest()
        else:
            current = sha256(b"\x01" + current + siblings[depth]).digest()
    if current != root:
        raise ProofError(f"the path leads to {current.hex()}, not to the root {root.hex()}")
