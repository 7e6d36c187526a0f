"""Everything that can happen to a replica: a closed union of frozen dataclasses.

A replica never waits, reads a clock or asks anybody: it is told. `Replica.step(event, now_ms)` takes one
of these with the local wall clock in milliseconds (used for block timestamps only, never for timers).
"""

from enum import IntEnum
from typing import TypeAlias

from consensus.blocks import Block
from consensus.certificates import HeaderCertificate
from consensus.keys import Digest
from consensus.messages import Message
from consensus.timers import Timer
from consensus.validators import Height, Round, ValidatorIndex
from consensus.values import immutable


@immutable(frozen=True, slots=True)
class Started:
    """The first event after construction: resume from what was recovered (re-send, arm timers)."""


@immutable(frozen=True, slots=True)
class Received:
    """A peer sent a message. `peer` is the link's 32-byte identity: the consensus key of a validator, or
    the node key of an observer, whose messages may ask but never vote (C18)."""

    peer: bytes
    message: Message


@immutable(frozen=True, slots=True)
class PeerConnected:
    """A link came up: the peer is told our status, and what we last signed (C7, C9)."""

    peer: bytes


@immutable(frozen=True, slots=True)
class TimerFired:
    """A timer asked for by `SetTimer` expired."""

    timer: Timer


@immutable(frozen=True, slots=True)
class PendingPayload:
    """Whether the data plane knows of payload that is not yet ordered (C7: it arms the round timer)."""

    exists: bool


@immutable(frozen=True, slots=True)
class PayloadReady:
    """The answer to `RequestPayload` of the same round; b"" when there is nothing to propose."""

    round: Round
    payload: bytes


class Verdict(IntEnum):
    """What the data plane says of a block's payload."""

    AVAILABLE = 1
    """Held durably (or inline), valid in its bytes, not expired at the block's time, not a repetition."""
    MISSING = 2
    """Being fetched; another `PayloadChecked` follows, perhaps after the round (C9)."""
    INVALID = 3
    """No correct leader can have proposed it."""


@immutable(frozen=True, slots=True)
class PayloadChecked:
    """The answer to `CheckPayload`. `blamed` is the batch author whose payload is missing or bad."""

    block_id: Digest
    verdict: Verdict
    blamed: ValidatorIndex | None
    reason: str


@immutable(frozen=True, slots=True)
class Persisted:
    """Every `Persist` effect up to and including `seq` is on disk (C2, C23)."""

    seq: int


@immutable(frozen=True, slots=True)
class HeaderComputed:
    """The ledger executed a committed block and made the header of `height` (heights come in order)."""

    height: Height
    block_id: Digest
    header_hash: Digest


@immutable(frozen=True, slots=True)
class LedgerContradicted:
    """The ledger found that its header of `height` is not the certified one, in a block or while catching
    up, where no signature of ours would have shown it (C3)."""

    height: Height
    ours: Digest
    theirs: Digest
    detail: str


@immutable(frozen=True, slots=True)
class ChainSynced:
    """Catch-up stored and executed everything up to a verified header certificate (C25). `block` is the
    certified block, `header_time_ms` its header's time; the block tree continues from there."""

    certificate: HeaderCertificate
    block: Block
    header_time_ms: int


Event: TypeAlias = (
    Started
    | Received
    | PeerConnected
    | TimerFired
    | PendingPayload
    | PayloadReady
    | PayloadChecked
    | Persisted
    | HeaderComputed
    | LedgerContradicted
    | ChainSynced
)
