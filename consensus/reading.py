"""Bytes become messages, by a short way for the two kinds that everybody sends everybody.

The votes of a block, and the signatures of a header, differ in their last bytes alone: who signed, and the
signature. What stands before those, the content, is read once: of a hundred validators that saves ninety-nine
readings of a hundred, and all who agree share one block id and one digest.

The short way accepts what the long way does and nothing else (`tests/consensus/test_reading.py`). A content
is known when it was read the long way with author 0 and some signature behind it. Author 0 then is the one
byte after the content, and the signature is the rest: so any author of one byte and any other signature of
that length in their places are canonical too. All else, errors included, is left to the long way.
"""

from functools import lru_cache

from consensus.errors import MalformedMessage
from consensus.keys import SIGNATURE_BYTES, Signature
from consensus.messages import HeaderSignature, Message, Vote, decode_whole
from consensus.validators import ValidatorIndex

BALLOTS = frozenset((Vote, HeaderSignature))
"""The two kinds. Of a hundred validators come a hundred of each a round, most of which complete nothing."""
_SIGNATURE_HEADER = bytes((0xC4, SIGNATURE_BYTES))
_SIGNED_BYTES = len(_SIGNATURE_HEADER) + SIGNATURE_BYTES
_TAIL_BYTES = 1 + _SIGNED_BYTES
_BY_AUTHOR_0 = bytes(1) + _SIGNATURE_HEADER + bytes(SIGNATURE_BYTES)
_AUTHOR_MAX = 0x7F
"""The highest integer of one byte; VALIDATORS_MAX is no more than one above it."""
_BYTES_MAX = 208
"""The largest vote has 206 bytes; larger messages are none of the two kinds."""
CONTENTS_KEPT = 256
"""Of some dozens of rounds and heights; a liar that makes up any number only has them read the long way."""


def decode_message(data: bytes) -> Message:
    """The message these bytes encode; raises MalformedMessage (without a peer: the caller knows it)."""
    if (
        _TAIL_BYTES < len(data) <= _BYTES_MAX
        and data[-_TAIL_BYTES] <= _AUTHOR_MAX
        and data[-_SIGNED_BYTES:-SIGNATURE_BYTES] == _SIGNATURE_HEADER
    ):
        like = _read_content(data[:-_TAIL_BYTES])
        if like is not None:
            return _by(like, ValidatorIndex(data[-_TAIL_BYTES]), Signature(data[-SIGNATURE_BYTES:]))
    return decode_whole(data)


@lru_cache(maxsize=CONTENTS_KEPT)
def _read_content(content: bytes) -> Vote | HeaderSignature | None:
    """Author 0's message of this content; None where the short way does not lead."""
    try:
        message = decode_whole(content + _BY_AUTHOR_0)
    except MalformedMessage:
        return None
    return message if isinstance(message, Vote | HeaderSignature) and message.author == 0 else None


def _by(like: Vote | HeaderSignature, author: ValidatorIndex, signature: Signature) -> Message:
    """What `author` says when it says the same."""
    if isinstance(like, Vote):
        parent = like.parent_id, like.parent_round
        return Vote(like.epoch, like.round, like.block_id, *parent, like.commit_id, author, signature)
    header = like.block_id, like.header_hash
    return HeaderSignature(like.incarnation, like.epoch, like.height, *header, author, signature)
