"""The hello: what it carries, and the words when two nodes do not belong together."""

from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.errors import HelloMismatch, MalformedHello, NoCommonVersion, PeerError
from p2p.hello import HELLO_MAX_BYTES, Hello, check, common_version, decode

OURS = Hello(3, 3, bytes.fromhex("cd34" * 16), "node-1", "isthmus/0.1.0", b"instance")


def test_a_hello_survives_the_wire() -> None:
    assert decode(OURS.encode(), "node-1") == OURS


def test_the_longest_hello_fits_its_limit() -> None:
    texts = "\U0001f300" * 200
    hello = Hello(2**32 - 1, 2**32 - 1, bytes(32), texts, texts, bytes(8))
    assert len(hello.encode()) <= HELLO_MAX_BYTES
    check(decode(hello.encode(), "x"), hello, "x")


def test_another_cluster_is_named_with_both_values() -> None:
    theirs = replace(OURS, network_id=bytes.fromhex("ab12" * 16))
    with pytest.raises(HelloMismatch) as caught:
        check(theirs, OURS, "node-2")
    assert str(caught.value) == (
        "node-2: it belongs to another cluster: its genesis is ab12ab12ab12, ours is cd34cd34cd34"
    )


@pytest.mark.parametrize(("version", "advice"), [(2, "upgrade it"), (4, "upgrade this node")])
def test_another_version_is_named_with_both_values_and_who_must_upgrade(version: int, advice: str) -> None:
    theirs = replace(OURS, protocol_version=version, protocol_oldest=version, software="isthmus/9")
    with pytest.raises(NoCommonVersion) as caught:
        check(theirs, OURS, "node-2")
    assert f"it speaks protocol {version} (isthmus/9), we speak 3 (isthmus/0.1.0)" in str(caught.value)
    assert str(caught.value).endswith(advice)


@pytest.mark.parametrize(
    ("theirs", "ours", "common"),
    [((1, 3), (2, 4), 3), ((2, 4), (1, 3), 3), ((3, 3), (1, 9), 3), ((1, 2), (2, 3), 2), ((5, 7), (5, 7), 7)],
)
def test_the_highest_version_that_both_speak_is_used(
    theirs: tuple[int, int], ours: tuple[int, int], common: int
) -> None:
    one = replace(OURS, protocol_oldest=theirs[0], protocol_version=theirs[1])
    other = replace(OURS, protocol_oldest=ours[0], protocol_version=ours[1])
    check(one, other, "node-2")
    assert common_version(one, other) == common_version(other, one) == common


def test_ranges_that_do_not_meet_are_both_named() -> None:
    theirs = replace(OURS, protocol_oldest=4, protocol_version=6, software="isthmus/9")
    ours = replace(OURS, protocol_oldest=2)
    with pytest.raises(NoCommonVersion, match=r"speaks protocol 4 to 6 \(isthmus/9\), we speak 2 to 3"):
        check(theirs, ours, "node-2")
    assert common_version(theirs, ours) is None


def test_what_later_software_adds_to_a_hello_is_passed_over() -> None:
    fields = [*msgpack.unpackb(OURS.encode()), "more", 7]
    assert decode(msgpack.packb(fields), "node-2") == OURS


def test_texts_chosen_by_a_peer_cannot_write_on_the_operators_terminal() -> None:
    hello = replace(OURS, node_name="evil\x1b[2J\nnode", software="x" * 5_000)
    received = decode(hello.encode(), "node-2")
    assert received.node_name == "evil?[2J?node"
    assert len(received.software) == 64


@pytest.mark.parametrize(
    "fields",
    [
        [],
        {"version": 1},
        "hello",
        [2],
        [2, 3, 3, bytes(31), "n", "s", bytes(8)],
        [2, 3, 3, bytes(32), "n", "s", bytes(7)],
        [2, True, 3, bytes(32), "n", "s", bytes(8)],
        [2, 0, True, bytes(32), "n", "s", bytes(8)],
        [2, 4, 3, bytes(32), "n", "s", bytes(8)],
        [2, -1, 3, bytes(32), "n", "s", bytes(8)],
        [2, 3, 2**32, bytes(32), "n", "s", bytes(8)],
        [2, 3, 3, bytes(32), b"n", "s", bytes(8)],
        [2, 3, 3, bytes(32), "n", "s"],
    ],
)
def test_a_hello_of_the_wrong_shape_is_refused(fields: object) -> None:
    with pytest.raises(MalformedHello):
        decode(msgpack.packb(fields), "node-2")


def test_a_hello_of_another_kind_says_which() -> None:
    with pytest.raises(HelloMismatch, match="its hello has version 3, ours has 2"):
        decode(msgpack.packb([3, "whatever follows"]), "node-2")


@given(st.binary(max_size=HELLO_MAX_BYTES))
def test_arbitrary_bytes_are_refused_with_a_typed_error(body: bytes) -> None:
    with pytest.raises(PeerError):
        decode(body, "node-2")


@pytest.mark.parametrize("body", [b"\x91" * 500 + b"\x01", b"\xc1", b"\x93\x01", b"\x91\xa4\xff\xff\xff\xff"])
def test_nested_reserved_cut_and_badly_encoded_hellos_are_refused(body: bytes) -> None:
    with pytest.raises(PeerError):
        decode(body, "node-2")
