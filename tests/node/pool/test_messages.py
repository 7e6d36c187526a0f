"""What data planes say to each other: one encoding, bounded, strict."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import Digest, Epoch, HeaderCertificate, Height, MalformedMessage, encode
from node.pool.messages import (
    Acknowledge,
    Attest,
    BatchesUnavailable,
    Fed,
    FetchBatches,
    FetchedBatch,
    Follow,
    PoolMessage,
    PushBatch,
    SyncItem,
    SyncRequest,
    SyncResponse,
    decode_message,
    encode_message,
)

NAME = Digest(b"n" * 32)
CERTIFICATE = HeaderCertificate(0, Epoch(0), Height(3), NAME, NAME, b"\x07", bytes(192))
MESSAGES: list[tuple[PoolMessage, str]] = [
    (PushBatch(b"batch"), "9201c4056261746368"),
    (Acknowledge((NAME,)), "920291c420" + "6e" * 32),
    (Attest((NAME,)), "920a91c420" + "6e" * 32),
    (FetchBatches((NAME,)), "920391c420" + "6e" * 32),
    (FetchedBatch(b"batch"), "9204c4056261746368"),
    (BatchesUnavailable((NAME,)), "920591c420" + "6e" * 32),
    (SyncRequest(Height(3), 4, 5), "9406030405"),
    (
        SyncResponse(Height(3), (SyncItem(b"h", b"p", (b"b",)),), (b"l",), None),
        "9507039193c40168c4017091c4016291c4016cc0",
    ),
    (SyncResponse(Height(1), (), (), None), "9507019090c0"),
    (Follow(Epoch(1), Height(2), True), "9408010201"),
    (Follow(Epoch(0), Height(0), False), "9408000000"),
    (Fed(3), "920903"),
    (Fed(None), "9209c0"),
]


@pytest.mark.parametrize(("message", "pinned"), MESSAGES)
def test_every_message_round_trips_in_its_pinned_encoding(message: PoolMessage, pinned: str) -> None:
    assert encode_message(message).hex() == pinned
    assert decode_message(bytes.fromhex(pinned)) == message


def test_a_response_carries_its_certificate() -> None:
    response = SyncResponse(Height(3), (), (), CERTIFICATE)
    assert decode_message(encode_message(response)) == response


@pytest.mark.parametrize(
    "value",
    [
        (),
        7,
        (0,),
        (10, b""),
        (10, ()),
        (10, (NAME,) * 4097),
        (11, b""),
        (8, 0, 0, 2),
        (8, 0, -1, 1),
        (9, 256),
        (9,),
        ("1", b""),
        (1,),
        (1, b"", b""),
        (1, 5),
        (2, ()),
        (2, (NAME[1:],)),
        (2, (NAME,) * 4097),
        (3, (NAME,) * 17),
        (5, NAME),
        (6, 0, 1, 1),
        (6, 1, 0, 1),
        (6, 1, 1025, 1),
        (6, 1, 1, 2**40),
        (7, 1, ((b"h", b"p"),), (), None),
        (7, 1, ((bytes(1025), b"p", ()),), (), None),
        (7, 1, (), (1,), None),
        (7, 1, (), (), ()),
    ],
)
def test_a_malformed_message_is_its_senders_fault(value: object) -> None:
    with pytest.raises(MalformedMessage):
        decode_message(encode(value))


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        message = decode_message(data)
    except MalformedMessage:
        return
    assert encode_message(message) == data
