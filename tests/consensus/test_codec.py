"""One encoding for each value, and nothing else accepted."""

from collections.abc import Callable

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import (
    CodecError,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_text,
    as_tuple,
    decode,
    decode_shape,
    encode,
    encode_around,
)
from consensus.codec import LARGE_BYTES

VALUES = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5).map(tuple),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_what_is_encoded_comes_back(value: Value) -> None:
    assert decode(encode(value)) == value


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_accepted_bytes_are_the_only_encoding_of_their_value(data: bytes) -> None:
    try:
        value = decode(data)
    except CodecError:
        return
    assert encode(value) == data


NOT_CANONICAL = {
    "an integer with a wide header": b"\xcc\x05",
    "a negative integer with a wide header": b"\xd1\xff\xff",
    "bytes with a wide length": b"\xc5\x00\x01x",
    "text with a wide length": b"\xd9\x01x",
    "an array with a wide length": b"\xdc\x00\x01\x01",
    "a map": msgpack.packb({1: 2}),
    "a map with a repeated key": b"\x82\x01\x02\x01\x03",
    "a float": msgpack.packb(1.5),
    "true": b"\xc3",
    "a float in an array": msgpack.packb((1, (b"x", 1.5))),
    "false in an array": msgpack.packb((1, (b"x", False))),
    "an extension": msgpack.packb(msgpack.ExtType(5, b"x")),
    "a timestamp": msgpack.packb(msgpack.Timestamp(1)),
    "two values": b"\x01\x02",
    "half a value": b"\x92\x01",
    "nothing": b"",
    "the reserved byte": b"\xc1",
    "text that is no UTF-8": b"\xa1\xff",
    "deep nesting": b"\x91" * 17 + b"\x01",
    "very deep nesting": b"\x91" * 100_000 + b"\x01",
    "a length beyond the data": b"\xdd\xff\xff\xff\xff",
}


@pytest.mark.parametrize("what", NOT_CANONICAL)
def test_what_is_not_canonical_is_refused(what: str) -> None:
    with pytest.raises(CodecError):
        decode(NOT_CANONICAL[what])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"\x01\x02", "not canonical msgpack: other bytes follow the value"),
        (b"\x92\x01", "not canonical msgpack: the bytes end inside a value"),
        (b"", "not canonical msgpack: the bytes end inside a value"),
        (b"\x91" * 100_000 + b"\x01", "not canonical msgpack: arrays are nested too deeply"),
        (b"\xc1", "not canonical msgpack: the bytes hold no value"),
        (b"\x81\x01\x02", "not canonical msgpack: 1 exceeds max_map_len(0)"),
    ],
)
def test_a_refusal_is_a_sentence_about_the_bytes_and_not_about_our_decoder(
    data: bytes, sentence: str
) -> None:
    with pytest.raises(CodecError) as refused:
        decode(data)
    assert str(refused.value) == sentence


def test_more_bytes_than_allowed_are_refused_before_they_are_read() -> None:
    with pytest.raises(CodecError, match="exceed the limit of 3"):
        decode(b"\xc1\xc1\xc1\xc1", max_bytes=3)


@pytest.mark.parametrize("value", [1.5, True, {1: 2}, {1}, object(), 2**64, -(2**63) - 1, "\ud800"])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: (1, v), lambda v: [b"x", (v, None)]])
def test_what_has_no_canonical_form_is_not_encoded_wherever_it_stands(
    value: object, wrap: Callable[[object], object]
) -> None:
    with pytest.raises(CodecError):
        encode(wrap(value))


def test_nesting_beyond_the_limit_is_not_encoded() -> None:
    value: tuple[object, ...] = ()
    for _ in range(20):
        value = (value,)
    with pytest.raises(CodecError, match="nested"):
        encode(value)


def test_field_readers_name_the_field() -> None:
    for read in (
        lambda: as_tuple((1,), 2, "field"),
        lambda: as_array((1, 2), 1, "field"),
        lambda: as_int(True, "field"),
        lambda: as_int(5, "field", high=4),
        lambda: as_bytes("x", "field"),
        lambda: as_bytes(b"xx", "field", length=1),
        lambda: as_bytes(b"xx", "field", max_length=1),
        lambda: as_text(b"x", "field"),
        lambda: as_text("xx", "field", max_length=1),
    ):
        with pytest.raises(CodecError, match="field"):
            read()


@pytest.mark.parametrize("value", [(None,) * 9, ((None,) * 4, (1, b"2", "3"))], ids=["flat", "nested"])
def test_more_items_than_allowed_are_refused_however_they_are_nested(value: Value) -> None:
    data = encode(value)
    assert decode(data, max_items=9) == value
    with pytest.raises(CodecError, match="too many items"):
        decode(data, max_items=8)


LARGE = bytes(range(256)) * 80
SIZES = (LARGE_BYTES - 1, LARGE_BYTES, 2**16 - 1, 2**16, 300_000)


@pytest.mark.parametrize("size", SIZES)
def test_large_byte_strings_have_the_encoding_of_all_others(size: int) -> None:
    content = bytes(size)
    for value in (content, (1, content), (1, b"name", content), (7, (b"m", content, content)), ((content,),)):
        assert decode(encode(value)) == value
    assert encode_around((2, b"name"), content) == encode((2, b"name", content))
    assert encode_around((), content) == encode((content,))


