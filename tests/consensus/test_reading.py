"""The short way of reading votes and header signatures accepts what the long way does, and nothing else."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import (
    HeaderSignature,
    MalformedMessage,
    Message,
    Round,
    ValidatorIndex,
    Vote,
    decode_message,
    encode_message,
    reading,
)
from consensus.messages import decode_whole
from tests.consensus.forge import block, chain, header, vote

FIRST, SECOND = chain(2)
BALLOTS: tuple[Vote | HeaderSignature, ...] = (vote(SECOND, 2), vote(block(1), 0), header(7, 1, FIRST.id, 9))
TAIL_BYTES = 67
LARGEST = 2**63 - 1


def read_both_ways(data: bytes) -> Message | str:
    """What both ways make of these bytes, be it an error's words."""
    answers: list[Message | str] = []
    for way in (decode_message, decode_whole):
        try:
            answers.append(way(data))
        except MalformedMessage as error:
            answers.append(str(error))
    assert answers[0] == answers[1]
    return answers[0]


@pytest.mark.parametrize("ballot", BALLOTS)
def test_everybodys_message_of_one_content_is_read_as_it_was_sent(ballot: Vote | HeaderSignature) -> None:
    for author in range(130):  # from 128 on it takes two bytes
        sent = replace(ballot, author=ValidatorIndex(author), signature=bytes((author,)) * 64)
        assert read_both_ways(encode_message(sent)) == sent


def test_who_says_the_same_shares_one_content() -> None:
    votes = [decode_message(encode_message(vote(SECOND, author))) for author in range(4)]
    assert isinstance(votes[0], Vote)
    for other in votes[1:]:
        assert isinstance(other, Vote)
        assert other.block_id is votes[0].block_id
        assert other.commit_id is votes[0].commit_id


@pytest.mark.parametrize("ballot", BALLOTS)
@pytest.mark.parametrize(
    ("end", "start"),
    [
        (b"\xcc", b"\x00"),  # one byte in a form of two
        (b"\xcd\x01", b"\x00"),  # the last byte of 256, where author 0 would stand
        (b"\xcd\x01", b"\x7f"),
        (b"\xd0", b"\x05"),  # signed
        (b"", b"\xc0"),
        (b"", b"\xff"),  # minus one
        (b"\xc4\x43", b"\x00"),  # a byte string that holds the rest
        (b"\x92", b"\x00"),  # an array of the rest
        (b"\x91", b"\x00"),
        (b"\x00", b"\x00"),  # one field more
        (b"\xa1", b"\x00"),
    ],
)
def test_bytes_made_to_look_like_an_author_are_read_as_what_they_are(
    ballot: Vote | HeaderSignature, end: bytes, start: bytes
) -> None:
    encoded = encode_message(ballot)
    content, signature = encoded[:-TAIL_BYTES], encoded[-TAIL_BYTES + 1 :]
    for damaged in (content + end, content[: -len(end)] + end if end else content):
        read_both_ways(damaged + start + signature)
        read_both_ways(damaged + b"\x00" + signature)


def test_an_author_of_two_bytes_whose_content_is_known_is_no_other_author() -> None:
    whole = encode_message(replace(vote(SECOND, 1), author=ValidatorIndex(256)))
    assert whole[-TAIL_BYTES - 2 : -TAIL_BYTES + 1] == b"\xcd\x01\x00"
    assert isinstance(read_both_ways(whole), Vote)
    read = read_both_ways(whole[:-TAIL_BYTES] + b"\x07" + whole[-TAIL_BYTES + 1 :])
    assert isinstance(read, Vote)
    assert read.author == 256 + 7


@pytest.mark.parametrize("ballot", BALLOTS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_byte_is_changed_both_ways_agree(
    ballot: Vote | HeaderSignature, data: st.DataObject
) -> None:
    encoded = bytearray(encode_message(ballot))
    read_both_ways(bytes(encoded))  # the content is known from here on
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    read_both_ways(bytes(encoded))
    cut = data.draw(st.integers(0, len(encoded)))
    read_both_ways(bytes(encoded[:cut]))
    read_both_ways(bytes(encoded[:cut]) + data.draw(st.binary(max_size=4)) + bytes(encoded[cut:]))


def test_the_largest_vote_takes_the_short_way_too() -> None:
    largest = replace(vote(SECOND, 3), epoch=LARGEST, round=LARGEST, parent_round=LARGEST)
    before = reading._read_content.cache_info().hits
    for _ in range(3):
        assert read_both_ways(encode_message(largest)) == largest
    assert reading._read_content.cache_info().hits >= before + 2


def test_a_liar_that_makes_up_contents_fills_nothing() -> None:
    for number in range(2 * reading.CONTENTS_KEPT):
        decode_message(encode_message(replace(vote(SECOND, 3), round=Round(number + 1))))
    assert reading._read_content.cache_info().currsize <= reading.CONTENTS_KEPT
