"""The append-only tree against the RFC's own recursive definition, public vectors and named damages."""

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import CodecError, decode, encode
from node.proofs import CompactRange, ProofError, rfc6962
from tests.node.proofs.vector_files import load, unhex

KNOWN = load("rfc6962_known")
DAMAGED = load("rfc6962_damaged")
LEAVES = [rfc6962.leaf_hash(number.to_bytes(2, "big")) for number in range(130)]

sizes = st.integers(min_value=1, max_value=len(LEAVES))


class StoredTree:
    """A reader over what `CompactRange.append` handed out; counts reads."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.reads = 0
        self.stored: dict[tuple[int, int], bytes] = {}
        _, completed = CompactRange().append(leaves)
        for level, index, value in completed:
            assert (level, index) not in self.stored
            self.stored[level, index] = value

    def node(self, level: int, index: int) -> bytes:
        self.reads += 1
        return self.stored[level, index]


STORED = StoredTree(LEAVES)


def definition(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word: split at the largest power of two below n."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + definition(leaves[:split]) + definition(leaves[split:])).digest()


def audit_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < split:
        return [*audit_path(index, leaves[:split]), definition(leaves[split:])]
    return [*audit_path(index - split, leaves[split:]), definition(leaves[:split])]


def subproof(size1: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b) of RFC 6962 section 2.1.2."""
    if size1 == len(leaves):
        return [] if whole else [definition(leaves)]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    if size1 <= split:
        return [*subproof(size1, leaves[:split], whole), definition(leaves[split:])]
    return [*subproof(size1 - split, leaves[split:], False), definition(leaves[:split])]


def flipped(value: bytes, bit: int) -> bytes:
    return (int.from_bytes(value, "big") ^ 1 << bit).to_bytes(len(value), "big")


def test_the_known_inputs_have_the_known_roots() -> None:
    leaves = [rfc6962.leaf_hash(bytes.fromhex(text)) for text in KNOWN["inputs"]]
    roots = [rfc6962.root(leaves[:size]).hex() for size in range(len(leaves) + 1)]
    assert roots == KNOWN["roots"]
    assert rfc6962.EMPTY_ROOT.hex() == KNOWN["roots"][0]


def test_the_known_paths_are_made_and_verified() -> None:
    leaves = [rfc6962.leaf_hash(bytes.fromhex(text)) for text in KNOWN["inputs"]]
    roots = unhex(KNOWN["roots"])
    stored = StoredTree(leaves)
    for case in KNOWN["inclusion"]:
        index, size, path = case["index"], case["size"], unhex(case["path"])
        assert rfc6962.inclusion_path(leaves[:size], index) == path
        rfc6962.verify_inclusion(leaves[index], index, size, path, roots[size])
    for case in KNOWN["consistency"]:
        size1, size2, path = case["size1"], case["size2"], unhex(case["path"])
        assert rfc6962.consistency_path_from(stored, size1, size2) == path
        rfc6962.verify_consistency(size1, roots[size1], size2, roots[size2], path)


@pytest.mark.parametrize("case", DAMAGED["inclusion"], ids=lambda case: case["name"])
def test_a_damaged_inclusion_proof_is_refused_in_words(case: dict[str, Any]) -> None:
    fields = (
        bytes.fromhex(case["leaf_hash"]),
        case["index"],
        case["size"],
        unhex(case["path"]),
        bytes.fromhex(case["root"]),
    )
    if case["refused"] is None:
        rfc6962.verify_inclusion(*fields)
        return
    with pytest.raises(ProofError, match=case["refused"]):
        rfc6962.verify_inclusion(*fields)


@pytest.mark.parametrize("case", DAMAGED["consistency"], ids=lambda case: case["name"])
def test_a_damaged_consistency_proof_is_refused_in_words(case: dict[str, Any]) -> None:
    fields = (
        case["size1"],
        bytes.fromhex(case["root1"]),
        case["size2"],
        bytes.fromhex(case["root2"]),
        unhex(case["path"]),
    )
    if case["refused"] is None:
        rfc6962.verify_consistency(*fields)
        return
    with pytest.raises(ProofError, match=case["refused"]):
        rfc6962.verify_consistency(*fields)


