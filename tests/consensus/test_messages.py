"""Golden vectors of everything that is signed or sent, and what the door refuses."""

import json
from dataclasses import replace
from pathlib import Path

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import (
    VALIDATORS_MAX,
    Block,
    Blocks,
    BlocksRequest,
    Certificates,
    CertificatesRequest,
    CodecError,
    Digest,
    Epoch,
    Evidence,
    Height,
    MalformedMessage,
    Message,
    ProposalClaim,
    Round,
    SafetyRecord,
    Status,
    TimeoutCertificate,
    decode_message,
    encode,
    encode_message,
)
from tests.consensus.cluster import CLUSTER_ID
from tests.consensus.forge import (
    VALIDATORS,
    block,
    certify,
    chain,
    give_up,
    header,
    header_certificate,
    propose,
    rules,
    timeout,
    vote,
)

VECTORS = Path(__file__).parent.parent / "vectors" / "consensus.json"
FIRST, SECOND = chain(2)
LATE = block(5, certify(FIRST), give_up(4, (1, 0, 1)), b"late", header_certificate(1, FIRST.id))
MESSAGES: dict[str, Message] = {
    "proposal": propose(SECOND),
    "proposal_with_tc_and_header": propose(LATE),
    "vote": vote(SECOND, 2),
    "vote_without_commit": vote(LATE, 2),
    "timeout": timeout(2, 3, certify(FIRST)),
    "timeout_with_tc": timeout(4, 3, certify(FIRST), give_up(3, (1, 1, 0))),
    "header_signature": header(7, 1, FIRST.id, 9),
    "status": Status(Epoch(0), Round(9), Round(8), Round(7), Height(6), Height(5)),
    "certificates_request": CertificatesRequest(Round(3)),
    "certificates": Certificates(certify(FIRST), give_up(2), header_certificate(1, FIRST.id)),
    "certificates_empty": Certificates(None, None, None),
    "blocks_request": BlocksRequest(FIRST.id, 64),
    "blocks": Blocks((propose(SECOND), propose(FIRST))),
}


def vectors() -> dict[str, str]:
    made = {f"message/{name}": encode_message(message).hex() for name, message in MESSAGES.items()}
    twin = block(1, payload=b"twin")
    evidence = Evidence.of(VALIDATORS, ProposalClaim.of(propose(FIRST)), ProposalClaim.of(propose(twin)))
    assert evidence is not None
    safety = rules(2)
    safety.sign_vote(FIRST)
    made |= {
        "digest/proposal": propose(FIRST).digest().hex(),
        "digest/vote": vote(FIRST, 0).digest(CLUSTER_ID).hex(),
        "digest/vote_without_commit": vote(LATE, 0).digest(CLUSTER_ID).hex(),
        "digest/timeout": timeout(1, 0).digest(CLUSTER_ID).hex(),
        "digest/header": header(7, 1, FIRST.id, 9).digest(CLUSTER_ID).hex(),
        "id/block": FIRST.id.hex(),
        "id/evidence": evidence.id.hex(),
        "record/evidence": evidence.encode().hex(),
        "record/safety": encode(safety.record.to_value()).hex(),
        "record/guard": encode(safety.guard.to_value()).hex(),
    }
    return made


def test_the_golden_vectors_hold(rewrite: bool) -> None:
    """A change here changes what every running cluster signs, stores or sends."""
    if rewrite:
        VECTORS.write_text(json.dumps(vectors(), indent=1) + "\n")
    assert json.loads(VECTORS.read_text()) == vectors()


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_survive_their_encoding(name: str) -> None:
    assert decode_message(encode_message(MESSAGES[name])) == MESSAGES[name]


@pytest.mark.parametrize("name", MESSAGES)
def test_cut_and_trailing_bytes_are_refused(name: str) -> None:
    data = encode_message(MESSAGES[name])
    for damaged in (data[:-1], data + b"\0", data[1:], b""):
        with pytest.raises(MalformedMessage):
            decode_message(damaged)


