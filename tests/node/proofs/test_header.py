"""The certified object: strict, small, and every field counts."""

import pytest

from consensus import CodecError, digest, encode
from node.proofs.header import EMPTY_LIST_ROOT, EMPTY_MAP_ROOT, HEADER_VERSION, NO_PARENT, Header

H = [bytes([number]) * 32 for number in range(16)]
VALUE = (1, 0, H[0], 70_000, 5_000_000_000, *H[1:3], 1_700_000_000_000, *H[3:10], None)


def test_a_header_is_its_bytes() -> None:
    header = Header.make(
        incarnation=0,
        cluster_id=H[0],
        epoch=70_000,
        height=5_000_000_000,
        parent_hash=H[1],
        block_id=H[2],
        time_ms=1_700_000_000_000,
        tx_root=H[3],
        receipt_root=H[4],
        state_root=H[5],
        outbox_root=H[6],
        history_root=H[7],
        anchors_root=H[8],
        validators_hash=H[9],
    )
    assert header.encoded == encode(VALUE)
    assert header.hash == digest("isthmus/header/v1", header.encoded)
    assert Header.decode(header.encoded) == header
    assert hash(Header.decode(header.encoded)) == hash(header)


def test_sizes_are_those_the_federation_counts_on() -> None:
    """F1 counts with 364 bytes, and 396 at an epoch's end, for heights and epochs of many years."""
    assert len(encode((*VALUE[:3], 65_535, 2**32 - 1, *VALUE[5:]))) == 363
    assert len(encode((*VALUE[:3], 65_535, 2**32 - 1, *VALUE[5:-1], H[10]))) == 396
    assert len(encode((*VALUE[:3], 127, 5_000_000_000, *VALUE[5:]))) == 365


@pytest.mark.parametrize("position", range(1, 16))
def test_every_field_changes_the_hash(position: int) -> None:
    value = VALUE[position]
    other = H[15] if value is None or type(value) is bytes else int(value) + 1
    changed = Header.decode(encode((*VALUE[:position], other, *VALUE[position + 1 :])))
    assert changed.hash != Header.decode(encode(VALUE)).hash


@pytest.mark.parametrize(
    "value",
    [
        VALUE[:-1],
        (*VALUE, None),
        (HEADER_VERSION + 1, *VALUE[1:]),
        *[(*VALUE[:i], bytes(31), *VALUE[i + 1 :]) for i in range(1, 16)],
        *[(*VALUE[:i], -1, *VALUE[i + 1 :]) for i in (1, 3, 4, 7)],
        *[(*VALUE[:i], None, *VALUE[i + 1 :]) for i in range(15)],
        7,
    ],
)
def test_any_other_shape_is_refused(value: object) -> None:
    with pytest.raises(CodecError):
        Header.decode(encode(value))


def test_bytes_around_or_inside_are_refused() -> None:
    good = encode(VALUE)
    for damaged in (good[:-1], good + b"\x00", b"", good + bytes(512), b"\xdd\x00\x00\x00\x10" + good[3:]):
        with pytest.raises(CodecError):
            Header.decode(damaged)


def test_empty_roots_are_the_defined_constants() -> None:
    assert EMPTY_LIST_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert EMPTY_MAP_ROOT == NO_PARENT == bytes(32)
