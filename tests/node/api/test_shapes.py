"""One dataclass in three forms: they agree, and what does not fit is refused by name."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import CodecError, Value, decode, encode
from node.api.shapes import definitions, from_value, schema, to_json, to_value
from node.ledger.codes import Code


@dataclass(frozen=True, slots=True)
class Inner:
    """A part."""

    name: str
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Outer:
    """A whole."""

    number: int
    flag: bool
    parts: tuple[Inner, ...]
    best: Inner | None


inners = st.builds(Inner, st.text(max_size=8), st.none() | st.binary(max_size=8))
outers = st.builds(
    Outer,
    st.integers(-(2**63), 2**64 - 1),
    st.booleans(),
    st.lists(inners, max_size=4).map(tuple),
    st.none() | inners,
)


@given(outers)
def test_what_is_sent_is_what_is_read(outer: Outer) -> None:
    assert from_value(Outer, decode(encode(to_value(outer)))) == outer


def test_people_read_hexadecimal_and_names() -> None:
    outer = Outer(7, True, (Inner("a", b"\x01\xff"), Inner("b", None)), None)
    assert to_json(outer) == {
        "number": 7,
        "flag": True,
        "parts": [{"name": "a", "data": "01ff"}, {"name": "b", "data": None}],
        "best": None,
    }


def test_a_number_with_a_name_travels_as_a_number() -> None:
    assert encode(to_value((Code.POOL_FULL,))) == b"\x91\x0a"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ((), "Outer must be an array of 4 items"),
        ((b"1", 0, (), None), "Outer number"),
        ((1, 2, (), None), "Outer flag"),
        ((1, 0, None, None), "Outer parts"),
        ((1, 0, ((1, None),), None), "Outer parts name must be text"),
        ((1, 0, (("a", "text"),), None), "Outer parts data"),
        ((1, 0, (), ("a",)), "Outer best must be an array of 2 items"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(value: Value, field: str) -> None:
    with pytest.raises(CodecError, match=field):
        from_value(Outer, value)


def test_the_schema_has_the_same_fields() -> None:
    known: dict[str, object] = {}
    definitions(tuple[Outer, ...], known)
    assert sorted(known) == ["Inner", "Outer"]
    assert schema(tuple[Outer, ...]) == {"type": "array", "items": {"$ref": "#/components/schemas/Outer"}}
    outer = known["Outer"]
    assert isinstance(outer, dict)
    assert outer["required"] == ["number", "flag", "parts", "best"]
    assert outer["properties"]["best"] == {
        "anyOf": [{"$ref": "#/components/schemas/Inner"}, {"type": "null"}]
    }
