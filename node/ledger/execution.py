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

from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Any, TypeAlias

from consensus import Digest, LocalError, Value
from node.ledger.apps import Apps, Context, Method
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.members import ORGANISATIONS_KEY, Member, decode_member, member_key, organisations_of
from node.ledger.params import Params
from node.ledger.policy import Policy, Rule, admits_everybody, decode_policy, policy_key, require
from node.ledger.receipts import NO_WRITES, Receipt, hash_writes
from node.ledger.replay import ReplayGuard
from node.ledger.state import LAYERS_MAX, BlockState, Overlay, Space, StateReader, StateWrite, Writes
from node.ledger.transactions import Transaction
from node.proofs import rfc6962, smt
from node.proofs.header import Header
from node.proofs.rfc6962 import CompactRange, StoredNode, leaf_hash

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
class BlockToExecute:
    """A committed block that yields a header, its payload resolved to transactions in payload order."""

    height: int
    block_id: Digest
    epoch: int
    time_ms: int
    transactions: tuple[Transaction, ...]


Leaf: TypeAlias = tuple[int, Transaction]
"""(position in the block's transactions, the transaction); the leaf index is the place in the list."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What a block came to. `receipts[i]` belongs to `leaves[i]`; `skipped` lists the positions that got
    neither, with the reason; `state_writes` and `history_nodes` are to be stored in one transaction.
    `writes` are the same as `state_writes`, one mapping a space, and must not be changed."""

    header: Header
    leaves: tuple[Leaf, ...]
    receipts: tuple[Receipt, ...]
    skipped: tuple[tuple[int, Code], ...]
    writes: Writes
    history_nodes: tuple[StoredNode, ...]

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


class _Phase(Enum):
    TRANSACTIONS = 1
    STATE_TREE = 2
    DONE = 3


@dataclass(frozen=True, slots=True)
class _Door:
    """A method with its policy, resolved once a block: `is_open` iff every member may call it."""

    method: Method[Any]
    policy: Policy
    rule: Rule
    organisation_count: int
    is_open: bool


