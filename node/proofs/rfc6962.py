"""Append-only Merkle trees exactly as certificate transparency defines them.

Transactions, receipts, header history and outboxes are all lists that only grow, so one well-known
tree serves them: a light client needs one verifier, and CometBFT's and transparency logs' vectors
apply unchanged. A tree of n leaves splits at the largest power of two below n; leaf and inner hashes
carry different first bytes, so neither can pass for the other.

Proofs have a fixed shape: index and sizes alone determine how many hashes a path has, and that is
checked before anything is hashed. Sizes must come from signed headers; a proof does not bind them.
Nodes are addressed as (level, index): the complete subtree over leaves [index << level,
(index + 1) << level). Once complete, a node never changes.
Source: RFC 6962 section 2.1 and RFC 9162 section 2.1 (SHA-256).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol, TypeAlias

from consensus import CodecError, Value, as_array, as_bytes, as_int, as_tuple
from node.proofs.errors import ProofError

HASH_BYTES = 32
MAX_SIZE = 2**63 - 1
"""Most leaves a tree may claim to have; every path is then at most 64 hashes."""
MAX_PATH_HASHES = 64

EMPTY_ROOT = sha256(b"").digest()

StoredNode: TypeAlias = tuple[int, int, bytes]
"""(level, index, hash) of a complete subtree; level 0 holds the leaf hashes."""


class NodeReader(Protocol):
    """Where complete subtrees are kept; the ledger stores what `CompactRange.append` hands out."""

    def node(self, level: int, index: int) -> bytes:
        """The 32-byte hash stored under (level, index); a missing node is the store's own fault."""
        ...


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The 32-byte tree head over `leaf_hashes` (already hashed); SHA-256 of nothing for an empty list."""
    if not leaf_hashes:
        return EMPTY_ROOT
    level = list(leaf_hashes)
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def inclusion_path(leaf_hashes: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The audit path of leaf `index`, nearest sibling first.

    Raises ValueError when there is no such leaf.
    """
    if not 0 <= index < len(leaf_hashes):
        raise ValueError(f"leaf {index} is outside a tree of {len(leaf_hashes)} leaves")
    path = []
    level = list(leaf_hashes)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level = _parents(level)
        index >>= 1
    return tuple(path)


