"""What one cluster says to another: a message, the one answer it gets, how far a lane is closed, and where
nothing stands on it for that reason.

All are leaves of the sender's outbox log. A `Message` asks its destination to do something before a
deadline on the destination's clock; the `Acknowledgement` is the destination's positive word on what became
of it, a leaf of the reverse outbox, and is never acknowledged itself (F10). Canonical msgpack:

    message          [version, 1, lane, sequence, deadline_ms, acked_floor, incarnation, payload]
    acknowledgement  [version, 2, lane, sequence, H(message), result, answer]
    closing          [version, 3, lane, closed, reopened, [[first, last], ...]]
    gap              [version, 4, lane, first, last]
    lane             [source cluster id, destination cluster id, port, mode]

`H(message) = H("isthmus/message/v1", bytes)`. An acknowledgement carries the lane of its message, whose
destination speaks it. `acked_floor` tells the destination that every sequence up to it has been
acknowledged at the source, so that it may forget those; a message outside the window above its own floor
is malformed. `incarnation` is the source's (F6). A `Closing` is said by the destination after a recovery of
the source that dropped what it had answered and forgotten; a `Gap` by the source that believed one, for
branches of the destination that never said it: see LANES.md, section 4.
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from consensus import (
    CodecError,
    Digest,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_text,
    as_tuple,
    decode,
    digest,
    encode_trusted,
)

MESSAGE_VERSION = 1
CLUSTER_ID_BYTES = 32
PORT_CHARACTERS_MAX = 64
MESSAGE_PAYLOAD_BYTES_MAX = 16 * 1024
ANSWER_BYTES_MAX = 4 * 1024
LEAF_BYTES_MAX = MESSAGE_PAYLOAD_BYTES_MAX + 512
"""No leaf is longer; the fields beside the payload take at most 190 bytes."""
SEQUENCE_MAX = 2**63 - 1
WINDOW = 256
"""Sequences a lane may have above its acked floor (F10); part of version 1, for both sides rely on it."""
GAPS_MAX = 256
"""Gaps of a lane that either side remembers, and a closing tells. Honest clusters make one for each pair of
recoveries, one on either side, and no more are believed."""
_PORT = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_MESSAGE_DOMAIN = "isthmus/message/v1"
_KIND_MESSAGE = 1
_KIND_ACKNOWLEDGEMENT = 2
_KIND_CLOSING = 3
_KIND_GAP = 4
_DEPTH_MAX = 3
_ITEMS_MAX = 16 + 3 * GAPS_MAX


class Mode(IntEnum):
    """Whether a lane delivers strictly by sequence, or each message as it comes."""

    ORDERED = 1
    UNORDERED = 2


Gaps: TypeAlias = tuple[tuple[int, int], ...]
"""First and last sequences of each, ascending."""


class Result(IntEnum):
    """What became of a message; exactly one of these, once."""

    OK = 1
    ERROR = 2
    EXPIRED = 3


@dataclass(frozen=True, slots=True)
class Lane:
    """A one-way street between two clusters; it exists by being used and is never closed.

    Ids are 32 bytes, `port` names the application that handles messages: 1 to 64 characters of a-z, 0-9,
    '.', '_', '-'. Raises ValueError for anything else, and for a lane from a cluster to itself.
    """

    source: bytes
    destination: bytes
    port: str
    mode: Mode

    def __post_init__(self) -> None:
        if len(self.source) != CLUSTER_ID_BYTES or len(self.destination) != CLUSTER_ID_BYTES:
            raise ValueError(f"a cluster id has {CLUSTER_ID_BYTES} bytes")
        if self.source == self.destination:
            raise ValueError("a lane leads to another cluster")
        if _PORT.fullmatch(self.port) is None:
            raise ValueError(
                f"port {self.port!a:.80} must be 1 to {PORT_CHARACTERS_MAX} characters of a-z, 0-9, '.', "
                "'_', '-' and start with a letter or digit"
            )

    def __str__(self) -> str:
        return f"{self.source.hex()[:8]}>{self.destination.hex()[:8]}/{self.port}/{self.mode.name.lower()}"

    def to_value(self) -> Value:
        """`[source, destination, port, mode]`."""
        return (self.source, self.destination, self.port, int(self.mode))

    @staticmethod
    def from_value(value: Value) -> "Lane":
        """The inverse of `to_value`; raises CodecError."""
        source, destination, port, mode = as_tuple(value, 4, "lane")
        try:
            return Lane(
                as_bytes(source, "lane source", length=CLUSTER_ID_BYTES),
                as_bytes(destination, "lane destination", length=CLUSTER_ID_BYTES),
                as_text(port, "port", max_length=PORT_CHARACTERS_MAX),
                Mode(as_int(mode, "lane mode", low=1, high=2)),
            )
        except CodecError:
            raise
        except ValueError as error:
            raise CodecError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Message:
    """One message; make it with `make` or `decode`, which fix `encoded` and `hash`.

    `deadline_ms` is the destination's cluster time, and the first moment that is too late.
    """

    lane: Lane
    sequence: int
    deadline_ms: int
    acked_floor: int
    incarnation: int
    payload: bytes
    encoded: bytes
    hash: Digest

    @staticmethod
    def make(
        lane: Lane, *, sequence: int, deadline_ms: int, acked_floor: int, incarnation: int, payload: bytes
    ) -> "Message":
        """A message with its encoding and hash. Raises CodecError when a field is out of its range."""
        return Message.decode(
            encode_trusted(
                (
                    MESSAGE_VERSION,
                    _KIND_MESSAGE,
                    lane.to_value(),
                    sequence,
                    deadline_ms,
                    acked_floor,
                    incarnation,
                    payload,
                )
            )
        )

    @staticmethod
    def decode(data: bytes) -> "Message":
        """The message these bytes encode; raises CodecError."""
        leaf = decode_leaf(data)
        if not isinstance(leaf, Message):
            raise CodecError("the leaf is no message")
        return leaf


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The destination's word on one message; `answer` is the handler's, or says why there was none."""

    lane: Lane
    sequence: int
    message_hash: Digest
    result: Result
    answer: bytes
    encoded: bytes

    @staticmethod
    def make(message: Message, result: Result, answer: bytes) -> "Acknowledgement":
        """The answer to `message`, bound to its hash. Raises CodecError when `answer` is too long."""
        return Acknowledgement.about(message.lane, message.sequence, message.hash, result, answer)

    @staticmethod
    def about(
        lane: Lane, sequence: int, message_hash: bytes, result: Result, answer: bytes
    ) -> "Acknowledgement":
        """The answer to the message with this hash. Raises CodecError when `answer` is too long."""
        fields = (lane.to_value(), sequence, message_hash, int(result), answer)
        return Acknowledgement.decode(encode_trusted((MESSAGE_VERSION, _KIND_ACKNOWLEDGEMENT, *fields)))

    @staticmethod
    def decode(data: bytes) -> "Acknowledgement":
        """The acknowledgement these bytes encode; raises CodecError."""
        leaf = decode_leaf(data)
        if not isinstance(leaf, Acknowledgement):
            raise CodecError("the leaf is no acknowledgement")
        return leaf


