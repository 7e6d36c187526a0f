"""Frames: any cutting of the stream gives the same messages, and every limit holds at the header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.errors import MalformedFrame
from p2p.frames import CHUNK_BYTES, Frame, FrameParser, FrameRule, encode, encode_header

RULES = {
    1: FrameRule("votes", 1_000, 0),
    2: FrameRule("status", 5_000, 1),
    3: FrameRule("batches", 3 * CHUNK_BYTES, 2),
    4: FrameRule("more batches", 3 * CHUNK_BYTES, 2),
}
MORE = 0x8000_0000

messages = st.lists(
    st.one_of(
        st.tuples(st.sampled_from([1, 2, 3]), st.binary(min_size=1, max_size=200)),
        st.tuples(st.just(2), st.binary(min_size=4_000, max_size=5_000)),
    ),
    max_size=8,
)


@given(messages, st.lists(st.integers(1, 3_000), min_size=1, max_size=20))
def test_any_cutting_of_the_stream_gives_the_same_messages(
    sent: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(frame for topic, body in sent for frame in encode(topic, body))
    parser = FrameParser(RULES)
    received: list[Frame] = []
    position = turn = 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        received += parser.feed(stream[position : position + size])
        position, turn = position + size, turn + 1
    assert received == sent
    assert parser.buffered_bytes == 0


def test_byte_by_byte_is_the_same_and_costs_no_object_a_byte() -> None:
    body = bytes(range(250)) * 4
    parser = FrameParser(RULES)
    stream = encode(1, body)[0]
    frames = [frame for value in stream for frame in parser.feed(bytes([value]))]
    assert frames == [Frame(1, body)]


def test_a_large_message_travels_in_chunks_and_urgent_ones_pass_between_them() -> None:
    large = bytes(range(256)) * (2 * CHUNK_BYTES // 256) + b"end"
    first, second, third = encode(3, large)
    urgent = encode(1, b"vote")[0]
    parser = FrameParser(RULES)
    assert parser.feed(first + urgent + second[:100]) == [Frame(1, b"vote")]
    assert parser.feed(second[100:] + urgent) == [Frame(1, b"vote")]
    assert parser.buffered_bytes == 2 * CHUNK_BYTES
    assert parser.feed(third) == [Frame(3, large)]
    assert parser.buffered_bytes == 0


def test_a_message_of_exactly_one_chunk_is_one_frame() -> None:
    assert len(encode(3, b"x" * CHUNK_BYTES)) == 1
    assert len(encode(3, b"x" * (CHUNK_BYTES + 1))) == 2


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (encode_header(0, 1), "empty frame"),
        (encode_header(1, 1), "empty frame"),
        (encode_header(MORE, 1), "empty frame"),
        (encode_header(5, 9), "unknown topic 9"),
        (encode_header(1_002, 1), "1001 bytes on votes, the limit is 1000"),
        (encode_header(0x7FFF_FFFF, 2), "the limit is 5000"),
        (b"GET / HTTP/1.1\r\n", "unknown topic|bytes on"),
    ],
)
def test_a_bad_header_is_refused_before_any_payload_is_buffered(data: bytes, words: str) -> None:
    parser = FrameParser(RULES)
    with pytest.raises(MalformedFrame, match=words):
        parser.feed(data)
    assert parser.buffered_bytes == 0


def test_the_limit_holds_over_all_chunks_of_a_message() -> None:
    parser = FrameParser(RULES)
    chunk = encode_header(601 | MORE, 1) + b"x" * 600
    parser.feed(chunk)
    with pytest.raises(MalformedFrame, match="1200 bytes on votes"):
        parser.feed(chunk[:5])


def test_a_second_message_of_a_lane_inside_an_unfinished_one_is_refused() -> None:
    parser = FrameParser(RULES)
    parser.feed(encode_header(11 | MORE, 3) + b"x" * 10)
    with pytest.raises(MalformedFrame, match="inside an unfinished one"):
        parser.feed(encode_header(11, 4))


def test_endless_tiny_chunks_stay_within_the_limit() -> None:
    parser = FrameParser(RULES)
    tiny = encode_header(2 | MORE, 1) + b"x"
    for _ in range(1_000):
        parser.feed(tiny)
    assert parser.buffered_bytes == 1_000
    with pytest.raises(MalformedFrame):
        parser.feed(tiny)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_give_frames_or_a_typed_error(data: bytes) -> None:
    parser = FrameParser(RULES)
    try:
        for frame in parser.feed(data):
            assert 1 <= len(frame.body) <= RULES[frame.topic].max_bytes
    except MalformedFrame:
        return
    assert parser.buffered_bytes <= len(data)