class _Run:
    """One block under execution.

    Members and policies are read once a block: applications write below their own prefix only, so no
    transaction of the block can change them.
    """

    __slots__ = (
        "_apps",
        "_cap_ms",
        "_changes",
        "_cluster_id",
        "_doors",
        "_guard",
        "_members",
        "_phase",
        "_position",
        "_state_root",
        "block",
        "leaves",
        "receipt_hashes",
        "receipts",
        "skipped",
        "state",
        "transaction_hashes",
    )

    def __init__(
        self, block: BlockToExecute, parent: Header, params: Params, apps: Apps, overlay: Overlay
    ) -> None:
        self.block = block
        self.state = BlockState(overlay)
        self.leaves: list[Leaf] = []
        self.receipts: list[Receipt] = []
        self.transaction_hashes: list[bytes] = []
        self.receipt_hashes: list[bytes] = []
        self.skipped: list[tuple[int, Code]] = []
        self._apps = apps
        self._cap_ms = params.replay_cap_ms
        self._cluster_id = parent.cluster_id
        self._doors: dict[tuple[str, str], _Door] = {}
        self._members: dict[bytes, Member] = {}
        self._guard = ReplayGuard(params, self.state, block.height, block.time_ms, parent.time_ms)
        self._phase = _Phase.TRANSACTIONS
        self._position = 0
        self._changes: list[tuple[bytes, bytes | None]] = []
        self._state_root = parent.state_root

    def advance(self, budget: int) -> Digest | None:
        """At most `budget` units of work (a transaction, or a changed leaf); the state root at the end."""
        if self._phase is _Phase.TRANSACTIONS:
            transactions = self.block.transactions
            end = min(self._position + budget, len(transactions))
            for position in range(self._position, end):
                self._execute(position, transactions[position])
            budget -= end - self._position
            self._position = end
            if end < len(transactions):
                return None
            self._guard.finish()
            # By key hash: each slice then touches its own part of the tree, and upper nodes rarely twice.
            self._changes = sorted(self.state.state.items(), key=lambda change: sha256(change[0]).digest())
            self._phase, self._position = _Phase.STATE_TREE, 0
        if self._phase is _Phase.STATE_TREE:
            end = min(self._position + max(budget, 0), len(self._changes))
            if end > self._position:
                update = smt.update(self.state, self._changes[self._position : end])
                self.state.nodes.update(update.writes)
                self._state_root = Digest(update.root)
                self._position = end
            if end == len(self._changes):
                self._phase = _Phase.DONE
        return self._state_root if self._phase is _Phase.DONE else None

    def _execute(self, position: int, transaction: Transaction) -> None:
        time_ms = self.block.time_ms
        expires_at_ms = transaction.expires_at_ms
        if transaction.cluster_id != self._cluster_id:
            self.skipped.append((position, Code.WRONG_CLUSTER))
        elif expires_at_ms <= time_ms:
            self.skipped.append((position, Code.EXPIRED))
        elif expires_at_ms > time_ms + self._cap_ms:
            self._fail(
                position,
                transaction,
                RejectedTransaction(
                    Code.EXPIRY_TOO_FAR,
                    f"expires {expires_at_ms - time_ms} ms after its block, the cap is {self._cap_ms} ms",
                ),
            )
        elif not self._guard.admit(transaction):
            self.skipped.append((position, Code.REPLAYED))
        else:
            try:
                result, writes = self._call(transaction)
            except RejectedTransaction as rejection:
                self._fail(position, transaction, rejection)
            else:
                self.state.state.update(writes)
                self._leaf(position, transaction, Code.OK, result, hash_writes(writes))

    def _call(self, transaction: Transaction) -> tuple[Value, dict[bytes, bytes | None]]:
        """Judge authority, run the method; its result and its writes. Raises RejectedTransaction."""
        sender = self._member(transaction.sender)
        door = self._door(transaction.app, transaction.method)
        parsed = door.method.parse(transaction.args)
        context = Context(
            self.state, transaction.app, sender, transaction.id, self.block.height, self.block.time_ms
        )
        if not door.is_open:
            owner = door.method.owner_of(context, parsed) if door.rule.is_about_owner else None
            require(door.policy, door.rule, sender, door.organisation_count, owner)
        return door.method.run(context, parsed), context.writes

    def _member(self, public_key: bytes) -> Member:
        known = self._members.get(public_key)
        if known is None:
            stored = self.state.get_state(member_key(public_key))
            if stored is None:
                raise RejectedTransaction(Code.UNKNOWN_SENDER, f"key {public_key.hex()}")
            known = self._members[public_key] = decode_member(stored)
        return known

    def _door(self, app: str, name: str) -> _Door:
        known = self._doors.get((app, name))
        if known is None:
            method = self._apps.method(app, name)
            stored = self.state.get_state(policy_key(app, name))
            if stored is None:
                raise RejectedTransaction(Code.FORBIDDEN, f"{app}.{name} has no policy")
            policy, rule = decode_policy(stored)
            count = len(organisations_of(self.state.get_state(ORGANISATIONS_KEY)))
            known = self._doors[app, name] = _Door(
                method, policy, rule, count, admits_everybody(policy, rule)
            )
        return known

    def _fail(self, position: int, transaction: Transaction, rejection: RejectedTransaction) -> None:
        self._leaf(position, transaction, rejection.code, rejection.detail, NO_WRITES)

    def _leaf(
        self, position: int, transaction: Transaction, status: Code, result: Value, writes_hash: Digest
    ) -> None:
        receipt = Receipt.make(
            transaction.id, self.block.height, len(self.leaves), status, result, writes_hash
        )
        self.leaves.append((position, transaction))
        self.receipts.append(receipt)
        self.transaction_hashes.append(leaf_hash(transaction.encoded))
        self.receipt_hashes.append(leaf_hash(receipt.encoded))


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
    ) -> None:
        """`apps` defaults to those that `params` enables; tests pass others. Raises ValueError."""
        self.params = params
        self.tip = tip
        self.overlay = Overlay(reader, layers_max)
        self._apps = apps or Apps(params.apps)
        self._run: _Run | None = None

    @property
    def has_room(self) -> bool:
        """Whether the next block may begin; False asks composition to flush first."""
        return self.overlay.has_room

    @property
    def is_busy(self) -> bool:
        """Whether a block is under execution."""
        return self._run is not None

    def begin(self, block: BlockToExecute) -> None:
        """Take the block after the tip. Raises LocalError."""
        parent = self.tip.header
        epoch = parent.epoch + (parent.next_validators_hash is not None)
        if self._run is not None:
            raise LocalError(f"block {block.height} before block {self._run.block.height} was executed")
        if block.height != parent.height + 1:
            raise LocalError(f"block {block.height} cannot follow height {parent.height}")
        if block.epoch != epoch:
            raise LocalError(f"block {block.height} is of epoch {block.epoch}, expected {epoch}")
        if block.time_ms <= parent.time_ms:
            raise LocalError(f"block {block.height} at {block.time_ms} ms is not after {parent.time_ms} ms")
        if self.overlay.layers_held >= self.overlay.layers_max:
            raise LocalError(f"{self.overlay.layers_held} executed heights wait for the flush")
        self._run = _Run(block, parent, self.params, self._apps, self.overlay)

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

    def _seal(self, run: _Run, state_root: Digest) -> Execution:
        parent, block = self.tip.header, run.block
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
        )
        history, nodes = self.tip.history.append([leaf_hash(header.hash)])
        self.overlay.push(block.height, run.state.writes())
        self.tip = Tip(header, history)
        return Execution(
            header, tuple(run.leaves), tuple(run.receipts), tuple(run.skipped), run.state.writes(), nodes
        )
