"""Types of the hot path: equal and hashed by value, without room for anything but their fields."""

from dataclasses import dataclass, fields, replace

import pytest

from consensus import Digest, Epoch, Round, Signature, ValidatorIndex, Vote, immutable

VOTE = Vote(
    Epoch(0),
    Round(2),
    Digest(b"a" * 32),
    Digest(b"b" * 32),
    Round(1),
    Digest(b"b" * 32),
    ValidatorIndex(3),
    Signature(b"s" * 64),
)


def test_equal_fields_are_equal_values_with_one_hash() -> None:
    same, other = replace(VOTE), replace(VOTE, author=ValidatorIndex(2))
    assert same == VOTE
    assert hash(same) == hash(VOTE)
    assert other != VOTE
    assert len({VOTE, same, other}) == 2


def test_values_of_different_types_differ() -> None:
    @immutable(frozen=True, slots=True)
    class One:
        number: int

    @dataclass(frozen=True, slots=True)
    class Other:
        number: int

    assert One(1) != Other(1)
    assert [field.name for field in fields(One)] == ["number"]


def test_there_is_no_room_for_more_than_the_fields() -> None:
    with pytest.raises(AttributeError):
        VOTE.note = "x"  # type: ignore[attr-defined]  # what this test is about


def test_what_may_change_is_refused() -> None:
    with pytest.raises(ValueError, match="plain dataclass"):
        immutable(frozen=False, slots=True)
