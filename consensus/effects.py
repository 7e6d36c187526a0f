"""Everything a replica can ask for, and what the driver must do with it.

The driver's whole duty: perform effects in list order; nothing after a `Persist`, in this list or in
any later one, may be sent before that `Persist` is on disk (C2); never drop one; feed answers back as
events; if a `Persist` fails, stop the process.
"""

from typing import TypeAlias

from consensus.blocks import Block, CommittedBlock
from consensus.certificates import HeaderCertificate, QuorumCertificate, TimeoutCertificate
from consensus.errors import PeerError
from consensus.evidence import Evidence
from consensus.keys import Digest
from consensus.messages import Message, Proposal
from consensus.reservation import GuardRecord
from consensus.safety import SafetyRecord
from consensus.timers import Timer
from consensus.validators import Height, Round
from consensus.values import immutable


@immutable(frozen=True, slots=True)
class Persist:
    """Make durable, then answer `Persisted(seq)`. `guard`, when present, must be on disk in the guard
    file before anything else of this effect is written (C14). The rest is one journal record (C1);
    None and () mean unchanged. `seq` grows by one each."""

    seq: int
    record: SafetyRecord
    guard: GuardRecord | None
    proposals: tuple[Proposal, ...]
    high_qc: QuorumCertificate | None
    high_tc: TimeoutCertificate | None
    certified: HeaderCertificate | None


@immutable(frozen=True, slots=True)
class Send:
    """Send to one link, if it is connected."""

    peer: bytes
    message: Message


@immutable(frozen=True, slots=True)
class Broadcast:
    """Send to all other validators."""

    message: Message


@immutable(frozen=True, slots=True)
class SetTimer:
    """Start or replace the timer of this kind; answer `TimerFired(timer)` after `delay_ms`."""

    timer: Timer
    delay_ms: int


@immutable(frozen=True, slots=True)
class CancelTimer:
    """Stop the timer of this timer's kind, if it runs."""

    timer: Timer


@immutable(frozen=True, slots=True)
class RequestPayload:
    """Answer `PayloadReady(round, ...)` at once: at most `bytes_max` bytes, nothing expired at `time_ms`,
    nothing in `ancestors` (the uncommitted ones, parent first) or committed."""

    round: Round
    time_ms: int
    ancestors: tuple[Block, ...]
    bytes_max: int


@immutable(frozen=True, slots=True)
class CheckPayload:
    """Answer `PayloadChecked(block.id, ...)`, now or when its batches have arrived. `ancestors` are the
    uncommitted ones, parent first."""

    block: Block
    ancestors: tuple[Block, ...]


@immutable(frozen=True, slots=True)
class Commit:
    """These blocks are final in this order, oldest first; each is delivered exactly once. `proposals` are
    the same as they were proposed: storage must hold the block of every header it shows, also of those
    for which nothing was signed here, and which no `Persist` therefore carries."""

    blocks: tuple[CommittedBlock, ...]
    proposals: tuple[Proposal, ...]


@immutable(frozen=True, slots=True)
class Certified:
    """The header of this certificate, and all before it, are final; delivered with growing heights."""

    certificate: HeaderCertificate


@immutable(frozen=True, slots=True)
class KeepEvidence:
    """Store and spread a proof that a validator broke the rules; idempotent by `evidence.id`."""

    evidence: Evidence


@immutable(frozen=True, slots=True)
class Penalise:
    """A peer sent what it must not; score it. Never fatal for us."""

    peer: bytes
    error: PeerError


@immutable(frozen=True, slots=True)
class FellBehind:
    """This verified certificate lies more than we can walk block by block above us: catch up from
    `peer` and others (C25), then answer `ChainSynced`. Repeated with newer targets; idempotent."""

    certificate: HeaderCertificate
    peer: bytes


@immutable(frozen=True, slots=True)
class Diverged:
    """A blocking set signed another header than ours at `height` (C3): this replica signs no payload and
    no header from now on. Tell the operator; find the first differing transaction."""

    height: Height
    ours: Digest
    theirs: Digest
    detail: str


Effect: TypeAlias = (
    Persist
    | Send
    | Broadcast
    | SetTimer
    | CancelTimer
    | RequestPayload
    | CheckPayload
    | Commit
    | Certified
    | KeepEvidence
    | Penalise
    | FellBehind
    | Diverged
)
