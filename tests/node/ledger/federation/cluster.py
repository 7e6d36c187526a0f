"""Whole clusters without network: ledgers over memory stores, certified by real keys, and couriers in a line.

What a courier does between two clusters is done here by `Cluster.pull`: what we hold, what the other offers,
the request that comes of it, the bundle, and the transaction. All of it goes through the shipped functions.
"""

from dataclasses import replace
from hashlib import sha256
from typing import Any

from consensus import Digest, Epoch, HeaderCertificate, Height, SigningKey, Value, bitmap_of, encode_trusted
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.cluster.certified import Certified
from node.anchoring.lanes import BundleRequest, InboundBundle, Mode, Offer, plan
from node.daemon.memory_store import MemoryStore
from node.genesis import Genesis
from node.ledger.apps import Apps
from node.ledger.beginning import state_root_of
from node.ledger.execution import BlockToExecute, Execution, Ledger
from node.ledger.federation import queries, serving
from node.ledger.federation.changes import AdmitCluster, SetLanePolicy, federation_change_of
from node.ledger.federation.records import LanePolicy, client_of
from node.ledger.governance.changes import Change
from node.ledger.members import Member
from node.ledger.params import Params
from node.ledger.receipts import Receipt
from node.ledger.roster import ROSTER_KEY, Roster, ValidatorRecord
from node.ledger.state import Space
from node.ledger.transactions import Transaction
from node.proofs import rfc6962, smt
from node.storage import ChainTable, StateTable, Write, WriteSet
from node.validator.epochs import EpochLink
from node.validator.layout import SPACE_TABLES, certificate_write, chain_writes, state_writes, tip_writes
from node.validator.recovered import first_writes
from tests.node.ledger.world import CREATED_MS, put_args

STEP_MS = 1_000


def key_of(cluster: str, label: str) -> SigningKey:
    return SigningKey(sha256(f"{cluster}/{label}".encode()).digest())


