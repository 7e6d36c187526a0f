"""What a client that sends one transaction at a time notices of another's flood, in virtual time.

Beside both, couriers may bring bundles, four at a time each. Behind one author's pool stands all the rest as
one server: so many bytes a millisecond in the order in which they were sealed, and then the time that
agreement takes. What is measured follows from queues alone.
"""

from collections import deque
from dataclasses import replace
from itertools import cycle
from statistics import median

from consensus import SigningKey
from node.pool.batches import Batch
from node.pool.config import PoolConfig
from node.pool.messages import PushBatch
from node.pool.window import SLOW_FACTOR
from tests.node.pool.world import CONFIG, START_MS, Node, block, committed, naming, transaction, validator_set

FLOODER, HONEST, OWN = (SigningKey(bytes([number]) * 32) for number in (31, 32, 33))
AGREEMENT_MS = 60
BYTES_PER_MS = 2_000
STEP_MS = 5
STOCK = [transaction(number, size=2_000, key=FLOODER) for number in range(599)]
BUNDLES = [transaction(number, size=62_000, key=OWN) for number in range(300)]
UNBOUNDED = replace(CONFIG, commit_target_ms=0)


class Cluster:
    """One author, the rest of its cluster, two clients, and couriers that always have something to bring."""

    def __init__(self, config: PoolConfig) -> None:
        self.node = Node(0, validator_set(), config, own_key=OWN.public_key)
        self.couriers = 0
        self.bundles = cycle(BUNDLES)
        self.brought: dict[bytes, None] = {}
        self.bundled = 0
        self.ends: deque[tuple[int, Batch]] = deque()
        self.free_ms = START_MS
        self.height = 0
        self.flood = cycle(STOCK)
        self.flooded = 0  # bytes of the flood that wait or are under way
        self.done = 0
        self.lone: tuple[bytes, int] | None = None
        self.took_ms: list[int] = []

    def run(self, duration_ms: int, *, flood: bool) -> float:
        """The median time of the lone transactions meanwhile, in milliseconds."""
        self.took_ms.clear()
        for _ in range(0, duration_ms, STEP_MS):
            self.node.now_ms += STEP_MS
            self.node.tick()
            self.finish()
            most = min(8 * 2**20, self.node.pool.sealer.sender_bytes_max)
            while flood and self.flooded < most and len(self.node.out) < 64:
                some = [next(self.flood) for _ in range(100)]
                self.flooded += sum(len(item.encoded) for item in some)
                self.node.submit(*some)
            while len(self.brought) < 4 * self.couriers:
                bundle = next(self.bundles)
                self.brought[bundle.encoded] = None
                self.node.submit(bundle)
            if self.lone is None:
                item = transaction(len(self.took_ms) + self.node.now_ms, key=HONEST)
                self.lone = (item.encoded, self.node.now_ms)
                self.node.submit(item)
            self.collect()
        return median(self.took_ms)

    def collect(self) -> None:
        """What was sealed takes its place behind all that was sealed before."""
        for _, message in self.node.out:
            if isinstance(message, PushBatch):
                made = Batch.decode(message.data, CONFIG.batch)
                start_ms = max(self.free_ms, self.node.now_ms)
                self.free_ms = start_ms + len(made.encoded) // BYTES_PER_MS
                self.ends.append((self.free_ms + AGREEMENT_MS, made))
        self.node.out.clear()

    def finish(self) -> None:
        """What has come through is ordered, executed and stored."""
        while self.ends and self.ends[0][0] <= self.node.now_ms:
            _, made = self.ends.popleft()
            self.height += 1
            self.node.ready.clear()
            ordered = block(naming(made), round=self.height, time_ms=self.node.now_ms)
            self.node.commit(committed(ordered, self.height))
            for item in self.node.ready:
                self.node.perform(self.node.pool.on_settled(item.block.block.id, self.node.now_ms))
            self.node.execute_all()
            for data in made.transactions:
                if self.lone is not None and data == self.lone[0]:
                    self.took_ms.append(self.node.now_ms - self.lone[1])
                    self.lone = None
                elif data in self.brought:
                    del self.brought[data]
                    self.bundled += 1
                else:
                    self.flooded -= len(data)
                    self.done += 1


def test_a_flood_makes_a_lone_transaction_wait_no_longer_than_a_slow_batch_takes() -> None:
    bounded, unbounded = Cluster(CONFIG), Cluster(UNBOUNDED)
    for cluster in (bounded, unbounded):
        assert cluster.run(500, flood=False) == AGREEMENT_MS
        cluster.run(1_000, flood=True)  # until the window knows
        cluster.done = 0
    flooded_ms, buried_ms = (cluster.run(6_000, flood=True) for cluster in (bounded, unbounded))
    assert flooded_ms <= SLOW_FACTOR * AGREEMENT_MS
    assert buried_ms >= 20 * AGREEMENT_MS
    assert bounded.done >= unbounded.done * 8 // 10


def test_couriers_who_always_bring_something_and_a_flood_of_clients_leave_room_for_each_other() -> None:
    cluster = Cluster(CONFIG)
    cluster.run(500, flood=False)
    cluster.couriers = 4
    cluster.run(1_500, flood=True)
    cluster.done = cluster.bundled = 0
    lone_ms = cluster.run(6_000, flood=True)
    assert lone_ms <= SLOW_FACTOR * AGREEMENT_MS
    capacity = 6_000 * BYTES_PER_MS
    assert cluster.done * 2_000 > capacity // 4
    assert cluster.bundled * 62_000 > capacity // 4
