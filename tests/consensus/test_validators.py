"""Quorum arithmetic at its edges, bitmaps, and sets that are refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import CodecError, Epoch, Validator, ValidatorSet, bitmap_indices, bitmap_of, decode, encode
from consensus.validators import VALIDATORS_MAX, WEIGHT_MAX
from tests.consensus.cluster import keys_of, validators_of


@pytest.mark.parametrize(
    ("count", "quorum", "blocking"), [(1, 1, 1), (2, 2, 1), (3, 3, 2), (4, 3, 2), (6, 5, 3), (7, 5, 3)]
)
def test_quorums_of_equal_weights(count: int, quorum: int, blocking: int) -> None:
    """With six members "2f + 1" would be three, and two such quorums need not meet."""
    members = validators_of(keys_of(count))
    assert next(w for w in range(count + 1) if members.is_quorum(w)) == quorum
    assert next(w for w in range(count + 1) if members.is_blocking(w)) == blocking


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(0, 99)))
def test_bitmaps_say_exactly_their_positions(indices: set[int]) -> None:
    assert list(bitmap_indices(bitmap_of(indices, 100))) == sorted(indices)


def test_sets_survive_their_encoding_and_name_their_members() -> None:
    members = validators_of(keys_of(3), [5, 1, 9])
    assert ValidatorSet.from_value(decode(encode(members.to_value()))) == members
    assert members.index_of(keys_of(3)[2].public_key) == 2
    assert members.index_of(bytes(32)) is None
    assert members.hash() == ValidatorSet(Epoch(8), members.validators).hash()


def test_sets_that_cannot_be_are_refused() -> None:
    key = keys_of(1)[0].public_key
    one = Validator(key, 1)
    for members in ((), (one, one), (Validator(key, 0),), (Validator(key, WEIGHT_MAX + 1),)):
        with pytest.raises(ValueError):
            ValidatorSet(Epoch(0), members)
    many = tuple(Validator(k.public_key, 1) for k in keys_of(VALIDATORS_MAX + 1))
    with pytest.raises(ValueError, match="128"):
        ValidatorSet(Epoch(0), many)
    with pytest.raises(CodecError, match="share one key"):
        ValidatorSet.from_value((0, ((key, 1), (key, 1))))
