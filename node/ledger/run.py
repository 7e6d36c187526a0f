"""One block under execution: its transactions one by one, then the state tree (DESIGN 5).

What becomes of each transaction is told in node/ledger/execution.py, whose `Ledger` makes one `Run` a block.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from consensus import Digest, SignatureCache, Value
from node.anchoring.lanes.views import OwnBlock
from node.ledger.apps import Apps, Context
from node.ledger.authority import Authority
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.federation import app as federation
from node.ledger.federation.block import Federation, FederationRoots, close, grow_stale
from node.ledger.federation.keys import CLIENT_PREFIX, STATE_PREFIX
from node.ledger.federation.posting import Posting
from node.ledger.federation.session import Desk
from node.ledger.federation.session import Session as FederationSession
from node.ledger.governance import app as governance
from node.ledger.governance.history import remember_parent
from node.ledger.governance.session import Session, Sitting
from node.ledger.opaque import OpaqueBatch
from node.ledger.params import Params
from node.ledger.policy import require
from node.ledger.receipts import NO_WRITES, Receipt, hash_writes
from node.ledger.replay import ReplayGuard
from node.ledger.roster import ROSTER_KEY, Roster
from node.ledger.state import BlockState, Overlay
from node.ledger.transactions import Transaction
from node.proofs import smt
from node.proofs.header import Header
from node.proofs.rfc6962 import leaf_hash


@dataclass(frozen=True, slots=True)
class BlockToExecute:
    """A committed block that yields a header, its payload resolved to transactions in payload order, or on a
    benchmark cluster to batches."""

    height: int
    block_id: Digest
    epoch: int
    time_ms: int
    transactions: tuple[Transaction | OpaqueBatch, ...]


Leaf: TypeAlias = tuple[int, Transaction | OpaqueBatch]
"""(position in the block's transactions, the transaction); the leaf index is the place in the list."""


class _Phase(Enum):
    TRANSACTIONS = 1
    STATE_TREE = 2
    DONE = 3


class Run:
    """One block under execution."""

    __slots__ = (
        "_authority",
        "_cap_ms",
        "_changes",
        "_cluster_id",
        "_desk",
        "_ends_slice",
        "_federation",
        "_federation_writes",
        "_guard",
        "_parent",
        "_phase",
        "_position",
        "_posting",
        "_said",
        "_sitting",
        "_state_root",
        "block",
        "leaves",
        "receipt_hashes",
        "receipts",
        "roots",
        "skipped",
        "state",
        "transaction_hashes",
    )

    def __init__(
        self,
        block: BlockToExecute,
        parent: Header,
        params: Params,
        apps: Apps,
        authority: Authority,
        overlay: Overlay,
        federation: Federation,
        cache: SignatureCache,
        name: str,
        features: tuple[str, ...],
    ) -> None:
        self.block = block
        self.state = BlockState(overlay)
        self.leaves: list[Leaf] = []
        self.receipts: list[Receipt] = []
        self.transaction_hashes: list[bytes] = []
        self.receipt_hashes: list[bytes] = []
        self.skipped: list[tuple[int, Code]] = []
        self._authority = authority
        self._cap_ms = params.replay_cap_ms
        self._cluster_id = parent.cluster_id
        self._parent = parent
        self.roots = FederationRoots(parent.anchors_root, parent.outbox_root)
        self._federation = federation
        self._federation_writes: dict[bytes, bytes | None] = {}
        self._said: list[tuple[bytes, bytes]] = []
        self._ends_slice = False
        self._posting = Posting(
            OwnBlock(parent.cluster_id, parent.incarnation, block.height, block.time_ms), apps.port
        )
        self._desk = Desk(self.state.get_state, self._posting, cache)
        self._sitting = Sitting(
            self.state, parent, block.epoch, block.time_ms, apps.method, cache.scheme, name, features
        )
        if block.time_ms >= federation.next_tick_ms:
            stale = grow_stale(self.state, federation, block.time_ms)
            self.state.state.update(stale)
            self._note_federation(stale)
        remember_parent(self.state, parent, block.time_ms)
        self._guard = ReplayGuard(params, self.state, block.height, block.time_ms, parent.time_ms)
        self._phase = _Phase.TRANSACTIONS
        self._position = 0
        self._changes: list[smt.HashedChange] = []
        self._state_root = parent.state_root

    def advance(self, budget: int) -> Digest | None:
        """At most `budget` units of work (a transaction, or a changed leaf); the state root at the end. A
        courier's transaction ends its slice: one bundle is as much work as a slice of others."""
        if self._phase is _Phase.TRANSACTIONS:
            transactions = self.block.transactions
            end = min(self._position + budget, len(transactions))
            for position in range(self._position, end):
                transaction = transactions[position]
                if isinstance(transaction, OpaqueBatch):
                    self._leaf(position, transaction, Code.OK, transaction.result, NO_WRITES)
                else:
                    self._execute(position, transaction)
                    if self._ends_slice:
                        self._ends_slice = False
                        end = position + 1
                        break
            budget -= end - self._position
            self._position = end
            if end < len(transactions):
                return None
            self._guard.finish()
            if self._federation_writes or self._said:
                self._close_federation()
            self._changes = smt.in_tree_order(self.state.state.items())
            self._phase, self._position = _Phase.STATE_TREE, 0
        if self._phase is _Phase.STATE_TREE:
            end = min(self._position + max(budget, 0), len(self._changes))
            if end > self._position:
                update = smt.update_sorted(self.state, self._changes[self._position : end])
                self.state.nodes.update(update.writes)
                self._state_root = Digest(update.root)
                self._position = end
            if end == len(self._changes):
                self._phase = _Phase.DONE
        return self._state_root if self._phase is _Phase.DONE else None

    @property
    def next_roster(self) -> Roster | None:
        """The roster that the block's transactions put in place of the current one."""
        stored = self.state.state.get(ROSTER_KEY)
        return None if stored is None else Roster.decode(stored)

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
        if transaction.app in _SYSTEM:
            return _SYSTEM[transaction.app](self, transaction)
        sender = self._authority.member(self.state, transaction.sender)
        door = self._authority.door(self.state, transaction.app, transaction.method)
        parsed = door.method.parse(transaction.args)
        context = Context(
            self.state,
            transaction.app,
            sender,
            transaction.id,
            self.block.height,
            self.block.time_ms,
            self._posting,
        )
        if not door.is_open:
            owner = door.method.owner_of(context, parsed) if door.rule.is_about_owner else None
            require(door.policy, door.rule, sender, door.organisation_count, owner)
        result = door.method.run(context, parsed)
        if context.said is not None:
            self._said += context.said
        return result, context.writes

    def _govern(self, transaction: Transaction) -> tuple[Value, dict[bytes, bytes | None]]:
        """`_call` for governance, which may change members and policies."""
        session = Session(self._sitting, transaction.sender, transaction.id)
        session.require_known()
        result = governance.parse(transaction.method, transaction.args, self._sitting.features)(session)
        self._authority.forget()
        self._note_federation(session.writes)
        return result, session.writes

    def _federate(self, transaction: Transaction) -> tuple[Value, dict[bytes, bytes | None]]:
        """`_call` for the federation."""
        self._ends_slice = True
        session = FederationSession(self._desk, transaction.sender)
        result = federation.parse(transaction.method, transaction.args)(session)
        self._note_federation(session.draft.writes)
        self._said += session.draft.said
        return result, session.draft.writes

    def _note_federation(self, writes: dict[bytes, bytes | None]) -> None:
        """Clients, clusters and parameters among a transaction's writes matter at the block's end."""
        self._federation_writes.update(
            (key, value) for key, value in writes.items() if key.startswith(STATE_PREFIX)
        )

    def _close_federation(self) -> None:
        """Set the header's two roots, before the state tree is updated."""
        writes = self._federation_writes
        clients = {key: value for key, value in writes.items() if key.startswith(CLIENT_PREFIX)}
        self.roots = close(self.state, self._parent, clients, self._said)
        if writes:
            self._federation.note(writes, self.state.get_state)

    def _fail(self, position: int, transaction: Transaction, rejection: RejectedTransaction) -> None:
        self._leaf(position, transaction, rejection.code, rejection.detail, NO_WRITES)

    def _leaf(
        self,
        position: int,
        transaction: Transaction | OpaqueBatch,
        status: Code,
        result: Value,
        writes_hash: Digest,
    ) -> None:
        receipt = Receipt.make(
            transaction.id, self.block.height, len(self.leaves), status, result, writes_hash
        )
        self.leaves.append((position, transaction))
        self.receipts.append(receipt)
        self.transaction_hashes.append(leaf_hash(transaction.encoded))
        self.receipt_hashes.append(leaf_hash(receipt.encoded))


_SYSTEM: dict[str, Callable[[Run, Transaction], tuple[Value, dict[bytes, bytes | None]]]] = {
    governance.NAME: Run._govern,
    federation.NAME: Run._federate,
}
"""The applications that every cluster has, under no policy, and how they are called."""
