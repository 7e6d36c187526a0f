"""A cluster of shipped validators in one thread: virtual time, network, disks and clients; the same seed is
the same run, in every process.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from bench.sim.checkers import Checkers
from bench.sim.clock import EVENTS_MAX, Clock
from bench.sim.disk import Disk
from bench.sim.host import Host
from bench.sim.network import Network, Quality
from bench.sim.seams import SHIPPED, Behaviour, Parts
from bench.sim.setting import Setting
from bench.sim.timeline import Timeline
from bench.sim.violation import Violation
from consensus import Digest, Signer, Value
from node.daemon.memory_store import MemoryStore
from node.genesis import Genesis
from node.ledger.transactions import Transaction
from node.storage import ChainTable
from node.validator import Refusal, Tuning, first_writes, pool_config
from node.validator.layout import height_key

_AFTER_GENESIS_MS = 10_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take that are not the network. A write of the journal, a commit of one of the two
    databases, and a worker's answer (from, to), in microseconds."""

    persist_us: int = 1_000
    flush_us: int = 5_000
    worker_us: tuple[int, int] = (1_000, 2_000)

    def __post_init__(self) -> None:
        if min(self.persist_us, self.flush_us) < 0 or not 0 <= self.worker_us[0] <= self.worker_us[1]:
            raise ValueError("times are not negative, and worker_us are two of them, the shorter first")


