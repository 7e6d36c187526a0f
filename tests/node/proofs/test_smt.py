"""The sparse Merkle tree against its recursive definition, ICS-23's own proofs and named damages."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import CodecError, LocalError, decode, encode
from node.proofs import OtherLeaf, ProofError, SmtProof, SmtUpdate, smt
from tests.node.proofs.vector_files import load, unhex

ICS23 = load("smt_ics23")
DAMAGED = load("smt_damaged")

NEAR_PAIRS = [
    (b"deep-954323", b"deep-753633"),
    (b"deep-722087", b"deep-707138"),
    (b"deep-17489", b"deep-1341433"),
]
"""Found by search: the SHA-256 hashes of each pair share their first 38 bits (ten stored packs)."""

KEYS = [b"key-%d" % number for number in range(24)] + [key for pair in NEAR_PAIRS for key in pair]

Change = tuple[bytes, bytes | None]

keys = st.sampled_from(KEYS)
values = st.sampled_from([b"", b"a", b"b", b"a longer value " * 5])
contents = st.dictionaries(keys, values, max_size=len(KEYS))
batches = st.lists(st.dictionaries(keys, st.none() | values, max_size=12), max_size=6)


def hashed(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()


def definition(content: Mapping[bytes, bytes]) -> bytes:
    """The root as ICS-23's `SmtSpec` defines it, over strings of '0' and '1' and with no storage."""
    leaves = []
    for key, value in content.items():
        key_hash = hashed(key)
        path = "".join(f"{byte:08b}" for byte in key_hash)
        leaves.append((path, hashed(b"\x00", key_hash, hashed(value))))
    return subtree(leaves, "")


def subtree(leaves: list[tuple[str, bytes]], prefix: str) -> bytes:
    below = [leaf for leaf in leaves if leaf[0].startswith(prefix)]
    if not below:
        return bytes(32)
    if len(below) == 1:
        return below[0][1]
    return hashed(b"\x01", subtree(below, prefix + "0"), subtree(below, prefix + "1"))


def stored_after(store: Mapping[bytes, bytes], update: SmtUpdate) -> dict[bytes, bytes]:
    """The store once the writes happened; every write must matter and happen once."""
    after = dict(store)
    written = [key for key, _ in update.writes]
    assert len(set(written)) == len(written)
    for key, value in update.writes:
        assert after.get(key) != value
        if value is None:
            del after[key]
        else:
            after[key] = value
    return after


