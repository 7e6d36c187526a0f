"""What a recording keeps of an output: enough to tell any other output from it, and to say which it was.

Small outputs (timers, sends of few bytes, words to the operator) are kept whole; of all others the type, the
size and the SHA-256 of the canonical encoding.
"""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain as chained
from typing import assert_never

from consensus import CodecError, Value, as_bytes, as_int, as_tuple, decode, encode_trusted
from node.storage import Write, WriteSet
from node.validator.outputs import (
    Answer,
    Append,
    BroadcastFrame,
    CheckBatch,
    CheckChunk,
    CheckSignatures,
    EnterEpoch,
    Flush,
    ForwardGossip,
    LoadBatch,
    Output,
    PublishFrame,
    Punish,
    Refusal,
    Resume,
    SendFrame,
    ServeBlocks,
    ServeSync,
    StartTimer,
    StopTimer,
    Tell,
)
from node.validator.recorded_tables import TABLE_NUMBERS

WHOLE_BYTES_MAX = 96
"""Largest encoding that is kept whole."""
_DIGEST_BYTES = 32
_SHOWN_MAX = 160
_FIELDS_MAX = 8

_KINDS: tuple[type[Output], ...] = (
    Append,
    SendFrame,
    BroadcastFrame,
    PublishFrame,
    ForwardGossip,
    Punish,
    StartTimer,
    StopTimer,
    CheckBatch,
    CheckSignatures,
    Answer,
    LoadBatch,
    ServeSync,
    ServeBlocks,
    Flush,
    Resume,
    Tell,
    EnterEpoch,
    CheckChunk,
)
"""A kind's number in the format is its place here, counted from 1; new ones go to the end."""
_NUMBER_OF = {kind: number for number, kind in enumerate(_KINDS, 1)}


@dataclass(frozen=True, slots=True)
class OutputMark:
    """One output in a recording. `image` is the whole encoding up to WHOLE_BYTES_MAX, else its SHA-256."""

    kind: int
    size: int
    image: bytes

    @staticmethod
    def of(output: Output) -> "OutputMark":
        """The mark of an output. Raises CodecError when it holds what has no canonical encoding."""
        return OutputMark(*mark_value(output))

    @staticmethod
    def from_value(value: Value) -> "OutputMark":
        """The mark with this recorded value; raises CodecError."""
        kind, size, image = as_tuple(value, 3, "output mark")
        length = as_int(size, "output size", high=2**32)
        kept = length if length <= WHOLE_BYTES_MAX else _DIGEST_BYTES
        mark = OutputMark(
            as_int(kind, "output kind", low=1, high=len(_KINDS)),
            length,
            as_bytes(image, "output", length=kept),
        )
        if length <= WHOLE_BYTES_MAX and type(decode(mark.image)) is not tuple:
            raise CodecError("an output is an array of fields")
        return mark

    def __str__(self) -> str:
        """In words: the type, and all fields or size and digest."""
        name = _KINDS[self.kind - 1].__name__
        if self.size <= WHOLE_BYTES_MAX:
            return f"{name}({shown(decode(self.image), _FIELDS_MAX)[1:-1]})"
        return f"{name} of {self.size} bytes, sha256 {self.image.hex()[:16]}"


def mark_value(output: Output) -> tuple[int, int, bytes]:
    """`[kind, size, image]`, an output's mark as it is recorded; every output of a recorded run comes through
    here. Raises CodecError."""
    encoded = encode_trusted(_fields(output))
    size = len(encoded)
    image = encoded if size <= WHOLE_BYTES_MAX else sha256(encoded).digest()
    return _NUMBER_OF[type(output)], size, image


def describe_output(output: Output) -> str:
    """An output in words, long fields cut."""
    words = ", ".join(map(shown, _fields(output)))
    return f"{type(output).__name__}({words[:_SHOWN_MAX]}{'...' if len(words) > _SHOWN_MAX else ''})"


def shown(value: Value, most: int = 4) -> str:
    """A value in words, long bytes and arrays of more than `most` items cut."""
    if isinstance(value, bytes):
        return value.hex() if len(value) <= 16 else f"{value.hex()[:16]}... of {len(value)} bytes"
    if isinstance(value, tuple):
        more = f", ... of {len(value)}" if len(value) > most else ""
        return f"[{', '.join(map(shown, value[:most]))}{more}]"
    return str(value)


def _fields(output: Output) -> tuple[Value, ...]:
    match output:
        case SendFrame(peer, topic, body, key):
            return (peer, int(topic), body, key)
        case BroadcastFrame(topic, body, key):
            return (int(topic), body, key)
        case Append(seq, record, guard):
            return (seq, record, guard)
        case StartTimer(name, delay_ms):
            return (name, delay_ms)
        case Resume():
            return ()
        case StopTimer(name):
            return (name,)
        case _:
            return _rarer_fields(output)


def _rarer_fields(
    output: Flush
    | CheckBatch
    | CheckSignatures
    | CheckChunk
    | Answer
    | PublishFrame
    | ForwardGossip
    | Punish
    | LoadBatch
    | ServeSync
    | ServeBlocks
    | Tell
    | EnterEpoch,
) -> tuple[Value, ...]:
    match output:
        case Flush(number, chain, state, height, journal_seq):
            return (number, _writes(chain), _writes(state), height, journal_seq)
        case CheckBatch(digest, data):
            return (digest, data)
        case CheckSignatures(ticket, transactions):
            return (ticket, tuple(transaction.encoded for transaction in transactions))
        case CheckChunk(ticket, chunk, transaction_bytes):
            return (ticket, chunk, transaction_bytes)
        case Answer(ticket, outcomes):
            return (ticket, tuple(_outcome(outcome) for outcome in outcomes))
        case PublishFrame(topic, body):
            return (int(topic), body)
        case ForwardGossip(peer, topic, gossip_id):
            return (peer, int(topic), gossip_id)
        case Punish(peer, code, detail, weight, gossip):
            return (peer, code, detail, weight, None if gossip is None else (int(gossip[0]), gossip[1]))
        case LoadBatch(digest):
            return (digest,)
        case ServeSync(peer, request):
            return (peer, request.from_height, request.count, request.bytes_max)
        case ServeBlocks(peer, block_id, count):
            return (peer, block_id, count)
        case Tell(event, detail):
            return (event, detail)
        case EnterEpoch(epoch, validators):
            return (epoch, validators)
        case _:
            assert_never(output)


def _writes(writes: Collection[Write]) -> tuple[Value, ...]:
    # By columns, which is three times as fast; there are eight writes a transaction.
    contents = WriteSet.of(writes).contents
    tables = b"".join(bytes((TABLE_NUMBERS[table],)) * len(entries) for table, entries in contents.items())
    values = chained.from_iterable(entries.values() for entries in contents.values())
    return (tables, tuple(chained.from_iterable(contents.values())), tuple(values))


def _outcome(outcome: bytes | Refusal) -> Value:
    return (int(outcome.code), outcome.sentence) if isinstance(outcome, Refusal) else outcome