@pytest.mark.parametrize("name", MESSAGES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_never_decodes_to_the_same_message(name: str, data: st.DataObject) -> None:
    encoded = bytearray(encode_message(MESSAGES[name]))
    position = data.draw(st.integers(0, len(encoded) * 8 - 1))
    encoded[position // 8] ^= 1 << position % 8
    try:
        decoded = decode_message(bytes(encoded))
    except MalformedMessage:
        return
    assert decoded != MESSAGES[name]
    assert encode_message(decoded) == bytes(encoded)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_canonical(data: bytes) -> None:
    try:
        message = decode_message(data)
    except MalformedMessage:
        return
    assert encode_message(message) == data


def nested(depth: int) -> list[object]:
    return [] if depth == 0 else [nested(depth - 1)]


BAD = {
    "an unknown kind": [99],
    "no kind": [],
    "not an array": 7,
    "a kind that is text": ["vote"],
    "a field too few": [6],
    "a field too many": [6, 1, 1],
    "a negative round": [6, -1],
    "round zero": [6, 0],
    "a boolean round": [6, True],
    "a float round": [6, 1.5],
    "a round beyond 63 bits": [6, 2**63],
    "a map": {1: 2},
    "a nested map": [6, {1: 1}],
    "a short digest": [8, b"x" * 31, 1],
    "text for bytes": [8, "x" * 32, 1],
    "no block wanted": [8, b"x" * 32, 0],
    "too many blocks wanted": [8, b"x" * 32, 65],
    "no blocks": [9, []],
    "too many blocks": [9, [[b"", b""]] * 65],
    "deep nesting": [9, nested(20)],
}


@pytest.mark.parametrize("what", BAD)
def test_the_door_refuses(what: str) -> None:
    with pytest.raises(MalformedMessage):
        decode_message(msgpack.packb(BAD[what], use_bin_type=True))


def test_non_minimal_integers_are_refused() -> None:
    assert decode_message(b"\x92\x06\x05") == CertificatesRequest(Round(5))
    for wide in (b"\x92\x06\xcc\x05", b"\x92\x06\xcd\x00\x05", b"\xdc\x00\x02\x06\x05"):
        with pytest.raises(MalformedMessage, match="canonical"):
            decode_message(wide)


def test_a_block_of_another_version_is_refused() -> None:
    data = bytearray(FIRST.encoded)
    assert data[1] == 2
    data[1] = 1
    with pytest.raises(CodecError, match="version"):
        Block.decode(bytes(data))


def test_a_record_of_another_version_is_refused() -> None:
    value = list(SafetyRecord.initial(Epoch(0), 0, Height(0)).to_value())
    value[0] = 2
    with pytest.raises(CodecError):
        SafetyRecord.from_value(tuple(value))


def test_the_id_of_a_block_covers_its_certificates() -> None:  # C21
    """Other signers of the same QC, another TC, another header certificate: another block."""
    base = block(5, certify(FIRST), give_up(4, (1, 0, 1)), b"late", header_certificate(1, FIRST.id))
    others = (
        block(5, certify(FIRST, (1, 2, 3)), give_up(4, (1, 0, 1)), b"late", header_certificate(1, FIRST.id)),
        block(5, certify(FIRST), give_up(4, (1, 1, 1)), b"late", header_certificate(1, FIRST.id)),
        block(5, certify(FIRST), give_up(4, (1, 0, 1)), b"late", None),
    )
    ids: list[Digest] = [base.id, *(other.id for other in others)]
    assert len({bytes(i) for i in ids}) == 4


def test_megabytes_of_nothing_are_refused_without_looking_at_each_item() -> None:
    """One byte of such a message costs its sender a nanosecond and a naive reader hundreds."""
    count = 4_000_000
    with pytest.raises(MalformedMessage, match="too many items"):
        decode_message(b"\xdd" + count.to_bytes(4, "big") + b"\xc0" * count)


def test_the_message_with_the_most_items_is_not_too_long() -> None:
    signers, joined = b"\xff" * 16, bytes(64 * VALIDATORS_MAX)
    qc = replace(certify(FIRST), signers=signers, signatures=joined)
    tc = TimeoutCertificate(Epoch(0), Round(9), signers, (Round(3),) * VALIDATORS_MAX, joined)
    for message in (replace(timeout(10, 1, qc), tc=tc), Certificates(qc, tc, None)):
        assert decode_message(encode_message(message)) == message
