"""Messages between clusters: canonical, bounded, typed once; everything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import CodecError, encode
from node.anchoring.exchange import (
    EXCHANGE_BYTES_MAX,
    PATIENCE_MS_MAX,
    BundleAsked,
    BundleSent,
    Declined,
    Exchanged,
    FactQuestion,
    FactTold,
    OfferAsked,
    Offered,
    decode_exchanged,
    encode_exchanged,
)
from node.anchoring.lanes.courier import BundleRequest, LeafName, Offer
from node.anchoring.lanes.inbound import INBOUND_BYTES_MAX
from node.anchoring.lanes.messages import Mode
from node.anchoring.lanes.progress import Progress
from node.anchoring.questions import (
    CREDENTIAL_BYTES_MAX,
    QUESTION_BYTES_MAX,
    LeafAsked,
    MemberAsked,
    PathAsked,
)

REQUEST = BundleRequest(0, 5, (Progress("records", Mode.ORDERED, 3),), (), 64, 64 * 1024)
MESSAGES: list[Exchanged] = [
    OfferAsked(1, 0, 5, 7, PATIENCE_MS_MAX),
    Offered(2, Offer(0, 9, 8)),
    BundleAsked(3, REQUEST),
    BundleSent(4, b"bundle"),
    Declined(2**63 - 1, "nothing"),
    FactQuestion(5, MemberAsked(b"question", b"credential")),
    FactQuestion(6, PathAsked(3, 3)),
    FactQuestion(7, LeafAsked(LeafName(True, "records", Mode.ORDERED, 1))),
    FactTold(8, b"fact"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_comes_back(message: Exchanged) -> None:
    assert decode_exchanged(encode_exchanged(message)) == message


def test_the_largest_bundle_fits() -> None:
    encoded = encode_exchanged(BundleSent(2**63 - 1, bytes(INBOUND_BYTES_MAX)))
    assert len(encoded) <= EXCHANGE_BYTES_MAX
    with pytest.raises(CodecError):
        decode_exchanged(encode_exchanged(BundleSent(1, bytes(INBOUND_BYTES_MAX + 1))))


@pytest.mark.parametrize(
    "value",
    [
        (2, 5, 1, "nothing"),
        (1, 0, 1, "nothing"),
        (1, 6, 1, "nothing"),
        (1, "5", 1, "nothing"),
        (1, 5, -1, "nothing"),
        (1, 5, 1, "n" * 33),
        (1, 5, 1, b"nothing"),
        (1, 5, 1),
        (1, 5, 1, "nothing", 0),
        (1, 6, 1, ()),
        (1, 6, 1, (1, b"question")),
        (1, 6, 1, (1, bytes(QUESTION_BYTES_MAX + 1), b"")),
        (1, 6, 1, (1, b"", bytes(CREDENTIAL_BYTES_MAX + 1))),
        (1, 6, 1, (2, 4, 3)),
        (1, 6, 1, (3, 2, "records", 1, 1)),
        (1, 6, 1, (3, 1, "records", 3, 1)),
        (1, 6, 1, (3, 1, "records", 1, 0)),
        (1, 6, 1, (4, 1)),
        (1, 7, 1, "fact"),
        (1, 8, 1, "fact"),
        (1, 1, 1, (0, 5, 7)),
        (1, 1, 1, (0, 5, 7, PATIENCE_MS_MAX + 1)),
        (1, 1, 1, (0, 5, -7, 0)),
        (1, 1, 1, (0, 5, (7,), 0)),
        (1, 2, 1, b"offer"),
        (1, 2, 1, None),
        (1, 3, 1, b"request"),
        (1, 4, 1, None),
        (1, 4, 1, (b"bundle",)),
        5,
        (),
    ],
)
def test_other_shapes_versions_and_sizes_are_refused(value: object) -> None:
    with pytest.raises(CodecError):
        decode_exchanged(encode(value))


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_codec_errors(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode_exchanged(b"\xc1" + data)


@given(st.sampled_from(MESSAGES), st.data())
def test_truncated_messages_are_refused(message: Exchanged, data: st.DataObject) -> None:
    encoded = encode_exchanged(message)
    with pytest.raises(CodecError):
        decode_exchanged(encoded[: data.draw(st.integers(0, len(encoded) - 1))])
