"""The clients: each writes and reads registers through all nodes, and writes down what it was told.

A register is a record; its value is the record's `size`, a number nobody writes twice. Each client has
registers that it alone writes, and all fight over a few. A register is left after some versions, so that the
history of each stays small enough for the checker of linearizability.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

import trio

from bench.chaos.cluster import ChaosCluster, Machine
from bench.chaos.door import Door
from bench.chaos.history import History, Kind, Outcome, Request, Result
from node.client import Wallet
from node.ledger.apps.records import Content

OWN_REGISTERS = 2
SHARED_REGISTERS = 2
VERSIONS_MAX = 25
"""Then a register is left for a new one."""
_THINK_MS = (5, 60)
_AFTER_REFUSAL_MS = (100, 300)
_READ_WAIT_MS = 2_000
_FRESH_SHARE = 0.6
"""Of reads: those that ask for the highest height anybody was told of."""
_PROVEN_SHARE = 0.5
_WRITE_SHARE = 0.55
_BLIND_SHARE = 0.05
"""Of writes: those that put a register anew, or supersede a version that is long gone; both must fail."""


@dataclass(slots=True)
class Register:
    """What clients believe of one register: its present record and version; None after an unknown write."""

    name: str
    generation: int = 0
    version: int | None = 0

    @property
    def key(self) -> str:
        """The record's id."""
        return f"chaos/{self.name}/{self.generation}"

    def learn(self, key: str, version: int) -> None:
        """Believe a version; a register that has had enough is left."""
        if key != self.key:
            return
        self.version = max(version, self.version or 0)
        if self.version >= VERSIONS_MAX:
            self.generation, self.version = self.generation + 1, 0


@dataclass(slots=True)
class Values:
    """The numbers that are written: each once."""

    last: int = 0

    def next(self) -> int:
        """A fresh one."""
        self.last += 1
        return self.last


class ChaosClient:
    """One client. `run` goes on until `stop` is set, and then ends the operation under way."""

    def __init__(
        self,
        name: str,
        cluster: ChaosCluster,
        doors: dict[str, Door],
        history: History,
        registers: list[Register],
        values: Values,
        rng: Random,
    ) -> None:
        self.name = name
        self._cluster = cluster
        self._doors = doors
        self._history = history
        self._registers = registers
        self._values = values
        self._rng = rng
        self._wallet: Wallet = cluster.wallet

    async def run(self, stop: trio.Event) -> None:
        """One operation after the other, each through any node."""
        rng = self._rng
        while not stop.is_set():
            machine = rng.choice(self._cluster.machines)
            register = rng.choice(self._registers)
            if register.version is None or rng.random() >= _WRITE_SHARE:
                outcome = await self._read(machine, register)
            else:
                outcome = await self._write(machine, register, register.version)
            pause = _THINK_MS if outcome.result in (Result.OK, Result.FAILED) else _AFTER_REFUSAL_MS
            await trio.sleep(rng.randint(*pause) / 1000)

    async def _write(self, machine: Machine, register: Register, version: int) -> Outcome:
        rng, key, value = self._rng, register.key, self._values.next()
        content = Content(hashlib.sha256(str(value).encode()).digest(), value, "", "", (), ())
        is_blind = rng.random() < _BLIND_SHARE
        previous = version if not is_blind else rng.choice((0, max(0, version - 1)))
        if previous:
            transaction = self._wallet.supersede(key, previous, content)
        else:
            transaction = self._wallet.put(key, content)
        request = Request(
            self.name,
            machine.name,
            Kind.SUPERSEDE if previous else Kind.PUT,
            key,
            value=value,
            previous=previous or None,
            tx_id=bytes(transaction.id),
            linearizable=True,
        )
        outcome = await self._perform(request, machine, lambda door: door.write(transaction))
        if outcome.version is not None:
            register.learn(key, outcome.version)
        elif outcome.result is not Result.REFUSED and register.key == key:
            register.version = None
        return outcome

    async def _read(self, machine: Machine, register: Register) -> Outcome:
        rng, key = self._rng, register.key
        is_fresh = register.version is None or rng.random() < _FRESH_SHARE
        min_height = self._history.told_height if is_fresh else None
        request = Request(
            self.name, machine.name, Kind.READ, key, min_height=min_height, linearizable=is_fresh
        )
        proven = rng.random() < _PROVEN_SHARE
        outcome = await self._perform(
            request,
            machine,
            lambda door: door.read(key, min_height, proven=proven, wait_ms=_READ_WAIT_MS if is_fresh else 0),
        )
        if outcome.result is Result.OK and is_fresh:
            register.learn(key, outcome.version or 0)
        return outcome

    async def _perform(
        self, request: Request, machine: Machine, action: Callable[[Door], Awaitable[Outcome]]
    ) -> Outcome:
        """Do it and write it down, also when we are cancelled in the middle of it."""
        life, begun = machine.life, self._history.begin()
        outcome, waited = Outcome(Result.UNKNOWN, 0, "given up"), False
        try:
            outcome = await action(self._doors[machine.name])
            waited = True
        finally:
            same = life if machine.life == life else None
            self._history.end(begun, request, same, outcome, waited=waited)
        return outcome
