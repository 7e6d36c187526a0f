"""The validator's own ledger in a simulated federation: `node.ledger` over a store in memory.

Where `ledger.py` orders the calls of light clients and lanes itself, here transactions are signed, executed
by the shipped ledger (governance admits, couriers deliver, receipts say how it ended), stored, and served by
the shipped answers to couriers. It shows the same face as `ledger.Ledger`, so that the same couriers, roads,
faults and checkers work on it. What only an application sees (that a handler ran, that a result was heard) is
told by the application `coins`; everything else is read from headers, outbox and state.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.sim.federation.app import PORT
from bench.sim.federation.coins import NAME, SEND, coins
from bench.sim.federation.history import History
from bench.sim.federation.keyring import START_MS, key, keyring
from bench.sim.federation.transactions import (
    Accuse,
    Anchored,
    Block,
    Deliver,
    Frozen,
    Happened,
    Sealed,
    Send,
    Sent,
    Transaction,
    Watcher,
)
from consensus import Digest, SignatureCache, SigningKey, Value, digest, encode
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.cluster.identity import ClusterIdentity
from node.anchoring.lanes import (
    AnchoredView,
    BundleRequest,
    Held,
    InboundBundle,
    Message,
    Mode,
    Offer,
    decode_leaf,
)
from node.daemon.memory_store import MemoryStore
from node.genesis import Genesis
from node.ledger import transactions as signed
from node.ledger.apps import Apps
from node.ledger.codes import Code
from node.ledger.execution import BlockToExecute, Execution
from node.ledger.execution import Ledger as Executor
from node.ledger.federation import queries, serving
from node.ledger.federation.changes import AdmitCluster, FederationChange, SetLanePolicy
from node.ledger.federation.posting import view_of
from node.ledger.federation.records import LanePolicy
from node.ledger.members import Member
from node.ledger.params import Params
from node.ledger.receipts import Receipt
from node.ledger.roster import ValidatorRecord
from node.ledger.state import Space
from node.storage import Reader, StateTable, WriteSet
from node.validator.layout import SPACE_TABLES, certificate_write, chain_writes, state_writes, tip_writes
from node.validator.recovered import first_writes

_LIVES_MS = 300_000
_CACHE = 8192
_APP_KEYS = b"app/"


@dataclass
class Leaves:
    """Every leaf ever said, by destination."""

    leaves: dict[bytes, list[bytes]] = field(default_factory=dict)


class ShippedLedger:
    """One branch of one cluster that stays honest. `bodies` holds every cluster's genesis, for admissions."""

    def __init__(self, name: str, nodes: int, bodies: dict[bytes, bytes], watcher: Watcher) -> None:
        self.name = name
        self._nodes = nodes
        self._bodies = bodies
        self.watcher = watcher
        self._member = key(f"{name}/member", 0)
        genesis = _genesis(name, nodes, self._member)
        self.history = History(name, nodes, genesis.body)
        bodies[genesis.cluster_id] = genesis.body
        self._store = MemoryStore()
        self._store.apply(*first_writes(genesis))
        self._reader = self._store.reader()
        self._told: list[Happened] = []
        apps = Apps((NAME,), (coins(genesis.cluster_id, self._told.append),))
        self._executor = Executor(
            genesis.params, _Spaces(self._reader), genesis.beginning().tip, apps=apps, name=name
        )
        self.outbox = Leaves()
        self.clients: dict[bytes, ClientState] = {}
        self.refused: dict[str, int] = {}
        self.blocks: list[tuple[BlockToExecute, tuple[int, ...]]] = []
        self.cache = SignatureCache(_CACHE)
        self._ids = 0

    # --- the same face as `ledger.Ledger` ------------------------------------------------------------

    @property
    def serving(self) -> "ShippedLedger":
        """Who answers couriers."""
        return self

    @property
    def cluster_id(self) -> Digest:
        """Whose ledger it is."""
        return self.history.cluster_id

    @property
    def now_ms(self) -> int:
        """The time of the newest block."""
        return self.history.tip.time_ms

    def get(self, leaf_key: bytes) -> bytes | None:
        """A leaf of the state; keys of the application stand below its prefix."""
        full = NAME.encode() + b"/" + leaf_key if leaf_key.startswith(_APP_KEYS) else leaf_key
        return self._reader.get(StateTable.STATE, full)

    def view_of(self, client: ClientState) -> AnchoredView:
        """A client as lanes see it."""
        return view_of(client)

    def held(self, subject: bytes) -> Held:
        """What is held of another cluster that was admitted."""
        found = serving.held(self._reader, subject)
        if found is None:
            raise ValueError(f"{self.name} never admitted {subject.hex()}")
        return found

    def offer(self, peer: bytes) -> Offer:
        """What there is to be had."""
        return serving.offer(self._reader, peer)

    def answer(self, peer: bytes, request: BundleRequest) -> InboundBundle | None:
        """What that cluster lacks."""
        return serving.answer(self._reader, peer, request)

    def admit(self, identity: ClusterIdentity) -> None:
        """Operators admit a cluster and open the lanes with it, by governance."""
        allowed = LanePolicy(may_send=True, may_receive=True)
        changes: tuple[FederationChange, ...] = (
            AdmitCluster(self._bodies[identity.cluster_id], (), identity),
            *(SetLanePolicy(identity.cluster_id, PORT, mode, allowed) for mode in Mode),
        )
        operators = keyring(f"{self.name}/operator", self._nodes).keys
        args: tuple[Value, ...] = (tuple(change.to_value() for change in changes), 0)
        method = "propose"
        for operator in operators:
            receipt = self._run_alone(self._sign(operator, "governance", method, args))
            if not receipt.ok or type(receipt.result) is not tuple:
                raise ValueError(f"{self.name} could not admit {identity.name}: {receipt.explanation}")
            proposal_id, is_executed = receipt.result[:2]
            if is_executed:
                return
            method, args = "approve", (proposal_id,)

    def execute(self, block: Block) -> None:
        """Everything that a block does, and its header."""
        time_ms = max(block.time_ms, self.now_ms + 1)
        calls = [self._call(each, time_ms) for each in block.transactions]
        self._run(tuple(call for call in calls if call is not None), time_ms, block.signers)

    def replayed(self, history: History, admitted: Sequence[ClusterIdentity]) -> "ShippedLedger":
        """The same blocks executed again from the beginning by somebody who remembers nothing (I8)."""
        other = ShippedLedger(self.name, self._nodes, self._bodies, _nobody)
        for block, signers in self.blocks:
            other._execute(block, signers)
        return other

    # --- blocks ----------------------------------------------------------------------------------------

    def _call(self, transaction: Transaction, time_ms: int) -> signed.Transaction | None:
        node = key(f"{self.name}/node", 0)
        match transaction:
            case Send():
                args = (
                    transaction.destination,
                    int(transaction.mode),
                    transaction.payload,
                    transaction.lasting_ms,
                )
                return self._sign(self._member, NAME, SEND, args, time_ms)
            case Deliver():
                return self._sign(node, "federation", "deliver", (transaction.bundle,), time_ms)
            case Accuse():
                return self._sign(node, "federation", "accuse", (transaction.evidence,), time_ms)
        return None

    def _sign(
        self, by: SigningKey, app: str, method: str, args: tuple[Value, ...], time_ms: int | None = None
    ) -> signed.Transaction:
        self._ids += 1
        expires_ms = (self.now_ms if time_ms is None else time_ms) + _LIVES_MS
        unique = self._ids.to_bytes(signed.UNIQUE_ID_BYTES, "big")
        return signed.Transaction.sign(by, self.cluster_id, unique, expires_ms, app, method, args)

    def _run_alone(self, transaction: signed.Transaction) -> Receipt:
        self._run((transaction,), self.now_ms + 1, tuple(range(self._nodes)))
        return self._last.receipts[0]

    def _run(
        self, transactions: tuple[signed.Transaction, ...], time_ms: int, signers: tuple[int, ...]
    ) -> None:
        height = self.history.height + 1
        block_id = digest("isthmus/simulated-block/v1", encode((height, self.cluster_id)))
        self._execute(BlockToExecute(height, block_id, self._executor.epoch, time_ms, transactions), signers)

    def _execute(self, block: BlockToExecute, signers: tuple[int, ...]) -> None:
        self.blocks.append((block, signers))
        execution = self._last = self._executor.execute(block)
        self._store_all(execution, signers)
        for receipt in execution.receipts:
            if not receipt.ok:
                self._count(Code(receipt.status).label)
        for update in execution.outbox:
            self.outbox.leaves.setdefault(update.destination, []).extend(update.leaves)
        self._tell_all(execution)

    def _store_all(self, execution: Execution, signers: tuple[int, ...]) -> None:
        """What a validator stores of a height, and the certificate of those who are up."""
        self.history.take(execution.header, signers)
        certificate = self.history.certified(execution.header.height).certificate
        chain, state = WriteSet(), WriteSet()
        chain.update(chain_writes(execution))
        chain.update(WriteSet.of([certificate_write(certificate)]))
        state.update(state_writes(execution))
        state.update(WriteSet.of(tip_writes(self._executor.tip)))
        self._store.apply(chain, state)
        self._executor.flushed(execution.header.height)

    def _tell_all(self, execution: Execution) -> None:
        """Anchors first: whatever a block handles was proven at a header that it anchored, or one before."""
        told, self._told[:] = list(self._told), []
        for view in queries.clusters(lambda leaf_key: self._reader.get(StateTable.STATE, leaf_key), 0):
            client = view.client
            before = self.clients.get(client.cluster_id)
            self.clients[client.cluster_id] = client
            was_frozen = before is not None and before.status is ClientStatus.FROZEN
            if client.status is ClientStatus.FROZEN and not was_frozen:
                self.watcher(Frozen(client))
            elif before is not None and before.last != client.last:
                self.watcher(Anchored(before, client))
        for update in execution.outbox:
            for leaf in update.leaves:
                message = decode_leaf(leaf)
                if isinstance(message, Message):
                    self.watcher(Sent(message))
        for happened in told:
            self.watcher(happened)
        self.watcher(Sealed(execution.header))

    def _count(self, code: str) -> None:
        self.refused[code] = self.refused.get(code, 0) + 1


@dataclass(frozen=True, slots=True)
class _Spaces:
    """What is stored, as a ledger reads it."""

    reader: Reader

    def get(self, space: Space, leaf_key: bytes) -> bytes | None:
        return self.reader.get(SPACE_TABLES[space], leaf_key)


def _genesis(name: str, nodes: int, member: SigningKey) -> Genesis:
    consensus, operators = keyring(name, nodes).keys, keyring(f"{name}/operator", nodes).keys
    validators = [
        ValidatorRecord(
            f"node-{number}",
            "simulated",
            consensus[number].public_key,
            key(f"{name}/node", number).public_key,
            1,
            operators[number].public_key,
        )
        for number in range(nodes)
    ]
    members = [Member(member.public_key, "simulated", ("client",), "member")]
    return Genesis.new(name, Params(created_ms=START_MS), validators, members)


def _nobody(happened: Happened) -> None:
    return