def verify_inclusion(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Accept when `path` proves that `leaf_hash` is leaf `index` of the tree of `size` leaves under `root`.

    Raises ProofError in words otherwise. Source: RFC 9162 section 2.1.3.2.
    """
    if not 0 < size <= MAX_SIZE:
        raise ProofError(f"a tree of {size} leaves cannot include anything")
    if not 0 <= index < size:
        raise ProofError(f"leaf {index} is outside a tree of {size} leaves")
    inner, border = _path_shape(index, size)
    _check_hashes(path, inner + border)
    _check_hash(leaf_hash, "leaf hash")
    _check_hash(root, "root")
    current = leaf_hash
    for level, sibling in enumerate(path):
        if level >= inner or index >> level & 1:
            current = node_hash(sibling, current)
        else:
            current = node_hash(current, sibling)
    if current != root:
        raise ProofError(f"the path of leaf {index} leads to {current.hex()}, not to the root {root.hex()}")


def verify_consistency(size1: int, root1: bytes, size2: int, root2: bytes, path: Sequence[bytes]) -> None:
    """Accept when `path` proves that the first `size1` of `size2` leaves are those under `root1`.

    Raises ProofError in words otherwise. Nothing is proven about an empty first tree, so `size1 == 0`
    is refused, even for two equal empty trees. Source: RFC 9162 section 2.1.4.2, and the acceptance
    table of the transparency-dev test vectors for the degenerate sizes.
    """
    if size1 == 0:
        raise ProofError("consistency with an empty tree proves nothing")
    if not 0 < size1 <= size2 <= MAX_SIZE:
        raise ProofError(f"a tree of {size2} leaves cannot extend one of {size1}")
    _check_hash(root1, "first root")
    _check_hash(root2, "second root")
    if size1 == size2:
        _check_hashes(path, 0)
        if root1 != root2:
            raise ProofError(f"two roots for one size {size1}: {root1.hex()} and {root2.hex()}")
        return
    # The last complete subtree that ends where the first tree ends belongs to both trees.
    shared_level = _trailing_zeros(size1)
    inner, border = _path_shape(size1 - 1, size2)
    inner -= shared_level
    is_whole_first_tree = size1 == 1 << shared_level
    _check_hashes(path, inner + border + (0 if is_whole_first_tree else 1))
    seed, siblings = (root1, path) if is_whole_first_tree else (path[0], path[1:])
    position = (size1 - 1) >> shared_level
    first = second = seed
    for level, sibling in enumerate(siblings):
        if level >= inner or position >> level & 1:
            first = node_hash(sibling, first)
            second = node_hash(sibling, second)
        else:
            second = node_hash(second, sibling)
    if first != root1:
        raise ProofError(f"the path leads to {first.hex()}, not to the first root {root1.hex()}")
    if second != root2:
        raise ProofError(f"the path leads to {second.hex()}, not to the second root {root2.hex()}")


def inclusion_path_from(reader: NodeReader, index: int, size: int) -> tuple[bytes, ...]:
    """The audit path of leaf `index` in the tree of `size` leaves, from stored complete subtrees.

    Raises ValueError when there is no such leaf. Reads O(log size) nodes.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise ValueError(f"leaf {index} is outside a tree of {size} leaves")
    return tuple(_path_up(reader, 0, index, size))


def consistency_path_from(reader: NodeReader, size1: int, size2: int) -> tuple[bytes, ...]:
    """The consistency path from `size1` to `size2` leaves, from stored complete subtrees.

    Raises ValueError unless 0 < size1 <= size2. Reads O(log size2) nodes.
    """
    if not 0 < size1 <= size2 <= MAX_SIZE:
        raise ValueError(f"a tree of {size2} leaves has no consistency path from {size1}")
    if size1 == size2:
        return ()
    shared_level = _trailing_zeros(size1)
    position = (size1 - 1) >> shared_level
    siblings = tuple(_path_up(reader, shared_level, position, size2))
    if position == 0:
        return siblings
    return (reader.node(shared_level, position), *siblings)


@dataclass(frozen=True, slots=True)
class CompactRange:
    """A tree reduced to what appending needs: its size and the roots of its complete subtrees.

    `peaks` has one 32-byte hash for each bit set in `size`, largest subtree first. It is a value:
    appending answers with a new one, so that speculative work is thrown away by forgetting it.
    Raises ValueError when the number of peaks contradicts the size.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE or len(self.peaks) != self.size.bit_count():
            raise ValueError(f"{len(self.peaks)} peaks cannot describe {self.size} leaves")

    def append(self, leaf_hashes: Sequence[bytes]) -> "tuple[CompactRange, tuple[StoredNode, ...]]":
        """The range with `leaf_hashes` behind it, and every node that became complete, to be stored.

        About two nodes a leaf; all are new, none ever changes.
        """
        peaks = list(self.peaks)
        completed: list[StoredNode] = []
        size = self.size
        for current in leaf_hashes:
            level, index = 0, size
            completed.append((0, index, current))
            while index & 1:
                current = node_hash(peaks.pop(), current)
                level += 1
                index >>= 1
                completed.append((level, index, current))
            peaks.append(current)
            size += 1
        return CompactRange(size, tuple(peaks)), tuple(completed)

    def root(self) -> bytes:
        """The tree head, equal to `root` over all leaf hashes; at most 63 hashes."""
        return _fold_peaks(self.peaks) if self.peaks else EMPTY_ROOT

    def to_value(self) -> Value:
        """[size, [peak, ...]] for the canonical codec."""
        return (self.size, self.peaks)

    @classmethod
    def from_value(cls, value: object) -> "CompactRange":
        """The range that `to_value` described; CodecError for any other shape."""
        fields = as_tuple(value, 2, "compact range")
        size = as_int(fields[0], "compact range size", high=MAX_SIZE)
        peaks = as_array(fields[1], MAX_PATH_HASHES, "compact range peaks")
        if len(peaks) != size.bit_count():
            raise CodecError(f"{len(peaks)} peaks cannot describe {size} leaves")
        return cls(size, tuple(as_bytes(peak, "compact range peak", length=HASH_BYTES) for peak in peaks))


def _parents(level: list[bytes]) -> list[bytes]:
    """One level up; a last node without a sibling rises unhashed, which is RFC 6962's uneven split."""
    pairs = iter(level)
    parents = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)]
    if len(level) & 1:
        parents.append(level[-1])
    return parents


def _path_shape(index: int, size: int) -> tuple[int, int]:
    """How many siblings a path has (below, above) the level where it joins the tree's right edge."""
    inner = (index ^ (size - 1)).bit_length()
    return inner, (index >> inner).bit_count()


def _trailing_zeros(number: int) -> int:
    return (number & -number).bit_length() - 1


def _path_up(reader: NodeReader, level: int, position: int, size: int) -> Iterator[bytes]:
    """Siblings from node (level, position) to the root of the tree of `size` leaves."""
    last = (size - 1) >> level
    while last:
        sibling = position ^ 1
        if sibling < last:
            yield reader.node(level, sibling)
        elif sibling == last:
            yield _right_edge_root(reader, sibling << level, size)
        level += 1
        position >>= 1
        last >>= 1


def _right_edge_root(reader: NodeReader, begin: int, end: int) -> bytes:
    """The root over leaves [begin, end), where `begin` is aligned to a subtree that reaches `end`."""
    peaks = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        peaks.append(reader.node(level, begin >> level))
        begin += 1 << level
    return _fold_peaks(peaks)


def _fold_peaks(peaks: Sequence[bytes]) -> bytes:
    current = peaks[-1]
    for peak in reversed(peaks[:-1]):
        current = node_hash(peak, current)
    return current


def _check_hash(value: bytes, what: str) -> None:
    if type(value) is not bytes or len(value) != HASH_BYTES:
        raise ProofError(f"the {what} must be {HASH_BYTES} bytes")


def _check_hashes(path: Sequence[bytes], expected: int) -> None:
    if len(path) != expected:
        raise ProofError(f"the path has {len(path)} hashes where the sizes demand {expected}")
    for position, value in enumerate(path):
        _check_hash(value, f"path hash {position}")
