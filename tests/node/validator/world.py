"""A cluster of shipped validators in one thread: virtual time, network, disks and clients; the same seed is
the same run, in every process.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256
from heapq import heappop, heappush
from itertools import combinations
from random import Random

from consensus import Digest, SigningKey, as_array, as_bytes, as_tuple, decode
from node.daemon.memory_store import MemoryStore
from node.genesis import Genesis
from node.ledger.transactions import Transaction
from node.storage import ChainTable
from node.validator import Refusal, Tuning, first_writes, pool_config
from node.validator.layout import height_key
from tests.node.ledger.world import ALICE, CREATED_MS, make_genesis, put_args
from tests.node.validator.checkers import Checkers, Violation
from tests.node.validator.disk import Disk
from tests.node.validator.node import Node

START_MS = CREATED_MS + 10_000
EVENTS_MAX = 3_000_000
"""A run that takes more than this is a storm, and fails."""
Filter = Callable[[Node, Node, int, bytes], bool]


class World:
    """`n` is always four, as in the ledger tests' genesis; everything is connected until told otherwise."""

    def __init__(
        self,
        seed: int = 0,
        *,
        latency_ms: tuple[int, int] = (1, 3),
        loss_percent: int = 0,
        persist_ms: int = 1,
        flush_ms: int = 5,
        worker_ms: tuple[int, int] = (1, 2),
        **params: int,
    ) -> None:
        self.random = Random(seed)
        self.genesis: Genesis = make_genesis(None, **params)
        self.tuning = Tuning()
        self.pool_config = pool_config(self.genesis, self.tuning)
        self.latency_ms, self.loss_percent = latency_ms, loss_percent
        self.persist_ms, self.flush_ms, self.worker_ms = persist_ms, flush_ms, worker_ms
        self.now_ms = START_MS
        self.checkers = Checkers(self.genesis, self.pool_config)
        self.filter: Filter = lambda source, target, topic, body: True
        self.prepare: Callable[[Node], None] = lambda node: None
        self.trace: list[str] = []
        self.sent: dict[int, int] = {}
        self._hasher = sha256()
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._events = self._tickets = self._transactions = 0
        self._checked = b""
        self._groups: tuple[tuple[int, ...], ...] = ((0, 1, 2, 3),)
        self.nodes = [Node(self, index) for index in range(4)]
        self.by_peer = {node.peer: node for node in self.nodes}

    def new_disk(self) -> Disk:
        """A node's disk after `init`."""
        store = MemoryStore()
        store.apply(*first_writes(self.genesis))
        return Disk(store)

    def start(self) -> "World":
        """All nodes start."""
        for node in self.nodes:
            node.start()
        return self

    # --- time ------------------------------------------------------------------------------------------

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Run `action` then."""
        self._events += 1
        if self._events > EVENTS_MAX:
            raise Violation(f"{EVENTS_MAX} events: a storm")
        heappush(self._queue, (self.now_ms + delay_ms, self._events, action))

    def run(self, duration_ms: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; whether `until` became true."""
        deadline_ms = self.now_ms + duration_ms
        if until is not None and until():
            return True
        while self._queue and self._queue[0][0] <= deadline_ms:
            self.now_ms, _, action = heappop(self._queue)
            action()
            if until is not None and until():
                return True
        self.now_ms = deadline_ms
        return False

    @property
    def elapsed_ms(self) -> int:
        """Since the beginning."""
        return self.now_ms - START_MS

    def note(self, node: Node, words: str) -> None:
        """A line of the trace."""
        self.trace.append(f"{self.elapsed_ms} {node.index} {words}")

    @property
    def fingerprint(self) -> str:
        """Of every frame sent, where from and to, and when."""
        return self._hasher.hexdigest()

    # --- network ---------------------------------------------------------------------------------------

    def connected(self, one: Node, other: Node) -> bool:
        """Whether both are up and in one group."""
        if not (one.up and other.up):
            return False
        return any(one.index in group and other.index in group for group in self._groups)

    def link_up(self, node: Node) -> None:
        """Links of a started node come up."""
        for other in self.nodes:
            if other is not node and self.connected(node, other):
                node.link(other, up=True)
                other.link(node, up=True)

    def link_down(self, node: Node) -> None:
        """A crashed node's links end."""
        for other in self.nodes:
            if other is not node and other.up:
                other.link(node, up=False)

    def partition(self, *groups: tuple[int, ...]) -> None:
        """Only nodes of one group keep their links."""
        before = [pair for pair in combinations(self.nodes, 2) if self.connected(*pair)]
        self._groups = groups
        for one, other in combinations(self.nodes, 2):
            now, was = self.connected(one, other), (one, other) in before
            if now != was:
                one.link(other, up=now)
                other.link(one, up=now)

    def heal(self) -> None:
        """Everybody hears everybody, nothing is lost."""
        self.loss_percent = 0
        self.filter = lambda source, target, topic, body: True
        self.partition((0, 1, 2, 3))

    def send(
        self, source: Node, target: Node | None, topic: int, body: bytes, *, gossip: bool = False
    ) -> None:
        """A frame leaves: checked, perhaps lost, delivered later, in any order."""
        if target is None or target is source or not self.connected(source, target):
            return
        if not gossip and body is not self._checked:
            self.checkers.on_frame(source.index, topic, body)
            self._checked = body
        source.frames += 1
        self.sent[topic] = self.sent.get(topic, 0) + 1
        self._hasher.update(b"%d %d %d %d " % (self.now_ms, source.index, target.index, topic) + body)
        if not self.filter(source, target, topic, body) or self.random.randrange(100) < self.loss_percent:
            return
        life = target.life

        def arrive() -> None:
            if target.life == life and self.connected(source, target):
                target.receive(source.peer, topic, body, gossip=gossip)

        self.after(self.random.randint(*self.latency_ms), arrive)

    # --- clients ---------------------------------------------------------------------------------------

    def next_ticket(self) -> int:
        """A number for a request."""
        self._tickets += 1
        return self._tickets

    def transaction(
        self, *, key: SigningKey = ALICE, life_ms: int = 60_000, name: str | None = None, size: int = 0
    ) -> Transaction:
        """A signed `records.put` of a new record."""
        self._transactions += 1
        record, *rest = put_args(name or f"test/r{self._transactions}")
        if size:
            rest[3] = "x" * size
        unique = self._transactions.to_bytes(16, "big")
        args = (record, *rest)
        return Transaction.sign(
            key, self.genesis.cluster_id, unique, self.now_ms + life_ms, "records", "put", args
        )

    def submit(self, index: int, count: int = 1, **how: int) -> list[Transaction]:
        """`count` new transactions at one node, in one request."""
        transactions = [
            self.transaction(life_ms=how.get("life_ms", 60_000), size=how.get("size", 0))
            for _ in range(count)
        ]
        self.nodes[index].submit(*transactions)
        return transactions

    def admitted(self, index: int) -> list[Digest]:
        """Every transaction that node said it would take."""
        answers = self.nodes[index].answers.values()
        return [outcome for outcomes in answers for outcome in outcomes if not isinstance(outcome, Refusal)]

    # --- questions -------------------------------------------------------------------------------------

    def holds(self, node: Node, transactions: Iterable[Transaction]) -> bool:
        """Whether the node's readers see all of them: in the chain, at a height that the state shows."""
        reader = node.disk.store.reader()
        places = [reader.get(ChainTable.TRANSACTIONS, t.id) for t in transactions]
        return all(place is not None and place[:8] <= height_key(node.height) for place in places)

    def in_chain(self, node: Node, transactions: Iterable[Transaction]) -> bool:
        """Whether the chain environment alone has them."""
        reader = node.disk.store.reader()
        return all(reader.get(ChainTable.TRANSACTIONS, t.id) is not None for t in transactions)

    def everywhere(self, transactions: Iterable[Transaction], nodes: Iterable[int] = range(4)) -> bool:
        """Whether all these nodes' databases show all of them."""
        wanted = list(transactions)
        return all(self.holds(self.nodes[index], wanted) for index in nodes)

    def stored(self, transactions: Iterable[Transaction], within_ms: int, *nodes: int) -> bool:
        """Wait until all these nodes (all four, if none is named) show all of them."""
        wanted = list(transactions)
        return self.run(within_ms, lambda: self.everywhere(wanted, nodes or range(4)))

    def settle(self, within_ms: int, nodes: Iterable[int] = range(4)) -> None:
        """Every acknowledged transaction is on each of these nodes, once, at one height, within this time."""
        chosen = [self.nodes[index] for index in nodes]

        def complete() -> bool:
            told = max(self.checkers.acknowledged.values(), default=0)  # perhaps on its way to the disks
            top = max(told, *(node.height for node in self.nodes))
            return all(node.up and node.height == top for node in chosen)

        if not self.run(within_ms, complete):
            raise Violation(f"heights {[n.height for n in self.nodes]} after {within_ms} ms of peace")
        for node in chosen:
            self._check_stored(node)
            self.checkers.check_bounds(node.index, node.validator)

    def _check_stored(self, node: Node) -> None:
        reader = node.disk.store.reader()
        found: dict[Digest, int] = {}
        for height in range(1, node.height + 1):
            bodies = reader.get(ChainTable.BODIES, height_key(height))
            if bodies is None:
                raise Violation(f"node {node.index} has no body of height {height}")
            transactions, _ = as_tuple(decode(bodies), 2, "body")
            for encoded in as_array(transactions, 65_536, "transactions"):
                name = Transaction.decode(as_bytes(encoded, "transaction")).id
                if found.setdefault(name, height) != height or name not in self.checkers.acknowledged:
                    raise Violation(f"node {node.index}: {name.hex()[:12]} twice, or never acknowledged")
        missing = [name for name in self.checkers.acknowledged if name not in found]
        if missing:
            raise Violation(f"node {node.index} lost {len(missing)} acknowledged transactions")
