"""Execution: committed blocks in order become state, receipts and the next header (DESIGN 5).

A `Ledger` takes one `BlockToExecute` after the other and works in slices, so that a long block never
starves agreement; slicing never shows in the result. Signatures were checked before the vote (C22); here
authority is judged. What becomes of a transaction:

- Signed for another cluster, expired at the block's time, or its (sender, id) used before: no leaf and no
  receipt. Once a transaction has expired its id is forgotten, so a late copy cannot be told from a first
  one; silence is the only answer that can never contradict an earlier receipt.
- Expiring beyond block time + cap (F17): a failure receipt. Its id is not used up, because remembering it
  would let one signature pin storage for as long as it likes; so of all outcomes this alone may be
  followed by another one for the same bytes, and it says so.
- Everything else uses up its id and ends in exactly one receipt: success, or the reason and no writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from consensus import ED25519, Digest, Epoch, LocalError, SignatureCache, SignatureScheme
from node.anchoring.lanes.outbox import LogUpdate
from node.ledger.apps import Apps
from node.ledger.authority import Authority
from node.ledger.codes import Code
from node.ledger.features import (
    FEATURES_KEY,
    UpgradeNeeded,
    decode_features,
    in_force,
    names_known,
    unknown_among,
)
from node.ledger.federation.block import Federation
from node.ledger.members import find_member
from node.ledger.params import Params
from node.ledger.receipts import Receipt
from node.ledger.roster import Roster, load_roster
from node.ledger.run import BlockToExecute, Leaf, Run
from node.ledger.state import LAYERS_MAX, Overlay, Space, StateReader, StateWrite, Writes
from node.proofs import rfc6962
from node.proofs.header import Header
from node.proofs.rfc6962 import CompactRange, StoredNode, leaf_hash

__all__ = ["SLICE_TRANSACTIONS_DEFAULT", "BlockToExecute", "Execution", "Ledger", "Tip"]

SLICE_TRANSACTIONS_DEFAULT = 100
"""Transactions (or changed leaves) a slice: about 2 ms."""


@dataclass(frozen=True, slots=True)
class Tip:
    """Where execution stands: the last header and the tree over all header hashes up to and including it.

    Raises ValueError when the history does not have `header.height + 1` leaves.
    """

    header: Header
    history: CompactRange

    def __post_init__(self) -> None:
        if self.history.size != self.header.height + 1:
            raise ValueError(f"{self.history.size} hashes of history at height {self.header.height}")

    @property
    def height(self) -> int:
        """The last executed height."""
        return self.header.height

    @property
    def header_hash(self) -> Digest:
        """The hash of the last header."""
        return self.header.hash


@dataclass(frozen=True, slots=True)
class Execution:
    """What a block came to. `receipts[i]` belongs to `leaves[i]`; `skipped` lists the positions that got
    neither, with the reason; `state_writes` and `history_nodes` are to be stored in one transaction.
    `writes` are the same as `state_writes`, one mapping a space, and must not be changed. `next_roster` is
    there exactly when the header ends its epoch: its `next_validators_hash` is that roster's (C4). `outbox`
    is what the block said to other clusters, for the chain to keep."""

    header: Header
    leaves: tuple[Leaf, ...]
    receipts: tuple[Receipt, ...]
    skipped: tuple[tuple[int, Code], ...]
    writes: Writes
    history_nodes: tuple[StoredNode, ...]
    next_roster: Roster | None = None
    outbox: tuple[LogUpdate, ...] = ()

    @property
    def state_writes(self) -> tuple[StateWrite, ...]:
        """Every (space, key, new value or None to delete), each key once; made anew at each call."""
        return tuple(
            (space, key, value)
            for space, changed in zip(Space, self.writes, strict=True)
            for key, value in changed.items()
        )

    @property
    def header_hash(self) -> Digest:
        """What validators sign."""
        return self.header.hash


class Ledger:
    """The replicated state machine of one cluster.

    `reader` shows the state as flushed; what is executed above it stays in a bounded overlay until
    `flushed`. Raises LocalError for what agreement can never hand over: a gap in heights, time that does
    not rise, a wrong epoch, a second block before the first is done, or an overlay that is full.
    """

    def __init__(
        self,
        params: Params,
        reader: StateReader,
        tip: Tip,
        *,
        apps: Apps | None = None,
        layers_max: int = LAYERS_MAX,
        scheme: SignatureScheme = ED25519,
        name: str = "",
        known_features: Sequence[str] | None = None,
    ) -> None:
        """`known_features` defaults to those of this software; tests pass those of others. `name` is the
        cluster's own, which no other is admitted under. `apps` defaults to those that
        `params` enables; tests pass others. `scheme` is the validators', whose keys sign inside transactions
        of governance. Raises ValueError."""
        self.params = params
        self.name = name
        self.tip = tip
        self.overlay = Overlay(reader, layers_max)
        self._apps = apps or Apps(params.apps)
        self.authority = Authority(self._apps)
        self._signatures = SignatureCache(scheme=scheme)
        self._federation = Federation(partial(self.overlay.get, Space.STATE))
        self._run: Run | None = None
        self._roster: Roster | None = None
        self._known_features = names_known() if known_features is None else tuple(known_features)
        self._features: tuple[Epoch, tuple[str, ...]] | None = None

    @property
    def epoch(self) -> Epoch:
        """The epoch that the next block must have."""
        header = self.tip.header
        return Epoch(header.epoch + (header.next_validators_hash is not None))

    @property
    def roster(self) -> Roster:
        """Who validates in `epoch`. Raises LocalError when the stored roster is not the header's."""
        if self._roster is None or self._roster.epoch != self.epoch:
            header, roster = self.tip.header, load_roster(self.overlay)
            expected = header.next_validators_hash or header.validators_hash
            if roster.epoch != self.epoch or roster.validator_set().hash() != expected:
                raise LocalError(f"the stored roster, of epoch {roster.epoch}, is not that of {self.epoch}")
            self._roster = roster
        return self._roster

    @property
    def features(self) -> tuple[str, ...]:
        """The features in force in `epoch`, known here or not."""
        epoch = self.epoch
        if self._features is None or self._features[0] != epoch:
            stored = self.overlay.get(Space.STATE, FEATURES_KEY)
            self._features = (epoch, in_force(decode_features(stored), epoch))
        return self._features[1]

    def require_known_features(self) -> None:
        """Raises UpgradeNeeded when a feature is in force in `epoch` that this software does not know."""
        unknown = unknown_among(self.features, self._known_features)
        if unknown:
            raise UpgradeNeeded(unknown, self.epoch, self.tip.height)

    def knows(self, sender: bytes) -> bool:
        """Whether transactions of this key may be executed at all: of a member, an operator (F13), or a
        validator's node, which is a courier (F12)."""
        if find_member(self.overlay, sender) is not None:
            return True
        return any(sender in (v.operator_key, v.node_key) for v in self.roster.validators)

    def skips(self, epoch: int) -> bool:
        """Whether a committed block of `epoch` yields no header, because a header below ended its epoch:
        composition drops it, and what it ordered stays eligible (C4)."""
        return epoch < self.epoch

    @property
    def has_room(self) -> bool:
        """Whether the next block may begin; False asks composition to flush first."""
        return self.overlay.has_room

    @property
    def is_busy(self) -> bool:
        """Whether a block is under execution."""
        return self._run is not None

    def begin(self, block: BlockToExecute) -> None:
        """Take the block after the tip. Raises LocalError, of these UpgradeNeeded where the cluster has gone
        on to rules that this software does not know."""
        parent = self.tip.header
        if self._run is not None:
            raise LocalError(f"block {block.height} before block {self._run.block.height} was executed")
        if block.height != parent.height + 1:
            raise LocalError(f"block {block.height} cannot follow height {parent.height}")
        if block.epoch != self.epoch:
            raise LocalError(f"block {block.height} is of epoch {block.epoch}, expected {self.epoch}")
        self.require_known_features()
        if block.time_ms <= parent.time_ms:
            raise LocalError(f"block {block.height} at {block.time_ms} ms is not after {parent.time_ms} ms")
        if self.overlay.layers_held >= self.overlay.layers_max:
            raise LocalError(f"{self.overlay.layers_held} executed heights wait for the flush")
        self._run = Run(
            block,
            parent,
            self.params,
            self._apps,
            self.authority,
            self.overlay,
            self._federation,
            self._signatures,
            self.name,
            self.features,
        )

    def advance(self, budget: int = SLICE_TRANSACTIONS_DEFAULT) -> Execution | None:
        """Work on the begun block: at most `budget` (>= 1) transactions or changed leaves. The Execution
        once it is done, else None. Raises LocalError when no block was begun."""
        if self._run is None:
            raise LocalError("no block was begun")
        if budget < 1:
            raise ValueError("a slice is at least 1")
        state_root = self._run.advance(budget)
        if state_root is None:
            return None
        run, self._run = self._run, None
        return self._seal(run, state_root)

    def execute(self, block: BlockToExecute) -> Execution:
        """`begin` and `advance` to the end in one call."""
        self.begin(block)
        while True:
            execution = self.advance(len(block.transactions) + 1)
            if execution is not None:
                return execution

    def flushed(self, height: int) -> None:
        """The reader shows everything up to `height`: forget those layers."""
        self.overlay.drop_through(height)

    def _seal(self, run: Run, state_root: Digest) -> Execution:
        parent, block = self.tip.header, run.block
        next_roster = run.next_roster
        header = Header.make(
            incarnation=parent.incarnation,
            cluster_id=parent.cluster_id,
            epoch=block.epoch,
            height=block.height,
            parent_hash=parent.hash,
            block_id=block.block_id,
            time_ms=block.time_ms,
            tx_root=rfc6962.root(run.transaction_hashes),
            receipt_root=rfc6962.root(run.receipt_hashes),
            state_root=state_root,
            history_root=self.tip.history.root(),
            validators_hash=parent.next_validators_hash or parent.validators_hash,
            next_validators_hash=None if next_roster is None else next_roster.validator_set().hash(),
            outbox_root=run.roots.outbox,
            anchors_root=run.roots.anchors,
        )
        history, nodes = self.tip.history.append([leaf_hash(header.hash)])
        self.overlay.push(block.height, run.state.writes())
        self.tip = Tip(header, history)
        return Execution(
            header,
            tuple(run.leaves),
            tuple(run.receipts),
            tuple(run.skipped),
            run.state.writes(),
            nodes,
            next_roster,
            run.roots.logs,
        )
