"""A simulated cluster: validators that are up or down, a pool, blocks while a quorum is up.

A corrupt cluster has several lines, each a branch with a ledger and a pool of its own, and decides which of
its peers is shown which.
"""

from collections import OrderedDict
from collections.abc import Callable

from bench.sim.clock import Clock
from bench.sim.federation.keyring import keyring
from bench.sim.federation.ledger import Ledger
from bench.sim.federation.transactions import Block, Deliver, Heartbeat, Reconfigure, Transaction
from node.anchoring.cluster.identity import ClusterIdentity

BLOCK_MS = 200
TRANSACTIONS_MAX = 8
POOL_MAX = 4096
AHEAD = 2
"""Blocks that are ordered before the first of them is executed."""


class Line:
    """One branch and its pool."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.pool: OrderedDict[int, Transaction] = OrderedDict()
        self.height_max: int | None = None
        """Where a corrupt cluster stops this branch."""
        self._next = 0
        self.dropped = 0

    def put(self, transaction: Transaction) -> bool:
        """Into the pool; False when it is full."""
        if len(self.pool) >= POOL_MAX:
            self.dropped += 1
            return False
        self._next += 1
        self.pool[self._next] = transaction
        return True

    def brings(self, source: bytes) -> bool:
        """Whether a bundle of this cluster waits already; another, on the same tip, would be in vain."""
        return any(isinstance(known, Deliver) and known.source == source for known in self.pool.values())

    def take(self) -> tuple[Transaction, ...]:
        """The oldest that fit a block; a change of the set ends what a block holds."""
        taken: list[Transaction] = []
        while self.pool and len(taken) < TRANSACTIONS_MAX:
            _, transaction = self.pool.popitem(last=False)
            taken.append(transaction)
            if isinstance(transaction, Reconfigure):
                break
        return tuple(taken)

    def put_back(self, transactions: tuple[Transaction, ...]) -> None:
        """To the front: they were ordered and not executed."""
        for transaction in reversed(transactions):
            self._next += 1
            self.pool[self._next] = transaction
            self.pool.move_to_end(self._next, last=False)


class Cluster:
    """Everything that one name in the federation is."""

    def __init__(self, name: str, nodes: int, clock: Clock, ledger: Ledger) -> None:
        self.name = name
        self.clock = clock
        self.lines = [Line(ledger)]
        self.shown: dict[bytes, int] = {}
        self.shows: Callable[[bytes], int] = self._as_listed
        self.is_up = [True] * nodes
        self.skew_ms = 0
        self.identity: ClusterIdentity = ledger.history.identity
        self.cluster_id = ledger.cluster_id
        self.reconfigured = 0
        self._blocks = 0
        self._is_waiting = False

    @property
    def nodes(self) -> int:
        """Validators at any time."""
        return len(self.is_up)

    @property
    def now_ms(self) -> int:
        """The time on its validators' clocks."""
        return self.clock.now_us // 1000 + self.skew_ms

    @property
    def main(self) -> Line:
        """The line of an honest cluster, and the first of a corrupt one."""
        return self.lines[0]

    def line_for(self, peer: bytes) -> Line:
        """What this peer is shown."""
        return self.lines[self.shows(peer)]

    def _as_listed(self, peer: bytes) -> int:
        return self.shown.get(peer, 0)

    def submit(self, transaction: Transaction, line: Line | None = None) -> None:
        """Pool it, where anybody is up to do so."""
        if any(self.is_up) and (self.main if line is None else line).put(transaction):
            self._wake()

    def reconfigure(self) -> None:
        """Replace one validator by another, in every line."""
        self.reconfigured += 1
        for line in self.lines:
            if not any(isinstance(waiting, Reconfigure) for waiting in line.pool.values()):
                label = f"{self.name}/{line.ledger.history.incarnation}"
                self.submit(Reconfigure(keyring(label, self.nodes, self.reconfigured)), line)

    def beat(self) -> None:
        """A header, although nothing is to be said."""
        for line in self.lines:
            if not line.pool:
                self.submit(Heartbeat(), line)

    def set_up(self, node: int, is_up: bool) -> None:
        """A validator dies or comes back; with the last of them goes what was only in memory."""
        self.is_up[node] = is_up
        if not any(self.is_up):
            for line in self.lines:
                line.pool.clear()
        if is_up:
            self._wake()

    def _wake(self) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            self.clock.after(BLOCK_MS * 1000, self._work)

    def _work(self) -> None:
        self._is_waiting = False
        awake = [node for node, is_up in enumerate(self.is_up) if is_up]
        for line in self.lines:
            if line.pool and line.ledger.history.keyring.is_quorum(awake):
                self._order(line, tuple(awake))
        if any(line.pool for line in self.lines) and self.lines[0].ledger.history.keyring.is_quorum(awake):
            self._wake()

    def _order(self, line: Line, awake: tuple[int, ...]) -> None:
        history = line.ledger.history
        if line.height_max is not None and history.height >= line.height_max:
            return
        epoch = history.epoch
        blocks: list[Block] = []
        while line.pool and len(blocks) < (AHEAD if line.height_max is None else 1):
            self._blocks += 1
            blocks.append(Block(self._blocks, epoch, self.now_ms, line.take(), awake))
        for position, block in enumerate(blocks):
            if self.is_past_end(line, block):
                for skipped in reversed(blocks[position:]):
                    line.put_back(skipped.transactions)
                return
            line.ledger.execute(block)

    def is_past_end(self, line: Line, block: Block) -> bool:
        """Whether the epoch in which this was ordered has ended since: its payload is void (C4)."""
        return line.ledger.history.epoch != block.epoch
