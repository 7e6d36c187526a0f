"""The inputs of a validator as recorded values: one numbered variant for each, and no other.

The numbers are those of the file format: a new input takes the next one, an old one is never given away.
"""

from typing import assert_never

from consensus import CodecError, Digest, Value, as_array, as_bytes, as_int, as_text, as_tuple
from node.validator.inputs import (
    BatchChecked,
    BatchLoaded,
    ChunkChecked,
    ChunkSubmitted,
    ClockSet,
    DiskLow,
    Flushed,
    Frame,
    Input,
    LinkDown,
    LinkUp,
    Resumed,
    SignaturesChecked,
    Start,
    Submitted,
    TimerExpired,
    Written,
)

(
    _START,
    _LINK_UP,
    _LINK_DOWN,
    _FRAME,
    _TIMER_EXPIRED,
    _WRITTEN,
    _FLUSHED,
    _RESUMED,
    _BATCH_CHECKED,
    _BATCH_LOADED,
    _SUBMITTED,
    _SIGNATURES_CHECKED,
    _DISK_LOW,
    _CHUNK_SUBMITTED,
    _CHUNK_CHECKED,
    _CLOCK_SET_SOMEHOW,
    _CLOCK_SET,
) = range(1, 18)
_OF_NO_FIELD: dict[int, Input] = {_START: Start(), _RESUMED: Resumed(), _CLOCK_SET_SOMEHOW: ClockSet(0)}
"""The last is read and not written any more: such a recording is replayed as it was made."""
_TRANSACTIONS_MAX = 2**20
_TEXT_MAX = 2**16
_STEP_MAX_MS = 2**62


def input_value(item: Input) -> tuple[Value, ...]:
    """`[number, fields...]`."""
    match item:
        case Frame(peer, topic, body, gossip_id):
            return (_FRAME, peer, topic, body, gossip_id)
        case Written(seq):
            return (_WRITTEN, seq)
        case TimerExpired(name):
            return (_TIMER_EXPIRED, name)
        case Flushed(number):
            return (_FLUSHED, number)
        case BatchChecked(digest, fault):
            return (_BATCH_CHECKED, digest, fault)
        case BatchLoaded(digest, data):
            return (_BATCH_LOADED, digest, data)
        case Submitted(ticket, transactions):
            return (_SUBMITTED, ticket, transactions)
        case ChunkSubmitted(ticket, chunk, transaction_bytes):
            return (_CHUNK_SUBMITTED, ticket, chunk, transaction_bytes)
        case ChunkChecked(ticket, fault):
            return (_CHUNK_CHECKED, ticket, fault)
        case SignaturesChecked(ticket, valid):
            return (_SIGNATURES_CHECKED, ticket, bytes(valid))
        case LinkUp(peer) | LinkDown(peer):
            return (_LINK_UP if isinstance(item, LinkUp) else _LINK_DOWN, peer)
        case DiskLow(low):
            return (_DISK_LOW, int(low))
        case ClockSet(by_ms):
            return (_CLOCK_SET, by_ms)
        case Start() | Resumed():
            return (_START if isinstance(item, Start) else _RESUMED,)
        case _:
            assert_never(item)


def input_from(value: Value) -> Input:
    """The inverse of `input_value`; raises CodecError."""
    if type(value) is not tuple or not value:
        raise CodecError("an input is a non-empty array")
    kind = as_int(value[0], "input kind", low=_START, high=_CLOCK_SET)
    if kind in _OF_NO_FIELD:
        as_tuple(value, 1, "input")
        return _OF_NO_FIELD[kind]
    if kind in (_LINK_UP, _LINK_DOWN, _TIMER_EXPIRED, _WRITTEN, _FLUSHED, _DISK_LOW, _CLOCK_SET):
        return _of_one_field(kind, as_tuple(value, 2, "input")[1])
    if kind == _FRAME:
        _, peer, topic, body, gossip_id = as_tuple(value, 5, "frame")
        name = None if gossip_id is None else as_bytes(gossip_id, "gossip id")
        return Frame(as_bytes(peer, "peer"), as_int(topic, "topic"), as_bytes(body, "body"), name)
    if kind == _CHUNK_SUBMITTED:
        _, ticket_number, chunk, size = as_tuple(value, 4, "chunk")
        return ChunkSubmitted(
            as_int(ticket_number, "ticket"), as_bytes(chunk, "chunk"), as_int(size, "transaction size")
        )
    _, key, content = as_tuple(value, 3, "input")
    if kind == _BATCH_CHECKED:
        return BatchChecked(_digest(key), _fault(content))
    if kind == _BATCH_LOADED:
        return BatchLoaded(_digest(key), None if content is None else as_bytes(content, "batch"))
    ticket = as_int(key, "ticket")
    if kind == _CHUNK_CHECKED:
        return ChunkChecked(ticket, _fault(content))
    if kind == _SUBMITTED:
        transactions = as_array(content, _TRANSACTIONS_MAX, "transactions")
        return Submitted(ticket, tuple(as_bytes(item, "transaction") for item in transactions))
    return SignaturesChecked(ticket, _booleans(as_bytes(content, "valid")))


def _of_one_field(kind: int, field: Value) -> Input:
    if kind == _LINK_UP:
        return LinkUp(as_bytes(field, "peer"))
    if kind == _LINK_DOWN:
        return LinkDown(as_bytes(field, "peer"))
    if kind == _TIMER_EXPIRED:
        return TimerExpired(as_text(field, "timer"))
    if kind == _WRITTEN:
        return Written(as_int(field, "journal position"))
    if kind == _FLUSHED:
        return Flushed(as_int(field, "flush"))
    if kind == _CLOCK_SET:
        return ClockSet(as_int(field, "step of the clock", low=-_STEP_MAX_MS, high=_STEP_MAX_MS))
    return DiskLow(bool(as_int(field, "low", high=1)))


def _digest(value: Value) -> Digest:
    return Digest(as_bytes(value, "digest", length=32))


def _fault(value: Value) -> str | None:
    return None if value is None else as_text(value, "fault", max_length=_TEXT_MAX)


def _booleans(data: bytes) -> tuple[bool, ...]:
    if data.strip(b"\0\1"):
        raise CodecError("valid must be bytes of 0 and 1")
    return tuple(map(bool, data))