def build(content: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    return stored_after({}, smt.update(MappingProxyType({}), list(content.items())))


def proof_of(case: Mapping[str, Any]) -> SmtProof:
    other = case["other_leaf"]
    return SmtProof(unhex(case["siblings"]), None if other is None else OtherLeaf(*unhex(other)))


def verify(root: bytes, key: bytes, value: bytes | None, proof: SmtProof) -> None:
    """Check the claim that `key` holds `value`, or nothing when that is None."""
    if value is None:
        smt.verify_absence(root, key, proof)
    else:
        smt.verify_presence(root, key, value, proof)


def claim_of(case: Mapping[str, Any]) -> tuple[bytes, bytes, bytes | None, SmtProof]:
    value = case["value"]
    return (
        bytes.fromhex(case["root"]),
        bytes.fromhex(case["key"]),
        None if value is None else bytes.fromhex(value),
        proof_of(case),
    )


# --- public and golden vectors ----------------------------------------------------------------------


@pytest.mark.parametrize("case", ICS23["vectors"], ids=lambda case: case["name"])
def test_the_proofs_of_ics23_verify(case: dict[str, Any]) -> None:
    verify(*claim_of(case))


@pytest.mark.parametrize("case", ICS23["vectors"], ids=lambda case: case["name"])
def test_the_proofs_of_ics23_do_not_prove_the_opposite(case: dict[str, Any]) -> None:
    root, key, value, proof = claim_of(case)
    with pytest.raises(ProofError):
        verify(root, key, b"value" if value is None else None, proof)


def test_the_golden_tree_still_has_its_root() -> None:
    content = {bytes.fromhex(key): bytes.fromhex(value) for key, value in DAMAGED["tree"]}
    assert smt.root(build(content)).hex() == DAMAGED["root"]


@pytest.mark.parametrize("case", DAMAGED["proofs"], ids=lambda case: case["name"])
def test_a_damaged_proof_is_refused_in_words(case: dict[str, Any]) -> None:
    if case["refused"] is None:
        verify(*claim_of(case))
        return
    with pytest.raises(ProofError, match=case["refused"]):
        verify(*claim_of(case))


@pytest.mark.parametrize("case", DAMAGED["encodings"], ids=lambda case: case["name"])
def test_a_damaged_encoding_is_refused_in_words(case: dict[str, Any]) -> None:
    value = decode(bytes.fromhex(case["encoding"]))
    if case["refused"] is None:
        assert encode(SmtProof.from_value(value).to_value()).hex() == case["encoding"]
        return
    with pytest.raises(CodecError, match=case["refused"]):
        SmtProof.from_value(value)


# --- the tree is a function of its content ----------------------------------------------------------


@given(
    st.integers(min_value=0, max_value=400),
    st.lists(st.tuples(st.integers(min_value=0, max_value=500), st.none() | values), max_size=60),
    st.integers(min_value=1, max_value=20),
)
def test_slices_in_order_of_the_tree_come_to_what_the_definition_says(
    known: int, changed: list[tuple[int, bytes | None]], slice_size: int
) -> None:
    content = {b"%d" % number: b"first" for number in range(known)}
    store = build(content)
    changes = {b"%d" % number: value for number, value in changed}
    whole = stored_after(store, smt.update(MappingProxyType(store), changes.items()))
    ordered = smt.in_tree_order(changes.items())
    for start in range(0, len(ordered), slice_size):
        update = smt.update_sorted(MappingProxyType(store), ordered[start : start + slice_size])
        store = stored_after(store, update)
    content = {key: value for key, value in {**content, **changes}.items() if value is not None}
    assert smt.root(MappingProxyType(store)) == definition(content)
    assert store == whole == build(content)


def test_changes_out_of_order_are_refused() -> None:
    ordered = smt.in_tree_order([(b"a", b"1"), (b"b", b"2"), (b"c", None)])
    with pytest.raises(ValueError, match="not in order"):
        smt.update_sorted({}, [ordered[0], ordered[2], ordered[1]])


@given(batches)
def test_every_batch_leads_to_the_defined_root_and_to_the_stored_nodes_of_a_fresh_tree(
    changes: list[dict[bytes, bytes | None]],
) -> None:
    store: dict[bytes, bytes] = {}
    content: dict[bytes, bytes] = {}
    for batch in changes:
        update = smt.update(MappingProxyType(store), list(batch.items()))
        store = stored_after(store, update)
        for key, value in batch.items():
            if value is None:
                content.pop(key, None)
            else:
                content[key] = value
        assert update.root == definition(content) == smt.root(store)
        assert store == build(content)


@given(content=contents, data=st.data())
def test_the_order_of_changes_and_their_division_into_batches_do_not_matter(
    content: dict[bytes, bytes], data: st.DataObject
) -> None:
    changes: Sequence[Change] = data.draw(st.permutations(list(content.items())))
    cut = data.draw(st.integers(0, len(changes)))
    store = stored_after({}, smt.update({}, changes[:cut]))
    store = stored_after(store, smt.update(store, changes[cut:]))
    assert store == build(content)


@given(before=contents, added=contents)
def test_deleting_what_was_added_restores_the_root_and_the_very_same_stored_nodes(
    before: dict[bytes, bytes], added: dict[bytes, bytes]
) -> None:
    original = build(before)
    store = stored_after(original, smt.update(original, list(added.items())))
    undone = smt.update(store, [(key, before.get(key)) for key in added])
    assert stored_after(store, undone) == original
    assert undone.root == definition(before)


@given(contents)
def test_deleting_everything_leaves_nothing_stored(content: dict[bytes, bytes]) -> None:
    store = build(content)
    emptied = smt.update(store, [(key, None) for key in content])
    assert stored_after(store, emptied) == {}
    assert emptied.root == smt.EMPTY


@given(content=contents, keys=st.sets(keys, max_size=8))
def test_changes_that_change_nothing_write_nothing(content: dict[bytes, bytes], keys: set[bytes]) -> None:
    store = build(content)
    update = smt.update(store, [(key, content.get(key)) for key in sorted(keys)])
    assert update == SmtUpdate(definition(content), ())


def test_a_key_changed_twice_in_one_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="two changes in one batch"):
        smt.update({}, [(b"k", b"1"), (b"other", b"1"), (b"k", None)])


