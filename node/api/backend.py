"""What the HTTP door asks of the node behind it.

The door reads storage snapshots and never the validator's memory, so everything it may ask is here. The
daemon implements it; tests implement it over the in-memory store; both pass the same contract test
(`tests/node/api/backend_contract.py`).
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from node.anchoring.lanes.courier import LeafName
from node.anchoring.questions import Page
from node.daemon.federation.told import StateTold
from node.diagnosis import LeftOut, NodeFacts, PeerFacts
from node.genesis import Genesis
from node.ledger.receipts import Receipt
from node.storage import Snapshot


@dataclass(frozen=True, slots=True)
class Submitted:
    """A transaction that this node took (or already had: submitting the same bytes again is harmless)."""

    tx_id: bytes


@dataclass(frozen=True, slots=True)
class Rejected:
    """A transaction that admission refused; `code` and `name` are the ledger's, `sentence` has the way out.

    `tx_id` is None where the node did not look so far, and a live one names none: the place in the request
    tells which it was.
    """

    code: int
    name: str
    sentence: str
    tx_id: bytes | None = None


class Busy(Exception):
    """The node takes no more just now: the pool or the number of waiters is at its bound (C13)."""

    def __init__(self, sentence: str, retry_after_ms: int) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.retry_after_ms = retry_after_ms


@dataclass(frozen=True, slots=True)
class Location:
    """Where a transaction and its receipt stand: leaf `index` of the header of `height`. `receipt` is there
    when it was at hand; what is certified is stored in any case. What is not certified has its receipt here
    and nowhere else, and is this node's word alone."""

    height: int
    index: int
    receipt: Receipt | None = field(default=None, compare=False)
    is_certified: bool = True


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether this node can commit, and every reason why not, each a sentence."""

    ready: bool
    reasons: tuple[str, ...]
    benchmark: str = ""
    """As in `NodeStatus`."""


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One configured peer as this node sees it; `certified_height` is None until it has told one."""

    name: str
    node_key: bytes
    address: str
    connected: bool
    certified_height: int | None


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One look at the node. `stored_height` is what queries are answered from; all heights are headers'."""

    node_name: str
    node_key: bytes
    is_validator: bool
    cluster_name: str
    cluster_id: bytes
    version: str
    time_ms: int
    started_ms: int
    epoch: int
    round: int
    leader: str
    committed_height: int
    certified_height: int
    stored_height: int
    is_diverged: bool
    pending_transactions: int
    peers: tuple[PeerStatus, ...]
    benchmark: str = ""
    """`opaque` or `signed` on a benchmark cluster, whose ledger is none; empty everywhere else."""
    pruned_below: int = 0
    """Transactions below this height were pruned here; 0 when none were."""
    sync_from: int | None = None
    """The height at which catching up began; None when nothing is to be caught up."""
    sync_target: int | None = None
    """The certified height it goes to."""
    protocol_version: int = 0
    """The newest protocol version that it speaks."""
    features: tuple[str, ...] = ()
    """The features in force (node/ledger/features.py)."""
    left_out: tuple[LeftOut, ...] = ()
    """Validators that lead no rounds at present, because they failed to (C12)."""


@dataclass(frozen=True, slots=True)
class CommittedView:
    """What is ordered and executed here, certified or not; `open` is used as `snapshot` is."""

    certified_height: int
    """What is above it is not certified yet."""
    committed_height: int
    open: Callable[[], AbstractContextManager[Snapshot]]


class AsksOthers(Protocol):
    """How questions of members reach other clusters; all raise NoAnswer."""

    async def state(self, cluster_id: bytes, data: bytes, seconds: float) -> StateTold:
        """The answer to a signed question about the state, at a root that is anchored here."""

    async def catalogue(self, cluster_id: bytes, data: bytes, seconds: float) -> Page:
        """A page of what a member may see there."""

    async def message(self, cluster_id: bytes, name: LeafName, seconds: float) -> bytes:
        """The file that proves a message of ours and its acknowledgement."""


class Backend(Protocol):
    """One node, seen from its HTTP door. Times are milliseconds from now."""

    @property
    def genesis(self) -> Genesis:
        """The cluster's genesis."""

    @property
    def asking(self) -> AsksOthers:
        """The way to other clusters."""

    async def submit(self, transactions: Sequence[bytes]) -> tuple[Submitted | Rejected, ...]:
        """Admission of each, in order; one refused transaction does not touch the others.

        Bytes that are pending or certified already are answered Submitted again. Raises Busy when
        nothing of this request was taken.
        """

    async def submit_chunks(
        self, chunks: Sequence[bytes], transaction_bytes: int, timeout_ms: int
    ) -> tuple[Submitted | Rejected, ...]:
        """Take bytes on a benchmark cluster; `Submitted` names the batch that a chunk was sealed in.

        Raises Busy when none was taken, or not all were sealed in time: then they may be sealed later.
        """

    async def wait_certified(self, tx_ids: Sequence[bytes], timeout_ms: int) -> tuple[Location | None, ...]:
        """Each transaction's place once all are readable in a snapshot, or what is known at the timeout.

        None stands for one that is not there yet. Raises Busy at the bound of waiters.
        """

    async def wait_height(self, height: int, timeout_ms: int) -> bool:
        """Whether `height` became readable in a snapshot in time. Raises Busy at the bound of waiters."""

    async def wait_committed(self, tx_ids: Sequence[bytes], timeout_ms: int) -> tuple[Location | None, ...]:
        """Each transaction's place once all are readable in `committed`, or what is known at the timeout.

        None stands for one that is not there yet. Raises Busy at the bound of waiters.
        """

    async def wait_committed_height(self, height: int, timeout_ms: int) -> bool:
        """Whether `height` became readable in `committed` in time. Raises Busy at the bound of waiters."""

    async def wait_new_height(self, after: int) -> int:
        """The stored height as soon as it is above `after`."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """One unchanging view of what is certified; taken, used and left inside one worker-thread call."""

    def committed(self) -> CommittedView:
        """What is executed here at this moment. Asked for on the node's own thread."""

    def readiness(self) -> Readiness:
        """Whether this node can commit."""

    def status(self) -> NodeStatus:
        """One look at the node."""

    def look(self) -> tuple[NodeFacts, tuple[PeerFacts, ...]]:
        """The facts that a diagnosis is made of: the node's own, and those of each peer."""

    def metrics_text(self) -> bytes:
        """The node's metrics in the Prometheus text format."""
