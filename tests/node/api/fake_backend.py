"""A whole node behind the HTTP door without consensus: the real ledger over the in-memory store.

It passes the same contract as the daemon (`backend_contract.py`). Submitted transactions are executed at
once, unless `hold` is set; every header is certified by all four validators, or only every n-th one, so
that proofs through the history tree occur.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import trio

from consensus import (
    Digest,
    Epoch,
    HeaderCertificate,
    Height,
    SigningKey,
    Value,
    bitmap_of,
    digest,
    encode,
)
from node.anchoring.lanes.courier import LeafName
from node.anchoring.questions import Page
from node.api.backend import (
    AsksOthers,
    Busy,
    CommittedView,
    Location,
    NodeStatus,
    PeerStatus,
    Readiness,
    Rejected,
    Submitted,
)
from node.api.queries import HEIGHT_KEY, height_key
from node.daemon.federation.readings import NoAnswer
from node.daemon.federation.told import StateTold
from node.daemon.memory_store import MemorySnapshot, MemoryStore
from node.diagnosis import NodeFacts, PeerFacts
from node.genesis import Genesis
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.execution import BlockToExecute, Ledger
from node.ledger.governance.changes import Reweigh
from node.ledger.governance.proposals import proposal_id_of
from node.ledger.members import Member
from node.ledger.opaque import OpaqueBatch
from node.ledger.params import Params
from node.ledger.receipts import Receipt
from node.ledger.roster import ValidatorRecord
from node.ledger.state import Space, StateWrite
from node.ledger.transactions import Transaction, check_signature
from node.proofs.header import Header
from node.proofs.rfc6962 import StoredNode
from node.storage import ChainTable, SnapshotLimit, StateTable, Write
from node.validator.epochs import EpochLink
from tests.node.api.fake_chunks import refusal_of
from tests.node.diagnosis.scene import A_NODE, A_PEER

_TABLES = {Space.STATE: StateTable.STATE, Space.NODES: StateTable.NODES, Space.REPLAY: StateTable.REPLAY}
VALIDATOR_KEYS = tuple(SigningKey(bytes((number,)) * 32) for number in range(1, 5))
NODE_KEYS = tuple(SigningKey(bytes((number,)) * 32) for number in range(11, 15))
OPERATOR_KEYS = tuple(SigningKey(bytes((number,)) * 32) for number in range(21, 25))
MEMBER_KEY = SigningKey(b"\x31" * 32)
START_MS = 1_700_000_000_000


def make_genesis(name: str = "harbour") -> Genesis:
    """Four validators of equal weight and one member of the organisation `port`."""
    validators = [
        ValidatorRecord(
            f"node-{i}",
            "port",
            VALIDATOR_KEYS[i].public_key,
            NODE_KEYS[i].public_key,
            1,
            OPERATOR_KEYS[i].public_key,
        )
        for i in range(4)
    ]
    member = Member(MEMBER_KEY.public_key, "port", ("admin",), "clerk")
    return Genesis.new(name, Params(created_ms=START_MS), validators, [member])


class Unreachable:
    """`AsksOthers` of a node without links."""

    async def state(self, cluster_id: bytes, data: bytes, seconds: float) -> StateTold:
        raise NoAnswer("unreachable", "no node of that cluster is connected to this one")

    async def catalogue(self, cluster_id: bytes, data: bytes, seconds: float) -> Page:
        raise NoAnswer("unreachable", "no node of that cluster is connected to this one")

    async def message(self, cluster_id: bytes, name: LeafName, seconds: float) -> bytes:
        raise NoAnswer("unreachable", "no node of that cluster is connected to this one")


class FakeBackend:
    """`node.api.Backend` in one process and one thread."""

    def __init__(
        self, genesis: Genesis | None = None, *, certify_every: int = 1, waiters_max: int = 100
    ) -> None:
        self.genesis = genesis or make_genesis()
        self.store = MemoryStore()
        self.asking: AsksOthers = Unreachable()
        self.hold = False
        self.busy: Busy | None = None
        self.not_ready: tuple[str, ...] = ()
        self.submissions = 0
        self.snapshots_refused = 0
        self._waiters = 0
        self._waiters_max = waiters_max
        self._certify_every = certify_every
        self._pending: dict[bytes, Transaction | OpaqueBatch] = {}
        self._executed: dict[bytes, Location] = {}
        self._certified: dict[bytes, Location] = {}
        self._shown_height = 0
        self._news = trio.Event()
        self._submission = trio.Event()
        beginning = self.genesis.beginning()
        self._ledger = Ledger(self.genesis.params, _Reader(self.store), beginning.tip)
        self._store(beginning.tip.header, beginning.state_writes, beginning.history_nodes, [])

    async def submit(self, transactions: Sequence[bytes]) -> tuple[Submitted | Rejected, ...]:
        await trio.lowlevel.checkpoint()
        self.submissions += 1
        if self.busy is not None:
            self._submission.set()
            raise self.busy
        answers = tuple(self._admit(data) for data in transactions)
        self._submission.set()
        if self._pending and not self.hold:
            self.commit()
        return answers

    async def submit_chunks(
        self, chunks: Sequence[bytes], transaction_bytes: int, timeout_ms: int
    ) -> tuple[Submitted | Rejected, ...]:
        await trio.lowlevel.checkpoint()
        if self.busy is not None:
            raise self.busy
        answers: list[Submitted | Rejected] = []
        for number, chunk in enumerate(chunks):
            if (refused := refusal_of(chunk, transaction_bytes, self.genesis)) is not None:
                answers.append(refused)
                continue
            name = digest("test/batch", number.to_bytes(1, "big"), chunk)
            self._pending[name] = OpaqueBatch(name, len(chunk) // transaction_bytes, len(chunk))
            answers.append(Submitted(name))
        self._submission.set()
        if self._pending and not self.hold:
            self.commit()
        return tuple(answers)

    async def wait_submission(self) -> None:
        """Until something was submitted since the last call."""
        await self._submission.wait()
        self._submission = trio.Event()

    def commit(self, *, certified: bool | None = None) -> None:
        """Order and execute what is pending as one block."""
        tip = self._ledger.tip
        height = tip.height + 1
        block = BlockToExecute(
            height,
            digest("test/block", height_key(height)),
            self._ledger.epoch,
            tip.header.time_ms + 1_000,
            tuple(self._pending.values()),
        )
        self._pending.clear()
        execution = self._ledger.execute(block)
        leaves = [
            (transaction.encoded, receipt)
            for (_, transaction), receipt in zip(execution.leaves, execution.receipts, strict=True)
        ]
        certify = height % self._certify_every == 0 if certified is None else certified
        if execution.next_roster is not None:
            link = EpochLink(execution.header, certify_header(execution.header), execution.next_roster)
            self.store.apply([link.write()], [])
            certify = True
        self._store(
            execution.header, execution.state_writes, execution.history_nodes, leaves, certify=certify
        )
        self._ledger.flushed(height)
        for receipt in execution.receipts:
            self._executed[receipt.tx_id] = Location(height, receipt.index, receipt, is_certified=False)
        if certified is not False:
            self._certified |= {name: Location(at.height, at.index) for name, at in self._executed.items()}
            self._shown_height = height
        self._news.set()
        self._news = trio.Event()

    async def wait_certified(self, tx_ids: Sequence[bytes], timeout_ms: int) -> tuple[Location | None, ...]:
        await self._wait_until(lambda: all(tx_id in self._certified for tx_id in tx_ids), timeout_ms)
        return tuple(self._certified.get(tx_id) for tx_id in tx_ids)

    async def wait_height(self, height: int, timeout_ms: int) -> bool:
        return await self._wait_until(lambda: self._shown_height >= height, timeout_ms)

    async def wait_committed(self, tx_ids: Sequence[bytes], timeout_ms: int) -> tuple[Location | None, ...]:
        await self._wait_until(lambda: all(tx_id in self._executed for tx_id in tx_ids), timeout_ms)
        return tuple(self._certified.get(tx_id, self._executed.get(tx_id)) for tx_id in tx_ids)

    async def wait_committed_height(self, height: int, timeout_ms: int) -> bool:
        return await self._wait_until(lambda: self._ledger.tip.height >= height, timeout_ms)

    async def wait_new_height(self, after: int) -> int:
        while self._ledger.tip.height <= after:
            await self._news.wait()
        await trio.lowlevel.checkpoint()
        return self._ledger.tip.height

    def snapshot(self) -> AbstractContextManager[MemorySnapshot]:
        if self.snapshots_refused > 0:
            self.snapshots_refused -= 1
            raise SnapshotLimit("64 queries are being answered already, try again")
        return self.store.snapshot()

    def committed(self) -> CommittedView:
        newest = self.store.snapshot()
        with newest as snapshot:
            certified = snapshot.scan(ChainTable.CERTIFICATES, b"", limit=1, reverse=True)
        height = int.from_bytes(certified[0][0], "big") if certified else 0
        return CommittedView(height, self._ledger.tip.height, self.store.snapshot)

    def readiness(self) -> Readiness:
        return Readiness(not self.not_ready, self.not_ready, self.benchmark)

    @property
    def benchmark(self) -> str:
        """As the daemon says it."""
        return self.genesis.params.apps[0] if self.genesis.params.benchmark else ""

    def status(self) -> NodeStatus:
        height = self._ledger.tip.height
        peers = (PeerStatus("node-1", NODE_KEYS[1].public_key, "127.0.0.1:27610", True, height),)
        return NodeStatus(
            "node-0",
            NODE_KEYS[0].public_key,
            True,
            self.genesis.name,
            self.genesis.cluster_id,
            "0.1.0",
            self._ledger.tip.header.time_ms,
            START_MS,
            self._ledger.epoch,
            height + 3,
            "node-2",
            height,
            height,
            height,
            False,
            len(self._pending),
            peers,
            self.benchmark,
        )

    def look(self) -> tuple[NodeFacts, tuple[PeerFacts, ...]]:
        status = self.status()
        seen = tuple(
            replace(A_PEER, name=f"node-{number}", node_key=NODE_KEYS[number].public_key)
            for number in range(1, 4)
        )
        node = replace(A_NODE, name=status.node_name, cluster_id=status.cluster_id, round=status.round)
        return replace(node, stored_height=status.stored_height), seen

    def metrics_text(self) -> bytes:
        return b"# TYPE isthmus_consensus_height gauge\nisthmus_consensus_height 1\n"

    def put_evidence(self, evidence_id: bytes, evidence: bytes) -> None:
        """Keep a piece of evidence."""
        self.store.apply([Write(ChainTable.EVIDENCE, evidence_id, evidence)], [])

    def prune_body(self, height: int) -> None:
        """Forget the transactions of a height."""
        self.store.apply([Write(ChainTable.BODIES, height_key(height), None)], [])

    @property
    def height(self) -> int:
        """The stored height."""
        return self._ledger.tip.height

    async def _wait_until(self, condition, timeout_ms: int) -> bool:  # type: ignore[no-untyped-def]  # test
        if self._waiters >= self._waiters_max:
            raise Busy(f"{self._waiters_max} requests wait already", 500)
        self._waiters += 1
        try:
            with trio.move_on_after(timeout_ms / 1000):
                while not condition():
                    await self._news.wait()
        finally:
            self._waiters -= 1
        return bool(condition())

    def _admit(self, data: bytes) -> Submitted | Rejected:
        try:
            transaction = Transaction.decode(data, self.genesis.params.max_transaction_bytes)
            if transaction.cluster_id != self.genesis.cluster_id:
                raise RejectedTransaction(Code.WRONG_CLUSTER, transaction.cluster_id.hex())
            if not check_signature(transaction):
                raise RejectedTransaction(Code.BAD_SIGNATURE, transaction.sender.hex())
        except RejectedTransaction as error:
            return Rejected(error.code.value, error.code.label, str(error))
        if transaction.id not in self._executed:
            self._pending[transaction.id] = transaction
        return Submitted(transaction.id)

    def _store(
        self,
        header: Header,
        state_writes: Sequence[StateWrite],
        history_nodes: Sequence[StoredNode],
        leaves: Sequence[tuple[bytes, Receipt]],
        *,
        certify: bool = True,
    ) -> None:
        key = height_key(header.height)
        chain = [
            Write(ChainTable.HEADERS, key, header.encoded),
            Write(ChainTable.BLOCK_HEIGHTS, header.block_id, key),
        ]
        for level, index, node in history_nodes:
            chain.append(Write(ChainTable.HISTORY, bytes((level,)) + index.to_bytes(8, "big"), node))
        if header.height > 0:
            body = encode(([data for data, _ in leaves], [receipt.encoded for _, receipt in leaves]))
            chain.append(Write(ChainTable.BODIES, key, body))
            if certify:
                certificate = encode(certify_header(header).to_value())
                chain.append(Write(ChainTable.CERTIFICATES, key, certificate))
        for _, receipt in leaves:
            place = key + receipt.index.to_bytes(4, "big")
            chain.append(Write(ChainTable.TRANSACTIONS, receipt.tx_id, place))
        state = [Write(_TABLES[space], name, value) for space, name, value in state_writes]
        state.append(Write(StateTable.META, HEIGHT_KEY, key))
        self.store.apply(chain, state)


def certify_header(header: Header, signers: Sequence[int] = (0, 1, 2, 3)) -> HeaderCertificate:
    """The certificate that these validators make for a header."""
    bare = HeaderCertificate(
        header.incarnation,
        Epoch(header.epoch),
        Height(header.height),
        header.block_id,
        Digest(header.hash),
        bitmap_of(signers, 4),
        b"",
    )
    message = bare.digest(header.cluster_id)
    signatures = b"".join(VALIDATOR_KEYS[index].sign(message) for index in signers)
    return HeaderCertificate(
        bare.incarnation,
        bare.epoch,
        bare.height,
        bare.block_id,
        bare.header_hash,
        bare.signers,
        signatures,
    )


def put_record(
    genesis: Genesis, record_id: str, number: int, *, method: str = "put", key: SigningKey = MEMBER_KEY
) -> Transaction:
    """A signed `records` transaction; `number` makes it and its content unique."""
    content = (digest("test/content", number.to_bytes(4, "big")), number, "text/plain", "file.txt", (), ())
    args = (record_id, *content) if method == "put" else (record_id, number - 1, *content)
    expires_at_ms = START_MS + 300_000
    unique_id = digest("test/id", f"{record_id} {method} {number}".encode())[:16]
    return Transaction.sign(key, genesis.cluster_id, unique_id, expires_at_ms, "records", method, args)


PROPOSE_WEIGHT: tuple[Value, ...] = ((Reweigh("node-3", 2).to_value(),), 0)
"""Arguments of a proposal: node-3 gets the weight 2."""


def govern(genesis: Genesis, key: SigningKey, method: str, args: tuple[Value, ...]) -> Transaction:
    """A signed `governance` transaction, the same for the same call."""
    unique_id = digest("test/id", encode((method, args, key.public_key)))[:16]
    return Transaction.sign(
        key, genesis.cluster_id, unique_id, START_MS + 300_000, "governance", method, args
    )


def weight_proposal_id(genesis: Genesis) -> Digest:
    """The id of PROPOSE_WEIGHT when the first operator proposes it."""
    proposing = govern(genesis, OPERATOR_KEYS[0], "propose", PROPOSE_WEIGHT)
    return proposal_id_of((Reweigh("node-3", 2),), False, proposing.id)


class _Reader:
    """The ledger's view of the store."""

    def __init__(self, store: MemoryStore) -> None:
        self._reader = store.reader()

    def get(self, space: Space, key: bytes) -> bytes | None:
        return self._reader.get(_TABLES[space], key)
