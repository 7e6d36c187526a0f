"""The payload of a block: canonical, bounded, b"" exactly when empty."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import CodecError, Digest, ValidatorIndex, encode
from node.pool.contents import parse_contents
from node.pool.payload import Payload, PayloadRules, Reference
from tests.node.pool.world import CONFIG, START_MS, batch, block, naming, transaction

RULES = PayloadRules()
NAME = Digest(b"n" * 32)

references = st.builds(
    Reference,
    st.integers(0, 127).map(ValidatorIndex),
    st.binary(min_size=32, max_size=32).map(Digest),
)


@given(st.lists(references, max_size=30), st.lists(st.binary(max_size=100), max_size=30))
def test_every_payload_round_trips(names: list[Reference], inline: list[bytes]) -> None:
    payload = Payload(tuple(names), tuple(inline))
    assert Payload.decode(payload.encode(), RULES) == payload
    assert (payload.encode() == b"") == (not names and not inline)


def test_the_encoding_of_a_payload_is_pinned() -> None:
    payload = Payload((Reference(ValidatorIndex(3), NAME),), (b"body",))
    assert payload.encode().hex() == "92919203c420" + "6e" * 32 + "91c404626f6479"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (((), ()), "empty"),
        ((), "2 items"),
        (((), (), ()), "2 items"),
        ((((3, NAME[1:]),), ()), "32 bytes"),
        ((((3,),), ()), "2 items"),
        ((((-1, NAME),), ()), "reference author"),
        ((tuple((3, NAME) for _ in range(65)), ()), "at most 64"),
        ((((3, NAME),) * 40, (b"x",) * 40), "80 batches"),
        (((), (bytes(9000), bytes(9000))), "18000 inline bytes"),
        (((), ("text",)), "inline batch"),
    ],
)
def test_a_malformed_payload_is_refused_in_words(value: object, words: str) -> None:
    with pytest.raises(CodecError, match=words):
        Payload.decode(encode(value), RULES)


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(CodecError):
        Payload.decode(naming(batch(transaction(1))).encode() + b"\0", RULES)


def test_contents_keep_the_order_of_execution() -> None:
    one, two, small = (batch(transaction(i)) for i in (1, 2, 3))
    payload = Payload(naming(two, one).references, (small.encoded,))
    contents = parse_contents(block(payload), CONFIG)
    assert contents.names() == (two.digest, one.digest, small.digest)
    assert contents.fault == ""


@pytest.mark.parametrize(
    "payload",
    [
        b"junk",
        Payload((), (b"no batch",)),
        naming(batch(transaction(1)), batch(transaction(1))),
        Payload(naming(batch(transaction(1))).references, (batch(transaction(1)).encoded,)),
        Payload((), (batch(transaction(1), created_ms=START_MS - 60_000).encoded,)),
        Payload((), (batch(transaction(1), created_ms=START_MS + 60_001).encoded,)),
        Payload((), (batch(transaction(1), epoch=1).encoded,)),
    ],
    ids=["junk", "no-batch", "twice", "named-and-inline", "expired", "far-ahead", "other-epoch"],
)
def test_a_faulty_payload_has_no_contents(payload: Payload | bytes) -> None:
    contents = parse_contents(block(payload), CONFIG)
    assert contents.fault
    assert contents.names() == ()
