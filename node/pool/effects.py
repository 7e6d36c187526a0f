"""Everything the data plane and catch-up can ask for, and what the driver must do with it.

The driver's duty is that of `consensus.effects`: perform effects in list order; `PersistBatch` is a barrier,
nothing after it (in this list or a later one) is sent before it is on disk (C2); never drop one; feed the
answers back as events. One `Wake` stands for one timer per machine.
"""

from typing import TypeAlias

from consensus import (
    CommittedBlock,
    Digest,
    HeaderCertificate,
    Height,
    PayloadChecked,
    PayloadReady,
    PeerError,
    PendingPayload,
    Proposal,
    immutable,
)
from node.ledger.codes import RejectedTransaction
from node.pool.batches import Batch
from node.pool.messages import PoolMessage
from node.proofs.header import Header


@immutable(frozen=True, slots=True)
class Send:
    """Send to one link, if it is connected."""

    peer: bytes
    message: PoolMessage


@immutable(frozen=True, slots=True)
class Broadcast:
    """Send to all other validators."""

    message: PoolMessage


@immutable(frozen=True, slots=True)
class VerifyBatch:
    """Run `verify_batch(data, rules)` off the critical path; answer `on_batch_verified(report)`."""

    digest: Digest
    data: bytes


@immutable(frozen=True, slots=True)
class VerifyChunk:
    """Have `verify_chunk` check a client's signed chunk off the critical path; answer
    `on_chunk_verified(ticket, fault)`."""

    ticket: int
    chunk: bytes
    transaction_bytes: int


@immutable(frozen=True, slots=True)
class PersistBatch:
    """Make durable; answer `on_persisted((digest, ...))`, one call for a drained group. A barrier."""

    digest: Digest
    data: bytes


@immutable(frozen=True, slots=True)
class ReadBatch:
    """Look in storage; answer `on_read(digest, data or None)`."""

    digest: Digest


@immutable(frozen=True, slots=True)
class ForgetBatches:
    """These expired without being ordered: their durable copies may be deleted, at leisure."""

    digests: tuple[Digest, ...]


@immutable(frozen=True, slots=True)
class Answer:
    """Feed this event to the replica."""

    event: PayloadReady | PayloadChecked | PendingPayload


@immutable(frozen=True, slots=True)
class BlockReady:
    """The next committed block, in commit order and once each, with its batches in order of execution
    (empty for a block without payload); answer `on_executed(block id)` after execution and flush."""

    block: CommittedBlock
    batches: tuple[Batch, ...]


@immutable(frozen=True, slots=True)
class ChunksAnswered:
    """The chunks of these tickets are sealed in the batch of this name, or refused."""

    tickets: tuple[int, ...]
    outcome: Digest | RejectedTransaction


@immutable(frozen=True, slots=True)
class Penalise:
    """A peer sent what it must not; score it."""

    peer: bytes
    error: PeerError


@immutable(frozen=True, slots=True)
class Wake:
    """Start or replace this machine's one timer; call `on_tick` after `delay_ms`."""

    delay_ms: int


PoolEffect: TypeAlias = (
    Send
    | Broadcast
    | VerifyBatch
    | VerifyChunk
    | PersistBatch
    | ReadBatch
    | ForgetBatches
    | Answer
    | BlockReady
    | ChunksAnswered
    | Penalise
    | Wake
)


@immutable(frozen=True, slots=True)
class VerifiedItem:
    """One height of another node's chain, proven by a certificate before it is handed over (C25).

    `batches` are in order of execution, inline ones included; `referenced` are the bodies to store beside the
    block; `certificate` is the one that proves its range, with the last of it: of this header or a later one.
    """

    header: Header
    proposal: Proposal
    batches: tuple[Batch, ...]
    referenced: tuple[bytes, ...]
    certificate: HeaderCertificate | None


@immutable(frozen=True, slots=True)
class Execute:
    """Store and execute this height; answer `on_executed(height, header hash)`. Heights come in order."""

    item: VerifiedItem


@immutable(frozen=True, slots=True)
class SyncProgress:
    """How far catch-up has come: it began at `from_height`, executed `at_height`, goes to `target_height`."""

    from_height: Height
    at_height: Height
    target_height: Height


@immutable(frozen=True, slots=True)
class SyncFinished:
    """The target is executed and its root agrees: tell the replica (`ChainSynced`)."""

    certificate: HeaderCertificate
    item: VerifiedItem


@immutable(frozen=True, slots=True)
class SyncDiverged:
    """Our own execution gives another header than the certified one (C3): ours is wrong, nobody else's."""

    height: Height
    ours: Digest
    certified: Digest


CatchUpEffect: TypeAlias = Send | Penalise | Wake | Execute | SyncProgress | SyncFinished | SyncDiverged