def test_root_and_compact_range_follow_the_definition_at_every_size() -> None:
    growing = CompactRange()
    for size in range(len(LEAVES) + 1):
        expected = definition(LEAVES[:size])
        assert rfc6962.root(LEAVES[:size]) == expected
        assert growing.root() == expected
        assert growing.size == size
        growing, _ = growing.append(LEAVES[size : size + 1])


def test_every_inclusion_path_of_every_small_tree_is_the_defined_one_and_verifies() -> None:
    for size in range(1, 34):
        leaves, root = LEAVES[:size], definition(LEAVES[:size])
        for index in range(size):
            path = rfc6962.inclusion_path(leaves, index)
            assert path == tuple(audit_path(index, leaves))
            assert rfc6962.inclusion_path_from(STORED, index, size) == path
            rfc6962.verify_inclusion(leaves[index], index, size, path, root)


def test_every_consistency_path_of_every_small_tree_is_the_defined_one_and_verifies() -> None:
    for size2 in range(1, 34):
        for size1 in range(1, size2 + 1):
            path = rfc6962.consistency_path_from(STORED, size1, size2)
            assert path == tuple(subproof(size1, LEAVES[:size2], True))
            rfc6962.verify_consistency(
                size1, definition(LEAVES[:size1]), size2, definition(LEAVES[:size2]), path
            )


@given(size=sizes, data=st.data())
def test_no_inclusion_proof_survives_a_single_flipped_bit(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    path = rfc6962.inclusion_path(LEAVES[:size], index)
    root = rfc6962.root(LEAVES[:size])
    hashes = [LEAVES[index], root, *path]
    which = data.draw(st.integers(0, len(hashes) - 1))
    hashes[which] = flipped(hashes[which], data.draw(st.integers(0, 255)))
    with pytest.raises(ProofError):
        rfc6962.verify_inclusion(hashes[0], index, size, hashes[2:], hashes[1])


@given(size2=sizes, data=st.data())
def test_no_consistency_proof_survives_a_single_flipped_bit(size2: int, data: st.DataObject) -> None:
    size1 = data.draw(st.integers(1, size2))
    path = rfc6962.consistency_path_from(STORED, size1, size2)
    hashes = [rfc6962.root(LEAVES[:size1]), rfc6962.root(LEAVES[:size2]), *path]
    which = data.draw(st.integers(0, len(hashes) - 1))
    hashes[which] = flipped(hashes[which], data.draw(st.integers(0, 255)))
    with pytest.raises(ProofError):
        rfc6962.verify_consistency(size1, hashes[0], size2, hashes[1], hashes[2:])


@given(size=sizes, other=sizes, data=st.data())
def test_a_leaf_is_included_at_its_own_index_only(size: int, other: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    path = rfc6962.inclusion_path(LEAVES[:size], index)
    elsewhere = data.draw(st.integers(0, size - 1).filter(lambda at: at != index) if size > 1 else st.just(1))
    with pytest.raises(ProofError):
        rfc6962.verify_inclusion(LEAVES[index], elsewhere, size, path, rfc6962.root(LEAVES[:size]))
    if other != size:
        with pytest.raises(ProofError):
            rfc6962.verify_inclusion(LEAVES[index], index, size, path, rfc6962.root(LEAVES[:other]))


@given(size1=sizes, size2=sizes, changed=st.integers(0, len(LEAVES) - 1))
def test_a_rewritten_history_never_proves_consistent(size1: int, size2: int, changed: int) -> None:
    size1, size2 = sorted((size1, size2))
    changed %= size1
    forked = [*LEAVES[:changed], rfc6962.leaf_hash(b"rewritten"), *LEAVES[changed + 1 : size2]]
    path = rfc6962.consistency_path_from(StoredTree(forked), size1, size2)
    with pytest.raises(ProofError):
        rfc6962.verify_consistency(size1, rfc6962.root(LEAVES[:size1]), size2, rfc6962.root(forked), path)


@given(cuts=st.lists(st.integers(0, len(LEAVES)), max_size=6))
def test_appending_in_any_portions_completes_the_same_nodes(cuts: list[int]) -> None:
    growing = CompactRange()
    completed: list[rfc6962.StoredNode] = []
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(LEAVES)], strict=True):
        growing, nodes = growing.append(LEAVES[begin:end])
        completed.extend(nodes)
    whole, all_nodes = CompactRange().append(LEAVES)
    assert growing == whole
    assert tuple(completed) == all_nodes


