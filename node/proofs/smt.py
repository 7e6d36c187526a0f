"""The sparse Merkle tree behind state, anchors and registry: any key is provably present or absent.

Leaves sit at the bits of SHA-256(key), most significant first; a subtree that holds a single leaf is
that leaf, an empty one is 32 zero bytes. The hashes are those of ICS-23's `SmtSpec` (as celestia/smt
computes them), so that foreign verifiers exist already:
leaf = H(0x00 || H(key) || H(value)), inner = H(0x01 || left || right).

Only the latest version is kept. Each stored pack (four levels of inner nodes, see `smt_tree`) lives under a
key that is a function of its place alone, is overwritten there, and is deleted when it collapses, so the
stored set is a function of the tree's content. Leaves are stored inside their parents. `update` takes one
batch a block, walks the shared upper levels once, and answers with the writes; it reads through `NodeReader`
and writes nothing.
Source: cosmos/ics23 `SmtSpec`; celestiaorg/smt.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from operator import itemgetter, lt
from typing import Protocol, TypeAlias

from consensus import CodecError, Value, as_bytes, as_int, as_tuple
from node.proofs.errors import ProofError
from node.proofs.smt_tree import EMPTY as EMPTY
from node.proofs.smt_tree import (
    HASH_BYTES,
    LEAF_BYTES,
    MAX_DEPTH,
    NOTHING,
    PACK_LEVELS,
    Batch,
    Write,
    load_pack,
    pack_key,
    slot_hash,
)

ROOT_KEY = b"\x00\x00"
"""Where the root slot is stored. No pack can have this key: theirs never end in zero."""

HashedChange: TypeAlias = tuple[bytes, bytes | None]
"""(SHA-256 of the key, new value), or None to delete."""


class NodeReader(Protocol):
    """The stored packs of one tree at one version."""

    def get(self, key: bytes) -> bytes | None:
        """The value stored under `key` (1 to 33 bytes), or None."""
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
    return slot_hash(_root_slot(reader))


def update(reader: NodeReader, changes: Iterable[tuple[bytes, bytes | None]]) -> SmtUpdate:
    """Apply one block's `changes` (key, new value or None to delete) in whatever order they come.

    Deleting an absent key and writing an equal value change nothing and cost no write. An empty value
    is a value; only strict ICS-23 verifiers refuse those, so applications that want foreign readers
    store none. Raises ValueError when a key occurs twice, LocalError when the store contradicts itself.
    """
    return update_sorted(reader, in_tree_order(changes))


def in_tree_order(changes: Iterable[tuple[bytes, bytes | None]]) -> list[HashedChange]:
    """`changes` (key, new value or None) by the hash of their keys, as `update_sorted` takes them.

    Consecutive slices of the list touch their own parts of the tree each, and upper nodes rarely twice.
    """
    return sorted([(sha256(key).digest(), value) for key, value in changes], key=itemgetter(0))


def update_sorted(reader: NodeReader, changes: Sequence[HashedChange]) -> SmtUpdate:
    """`update` for changes that `in_tree_order` has hashed and sorted, or for a slice of them."""
    key_hashes = [key_hash for key_hash, _ in changes]
    if not all(map(lt, key_hashes, islice(key_hashes, 1, None))):
        position = next(p for p in range(1, len(key_hashes)) if key_hashes[p] <= key_hashes[p - 1])
        raise ValueError(
            f"two changes in one batch for the key hash {key_hashes[position].hex()}, or not in order"
        )
    leaves = [NOTHING if value is None else key_hash + sha256(value).digest() for key_hash, value in changes]
    before = _root_slot(reader)
    batch = Batch(reader.get, key_hashes, leaves)
    after = batch.apply(before, 0, len(leaves), 0) if leaves else before
    if after != before:
        batch.writes.append((ROOT_KEY, after or None))
    return SmtUpdate(slot_hash(after), tuple(batch.writes))


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
    slots: list[bytes] = []
    place = 1
    while len(slot) == HASH_BYTES:
        depth = len(siblings)
        if depth % PACK_LEVELS == 0:
            node_key = pack_key(key_hash, depth)
            slots, place = load_pack(reader.get(node_key), node_key, slot), 1
        place = 2 * place + _bit(key_hash, depth)
        siblings.append(slot_hash(slots[place ^ 1]))
        slot = slots[place]
    if not slot or slot[:HASH_BYTES] == key_hash:
        return SmtProof(tuple(siblings))
    return SmtProof(tuple(siblings), OtherLeaf(slot[:HASH_BYTES], slot[HASH_BYTES:]))


def verify_presence(root: bytes, key: bytes, value: bytes, proof: SmtProof) -> None:
    """Accept when `proof` shows that the tree under `root` holds `value` at `key`; ProofError otherwise."""
    _check_proof(root, proof)
    if proof.other_leaf is not None:
        raise ProofError("a proof of presence names another leaf")
    key_hash = sha256(key).digest()
    _check_climb(root, key_hash, slot_hash(key_hash + sha256(value).digest()), proof.siblings)


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
    _check_climb(root, key_hash, slot_hash(other.key_hash + other.value_hash), proof.siblings)


def _bit(key_hash: bytes, depth: int) -> int:
    return key_hash[depth >> 3] >> (7 - (depth & 7)) & 1


def _root_slot(reader: NodeReader) -> bytes:
    return reader.get(ROOT_KEY) or NOTHING


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