@dataclass(frozen=True, slots=True)
class Closing:
    """The destination's word that it will take no message up to sequence `closed` any more which it has not
    acknowledged: what it had said there was to a branch that a recovery dropped, and is forgotten here.

    Sequences up to `reopened` may have been answered twice, by recoveries before; above it at most once. In
    the `gaps`, ascending, it never acknowledged anything: a branch that was dropped had said nothing there.
    """

    lane: Lane
    closed: int
    reopened: int
    gaps: Gaps
    encoded: bytes

    @staticmethod
    def make(lane: Lane, closed: int, reopened: int, gaps: Gaps = ()) -> "Closing":
        """A closing with its encoding. Raises CodecError when a number is out of its range."""
        fields = (lane.to_value(), closed, reopened, gaps)
        return Closing.decode(encode_trusted((MESSAGE_VERSION, _KIND_CLOSING, *fields)))

    def is_gap(self, sequence: int) -> bool:
        """Whether nothing was ever acknowledged in this place."""
        return any(first <= sequence <= last for first, last in self.gaps)

    @staticmethod
    def decode(data: bytes) -> "Closing":
        """The closing these bytes encode; raises CodecError."""
        leaf = decode_leaf(data)
        if not isinstance(leaf, Closing):
            raise CodecError("the leaf is no closing")
        return leaf