def test_an_update_reads_each_node_of_its_paths_once() -> None:
    store = build({b"key-%d" % number: b"v" for number in range(2000)})
    reads: list[bytes] = []

    class Counting:
        def get(self, key: bytes) -> bytes | None:
            reads.append(key)
            return store.get(key)

    smt.update(Counting(), [(b"key-7", b"changed")])
    assert len(reads) <= 2 + 2 * (2000).bit_length()
    reads.clear()
    smt.update(Counting(), [(b"key-%d" % number, b"changed") for number in range(500)])
    assert len(set(reads)) == len(reads)


def test_storage_keys_are_short_and_name_the_place_alone() -> None:
    first = build({key: b"1" for key in KEYS})
    second = build({key: b"2" for key in KEYS})
    assert first.keys() == second.keys()
    assert all(1 <= len(key) <= 33 for key in first)


def test_the_storage_layout_is_the_documented_one() -> None:
    """A layout that moves makes every existing database unreadable: pinned for one deep path."""
    one, other = NEAR_PAIRS[0]
    path = hashed(one)
    expected = {smt.ROOT_KEY}
    for depth in range(0, 39, 4):
        whole_bytes, is_half = divmod(depth, 8)
        expected.add(path[:whole_bytes] + (bytes([path[whole_bytes] & 0xF0, 2]) if is_half else b"\x01"))
    store = build({one: b"1", other: b"2"})
    assert store.keys() == expected
    # At depth 36 two levels of one slot each, then the two leaves that part there.
    bits = path[4] >> 1 & 0b111
    first, second, third = bits >> 2, bits >> 1, bits
    leaves = sorted(hashed(key) + hashed(value) for key, value in ((one, b"1"), (other, b"2")))
    slots = [b""] * 16
    slots[8 | (third & ~1)], slots[8 | third | 1] = leaves
    pair = hashed(b"\x01", *(hashed(b"\x00", leaf) for leaf in leaves))
    slots[4 | second] = pair
    slots[2 | first] = hashed(b"\x01", *((bytes(32), pair) if second % 2 else (pair, bytes(32))))
    assert decode(store[path[:4] + bytes([path[4] & 0xF0, 2])]) == tuple(slots[2:])
    assert store[smt.ROOT_KEY] == smt.root(store)
    assert build({one: b"1"}) == {smt.ROOT_KEY: hashed(one) + hashed(b"1")}


# --- proofs -----------------------------------------------------------------------------------------


@given(content=contents, key=keys)
def test_every_key_is_provably_present_or_provably_absent_and_never_both(
    content: dict[bytes, bytes], key: bytes
) -> None:
    store, root = build(content), definition(content)
    proof = smt.prove(store, key)
    assert SmtProof.from_value(decode(encode(proof.to_value()))) == proof
    if key in content:
        smt.verify_presence(root, key, content[key], proof)
        with pytest.raises(ProofError):
            smt.verify_presence(root, key, content[key] + b"x", proof)
        with pytest.raises(ProofError):
            smt.verify_absence(root, key, proof)
    else:
        smt.verify_absence(root, key, proof)
        for value in (b"", b"a"):
            with pytest.raises(ProofError):
                smt.verify_presence(root, key, value, proof)


@given(content=contents, key=keys, wanted=keys)
def test_a_proof_about_one_key_never_misleads_about_another(
    content: dict[bytes, bytes], key: bytes, wanted: bytes
) -> None:
    store, root = build(content), definition(content)
    proof = smt.prove(store, key)
    if wanted in content:
        with pytest.raises(ProofError):
            smt.verify_absence(root, wanted, proof)
    else:
        with pytest.raises(ProofError):
            smt.verify_presence(root, wanted, b"a", proof)


@given(content=contents, key=keys, data=st.data())
def test_a_proof_with_siblings_dropped_added_swapped_or_changed_is_refused(
    content: dict[bytes, bytes], key: bytes, data: st.DataObject
) -> None:
    store, root = build(content), definition(content)
    proof = smt.prove(store, key)
    siblings = list(proof.siblings)
    at = data.draw(st.integers(0, len(siblings)))
    foreign = data.draw(st.sampled_from([smt.EMPTY, root, *siblings]))
    damage = data.draw(st.sampled_from(["drop", "insert", "swap", "replace"]))
    if damage == "drop":
        siblings[at : at + 1] = []
    elif damage == "insert":
        siblings.insert(at, foreign)
    elif damage == "swap":
        siblings[at : at + 2] = siblings[at : at + 2][::-1]
    else:
        siblings[at : at + 1] = [foreign] if at < len(siblings) else []
    if tuple(siblings) == proof.siblings:
        return
    damaged = SmtProof(tuple(siblings), proof.other_leaf)
    with pytest.raises(ProofError):
        verify(root, key, content.get(key), damaged)


