"""The second pair of trees comes to the same roots as the product's."""

from hypothesis import given
from hypothesis import strategies as st

from bench.sim.checkers.merkle import GrowingList, list_root, map_root
from node.proofs import rfc6962, smt


@given(st.lists(st.binary(max_size=8), max_size=40))
def test_lists(items: list[bytes]) -> None:
    expected = rfc6962.root([rfc6962.leaf_hash(item) for item in items])
    assert list_root(items) == expected
    growing = GrowingList()
    for item in items:
        growing.append(item)
    assert growing.root == expected
    assert growing.size == len(items)


@given(st.dictionaries(st.binary(max_size=8), st.binary(max_size=8), max_size=40))
def test_maps(entries: dict[bytes, bytes]) -> None:
    stored: dict[bytes, bytes] = {}
    assert map_root(entries.items()) == smt.update(stored, list(entries.items())).root
