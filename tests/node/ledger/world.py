"""A small cluster for ledger tests: fixed keys, a genesis, a dictionary for a store."""

from hashlib import sha256

from consensus import Digest, SigningKey, Value
from node.genesis import Genesis
from node.ledger.apps import Apps
from node.ledger.execution import BlockToExecute, Execution, Ledger
from node.ledger.members import Member
from node.ledger.params import Params
from node.ledger.policy import Policy
from node.ledger.roster import ValidatorRecord
from node.ledger.state import Space, StateWrite
from node.ledger.transactions import Transaction

CREATED_MS = 1_700_000_000_000


def key_of(name: str) -> SigningKey:
    return SigningKey(sha256(name.encode()).digest())


ALICE, ANNA, BOB, STRANGER = key_of("alice"), key_of("anna"), key_of("bob"), key_of("stranger")
MEMBERS = (
    Member(ALICE.public_key, "acme", ("client",), "alice"),
    Member(ANNA.public_key, "acme", ("admin", "client"), "anna"),
    Member(BOB.public_key, "bolts", ("client",), "bob"),
)


def make_genesis(policies: dict[str, Policy] | None = None, **params: int) -> Genesis:
    validators = [
        ValidatorRecord(
            f"v{i}",
            "acme" if i < 2 else "bolts",
            key_of(f"consensus {i}").public_key,
            key_of(f"node {i}").public_key,
            1,
            key_of(f"operator {i}").public_key,
        )
        for i in range(4)
    ]
    return Genesis.new(
        "test", Params(created_ms=CREATED_MS, **params), validators, MEMBERS, (policies or {}).items()
    )


class Store:
    """The three spaces as dictionaries: a `StateReader`, and what a flush writes to."""

    def __init__(self, writes: tuple[StateWrite, ...] = ()) -> None:
        self.spaces: dict[Space, dict[bytes, bytes]] = {space: {} for space in Space}
        self.reads = 0
        self.apply(writes)

    def get(self, space: Space, key: bytes) -> bytes | None:
        self.reads += 1
        return self.spaces[space].get(key)

    def apply(self, writes: tuple[StateWrite, ...]) -> None:
        for space, key, value in writes:
            if value is None:
                self.spaces[space].pop(key, None)
            else:
                self.spaces[space][key] = value


class World:
    """A ledger over a store that flushes after every block, unless told not to."""

    def __init__(self, genesis: Genesis | None = None, apps: Apps | None = None) -> None:
        self.genesis = genesis or make_genesis()
        self.beginning = self.genesis.beginning()
        self.store = Store(self.beginning.state_writes)
        self.ledger = Ledger(self.genesis.params, self.store, self.beginning.tip, apps=apps)
        self.next_id = 0

    @property
    def now_ms(self) -> int:
        return self.ledger.tip.header.time_ms

    def sign(
        self,
        key: SigningKey,
        method: str,
        args: tuple[Value, ...],
        *,
        unique_id: bytes | None = None,
        expires_at_ms: int | None = None,
        app: str = "records",
        cluster_id: bytes | None = None,
    ) -> Transaction:
        self.next_id += 1
        return Transaction.sign(
            key,
            cluster_id or self.genesis.cluster_id,
            unique_id or self.next_id.to_bytes(16, "big"),
            expires_at_ms or self.now_ms + 60_000,
            app,
            method,
            args,
        )

    def put(self, key: SigningKey, record_id: str, content: bytes = b"content") -> Transaction:
        return self.sign(key, "put", put_args(record_id, content))

    def supersede(self, key: SigningKey, record_id: str, previous: Value, content: bytes) -> Transaction:
        record_id, *rest = put_args(record_id, content)
        return self.sign(key, "supersede", (record_id, previous, *rest))

    def block(self, *transactions: Transaction, after_ms: int = 1_000) -> BlockToExecute:
        height = self.ledger.tip.height + 1
        return BlockToExecute(height, block_id(height), 0, self.now_ms + after_ms, transactions)

    def execute(self, *transactions: Transaction, after_ms: int = 1_000, flush: bool = True) -> Execution:
        execution = self.ledger.execute(self.block(*transactions, after_ms=after_ms))
        if flush:
            self.flush(execution)
        return execution

    def flush(self, execution: Execution) -> None:
        self.store.apply(execution.state_writes)
        self.ledger.flushed(execution.header.height)


def put_args(record_id: str, content: bytes = b"content") -> tuple[Value, ...]:
    return (record_id, sha256(content).digest(), len(content), "text/plain", "file:x", (), (("k", "v"),))


def block_id(height: int) -> Digest:
    return Digest(sha256(b"block %d" % height).digest())
