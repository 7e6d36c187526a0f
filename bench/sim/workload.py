"""Clients of a world, honest and hostile, by a seed of their own.

Their choices do not depend on what the hosts do, so a fault that is taken out of a schedule leaves the
clients as they were. Honest ones put and supersede records, alone and in bursts, some at two hosts at once;
hostile ones send forgeries, expired and foreign transactions, replays and garbage. Nobody waits for answers.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from bench.sim.world import World, put_args
from consensus import Digest, PublicKey, Signature, Signer, Value
from node.ledger.codes import Code
from node.ledger.transactions import Transaction
from node.validator import Refusal

T = TypeVar("T")
_LIFE_MS = (2_000, 60_000)
_REMEMBERED_MAX = 256
"""Old transactions kept for replays, and records kept for a supersede."""
_GARBAGE_BYTES_MAX = 600
_BURST_PERCENT = 15
_SUPERSEDE_PERCENT = 20
_HOSTILE = ("forged", "expired", "foreign", "replayed", "garbage", "far")


@dataclass(frozen=True, slots=True)
class Workload:
    """`per_second` requests of all clients together; a burst is one request of up to `burst` transactions.
    After `busy_ms` they all pause for `pause_ms`. `twice_percent` go to two hosts at once; `hostile_percent`
    of the requests are of kinds that must not be executed (again)."""

    clients: int
    per_second: int
    burst: int
    size_max: int
    busy_ms: int
    pause_ms: int
    twice_percent: int
    hostile_percent: int

    def __post_init__(self) -> None:
        if not (0 <= self.clients <= 4 and 0 <= self.per_second <= 10_000 and self.burst >= 1):
            raise ValueError("at most 4 clients, 10000 requests a second, and bursts of at least 1")
        if not (0 <= self.size_max <= 1_000 and self.busy_ms >= 1 and self.pause_ms >= 0):
            raise ValueError("size_max is at most 1000, busy_ms at least 1 and pause_ms at least 0")
        if not (0 <= self.twice_percent <= 100 and 0 <= self.hostile_percent <= 100):
            raise ValueError("percentages are from 0 to 100")


class _Forger:
    """Signs for somebody else's key with nothing in the hand."""

    def __init__(self, victim: PublicKey, random: Random) -> None:
        self._victim, self._random = victim, random

    @property
    def public_key(self) -> PublicKey:
        """Whom it claims to be."""
        return self._victim

    def sign(self, message: Digest) -> Signature:
        """64 bytes of nothing."""
        return Signature(self._random.randbytes(64))