def every_single_bit_flip(data: bytes) -> list[bytes]:
    number = int.from_bytes(data, "big")
    return [(number ^ 1 << bit).to_bytes(len(data), "big") for bit in range(8 * len(data))]


def test_no_encoded_proof_survives_any_single_flipped_bit() -> None:
    store = build({key: b"value" for key in KEYS})
    root = smt.root(store)
    present: list[tuple[bytes, bytes | None]] = [(KEYS[0], b"value"), (NEAR_PAIRS[0][0], b"value")]
    for key, value in present + [(key, None) for key in absent_keys(store)]:
        proof = smt.prove(store, key)
        verify(root, key, value, proof)
        for flip in every_single_bit_flip(encode(proof.to_value())):
            with pytest.raises((CodecError, ProofError)):
                verify(root, key, value, SmtProof.from_value(decode(flip)))


def absent_keys(store: Mapping[bytes, bytes]) -> list[bytes]:
    """One absent key whose path ends in another leaf, one whose path ends in an empty subtree."""
    candidates = [b"absent-%d" % number for number in range(200)]
    beside_leaf = [key for key in candidates if smt.prove(store, key).other_leaf is not None]
    in_empty = [key for key in candidates if smt.prove(store, key).other_leaf is None]
    return [beside_leaf[0], in_empty[0]]


def test_no_absence_survives_a_flipped_bit_of_the_root_or_another_key() -> None:
    store = build({key: b"value" for key in KEYS})
    root = smt.root(store)
    for key in absent_keys(store):
        proof = smt.prove(store, key)
        for damaged_root in every_single_bit_flip(root):
            with pytest.raises(ProofError):
                smt.verify_absence(damaged_root, key, proof)
        for taken in KEYS:
            with pytest.raises(ProofError):
                smt.verify_absence(root, taken, proof)


def test_the_neighbour_of_an_absent_key_never_shows_its_value() -> None:
    secret = b"the neighbour's plain value"
    store = build({key: secret for key in KEYS})
    key, _ = absent_keys(store)
    encoded = encode(smt.prove(store, key).to_value())
    assert secret not in encoded
    assert sha256(secret).digest() in encoded


def test_the_siblings_of_a_near_pair_are_mostly_empty_and_cost_a_bit_each() -> None:
    store = build({key: b"value" for key in KEYS})
    proof = smt.prove(store, NEAR_PAIRS[0][0])
    assert len(proof.siblings) == 39
    assert len(encode(proof.to_value())) < 32 * 12


def test_more_siblings_than_a_path_has_bits_are_refused_before_hashing() -> None:
    root = smt.root(build({b"k": b"v"}))
    deep = SmtProof((root,) * 257)
    with pytest.raises(ProofError, match="257 siblings exceed the depth of 256"):
        smt.verify_presence(root, b"k", b"v", deep)
    with pytest.raises(ProofError, match="257 siblings exceed the depth of 256"):
        smt.verify_absence(root, b"k", deep)
    with pytest.raises(ProofError, match="leads to"):
        smt.verify_absence(root, b"k", SmtProof((root,) * 256))


# --- a store that contradicts itself is our own fault -------------------------------------------------


@pytest.mark.parametrize("damage", [None, b"", b"\x03" + bytes(64), b"\x01" + bytes(63)])
def test_a_missing_or_damaged_node_stops_loudly(damage: bytes | None) -> None:
    store = build({key: b"value" for key in KEYS})
    top = b"\x01"
    broken = {key: value for key, value in store.items() if key != top}
    if damage is not None:
        broken[top] = damage
    for change in ([(KEYS[0], b"new")], [(key, b"new") for key in KEYS]):
        with pytest.raises(LocalError, match="node 01 is missing or damaged"):
            smt.update(broken, change)
    with pytest.raises(LocalError, match="node 01 is missing or damaged"):
        smt.prove(broken, KEYS[0])
