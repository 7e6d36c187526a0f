"""A small cluster whose headers are really executed and really signed, in a store as a node lays it out."""

from collections.abc import Collection, Sequence

from consensus import (
    Digest,
    Epoch,
    HeaderCertificate,
    Height,
    SigningKey,
    bitmap_of,
    digest,
    encode,
)
from node.daemon.memory_store import MemoryStore
from node.genesis import Genesis
from node.ledger.execution import BlockToExecute, Ledger
from node.ledger.members import Member
from node.ledger.params import Params
from node.ledger.roster import ValidatorRecord
from node.ledger.state import Space, StateWrite
from node.ledger.transactions import Transaction
from node.proofs.header import Header
from node.proofs.rfc6962 import StoredNode
from node.storage import ChainTable, StateTable, Write

START_MS = 1_700_000_000_000
VALIDATOR_KEYS = tuple(SigningKey(bytes((number,)) * 32) for number in range(1, 5))
MEMBER_KEY = SigningKey(b"\x31" * 32)
_TABLES = {Space.STATE: StateTable.STATE, Space.NODES: StateTable.NODES, Space.REPLAY: StateTable.REPLAY}


def genesis(name: str = "harbour") -> Genesis:
    """Four validators with the weights 1, 1, 1 and 2, and one member."""
    validators = []
    for number, key in enumerate(VALIDATOR_KEYS):
        node_key = SigningKey(bytes((number + 11,)) * 32).public_key
        operator_key = SigningKey(bytes((number + 21,)) * 32).public_key
        weight = 2 if number == 3 else 1
        validators.append(
            ValidatorRecord(f"node-{number}", "port", key.public_key, node_key, weight, operator_key)
        )
    member = Member(MEMBER_KEY.public_key, "port", ("admin",), "clerk")
    return Genesis.new(name, Params(created_ms=START_MS), validators, [member])


def put(cluster: Genesis, number: int, record: str) -> Transaction:
    """A signed `records.put`; `number` makes it unique."""
    args = (f"files/{record}", digest("test/content", record.encode()), 1_000, "raw", "", (), ())
    return Transaction.sign(
        MEMBER_KEY,
        cluster.cluster_id,
        number.to_bytes(16, "big"),
        START_MS + 500_000,
        "records",
        "put",
        args,
    )


def certificate(header: Header, signers: Sequence[int] = (1, 2, 3)) -> HeaderCertificate:
    """The certificate of `header` by these validators, whether or not they are enough."""
    unsigned = HeaderCertificate(
        header.incarnation,
        Epoch(header.epoch),
        Height(header.height),
        header.block_id,
        header.hash,
        bitmap_of(signers, len(VALIDATOR_KEYS)),
        b"",
    )
    message = unsigned.digest(header.cluster_id)
    signatures = b"".join(VALIDATOR_KEYS[index].sign(message) for index in sorted(signers))
    return HeaderCertificate(
        unsigned.incarnation,
        unsigned.epoch,
        unsigned.height,
        unsigned.block_id,
        unsigned.header_hash,
        unsigned.signers,
        signatures,
    )


class Chain:
    """The cluster's store after the given blocks of record names, certified at the given heights only."""

    def __init__(self, blocks: Sequence[Sequence[str]], certified: Collection[int]) -> None:
        self.genesis = genesis()
        self.store = MemoryStore()
        self.headers: list[Header] = []
        self.transactions: list[tuple[Transaction, ...]] = [()]
        self._certified = certified
        beginning = self.genesis.beginning()
        self._keep(beginning.tip.header, beginning.state_writes, beginning.history_nodes, [])
        ledger = Ledger(self.genesis.params, _Reader(self.store), beginning.tip)
        number = 0
        for height, records in enumerate(blocks, start=1):
            transactions = []
            for record in records:
                number += 1
                transactions.append(put(self.genesis, number, record))
            execution = ledger.execute(
                BlockToExecute(
                    height,
                    Digest(digest("test/block", height.to_bytes(8, "big"))),
                    0,
                    START_MS + 1_000 * height,
                    tuple(transactions),
                )
            )
            self.transactions.append(tuple(transaction for _, transaction in execution.leaves))
            bodies = (
                tuple(transaction.encoded for transaction in self.transactions[-1]),
                tuple(receipt.encoded for receipt in execution.receipts),
            )
            chain = [Write(ChainTable.BODIES, _u64(height), encode(bodies))]
            for index, (_, transaction) in enumerate(execution.leaves):
                place = _u64(height) + index.to_bytes(4, "big")
                chain.append(Write(ChainTable.TRANSACTIONS, transaction.id, place))
            self._keep(execution.header, execution.state_writes, execution.history_nodes, chain)
            ledger.flushed(height)

    def record_key(self, record: str) -> bytes:
        """The state key of a record's newest version, found in the state itself."""
        with self.store.snapshot() as snapshot:
            keys = [key for key, _ in snapshot.scan(StateTable.STATE, b"", limit=10_000)]
        (found,) = [key for key in keys if key.endswith(b"current/files/" + record.encode())]
        return found

    def _keep(
        self,
        header: Header,
        states: Sequence[StateWrite],
        history: Sequence[StoredNode],
        chain: list[Write],
    ) -> None:
        key = _u64(header.height)
        chain.append(Write(ChainTable.HEADERS, key, header.encoded))
        for level, index, node in history:
            chain.append(Write(ChainTable.HISTORY, bytes((level,)) + _u64(index), node))
        if header.height in self._certified:
            chain.append(Write(ChainTable.CERTIFICATES, key, encode(certificate(header).to_value())))
        state = [Write(_TABLES[space], name, value) for space, name, value in states]
        self.store.apply(chain, [*state, Write(StateTable.META, b"height", key)])
        self.headers.append(header)


BLOCKS = (("a", "b", "c"), ("d", "a"), ("e",), ("f", "g", "h", "i", "j"), ("k", "l"), ("m",), ("n", "o", "p"))
CERTIFIED = (3, 5, 7)


def small_chain() -> Chain:
    """Seven heights; the second transaction of height 2 fails, because its record exists."""
    return Chain(BLOCKS, CERTIFIED)


class _Reader:
    """The state as stored, for execution."""

    def __init__(self, store: MemoryStore) -> None:
        self._reader = store.reader()

    def get(self, space: Space, key: bytes) -> bytes | None:
        return self._reader.get(_TABLES[space], key)


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")