def test_paths_from_the_store_read_a_logarithm_of_nodes() -> None:
    leaves = [rfc6962.leaf_hash(number.to_bytes(4, "big")) for number in range(5000)]
    stored = StoredTree(leaves)
    rfc6962.inclusion_path_from(stored, 4321, 5000)
    rfc6962.consistency_path_from(stored, 4095, 5000)
    assert stored.reads <= 4 * (5000).bit_length()


@pytest.mark.parametrize("size", [0, 1, 2, 3, 64, 127])
def test_a_compact_range_survives_the_codec(size: int) -> None:
    before, _ = CompactRange().append(LEAVES[:size])
    assert CompactRange.from_value(decode(encode(before.to_value()))) == before


@pytest.mark.parametrize(
    "value",
    [
        None,
        (3,),
        (3, (LEAVES[0], LEAVES[1]), 0),
        (-1, ()),
        (2**63, (LEAVES[0],)),
        (3, (LEAVES[0],)),
        (4, (LEAVES[0], LEAVES[1])),
        (1, (LEAVES[0][:31],)),
        (1, ("x" * 32,)),
        (1, LEAVES[0]),
        ("1", (LEAVES[0],)),
    ],
)
def test_a_compact_range_of_another_shape_is_refused(value: object) -> None:
    with pytest.raises(CodecError):
        CompactRange.from_value(value)


def test_a_compact_range_whose_peaks_contradict_its_size_cannot_exist() -> None:
    with pytest.raises(ValueError, match="1 peaks cannot describe 3 leaves"):
        CompactRange(3, (LEAVES[0],))


def test_paths_outside_the_tree_are_refused_to_the_caller() -> None:
    with pytest.raises(ValueError, match="leaf 3 is outside a tree of 3 leaves"):
        rfc6962.inclusion_path(LEAVES[:3], 3)
    with pytest.raises(ValueError, match="leaf -1 is outside"):
        rfc6962.inclusion_path(LEAVES[:3], -1)
    with pytest.raises(ValueError, match="leaf 0 is outside a tree of 0 leaves"):
        rfc6962.inclusion_path_from(STORED, 0, 0)
    with pytest.raises(ValueError, match="no consistency path from 0"):
        rfc6962.consistency_path_from(STORED, 0, 3)
    with pytest.raises(ValueError, match="no consistency path from 4"):
        rfc6962.consistency_path_from(STORED, 4, 3)


def test_the_longest_possible_path_is_bounded_and_refused_before_hashing() -> None:
    size = rfc6962.MAX_SIZE
    with pytest.raises(ProofError, match="where the sizes demand 63"):
        rfc6962.verify_inclusion(LEAVES[0], 0, size, (LEAVES[0],) * 64, LEAVES[0])


def test_a_proof_does_not_bind_the_size_which_is_why_sizes_come_from_signed_headers() -> None:
    """Not a wish but a fact of RFC 6962: with a forged size, node (1, 2) of seven leaves is leaf 2 of 4."""
    root = rfc6962.root(LEAVES[:7])
    inner_node = rfc6962.node_hash(LEAVES[4], LEAVES[5])
    path = rfc6962.inclusion_path(LEAVES[:7], 5)[1:]
    rfc6962.verify_inclusion(inner_node, 2, 4, path, root)
    with pytest.raises(ProofError, match="where the sizes demand"):
        rfc6962.verify_inclusion(inner_node, 2, 7, path, root)