def large_faults() -> dict[str, bytes]:
    """Encodings of 20 KiB that decoders take and that are not canonical, by the place of the fault."""
    short, wide = b"\xc5" + len(LARGE).to_bytes(2, "big"), b"\xc6" + len(LARGE).to_bytes(4, "big")
    return {
        "its own header": wide + LARGE,
        "its header in an array": b"\x92\x01" + wide + LARGE,
        "its header two arrays deep": b"\x92\x01\x92\x01" + wide + LARGE,
        "the array around it": b"\xdc\x00\x02\x01" + short + LARGE,
        "the inner array around it": b"\x92\x01\xdc\x00\x02\x01" + short + LARGE,
        "a number before it": b"\x92\xcc\x01" + short + LARGE,
        "a number of equal length before it": b"\x92\xd1\x01\x2c" + short + LARGE,
        "a number behind it": b"\x92" + short + LARGE + b"\xcc\x01",
        "an array behind it": b"\x92" + short + LARGE + b"\x91\xcc\x01",
        "small bytes behind it": b"\x92" + short + LARGE + b"\xc5\x00\x01x",
        "bytes behind the value": b"\x91" + short + LARGE + b"\x00",
        "the end of the value": b"\x91" + short + LARGE[:-1],
        "many items around it": b"\xdc\x08\x00" + short + LARGE + b"\x01" * 2_046 + b"\xcc\x01",
    }


@pytest.mark.parametrize("where", large_faults())
def test_no_fault_hides_behind_a_large_byte_string(where: str) -> None:
    with pytest.raises(CodecError):
        decode(large_faults()[where])


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.integers(0, 2**64 - 1) | st.binary(max_size=20) | st.just(LARGE) | st.text(max_size=5) | st.none(),
        lambda inner: st.lists(inner, max_size=5).map(tuple),
        max_leaves=8,
    ),
    st.integers(0, 400),
    st.integers(0, 255),
)
def test_whatever_is_accepted_around_large_byte_strings_is_canonical(
    value: Value, place: int, byte: int
) -> None:
    data = encode(value)
    changed = data[:place] + bytes((byte,)) + data[place + 1 :]
    for candidate in (data, changed):
        try:
            decoded = decode(candidate)
        except CodecError:
            assert candidate != data
        else:
            assert encode(decoded) == candidate


# --- one shape -----------------------------------------------------------------------------------------

SHAPE = (int, bytes, str, tuple)
DEPTH = 4
ALIEN: st.SearchStrategy[object] = (
    st.floats(allow_nan=False)
    | st.booleans()
    | st.just({})
    | st.just({"a": 1})
    | st.just(msgpack.ExtType(1, b""))
)
ANYTHING = st.recursive(
    st.none() | st.integers(0, 300) | st.binary(max_size=3) | st.text(max_size=3) | ALIEN,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=12,
)


def opened(data: bytes) -> Value:
    """What `decode` makes of it, None where it is refused."""
    try:
        return decode(data, max_depth=DEPTH)
    except CodecError:
        return None


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 300), st.binary(max_size=3), st.text(max_size=3), st.lists(ANYTHING, max_size=4))
def test_one_shape_is_opened_exactly_where_decode_accepts_it(
    number: int, data: bytes, text: str, items: list[object]
) -> None:
    encoded: bytes = msgpack.packb([number, data, text, items])
    assert decode_shape(encoded, SHAPE, DEPTH) == opened(encoded)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_byte_of_a_shape_can_be_changed_added_or_dropped_unless_decode_accepts_it_too(
    data: st.DataObject,
) -> None:
    good = encode((7, b"ab", "c", (1, (b"d", None), ("e", ()), 300)))
    place = data.draw(st.integers(0, len(good) - 1))
    with_other = good[:place] + data.draw(st.binary(max_size=2)) + good[place + 1 :]
    value = opened(with_other)
    is_of_shape = type(value) is tuple and tuple(map(type, value)) == SHAPE
    assert decode_shape(with_other, SHAPE, DEPTH) == (value if is_of_shape else None)


@pytest.mark.parametrize(
    "encoded",
    [
        b"\x94\xcc\x07\xc4\x02ab\xa1c\x90",  # 7 in two bytes
        b"\x94\x07\xc5\x00\x02ab\xa1c\x90",  # a byte string with the longer header
        b"\x94\x07\xc4\x02ab\xd9\x01c\x90",
        b"\x94\x07\xc4\x02ab\xa1c\xdc\x00\x00",
        b"\xdc\x00\x04\x07\xc4\x02ab\xa1c\x90",
        b"\x94\xc3\xc4\x02ab\xa1c\x90",  # true
        b"\x94\x07\xc4\x02ab\xa1c\x91\xc3",
        b"\x94\x07\xc4\x02ab\xa1c\x91\xca\x00\x00\x00\x00",
        b"\x94\x07\xc4\x02ab\xa1c\x91\x80",  # an empty map
        b"\x94\x07\xc4\x02ab\xa1c\x91\xd4\x01\x00",
        b"\x94\x07\xc4\x02ab\xa1c\x91\x91\x91\x91\x90",  # too deep
        b"\x94\x07\xc4\x02ab\xa1c\x90\x00",
        b"\x93\x07\xc4\x02ab\xa1c",
        b"\x90",
        b"",
    ],
    ids=repr,
)
def test_a_shape_in_any_other_form_is_not_opened(encoded: bytes) -> None:
    assert decode_shape(encoded, SHAPE, DEPTH) is None
