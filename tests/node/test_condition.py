"""What a node says of itself: one encoding, short, bounded, strict."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import MalformedMessage, encode
from node.condition import (
    CONDITION_BYTES_MAX,
    COUNT_MAX,
    HEIGHT_MAX,
    PERMILLE_MAX,
    SIZE_MAX,
    Condition,
    decode_condition,
    encode_condition,
)

WELL = Condition(2**40, False, 10, 0, 7, 3, False, False, None)
LARGEST = Condition(SIZE_MAX, True, PERMILLE_MAX, COUNT_MAX, COUNT_MAX, COUNT_MAX, True, True, HEIGHT_MAX)
VECTORS: list[tuple[Condition, str]] = [
    (WELL, "9a01cf0000010000000000000a0007030000c0"),
    (
        Condition(1_000, True, 900, 64, 0, 300, True, True, 4_711),
        "9a01cd03e801cd03844000cd012c0101cd1267",
    ),
    (
        LARGEST,
        "9a01cf7fffffffffffffff01cd03e8ceffffffffceffffffffceffffffff0101cf7fffffffffffffff",
    ),
]
COUNTS = st.integers(0, COUNT_MAX)
CONDITIONS = st.builds(
    Condition,
    st.integers(0, SIZE_MAX),
    st.booleans(),
    st.integers(0, PERMILLE_MAX),
    COUNTS,
    COUNTS,
    COUNTS,
    st.booleans(),
    st.booleans(),
    st.none() | st.integers(0, HEIGHT_MAX),
)


@pytest.mark.parametrize(("condition", "pinned"), VECTORS)
def test_a_condition_has_a_pinned_encoding(condition: Condition, pinned: str) -> None:
    assert encode_condition(condition).hex() == pinned
    assert decode_condition(bytes.fromhex(pinned)) == condition


@given(CONDITIONS)
def test_every_condition_comes_back_and_is_no_longer_than_the_longest(condition: Condition) -> None:
    data = encode_condition(condition)
    assert decode_condition(data) == condition
    assert len(data) <= len(encode_condition(LARGEST)) <= CONDITION_BYTES_MAX


@pytest.mark.parametrize(
    "change",
    [
        {"disk_free_bytes": -1},
        {"disk_free_bytes": SIZE_MAX + 1},
        {"map_used_permille": PERMILLE_MAX + 1},
        {"missing_batches": COUNT_MAX + 1},
        {"pending_transactions": -1},
        {"inbox": COUNT_MAX + 1},
        {"sync_target": -1},
    ],
)
def test_a_number_out_of_its_bounds_is_the_senders_fault(change: dict[str, int]) -> None:
    with pytest.raises(MalformedMessage) as caught:
        decode_condition(encode_condition(replace(WELL, **change)))  # type: ignore[arg-type]  # one int each
    assert caught.value.code == "condition-malformed"


@pytest.mark.parametrize(
    "value",
    [
        (),
        1,
        (2, 0, 0, 0, 0, 0, 0, 0, 0, None),
        (1, 0, 2, 0, 0, 0, 0, 0, 0, None),
        (1, 0, 0, 0, 0, 0, 0, 2, 0, None),
        (1, 0, 0, 0, 0, 0, 0, 0, b"", None),
        (1, 0, 0, 0, 0, 0, 0, 0, 0),
        (1, 0, 0, 0, 0, 0, 0, 0, 0, None, 0),
        (1, 0, 0, 0, 0, 0, 0, 0, 0, "far"),
        (1, 0, 0, 0, 0, 0, 0, 0, 0, ()),
    ],
)
def test_what_is_no_condition_is_the_senders_fault(value: object) -> None:
    with pytest.raises(MalformedMessage):
        decode_condition(encode(value))


@given(st.binary(max_size=2 * CONDITION_BYTES_MAX))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        condition = decode_condition(data)
    except MalformedMessage:
        return
    assert encode_condition(condition) == data