class World:
    """Everything is connected until told otherwise. `twins` are validators that run a second time, with the
    same key and nothing else in common; `behaviours` make hosts Byzantine, by their place."""

    def __init__(
        self,
        setting: Setting,
        seed: int = 0,
        *,
        quality: Quality = Quality(),  # noqa: B008  # frozen
        pace: Pace = Pace(),  # frozen
        parts: Parts = SHIPPED,
        tuning: Tuning = Tuning(),  # noqa: B008  # frozen
        twins: tuple[int, ...] = (),
        behaviours: dict[int, Behaviour] | None = None,
        events_max: int = EVENTS_MAX,
    ) -> None:
        self.random = Random(seed)
        self.setting = setting
        self.genesis: Genesis = setting.genesis
        self.parts, self.tuning = parts, tuning
        self.pool_config = pool_config(self.genesis, tuning, setting.scheme)
        self.persist_us, self.flush_us, self.worker_us = pace.persist_us, pace.flush_us, pace.worker_us
        self.start_us = (self.genesis.params.created_ms + _AFTER_GENESIS_MS) * 1_000
        self.clock = Clock(self.start_us, events_max)
        self.timeline = Timeline(lambda: self.clock.now_us - self.start_us)
        self.network = Network(self.clock, self.random, quality)
        self.checkers = Checkers(setting, self.pool_config, lambda: self.now_ms)
        self.prepare: Callable[[Host], None] = lambda host: None
        self._tickets = self._transactions = 0
        self._peers: dict[bytes, list[Host]] = {}
        self.hosts: list[Host] = []
        for index in (*range(len(setting.records)), *twins):
            self._add(index, (behaviours or {}).get(len(self.hosts)))
        for host in self.hosts:
            if host.behaviour is not None or host.index in twins:
                self.checkers.exempt[host.index] = None

    def _add(self, index: int, behaviour: Behaviour | None) -> None:
        host = Host(self, len(self.hosts), index, behaviour)
        self.hosts.append(host)
        self.network.join(host)
        self._peers.setdefault(host.peer, []).append(host)

    def new_disk(self) -> Disk:
        """A host's disk after `init`."""
        store = MemoryStore()
        store.apply(*first_writes(self.genesis))
        return Disk(store)

    def start(self) -> "World":
        """All hosts start."""
        for host in self.hosts:
            host.start()
        return self

    # --- who and when ----------------------------------------------------------------------------------

    def hosts_of(self, peer: bytes) -> list[Host]:
        """Who answers to this link identity: one host, and its twin if it has one."""
        return self._peers.get(peer, [])

    def name_of(self, peer: bytes) -> str:
        """A short name of a link identity."""
        hosts = self.hosts_of(peer)
        return hosts[0].name if hosts else peer.hex()[:8]

    @property
    def honest(self) -> list[Host]:
        """Hosts that no test made faulty."""
        return [host for host in self.hosts if host.index not in self.checkers.exempt]

    @property
    def now_ms(self) -> int:
        """True time, which no host knows."""
        return self.clock.now_us // 1_000

    @property
    def elapsed_ms(self) -> int:
        """Since the beginning."""
        return (self.clock.now_us - self.start_us) // 1_000

    @property
    def fingerprint(self) -> str:
        """Of every frame sent, where from and to, and when."""
        return self.network.fingerprint

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Run `action` then."""
        self.clock.after(delay_ms * 1_000, action)

    def run(self, duration_ms: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; whether `until` became true. Raises Violation, Storm."""
        return self.clock.run_until(self.clock.now_us + duration_ms * 1_000, until)

    # --- the network -----------------------------------------------------------------------------------

    def partition(self, *groups: tuple[int, ...]) -> None:
        """Only hosts of one group keep their links; who is in none is alone."""
        self.network.partition(*groups)

    def heal(self) -> None:
        """Everybody hears everybody and nothing is lost."""
        self.network.heal()

    # --- clients ---------------------------------------------------------------------------------------

    def next_ticket(self) -> int:
        """A number for a request."""
        self._tickets += 1
        return self._tickets

    def transaction(
        self,
        *,
        key: Signer | None = None,
        life_ms: int = 60_000,
        name: str | None = None,
        size: int = 0,
    ) -> Transaction:
        """A signed `records.put` of a new record by a client, the first unless `key` is given."""
        record = name or f"test/r{self._transactions + 1}"
        return self.sign(
            key or self.setting.clients[0], "records", "put", put_args(record, size), life_ms=life_ms
        )

    def sign(
        self, key: Signer, app: str, method: str, args: tuple[Value, ...], *, life_ms: int = 60_000
    ) -> Transaction:
        """A transaction signed by anybody, of which the checkers know."""
        self._transactions += 1
        number = self._transactions.to_bytes(16, "big")
        expires_at_ms = self.now_ms + life_ms
        transaction = Transaction.sign(key, self.genesis.cluster_id, number, expires_at_ms, app, method, args)
        self.checkers.on_made(transaction)
        return transaction

    def submit(
        self, place: int, count: int = 1, *, life_ms: int = 60_000, size: int = 0
    ) -> list[Transaction]:
        """`count` new transactions at one host, in one request."""
        transactions = [self.transaction(life_ms=life_ms, size=size) for _ in range(count)]
        self.hosts[place].submit(*transactions)
        return transactions

    def admitted(self, place: int) -> list[Digest]:
        """Every transaction that host said it would take."""
        answers = self.hosts[place].answers.values()
        return [outcome for outcomes in answers for outcome in outcomes if not isinstance(outcome, Refusal)]

    # --- questions -------------------------------------------------------------------------------------

    def holds(self, host: Host, transactions: Iterable[Transaction]) -> bool:
        """Whether the host's readers see all of them: in the chain, at a height that the state shows."""
        reader = host.disk.store.reader()
        places = [reader.get(ChainTable.TRANSACTIONS, t.id) for t in transactions]
        return all(place is not None and place[:8] <= height_key(host.height) for place in places)

    def in_chain(self, host: Host, transactions: Iterable[Transaction]) -> bool:
        """Whether the chain environment alone has them."""
        reader = host.disk.store.reader()
        return all(reader.get(ChainTable.TRANSACTIONS, t.id) is not None for t in transactions)

    def everywhere(self, transactions: Iterable[Transaction], places: Iterable[int] | None = None) -> bool:
        """Whether the databases of all these hosts (all honest ones) show all of them."""
        wanted = list(transactions)
        hosts = self.honest if places is None else [self.hosts[place] for place in places]
        return all(self.holds(host, wanted) for host in hosts)

    def stored(self, transactions: Iterable[Transaction], within_ms: int, *places: int) -> bool:
        """Wait until all these hosts (all honest ones, if none is named) show all of them."""
        wanted = list(transactions)
        return self.run(within_ms, lambda: self.everywhere(wanted, places or None))

    def settle(self, within_ms: int, places: Iterable[int] | None = None) -> None:
        """Every acknowledged transaction is on each of these hosts, once, at one height, within this time.
        Raises Violation."""
        chosen = self.honest if places is None else [self.hosts[place] for place in places]

        def complete() -> bool:
            told = max(self.checkers.acknowledged.values(), default=0)  # perhaps on its way to the disks
            top = max(told, *(host.height for host in self.honest))
            return all(host.up and host.height == top for host in chosen)

        if not self.run(within_ms, complete):
            heights = Counter({host.name: host.height for host in self.hosts})
            raise Violation("liveness", f"heights {dict(heights)} after {within_ms} ms of peace")
        for host in chosen:
            self.checkers.check_stored(host)
            self.checkers.check_bounds(host)


def put_args(record: str, size: int = 0) -> tuple[Value, ...]:
    """The arguments of `records.put` for a new record, `size` characters of them its place."""
    place = "x" * size or "file:x"
    return (record, bytes(32), 7, "text/plain", place, (), (("k", "v"),))
