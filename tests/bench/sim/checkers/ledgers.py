"""Hand-made heights: transactions, receipts, headers, and a host with the database that a test gives it."""

from dataclasses import dataclass, field
from typing import Any, cast

from bench.sim.checkers.merkle import list_root
from bench.sim.checkers.reading import tagged
from bench.sim.checkers.stored import StoredChain, StoredHeight
from bench.sim.disk import Disk
from bench.sim.host import Host
from bench.sim.keyedhash import KEYED_HASH
from bench.sim.setting import key_of
from node.daemon.memory_store import MemoryStore
from node.storage import ChainTable, StateTable, Write
from node.validator.layout import HEIGHT_KEY, height_key
from tests.bench.sim.checkers.statements import CLUSTER, block_of, name, pack

CLIENT = key_of("client", KEYED_HASH)
CAP_MS = 1_000


@dataclass
class OneHost:
    """As much of a host as checkers look at."""

    place: int = 0
    index: int = 0
    life: int = 1
    flushing: bool = True
    disk: Disk = field(default_factory=lambda: Disk(MemoryStore()))
    timers: dict[str, int] = field(default_factory=dict)
    limits: tuple[tuple[str, int, int], ...] = ()

    @property
    def name(self) -> str:
        return str(self.place)

    @property
    def height(self) -> int:
        return self.disk.height

    @property
    def validator(self) -> Any:
        return Limited(self.limits)

    @property
    def host(self) -> Host:
        """For checkers."""
        return cast(Host, self)

    def put(self, *writes: tuple[ChainTable | StateTable, bytes, bytes | None]) -> None:
        for table, key, value in writes:
            write = Write(table, key, value)
            chain, state = ([write], []) if isinstance(table, ChainTable) else ([], [write])
            self.disk.store.apply(chain, state)

    def store(self, *made: "MadeHeight") -> None:
        """Everything of these heights reaches the database."""
        for one in made:
            key = height_key(one.height)
            self.put(
                (ChainTable.HEADERS, key, one.header),
                (ChainTable.BODIES, key, one.body),
                (ChainTable.BLOCKS, one.block_id, one.proposal),
                (ChainTable.CERTIFICATES, key, b"a certificate"),
                (StateTable.META, HEIGHT_KEY, key),
            )
            for batch in one.batches:
                self.put((ChainTable.BATCHES, tagged("isthmus/batch/v1", batch), batch))
            for index, transaction in enumerate(one.transactions):
                place = key + index.to_bytes(4, "big")
                self.put((ChainTable.TRANSACTIONS, transaction.id, place))


@dataclass(frozen=True)
class Limited:
    """A validator that only knows its limits."""

    gauges: tuple[tuple[str, int, int], ...]

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        return self.gauges


@dataclass(frozen=True)
class MadeTransaction:
    """`encoded` as it stands in a batch."""

    id: bytes
    encoded: bytes


def transaction(
    word: str, *, unique: str = "", expires_at_ms: int = 500, cluster: bytes = CLUSTER, forged: bool = False
) -> MadeTransaction:
    """One that the client signed, or somebody else."""
    unique_id = name(unique or word)[:16]
    body = pack((1, cluster, CLIENT.public_key, unique_id, expires_at_ms, "records", "put", (word,)))
    id = tagged("isthmus/transaction/v1", body)
    signer = key_of("a thief", KEYED_HASH) if forged else CLIENT
    return MadeTransaction(id, pack((body, signer.sign(id))))  # type: ignore[arg-type]  # a digest


@dataclass(frozen=True)
class MadeHeight:
    """A height as it is stored; `ordered` is what its block's one batch holds, `executed` by default."""

    height: int
    time_ms: int
    transactions: tuple[MadeTransaction, ...]
    receipts: tuple[bytes, ...]
    ordered: tuple[MadeTransaction, ...]
    header_changes: tuple[tuple[int, bytes], ...] = ()

    @property
    def batches(self) -> tuple[bytes, ...]:
        return (pack((1, CLUSTER, 0, 0, 0, 1, [one.encoded for one in self.ordered])),)

    @property
    def proposal(self) -> bytes:
        references = [(0, tagged("isthmus/batch/v1", batch)) for batch in self.batches]
        return pack((block_of(self.height, payload=pack((references, ()))).data, bytes(64)))

    @property
    def block_id(self) -> bytes:
        references = [(0, tagged("isthmus/batch/v1", batch)) for batch in self.batches]
        return block_of(self.height, payload=pack((references, ()))).id

    @property
    def body(self) -> bytes:
        return pack(([one.encoded for one in self.transactions], self.receipts))

    @property
    def header(self) -> bytes:
        fields: list[object] = [0] * 16
        fields[4], fields[6], fields[7] = self.height, self.block_id, self.time_ms
        fields[8] = list_root([one.encoded for one in self.transactions])
        fields[9] = list_root(self.receipts)
        for place, value in self.header_changes:
            fields[place] = value
        return pack(fields)

    @property
    def stored(self) -> StoredHeight:
        return StoredHeight(self.height, self.header, self.body)


def receipt_of(one: MadeTransaction, height: int, index: int, status: int = 0) -> bytes:
    """What became of it."""
    return pack((1, one.id, height, index, status, None, bytes(32)))


def height_of(
    height: int,
    *executed: MadeTransaction,
    time_ms: int = 100,
    status: int = 0,
    receipts: tuple[bytes, ...] | None = None,
    ordered: tuple[MadeTransaction, ...] | None = None,
    header_changes: tuple[tuple[int, bytes], ...] = (),
) -> MadeHeight:
    """A height; honest unless told otherwise."""
    honest = tuple(receipt_of(one, height, index, status) for index, one in enumerate(executed))
    return MadeHeight(
        height,
        time_ms,
        executed,
        honest if receipts is None else receipts,
        executed if ordered is None else ordered,
        header_changes,
    )


def chain_of(*heights: MadeHeight) -> StoredChain:
    """The flush that stores them."""
    return StoredChain(
        tuple(made.stored for made in heights),
        tuple(
            (one.id, made.height, index) for made in heights for index, one in enumerate(made.transactions)
        ),
        (),
        (),
    )
