"""Topics, classes and sizes: every message has one topic, and no topic takes another's messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import (
    BLOCK_BYTES_MAX,
    Block,
    Blocks,
    BlocksRequest,
    Certificates,
    CertificatesRequest,
    Digest,
    Epoch,
    Height,
    InvalidMessage,
    Message,
    PeerError,
    Proposal,
    Round,
    Signature,
    Status,
    ValidatorIndex,
    root_certificate,
)
from node import wire
from node.condition import CONDITION_BYTES_MAX, Condition
from node.pool.messages import (
    DIGESTS_MAX,
    Acknowledge,
    Attest,
    BatchesUnavailable,
    Fed,
    FetchBatches,
    FetchedBatch,
    Follow,
    PoolMessage,
    PushBatch,
    SyncRequest,
    SyncResponse,
)
from node.wire import Code
from p2p import Priority

NAME = Digest(b"d" * 32)
POOL: list[tuple[PoolMessage, Code]] = [
    (PushBatch(b"batch"), Code.BATCHES),
    (FetchedBatch(b"batch"), Code.BATCHES),
    (Acknowledge((NAME,)), Code.DATA),
    (Attest((NAME,)), Code.ATTESTATIONS),
    (FetchBatches((NAME,)), Code.DATA),
    (BatchesUnavailable((NAME,)), Code.DATA),
    (SyncRequest(Height(1), 2, 3), Code.DATA),
    (SyncResponse(Height(1), (), (), None), Code.SYNC),
    (Follow(Epoch(1), Height(2), True), Code.DATA),
    (Fed(None), Code.DATA),
]


def proposal() -> Proposal:
    """Any block."""
    block = Block.make(
        cluster_id=bytes(32),
        epoch=Epoch(0),
        round=Round(1),
        qc=root_certificate(Epoch(0), NAME),
        tc=None,
        certified=None,
        payload=b"",
        author=ValidatorIndex(0),
        time_ms=1,
    )
    return Proposal(block, Signature(bytes(64)))


AGREEMENT: list[tuple[Message, Code]] = [
    (proposal(), Code.AGREEMENT),
    (Status(Epoch(0), Round(1), Round(0), Round(0), Height(0), Height(0)), Code.AGREEMENT),
    (CertificatesRequest(Round(1)), Code.AGREEMENT),
    (Certificates(None, None, None), Code.AGREEMENT),
    (BlocksRequest(NAME, 1), Code.AGREEMENT),
    (Blocks((proposal(),)), Code.BLOCKS),
]


@pytest.mark.parametrize(("message", "topic"), POOL, ids=lambda item: type(item).__name__)
def test_every_data_plane_message_comes_back_from_its_topic_only(message: PoolMessage, topic: Code) -> None:
    sent, body = wire.frame_of_pool(message)
    assert sent is topic
    assert wire.pool_message(topic, body) == message
    for other in Code:
        if other is not topic:
            with pytest.raises(InvalidMessage) as caught:
                wire.pool_message(other, body)
            assert caught.value.code == "topic"
            assert type(message).__name__ in caught.value.detail


@pytest.mark.parametrize(("message", "topic"), AGREEMENT, ids=lambda item: type(item).__name__)
def test_every_agreement_message_comes_back_from_its_topic_only(message: Message, topic: Code) -> None:
    sent, body = wire.frame_of_agreement(message)
    assert sent is topic
    assert wire.agreement_message(topic, body) == message
    other = Code.AGREEMENT if topic is Code.BLOCKS else Code.BLOCKS
    with pytest.raises(InvalidMessage):
        wire.agreement_message(other, body)


@given(st.sampled_from(list(Code)), st.binary(max_size=200))
def test_garbage_raises_nothing_but_peer_errors(topic: Code, body: bytes) -> None:
    for read in (wire.agreement_message, wire.pool_message):
        with pytest.raises(PeerError):
            read(topic, b"\xc1" + body)
    with pytest.raises(PeerError):
        wire.condition_message(b"\xc1" + body)


def test_a_condition_comes_back_from_its_topic_and_is_no_other_message() -> None:
    condition = Condition(2**40, False, 10, 3, 2, 1, False, False, 9)
    topic, body = wire.frame_of_condition(condition)
    assert topic is Code.CONDITION
    assert wire.condition_message(body) == condition
    for other in Code:
        with pytest.raises(PeerError):
            wire.pool_message(other, body)


def test_what_agreement_waits_for_is_urgent_and_bodies_never_are() -> None:
    priorities = {topic.code: topic.priority for topic in wire.TOPICS}
    assert priorities[Code.AGREEMENT] is Priority.URGENT
    assert priorities[Code.DATA] is Priority.URGENT
    assert priorities[Code.BATCHES] is Priority.BULK
    assert priorities[Code.SYNC] is Priority.BULK


def test_topics_are_listed_once_each_with_their_code_and_whether_they_are_gossip() -> None:
    assert [topic.code for topic in wire.TOPICS] == list(Code)
    assert len({topic.name for topic in wire.TOPICS}) == len(Code)
    assert {topic.code for topic in wire.TOPICS if topic.gossip} == {
        Code.EVIDENCE,
        Code.TRANSACTIONS,
    }


def test_codes_on_the_wire_never_change() -> None:
    assert {code.name: int(code) for code in Code} == {
        "AGREEMENT": 1,
        "BLOCKS": 2,
        "DATA": 3,
        "BATCHES": 4,
        "SYNC": 5,
        "ATTESTATIONS": 6,
        "CONDITION": 7,
        "EVIDENCE": 21,
        "TRANSACTIONS": 22,
        "FEDERATION": 30,
    }


def test_nothing_is_told_to_software_that_does_not_know_it() -> None:
    since = {topic.code: topic.since for topic in wire.TOPICS if topic.since}
    assert since == {Code.ATTESTATIONS: 4, Code.CONDITION: 5}
    assert all(wire.PROTOCOL_OLDEST < first <= wire.PROTOCOL_VERSION for first in since.values())


def test_the_largest_message_of_each_class_fits_its_topic() -> None:
    limits = {topic.code: topic.max_bytes for topic in wire.TOPICS}
    assert limits[Code.AGREEMENT] > BLOCK_BYTES_MAX
    _, acknowledgement = wire.frame_of_pool(Acknowledge((NAME,) * DIGESTS_MAX))
    assert len(acknowledgement) <= limits[Code.DATA]
    _, attestation = wire.frame_of_pool(Attest((NAME,) * DIGESTS_MAX))
    assert len(attestation) <= limits[Code.ATTESTATIONS]
    assert limits[Code.CONDITION] == CONDITION_BYTES_MAX
    _, batch = wire.frame_of_pool(PushBatch(bytes(4 * 1024 * 1024 + 64 * 1024)))
    assert len(batch) <= limits[Code.BATCHES]