@dataclass(frozen=True, slots=True)
class Gap:
    """The source's word that no message of its stands in sequences `first` to `last` of a lane, and none ever
    will: a branch of the destination had closed the lane up to `last`, and the source has gone on above."""

    lane: Lane
    first: int
    last: int
    encoded: bytes

    @staticmethod
    def make(lane: Lane, first: int, last: int) -> "Gap":
        """A gap with its encoding. Raises CodecError when a number is out of its range."""
        return Gap.decode(encode_trusted((MESSAGE_VERSION, _KIND_GAP, lane.to_value(), first, last)))

    @staticmethod
    def decode(data: bytes) -> "Gap":
        """The gap these bytes encode; raises CodecError."""
        leaf = decode_leaf(data)
        if not isinstance(leaf, Gap):
            raise CodecError("the leaf is no gap")
        return leaf


Leaf: TypeAlias = Message | Acknowledgement | Closing | Gap
"""All that an outbox log holds."""


def message_hash(encoded: bytes) -> Digest:
    """`H("isthmus/message/v1", bytes)`: what commitments, receipts and acknowledgements bind."""
    return digest(_MESSAGE_DOMAIN, encoded)


def decode_leaf(data: bytes) -> Leaf:
    """The message, acknowledgement, closing or gap in these bytes; raises CodecError for all else."""
    value = decode(data, max_bytes=LEAF_BYTES_MAX, max_depth=_DEPTH_MAX, max_items=_ITEMS_MAX)
    if type(value) is not tuple or len(value) < 2:
        raise CodecError("an outbox leaf must be an array")
    if value[0] != MESSAGE_VERSION:
        raise CodecError(f"message version {value[0]!r:.20} is not {MESSAGE_VERSION}")
    if value[1] == _KIND_MESSAGE:
        return _message(value, data)
    if value[1] == _KIND_ACKNOWLEDGEMENT:
        return _acknowledgement(value, data)
    if value[1] == _KIND_CLOSING:
        return _closing(value, data)
    if value[1] == _KIND_GAP:
        return _gap(value, data)
    raise CodecError(f"leaf kind {value[1]!r:.20} is no message, acknowledgement, closing or gap")


def _message(value: Value, data: bytes) -> Message:
    _, _, lane, sequence, deadline_ms, acked_floor, incarnation, payload = as_tuple(value, 8, "message")
    number = as_int(sequence, "sequence", low=1, high=SEQUENCE_MAX)
    return Message(
        Lane.from_value(lane),
        number,
        as_int(deadline_ms, "deadline_ms"),
        as_int(acked_floor, "acked floor", low=max(0, number - WINDOW), high=number - 1),
        as_int(incarnation, "incarnation"),
        as_bytes(payload, "payload", max_length=MESSAGE_PAYLOAD_BYTES_MAX),
        data,
        message_hash(data),
    )


def _acknowledgement(value: Value, data: bytes) -> Acknowledgement:
    _, _, lane, sequence, message_digest, result, answer = as_tuple(value, 7, "acknowledgement")
    return Acknowledgement(
        Lane.from_value(lane),
        as_int(sequence, "sequence", low=1, high=SEQUENCE_MAX),
        Digest(as_bytes(message_digest, "message hash", length=32)),
        Result(as_int(result, "result", low=1, high=3)),
        as_bytes(answer, "answer", max_length=ANSWER_BYTES_MAX),
        data,
    )


def _closing(value: Value, data: bytes) -> Closing:
    _, _, lane, closed, reopened, gaps = as_tuple(value, 6, "closing")
    number = as_int(closed, "closed sequence", low=1, high=SEQUENCE_MAX)
    return Closing(
        Lane.from_value(lane),
        number,
        as_int(reopened, "reopened sequence", high=SEQUENCE_MAX),
        read_gaps(gaps, number),
        data,
    )


def read_gaps(value: Value, high: int = SEQUENCE_MAX) -> Gaps:
    """`[[first, last], ...]`, ascending and apart; raises CodecError."""
    gaps = []
    low = 1
    for gap in as_array(value, GAPS_MAX, "gaps"):
        first, last = as_tuple(gap, 2, "gap")
        begin = as_int(first, "first sequence", low=low, high=high)
        gaps.append((begin, as_int(last, "last sequence", low=begin, high=high)))
        low = gaps[-1][1] + 1
    return tuple(gaps)


def _gap(value: Value, data: bytes) -> Gap:
    _, _, lane, first, last = as_tuple(value, 5, "gap")
    begin = as_int(first, "first sequence", low=1, high=SEQUENCE_MAX)
    return Gap(
        Lane.from_value(lane),
        begin,
        as_int(last, "last sequence", low=begin, high=SEQUENCE_MAX),
        data,
    )
