"""The clients of a hunted world: what they ask for, and what they may expect of the answers.

Now and then the same transaction goes to two hosts, one soon expires, one is forged.
"""

from dataclasses import dataclass
from random import Random

from bench.sim.host import Host
from bench.sim.world import World
from consensus import Digest, PublicKey, Signature, Signer, Value
from node.ledger.transactions import Transaction

_LIFE_MS = 60_000
_SHORT_LIFE_MS = (520, 1_500)
_BULK: tuple[Value, ...] = tuple((f"k{number:02}", "x" * 256) for number in range(32))


@dataclass(frozen=True, slots=True)
class _Forger:
    """Signs in the name of somebody else, with a key of its own."""

    victim: Signer
    own: Signer

    @property
    def public_key(self) -> PublicKey:
        """The victim's."""
        return self.victim.public_key

    def sign(self, message: Digest) -> Signature:
        """Not the victim's."""
        return self.own.sign(message)


@dataclass(frozen=True, slots=True)
class _Request:
    host: Host
    life: int
    ticket: int
    transaction: Transaction


class Clients:
    """They ask random hosts, one request every `pause_ms`, for `together` transactions of a few hundred bytes
    or of many thousand."""

    def __init__(
        self, world: World, random: Random, pause_ms: tuple[int, int], bulky: bool, together: int = 1
    ) -> None:
        self._world, self._random = world, random
        self._pause_ms, self._labels = pause_ms, _BULK if bulky else ()
        self._together = together
        self._sent: list[_Request] = []
        self._made = 0
        self._over = False

    def ask(self) -> None:
        """The next request, and so on until it is over."""
        if self._over:
            return
        random = self._random
        self._world.after(random.randint(*self._pause_ms), self.ask)
        if random.random() < 0.06:
            self._forge()
            return
        life_ms = random.randint(*_SHORT_LIFE_MS) if random.random() < 0.15 else _LIFE_MS
        transactions = [self._make(self._world.setting.clients[0], life_ms) for _ in range(self._together)]
        for transaction in transactions:
            self._world.checkers.on_made(transaction)
        first = self._send(transactions, None)
        if random.random() < 0.2:
            self._send(transactions, first)

    def stop(self) -> None:
        """No more."""
        self._over = True

    def owed(self) -> list[Transaction]:
        """What must be executed still: an honest host took it upon itself, has not been killed since, and
        it does not expire soon."""
        end_ms = self._world.now_ms + _LIFE_MS // 2
        return [
            sent.transaction
            for sent in self._sent
            if sent.host.life == sent.life
            and sent.host.behaviour is None
            and sent.transaction.expires_at_ms > end_ms
            and sent.transaction.id in sent.host.answers.get(sent.ticket, ())
        ]

    def _send(self, transactions: list[Transaction], but: Host | None) -> Host | None:
        hosts = [host for host in self._world.hosts if host.up and host is not but]
        if not hosts:
            return None
        host = self._random.choice(hosts)
        life = host.life
        ticket = host.submit(*transactions)
        self._sent += [_Request(host, life, ticket, transaction) for transaction in transactions]
        return host

    def _forge(self) -> None:
        clients = self._world.setting.clients
        hosts = [host for host in self._world.hosts if host.up]
        if hosts:
            self._random.choice(hosts).submit(self._make(_Forger(clients[1], clients[0]), _LIFE_MS))

    def _make(self, key: Signer, life_ms: int) -> Transaction:
        self._made += 1
        return Transaction.sign(
            key,
            self._world.genesis.cluster_id,
            b"client" + self._made.to_bytes(10, "big"),
            self._world.now_ms + life_ms,
            "records",
            "put",
            (f"hunted/r{self._made}", bytes(32), 7, "text/plain", "file:x", (), self._labels),
        )
