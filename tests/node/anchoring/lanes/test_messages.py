"""Messages and acknowledgements: golden encodings, damages by name, and nothing but what was written."""

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import CodecError, decode
from node.anchoring.lanes.courier import BundleRequest, Offer
from node.anchoring.lanes.inbound import InboundBundle
from node.anchoring.lanes.messages import (
    LEAF_BYTES_MAX,
    SEQUENCE_MAX,
    WINDOW,
    Acknowledgement,
    Lane,
    Message,
    Mode,
    Result,
    decode_leaf,
    message_hash,
)
from tests.node.anchoring.lanes import vectors as lane_vectors
from tests.node.anchoring.lanes.vectors import DESTINATION, SOURCE, known_leaves, lane, message, refusal
from tests.node.proofs.vector_files import load

KNOWN = load("lanes_known")
DAMAGED = load("lanes_damaged")


@pytest.mark.parametrize("case", KNOWN["leaves"], ids=lambda case: case["name"])
def test_a_known_leaf_is_made_and_read_byte_for_byte(case: dict[str, Any]) -> None:
    made = known_leaves()[case["name"]]
    data = bytes.fromhex(case["encoded"])
    assert made.encoded == data
    assert decode_leaf(data) == made
    if isinstance(made, Message):
        tag = b"isthmus/message/v1"
        by_hand = sha256(bytes((len(tag),)) + tag + data).hexdigest()
        assert made.hash.hex() == message_hash(data).hex() == case["message_hash"] == by_hand


@pytest.mark.parametrize("case", DAMAGED, ids=lambda case: f"{case['kind']}-{case['name']}")
def test_a_damaged_object_is_refused_in_words(case: dict[str, str]) -> None:
    assert refusal(case["kind"], bytes.fromhex(case["encoded"])) == case["refused"]


def test_the_undamaged_objects_are_not_refused_by_the_same_readers() -> None:
    assert refusal("leaf", bytes.fromhex(KNOWN["leaves"][0]["encoded"])) is None
    (proof,) = (
        case["proof"]
        for case in KNOWN["outbox"]["proofs"]
        if case["destination"] == DESTINATION.hex() and case["index"] == 5
    )
    assert refusal("outbox-proof", bytes.fromhex(proof)) is None
    for kind, name in (
        ("inbound-bundle", "inbound_bundle"),
        ("bundle-request", "bundle_request"),
        ("offer", "offer"),
    ):
        assert refusal(kind, bytes.fromhex(KNOWN[name])) is None


def test_what_couriers_exchange_is_made_byte_for_byte() -> None:
    assert lane_vectors.bundle()[0].encode().hex() == KNOWN["inbound_bundle"]
    assert InboundBundle.decode(bytes.fromhex(KNOWN["inbound_bundle"])) == lane_vectors.bundle()[0]
    assert lane_vectors.request().encode().hex() == KNOWN["bundle_request"]
    assert BundleRequest.decode(bytes.fromhex(KNOWN["bundle_request"])) == lane_vectors.request()
    assert Offer.decode(bytes.fromhex(KNOWN["offer"])) == Offer(1, 77, 12)


def test_a_message_and_its_answer_are_small_and_the_largest_fit_the_bound() -> None:
    leaves = known_leaves()
    assert len(leaves["message-first"].encoded) == 108
    assert len(leaves["acknowledgement-ok"].encoded) == 125
    assert max(len(leaf.encoded) for leaf in leaves.values()) == 16_562 < LEAF_BYTES_MAX


lanes = st.builds(
    Lane, st.just(SOURCE), st.just(DESTINATION), st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True),
    st.sampled_from(Mode),
)  # fmt: skip
numbers = st.integers(0, 2**63 - 1)


@given(lanes, st.integers(1, SEQUENCE_MAX), numbers, st.integers(1, WINDOW), numbers, st.binary(max_size=64))
def test_every_message_is_read_back(
    lane: Lane, sequence: int, deadline_ms: int, distance: int, incarnation: int, payload: bytes
) -> None:
    made = Message.make(
        lane,
        sequence=sequence,
        deadline_ms=deadline_ms,
        acked_floor=max(0, sequence - distance),
        incarnation=incarnation,
        payload=payload,
    )
    assert Message.decode(made.encoded) == made
    assert (made.lane, made.sequence, made.payload) == (lane, sequence, payload)


@given(st.binary(max_size=300))
def test_no_bytes_are_read_as_a_leaf_unless_they_are_its_encoding(data: bytes) -> None:
    try:
        leaf = decode_leaf(data)
    except CodecError:
        return
    assert leaf.encoded == data


@given(st.sampled_from(sorted(known_leaves())), st.data())
def test_a_changed_byte_is_refused_or_is_another_leaf(name: str, data: st.DataObject) -> None:
    leaf = known_leaves()[name]
    place = data.draw(st.integers(0, min(len(leaf.encoded), 400) - 1))
    changed = bytearray(leaf.encoded)
    changed[place] ^= data.draw(st.integers(1, 255))
    try:
        read = decode_leaf(bytes(changed))
    except CodecError:
        return
    assert read != leaf
    if isinstance(read, Message) and isinstance(leaf, Message):
        assert read.hash != leaf.hash


def test_a_message_is_no_acknowledgement_and_the_other_way_round() -> None:
    leaves = known_leaves()
    with pytest.raises(CodecError, match="no acknowledgement"):
        Acknowledgement.decode(leaves["message-first"].encoded)
    with pytest.raises(CodecError, match="no message"):
        Message.decode(leaves["acknowledgement-ok"].encoded)


def test_an_acknowledgement_binds_the_whole_message() -> None:
    sent = message(4, b"payload")
    answer = Acknowledgement.make(sent, Result.OK, b"")
    assert answer.message_hash == sent.hash
    for changed in ({"deadline_ms": 7}, {"incarnation": 1}, {"acked_floor": 0}):
        assert message(4, b"payload", **changed).hash != sent.hash


@pytest.mark.parametrize(
    ("source", "destination", "port"),
    [
        (SOURCE, SOURCE, "records"),
        (SOURCE[:31], DESTINATION, "records"),
        (SOURCE, DESTINATION + b"x", "records"),
        (SOURCE, DESTINATION, ""),
        (SOURCE, DESTINATION, "-leading"),
        (SOURCE, DESTINATION, "records\n"),
        (SOURCE, DESTINATION, "p" * 65),
    ],
)
def test_a_lane_that_leads_nowhere_is_refused(source: bytes, destination: bytes, port: str) -> None:
    with pytest.raises(ValueError, match=r"cluster|port"):
        Lane(source, destination, port, Mode.ORDERED)


def test_a_lane_is_shown_in_a_few_characters() -> None:
    assert str(lane()) == f"{SOURCE.hex()[:8]}>{DESTINATION.hex()[:8]}/records/ordered"


def test_a_leaf_is_an_array_of_plain_fields_that_anybody_can_read() -> None:
    sent = known_leaves()["message-first"]
    assert decode(sent.encoded) == (
        1, 1, (SOURCE, DESTINATION, "records", 1), 1, lane_vectors.DEADLINE_MS, 0, 0, b"share files/a",
    )  # fmt: skip