class Clients:
    """The clients of one world."""

    def __init__(self, world: World, workload: Workload, seed: int) -> None:
        self._world = world
        self._workload = workload
        self._random = Random(f"clients {seed}")
        self._foreign = self._random.randbytes(32)
        self._number = 0
        self._is_stopped = False
        self._old: list[Transaction] = []
        self._records: list[tuple[Signer, str, int]] = []
        self.made: Counter[str] = Counter()
        """Transactions by kind."""
        self.unheard = 0
        """Requests to a host that was down."""
        self._kinds: dict[str, Callable[[Signer], Transaction | bytes]] = {
            "forged": self._forged,
            "expired": self._expired,
            "foreign": self._of_another_cluster,
            "replayed": self._replayed,
            "garbage": self._garbage,
            "far": self._far,
        }

    def start(self) -> None:
        """They begin, and go on until `stop`."""
        if self._workload.clients and self._workload.per_second:
            self._plan()

    def stop(self) -> None:
        """No more requests."""
        self._is_stopped = True

    def _plan(self) -> None:
        mean_ms = max(1, 1_000 // self._workload.per_second)
        self._world.after(self._random.randint(1, 2 * mean_ms), self._act)

    def _act(self) -> None:
        if self._is_stopped:
            return
        load = self._workload
        cycle_ms = load.busy_ms + load.pause_ms
        into_ms = self._world.elapsed_ms % cycle_ms
        if into_ms >= load.busy_ms:
            self._world.after(cycle_ms - into_ms, self._act)
            return
        self._request()
        self._plan()

    # --- requests --------------------------------------------------------------------------------------

    def _request(self) -> None:
        random, load = self._random, self._workload
        key = self._world.setting.clients[random.randrange(load.clients)]
        if random.randrange(100) < load.hostile_percent:
            kind = random.choice(_HOSTILE)
            made = [self._kinds[kind](key)]
        else:
            kind = "honest"
            count = random.randint(1, load.burst) if random.randrange(100) < _BURST_PERCENT else 1
            made = [self._honest(key) for _ in range(count)]
        self.made[kind] += len(made)
        places = 2 if random.randrange(100) < load.twice_percent else 1
        self.made["twice"] += len(made) if places == 2 else 0
        hosts = self._world.hosts[: len(self._world.genesis.validators)]
        for place in random.sample(range(len(hosts)), min(places, len(hosts))):
            if hosts[place].up:
                hosts[place].submit(*made)
            else:
                self.unheard += 1

    def _sign(
        self, key: Signer, method: str, args: tuple[Value, ...], *, life_ms: int, cluster: bytes | None = None
    ) -> Transaction:
        self._number += 1
        world = self._world
        return Transaction.sign(
            key,
            world.genesis.cluster_id if cluster is None else cluster,
            b"client" + self._number.to_bytes(10, "big"),
            world.now_ms + life_ms,
            "records",
            method,
            args,
        )

    def _honest(self, key: Signer) -> Transaction:
        random = self._random
        life_ms = random.randint(*_LIFE_MS)
        size = random.randint(0, self._workload.size_max)
        if self._records and random.randrange(100) < _SUPERSEDE_PERCENT:
            place = random.randrange(len(self._records))
            owner, record, version = self._records[place]
            self._records[place] = (owner, record, version + 1)
            new = put_args(record, size)
            made = self._sign(owner, "supersede", (record, version, *new[1:]), life_ms=life_ms)
            self.made["supersede"] += 1
        else:
            record = f"sim/c{self._number}"
            made = self._sign(key, "put", put_args(record, size), life_ms=life_ms)
            self._keep(self._records, (key, record, 1))
        self._world.checkers.on_made(made)
        self._keep(self._old, made)
        return made

    def _keep(self, kept: list[T], item: T) -> None:
        if len(kept) < _REMEMBERED_MAX:
            kept.append(item)
        else:
            kept[self._random.randrange(_REMEMBERED_MAX)] = item

    # --- what must not be executed ---------------------------------------------------------------------

    def _forged(self, key: Signer) -> Transaction:
        forger = _Forger(key.public_key, self._random)
        return self._sign(forger, "put", put_args(f"sim/forged{self._number}"), life_ms=30_000)

    def _expired(self, key: Signer) -> Transaction:
        made = self._sign(
            key, "put", put_args(f"sim/late{self._number}"), life_ms=-self._random.randint(0, 9_000)
        )
        # really signed: that it is late is for the hosts to see
        self._world.checkers.on_made(made)
        return made

    def _far(self, key: Signer) -> Transaction:
        cap_ms = self._world.genesis.params.replay_cap_ms
        made = self._sign(key, "put", put_args(f"sim/far{self._number}"), life_ms=10 * cap_ms)
        self._world.checkers.on_made(made)
        return made

    def _of_another_cluster(self, key: Signer) -> Transaction:
        args = put_args(f"sim/foreign{self._number}")
        return self._sign(key, "put", args, life_ms=30_000, cluster=self._foreign)

    def _replayed(self, key: Signer) -> Transaction:
        return self._random.choice(self._old) if self._old else self._expired(key)

    def _garbage(self, key: Signer) -> bytes:
        random = self._random
        if self._old and random.randrange(2):
            broken = bytearray(random.choice(self._old).encoded)
            broken[random.randrange(len(broken))] ^= 1 << random.randrange(8)
            return bytes(broken)
        return random.randbytes(random.randint(1, _GARBAGE_BYTES_MAX))

    # --- what became of them ---------------------------------------------------------------------------

    def fates(self) -> dict[str, int]:
        """Transactions by what became of them: certified, and refusals by their code, over all hosts."""
        refused: Counter[str] = Counter()
        taken = 0
        for host in self._world.hosts:
            for outcomes in host.answers.values():
                for outcome in outcomes:
                    if isinstance(outcome, Refusal):
                        refused[f"refused {Code(outcome.code).label}"] += 1
                    else:
                        taken += 1
        fates = {
            "made": self.made["honest"],
            "taken": taken,
            "certified": len(self._world.checkers.acknowledged),
        }
        return fates | {name: refused[name] for name in sorted(refused)}
