"""Frames: how bytes by topic become one stream and come back, with every limit checked at the header.

A frame is `length: u32 big-endian | topic: u8 | payload`. The low 31 bits of `length` count topic and
payload; the top bit says that the message continues in the next frame of the same lane. A lane is a queue
class: messages of one lane never interleave, so a receiver holds at most one partial message per lane.
Only messages above `CHUNK_BYTES` are split, so that an urgent message waits behind one chunk at most.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from p2p.errors import MalformedFrame, TopicForbidden

CONTROL = 0
"""Topic code of this package's own frames (hello, ping, gossip control); applications use 1..255."""

CHUNK_BYTES = 320 * 1024
"""Largest payload of one frame: a sealed batch of 256 KiB still travels whole."""

_HEADER = struct.Struct(">IB")
_HEADER_BYTES = _HEADER.size
_CONTINUES = 0x8000_0000
_SMALL_PIECE_BYTES = 4096
_MERGED_PIECE_BYTES = 65536

_NOTHING: Mapping[int, str] = MappingProxyType({})

encode_header = _HEADER.pack


class Frame(NamedTuple):
    """One whole message as it arrived."""

    topic: int
    body: bytes


@dataclass(frozen=True, slots=True)
class FrameRule:
    """What a topic allows: the largest body, in bytes, and the lane it travels in."""

    name: str
    max_bytes: int
    lane: int


def encode(topic: int, body: bytes) -> tuple[bytes, ...]:
    """The wire form of one message: one frame, or several chunks that must stay in order."""
    size = len(body)
    if size <= CHUNK_BYTES:
        return (encode_header(size + 1, topic) + body,)
    view = memoryview(body)
    chunks: list[bytes] = []
    for start in range(0, size, CHUNK_BYTES):
        piece = view[start : start + CHUNK_BYTES]
        last = start + CHUNK_BYTES >= size
        chunks.append(encode_header((len(piece) + 1) | (0 if last else _CONTINUES), topic) + piece)
    return tuple(chunks)


class _Partial:
    """A message of which something is still missing; `pieces` are kept as received and joined once."""

    __slots__ = ("have", "pieces", "topic")

    def __init__(self, topic: int) -> None:
        self.topic = topic
        self.pieces: list[bytes | bytearray] = []
        self.have = 0

    def add(self, piece: bytes) -> None:
        self.have += len(piece)
        if len(piece) >= _SMALL_PIECE_BYTES:
            self.pieces.append(piece)
            return
        # A sender of single bytes must not cost an object for each of them.
        last = self.pieces[-1] if self.pieces else None
        if isinstance(last, bytearray) and len(last) < _MERGED_PIECE_BYTES:
            last += piece
        else:
            self.pieces.append(bytearray(piece))

    def body(self) -> bytes:
        if len(self.pieces) == 1:
            return bytes(self.pieces[0])
        return b"".join(self.pieces)


class FrameParser:
    """Turns received bytes into frames. `feed` raises MalformedFrame or TopicForbidden; the parser is dead
    afterwards."""

    def __init__(self, rules: Mapping[int, FrameRule], forbidden: Mapping[int, str] = _NOTHING) -> None:
        """`forbidden` names the topics that exist elsewhere and do not pass here."""
        self._rules = rules
        self._forbidden = forbidden
        self._header = b""
        self._lanes: dict[int, _Partial] = {}
        self._partial: _Partial | None = None
        self._left = 0
        self._continues = False

    @property
    def buffered_bytes(self) -> int:
        """Bytes held for messages that are not complete yet."""
        held = sum(partial.have for partial in self._lanes.values())
        if self._partial is not None and self._partial not in self._lanes.values():
            held += self._partial.have
        return len(self._header) + held

    def feed(self, data: bytes) -> list[Frame]:
        """The messages completed by `data`, in order of completion.

        Raises MalformedFrame for an empty frame, an unknown topic, a message above its topic's limit or
        interleaved messages of one lane, TopicForbidden, each before its payload is buffered.
        """
        frames: list[Frame] = []
        if self._header:
            data = self._header + data
            self._header = b""
        offset, end = 0, len(data)
        while offset < end:
            if self._left:
                offset = self._take(data, offset, frames)
                continue
            payload = offset + _HEADER_BYTES
            if payload > end:
                self._header = data[offset:]
                break
            length, topic = _HEADER.unpack_from(data, offset)
            size = (length & ~_CONTINUES) - 1
            continues = length >= _CONTINUES
            partial = self._check(topic, size, continues)
            if partial is None and payload + size <= end:
                frames.append(Frame(topic, data[payload : payload + size]))
                offset = payload + size
                continue
            self._partial = partial or _Partial(topic)
            self._left = size
            self._continues = continues
            offset = payload
        return frames

    def _check(self, topic: int, size: int, continues: bool) -> _Partial | None:
        """The unfinished message a frame belongs to, if it must be collected across frames."""
        if size < 1:
            raise MalformedFrame("it sent an empty frame")
        rule = self._rules.get(topic)
        if rule is None:
            if topic in self._forbidden:
                raise TopicForbidden(f"it sent {self._forbidden[topic]}, which does not pass on this link")
            raise MalformedFrame(f"it sent a frame of unknown topic {topic}")
        partial = self._lanes.get(rule.lane)
        total = size if partial is None else size + partial.have
        if total > rule.max_bytes:
            raise MalformedFrame(f"it sent {total} bytes on {rule.name}, the limit is {rule.max_bytes}")
        if partial is not None and partial.topic != topic:
            raise MalformedFrame(f"it began a message on {rule.name} inside an unfinished one")
        if partial is None and continues:
            partial = self._lanes[rule.lane] = _Partial(topic)
        return partial

    def _take(self, data: bytes, offset: int, frames: list[Frame]) -> int:
        """Moves payload from `data` into the message being received; answers the new offset."""
        partial = self._partial
        assert partial is not None
        stop = min(offset + self._left, len(data))
        partial.add(data if offset == 0 and stop == len(data) else data[offset:stop])
        self._left -= stop - offset
        if self._left == 0:
            self._partial = None
            if not self._continues:
                self._lanes.pop(self._rules[partial.topic].lane, None)
                frames.append(Frame(partial.topic, partial.body()))
        return stop
