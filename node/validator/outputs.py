"""Everything a validator can ask its shell for.

The shell performs outputs in list order. `Append` is a barrier: nothing after it, in this list or a
later one, leaves before it is on disk (C2). All appends of one round of the shell go to the journal in
one write and one sync; then the shell answers `Written` with the highest sequence number.
"""

from collections.abc import Collection
from dataclasses import field
from typing import TypeAlias

from consensus import Digest, immutable
from node.ledger.execution import Execution
from node.ledger.transactions import Transaction
from node.pool.messages import SyncRequest
from node.storage import Write


@immutable(frozen=True, slots=True)
class Append:
    """Write one journal record. When `guard` is set it must be durable in the guard file first (C14)."""

    seq: int
    record: bytes
    guard: bytes | None = None


@immutable(frozen=True, slots=True)
class SendFrame:
    """Send to one link, if it is up. A queued frame with the same `key` is replaced."""

    peer: bytes
    topic: int
    body: bytes
    key: bytes | None = None


@immutable(frozen=True, slots=True)
class BroadcastFrame:
    """Send to every other validator's link."""

    topic: int
    body: bytes
    key: bytes | None = None


@immutable(frozen=True, slots=True)
class PublishFrame:
    """Start gossip of this body."""

    topic: int
    body: bytes


@immutable(frozen=True, slots=True)
class ForwardGossip:
    """The gossiped message was valid: pass it on."""

    peer: bytes
    topic: int
    gossip_id: bytes


@immutable(frozen=True, slots=True)
class Punish:
    """A peer broke a rule: score it, and perhaps drop it. `gossip` is (topic, id) of what came by gossip."""

    peer: bytes
    code: str
    detail: str
    weight: int
    gossip: tuple[int, bytes] | None = None


@immutable(frozen=True, slots=True)
class StartTimer:
    """Answer `TimerExpired(name)` after `delay_ms`; a running timer of that name is replaced."""

    name: str
    delay_ms: int


@immutable(frozen=True, slots=True)
class StopTimer:
    """Stop the timer `name` if it runs."""

    name: str


@immutable(frozen=True, slots=True)
class CheckBatch:
    """Have a worker check the batch; answer `BatchChecked`."""

    digest: Digest
    data: bytes


@immutable(frozen=True, slots=True)
class CheckSignatures:
    """Have the signatures of these transactions checked; answer `SignaturesChecked`."""

    ticket: int
    transactions: tuple[Transaction, ...]


@immutable(frozen=True, slots=True)
class CheckChunk:
    """Have a worker check the signatures of a benchmark cluster's chunk, transactions of `transaction_bytes`
    each; answer `ChunkChecked`."""

    ticket: int
    chunk: bytes
    transaction_bytes: int


@immutable(frozen=True, slots=True)
class Refusal:
    """Why a transaction was not admitted: a code of `node.ledger.codes` and a sentence."""

    code: int
    sentence: str


@immutable(frozen=True, slots=True)
class Answer:
    """The outcome of `Submitted`: for each transaction its id when admitted, else a refusal."""

    ticket: int
    outcomes: tuple[Digest | Refusal, ...]


@immutable(frozen=True, slots=True)
class LoadBatch:
    """Read a batch from storage; answer `BatchLoaded`."""

    digest: Digest


@immutable(frozen=True, slots=True)
class ServeSync:
    """Answer a peer's range request from storage, off the loop."""

    peer: bytes
    request: SyncRequest


@immutable(frozen=True, slots=True)
class ServeBlocks:
    """Answer a peer's request for up to `count` blocks, `block_id` and its ancestors, from storage."""

    peer: bytes
    block_id: Digest
    count: int


@immutable(frozen=True, slots=True)
class Flush:
    """Apply to the database (chain first, then state, both synced), off the loop; then answer
    `Flushed(number)`, trim the journal through `journal_seq`, and wake who waits for `height`.
    `executions` are the certified heights in it, for who waits for their receipts."""

    number: int
    chain: Collection[Write]
    state: Collection[Write]
    height: int
    journal_seq: int
    executions: tuple[Execution, ...] = field(default=(), compare=False)


@immutable(frozen=True, slots=True)
class Resume:
    """Answer `Resumed` once the inbox is drained: deferred work (execution) is waiting."""


@immutable(frozen=True, slots=True)
class EnterEpoch:
    """Epoch `epoch` begins here: `BroadcastFrame` goes to the links of these node keys from now on (our own
    may be among them), and they are to be accepted. Told at the start, too."""

    epoch: int
    validators: tuple[bytes, ...]


@immutable(frozen=True, slots=True)
class Tell:
    """Something an operator should read: a stable event name and words."""

    event: str
    detail: str


Output: TypeAlias = (
    Append
    | SendFrame
    | BroadcastFrame
    | PublishFrame
    | ForwardGossip
    | Punish
    | StartTimer
    | StopTimer
    | CheckBatch
    | CheckSignatures
    | Answer
    | LoadBatch
    | ServeSync
    | ServeBlocks
    | Flush
    | Resume
    | Tell
    | EnterEpoch
    | CheckChunk
)