class Cluster:
    """One cluster: its genesis, ledger and store, and all of its keys."""

    def __init__(
        self, name: str, count: int = 4, created_ms: int = CREATED_MS, apps: Apps | None = None
    ) -> None:
        self.name = name
        self.generation = ""
        self.alice = key_of(name, "alice")
        self.genesis = Genesis.new(
            name,
            Params(created_ms=created_ms),
            [self.record(number) for number in range(count)],
            [Member(self.alice.public_key, "acme", ("client",), "alice")],
        )
        self.id = self.genesis.cluster_id
        self.store = MemoryStore()
        self.store.apply(*first_writes(self.genesis))
        self.reader = self.store.reader()
        self.apps = apps
        self.ledger = Ledger(self.genesis.params, self, self.genesis.beginning().tip, apps=apps, name=name)
        self.now_ms = created_ms
        self.next_id = 0
        self.executions: list[Execution] = []
        self.said: dict[bytes, list[bytes]] = {}

    def restart(self) -> None:
        """A ledger that begins from what is stored."""
        self.ledger = Ledger(self.genesis.params, self, self.ledger.tip, apps=self.apps, name=self.name)

    def branch(self) -> "Cluster":
        """A second history from here on, by the same keys."""
        other = Cluster(self.name, len(self.genesis.validators), self.genesis.params.created_ms, self.apps)
        with self.store.snapshot() as snapshot:
            chain, state = (
                [Write(table, *entry) for table in tables for entry in snapshot.scan(table, b"", limit=10**6)]
                for tables in (ChainTable, StateTable)
            )
        other.store.apply(chain, state)
        other.ledger = Ledger(self.genesis.params, other, self.ledger.tip, apps=self.apps, name=self.name)
        other.now_ms, other.next_id = self.now_ms, self.next_id
        other.executions = list(self.executions)
        other.said = {to: list(leaves) for to, leaves in self.said.items()}
        return other

    def record(self, number: int) -> ValidatorRecord:
        """Validator v<number>."""
        keys = (self.key(label, number).public_key for label in ("consensus", "node", "operator"))
        consensus, node, operator = keys
        return ValidatorRecord(f"v{number}", "acme", consensus, node, 1, operator)

    def key(self, label: str, number: int = 0) -> SigningKey:
        """A validator's key: `consensus`, `node` or `operator`. A recovery renews the first."""
        return key_of(self.name, f"{label} {number}{self.generation if label == 'consensus' else ''}")

    def recovered(self, incarnation: int) -> "Cluster":
        """The same cluster, going on above its tip in a later incarnation with fresh consensus keys."""
        other = self.branch()
        other.generation = f" of {incarnation}"
        last = self.ledger.tip.header
        epoch = last.epoch + incarnation - last.incarnation
        roster = Roster(Epoch(epoch), tuple(other.record(number) for number in range(4)))
        nodes = smt.update(serving.state_nodes(self.reader), [(ROSTER_KEY, roster.encode())]).writes
        writes = [Write(StateTable.STATE, ROSTER_KEY, roster.encode())]
        other.store.apply(
            WriteSet(), WriteSet.of(writes + [Write(StateTable.NODES, *each) for each in nodes])
        )
        fields = {"incarnation": incarnation, "epoch": epoch, "next_validators_hash": None}
        header = replace(last, **fields, validators_hash=roster.validator_set().hash())
        tip = replace(self.ledger.tip, header=header)
        other.ledger = Ledger(self.genesis.params, other, tip, apps=self.apps, name=self.name)
        return other

    def get(self, space: Space, key: bytes) -> bytes | None:
        """The ledger's reader."""
        return self.reader.get(SPACE_TABLES[space], key)

    def state(self, key: bytes) -> bytes | None:
        """A stored state leaf."""
        return self.reader.get(StateTable.STATE, key)

    # --- blocks ----------------------------------------------------------------------------------------

    def sign(self, key: SigningKey, app: str, method: str, args: tuple[Value, ...]) -> Transaction:
        self.next_id += 1
        unique = self.next_id.to_bytes(16, "big")
        return Transaction.sign(key, self.id, unique, self.now_ms + 300_000, app, method, args)

    def run(self, *transactions: Transaction, after_ms: int = STEP_MS) -> tuple[Receipt, ...]:
        """One block of these, executed, certified and stored; the receipts."""
        return self.execute(*transactions, after_ms=after_ms).receipts

    def execute(self, *transactions: Transaction, after_ms: int = STEP_MS) -> Execution:
        """`run`, and all of what it came to."""
        self.now_ms += after_ms
        height = self.ledger.tip.height + 1
        block_id = Digest(sha256(f"{self.name} {height}".encode()).digest())
        signers = self.ledger.roster
        execution = self.ledger.execute(
            BlockToExecute(height, block_id, self.ledger.epoch, self.now_ms, transactions)
        )
        certified = self.certify(execution, [v.name for v in signers.validators])
        chain, state = WriteSet(), WriteSet()
        chain.update(chain_writes(execution))
        chain.update(WriteSet.of([certificate_write(certified.certificate)]))
        if execution.next_roster is not None:
            link = EpochLink(execution.header, certified.certificate, execution.next_roster)
            chain.update(WriteSet.of([link.write()]))
        state.update(state_writes(execution))
        state.update(WriteSet.of(tip_writes(self.ledger.tip)))
        self.store.apply(chain, state)
        self.ledger.flushed(height)
        self.executions.append(execution)
        self.check_roots(execution)
        return execution

    def check_roots(self, execution: Execution) -> None:
        """The two roots, made anew from all that is held and all that was ever said."""
        views = [(view.client.cluster_id, view.client) for view in queries.clusters(self.state, 0)]
        stored = [client_of(self.state, cluster_id) for cluster_id, _ in views]
        anchors = [(client.cluster_id, client.anchor.encode()) for client in stored if client is not None]
        assert execution.header.anchors_root == state_root_of(anchors)
        for update in execution.outbox:
            leaves = self.said.setdefault(update.destination, [])
            assert update.first == len(leaves)
            leaves += update.leaves
        logs = [
            (to, encode_trusted((len(leaves), rfc6962.root([rfc6962.leaf_hash(leaf) for leaf in leaves]))))
            for to, leaves in self.said.items()
        ]
        assert execution.header.outbox_root == state_root_of(logs)

    def certify(self, execution: Execution, names: list[str]) -> Certified:
        header = execution.header
        unsigned = HeaderCertificate(
            header.incarnation,
            Epoch(header.epoch),
            Height(header.height),
            header.block_id,
            header.hash,
            b"",
            b"",
        )
        message = unsigned.digest(header.cluster_id)
        count = 2 * len(names) // 3 + 1
        signatures = [self.key("consensus", int(name[1:])).sign(message) for name in names[:count]]
        bitmap = bitmap_of(range(count), len(names))
        return Certified(header, replace(unsigned, signers=bitmap, signatures=b"".join(signatures)))

    # --- governance ------------------------------------------------------------------------------------

    def govern(self, *changes: Change, sweeping: bool = False) -> Receipt:
        """Propose and approve until it is executed; the last receipt, or the one of a refused proposal."""
        values = tuple(change.to_value() for change in changes)
        propose = (values, int(sweeping))
        (receipt,) = self.run(self.sign(self.key("operator", 0), "governance", "propose", propose))
        number = 0
        while receipt.ok and receipt.result[1] == 0:  # type: ignore[index]  # a tuple, and tests fail loudly
            number += 1
            (receipt,) = self.run(
                self.sign(self.key("operator", number), "governance", "approve", (receipt.result[0],))  # type: ignore[index]  # as above
            )
        return receipt

    def admit(self, other: "Cluster", *ports: str, **policy: Any) -> Receipt:
        """Admit another cluster, and open these ports in both directions."""
        body = other.genesis.body
        admitted = federation_change_of(8, (8, body, ()))
        assert isinstance(admitted, AdmitCluster)
        return self.govern(admitted, *(open_lane(other.id, port, **policy) for port in ports))

    # --- federation ------------------------------------------------------------------------------------

    def client(self, other: "Cluster") -> ClientState:
        view = queries.cluster(self.state, other.id, self.now_ms)
        assert view is not None
        return view.client

    def status(self, other: "Cluster") -> ClientStatus:
        return self.client(other).status

    def request(self, other: "Cluster", every_ms: int = 0) -> BundleRequest | None:
        """What our courier asks a server of `other` for."""
        held = serving.held(self.reader, other.id)
        assert held is not None
        offer = Offer.decode(serving.offer(other.reader, self.id).encode())
        return plan(held, offer, self.now_ms, every_ms, bytes_max=64 * 1024)

    def fetch(self, other: "Cluster", every_ms: int = 0) -> InboundBundle | None:
        """The bundle that comes of it, through the wire's encodings."""
        request = self.request(other, every_ms)
        if request is None:
            return None
        bundle = serving.answer(other.reader, self.id, BundleRequest.decode(request.encode()))
        return None if bundle is None else InboundBundle.decode(bundle.encode())

    def bring(self, bundle: InboundBundle, *more: Value, node: int = 0) -> Transaction:
        """The transaction of a courier."""
        return self.sign(self.key("node", node), "federation", "deliver", (bundle.encode(), *more))

    def pull(self, other: "Cluster") -> Receipt | None:
        """One round of our courier, in a block of its own; None when there was nothing to bring."""
        bundle = self.fetch(other)
        if bundle is None:
            return None
        return self.run(self.bring(bundle))[0]

    # --- records ---------------------------------------------------------------------------------------

    def put(self, record_id: str, content: bytes = b"content") -> Receipt:
        return self.run(self.sign(self.alice, "records", "put", put_args(record_id, content)))[0]

    def signed_share(self, record_id: str, to: "Cluster", lasting_ms: int = 60_000) -> Transaction:
        deadline_ms = max(self.now_ms, to.now_ms) + lasting_ms
        return self.sign(self.alice, "records", "share", (record_id, to.id, deadline_ms))

    def share(self, record_id: str, to: "Cluster", lasting_ms: int = 60_000) -> Receipt:
        return self.run(self.signed_share(record_id, to, lasting_ms))[0]


def open_lane(
    cluster_id: Digest,
    port: str,
    mode: Mode = Mode.UNORDERED,
    *,
    send: bool = True,
    receive: bool = True,
    quota: int | None = None,
    window_ms: int = 60_000,
) -> SetLanePolicy:
    """A lane policy that allows all unless told otherwise."""
    return SetLanePolicy(cluster_id, port, mode, LanePolicy(send, receive, quota, window_ms))


def federate(*clusters: Cluster, ports: tuple[str, ...] = ("records", "records.request")) -> None:
    """Everybody admits everybody else."""
    for cluster in clusters:
        for other in clusters:
            if other is not cluster:
                receipt = cluster.admit(other, *ports)
                assert receipt.ok, receipt.explanation


def settle(*clusters: Cluster, rounds: int = 6) -> None:
    """Couriers everywhere, until nothing is left to bring but anchors."""
    for _ in range(rounds):
        for cluster in clusters:
            for other in clusters:
                if other is not cluster:
                    cluster.pull(other)
