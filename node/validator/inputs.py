"""Everything that can happen to a validator: what the shell (daemon or simulator) tells it.

Frames arrive as bytes with the identity of their link, and become types inside, once, at the door
(`node.wire`). `Validator.step(input, now_ms)` takes one of these with the local wall clock.
"""

from dataclasses import field
from typing import TypeAlias

from consensus import Digest, immutable
from node.ledger.transactions import Transaction


@immutable(frozen=True, slots=True)
class Start:
    """The first input: resume from what was recovered."""


@immutable(frozen=True, slots=True)
class LinkUp:
    """A link to `peer` (its 32-byte node key) is authenticated and open."""

    peer: bytes


@immutable(frozen=True, slots=True)
class LinkDown:
    """The link to `peer` is gone."""

    peer: bytes


@immutable(frozen=True, slots=True)
class Frame:
    """A frame from `peer` (node key). `gossip_id` is set when it came by gossip and awaits a verdict."""

    peer: bytes
    topic: int
    body: bytes
    gossip_id: bytes | None = None


@immutable(frozen=True, slots=True)
class TimerExpired:
    """The timer `name` ran out."""

    name: str


@immutable(frozen=True, slots=True)
class Written:
    """Every `Append` up to and including `seq` is on disk."""

    seq: int


@immutable(frozen=True, slots=True)
class Flushed:
    """The database holds everything of the `Flush` of this number, synced."""

    number: int


@immutable(frozen=True, slots=True)
class Resumed:
    """The shell drained its inbox and there is time for deferred work (answer to `Resume`)."""


@immutable(frozen=True, slots=True)
class ClockSet:
    """The wall clock was set since the last input, or the machine slept: how long something took cannot be
    told by its times before and after, but for those `by_ms` between them, forth or (negative) back. 0 where
    it is not known by how much: recordings of software that did not tell have it so."""

    by_ms: int


@immutable(frozen=True, slots=True)
class BatchChecked:
    """A worker looked at a batch (`CheckBatch`): `fault` is None when it is valid in its bytes (C22).
    `opened`: its transactions, where they were decoded in this process; it spares work, decides nothing."""

    digest: Digest
    fault: str | None
    opened: tuple[Transaction, ...] = field(default=(), compare=False, repr=False)


@immutable(frozen=True, slots=True)
class BatchLoaded:
    """The answer to `LoadBatch`: the stored batch, or None."""

    digest: Digest
    data: bytes | None


@immutable(frozen=True, slots=True)
class Submitted:
    """A client's signed transactions, whose signatures `checked` says to be good; answered by `Answer`
    with the same ticket."""

    ticket: int
    transactions: tuple[bytes, ...]


@immutable(frozen=True, slots=True)
class ChunkSubmitted:
    """A client's bytes on a benchmark cluster: transactions of `transaction_bytes` each. Answered by
    `Answer` with the same ticket: the name of the batch that holds them, once it is sealed."""

    ticket: int
    chunk: bytes
    transaction_bytes: int


@immutable(frozen=True, slots=True)
class ChunkChecked:
    """The answer to `CheckChunk`: `fault` is None when every signature is good."""

    ticket: int
    fault: str | None


@immutable(frozen=True, slots=True)
class SignaturesChecked:
    """The answer to `CheckSignatures`: one bool for each of the ticket's transactions."""

    ticket: int
    valid: tuple[bool, ...]


@immutable(frozen=True, slots=True)
class DiskLow:
    """Whether the disk is below its reserve: payload is refused first, consensus goes on (C17)."""

    low: bool


Input: TypeAlias = (
    Start
    | LinkUp
    | LinkDown
    | Frame
    | TimerExpired
    | Written
    | Flushed
    | Resumed
    | ClockSet
    | BatchChecked
    | BatchLoaded
    | Submitted
    | ChunkSubmitted
    | ChunkChecked
    | SignaturesChecked
    | DiskLow
)

__all__ = [
    "BatchChecked",
    "BatchLoaded",
    "ChunkChecked",
    "ChunkSubmitted",
    "ClockSet",
    "DiskLow",
    "Flushed",
    "Frame",
    "Input",
    "LinkDown",
    "LinkUp",
    "Resumed",
    "SignaturesChecked",
    "Start",
    "Submitted",
    "TimerExpired",
    "Written",
]
