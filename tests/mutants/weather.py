"""What happens to a world while a mutant is hunted: one generic repertoire of faults, drawn from a seed.

Each fault is a function of the hunted world; it comes and ends by itself. Crash faults may exceed f for a
while; at most one validator ever loses its data, and none where another lies.
"""

from collections.abc import Callable
from random import Random
from typing import TypeAlias

from bench.sim.host import Host
from bench.sim.network import Quality
from bench.sim.operators import Operators
from bench.sim.world import World
from consensus.messages import MessageKind
from node import wire
from node.ledger.governance.changes import Reweigh

Fault: TypeAlias = Callable[["Weather"], None]

DELAY_US = (1_000, 4_000)
_MUFFLED = (
    MessageKind.PROPOSAL,
    MessageKind.VOTE,
    MessageKind.VOTE,
    MessageKind.TIMEOUT,
    MessageKind.HEADER_SIGNATURE,
)


class Weather:
    """A world and what is wrong with it at the moment."""

    def __init__(
        self, world: World, random: Random, faults: tuple[Fault, ...], gap_ms: tuple[int, int]
    ) -> None:
        self.world, self.random = world, random
        self._faults, self._gap_ms = faults, gap_ms
        self._muffled: dict[int, tuple[int, frozenset[int]]] = {}
        self._over = False
        self.wiped = False
        world.network.filter = self._passes

    def blow(self) -> None:
        """The next fault, and so on until it is over."""
        if self._over:
            return
        self.random.choice(self._faults)(self)
        self.world.after(self.random.randint(*self._gap_ms), self.blow)

    def calm_down(self) -> None:
        """Nothing is wrong any more: every link and clock is good, every host starts."""
        self._over = True
        self._muffled.clear()
        world = self.world
        world.heal()
        for host in world.hosts:
            host.skew_ms = 0
            host.crash_at = None
            host.disk.is_full = False
            host.start()

    def then(self, delay_ms: tuple[int, int], action: Callable[[], None]) -> None:
        """`action` after a while, unless it is over by then."""
        self.world.after(self.random.randint(*delay_ms), lambda: None if self._over else action())

    def someone(self) -> Host:
        """Any host."""
        return self.random.choice(self.world.hosts)

    def some(self) -> tuple[int, ...]:
        """A few places, or all of them."""
        places = range(len(self.world.hosts))
        return tuple(sorted(self.random.sample(places, self.random.randint(1, len(places)))))

    # --- messages of one kind -----------------------------------------------------------------------

    def muffle(self, kind: MessageKind, deaf: tuple[int, ...], for_ms: tuple[int, int] = (50, 600)) -> None:
        """For a while messages of this kind reach none of these places."""
        until_us = self.world.clock.now_us + self.random.randint(*for_ms) * 1_000
        self._muffled[kind] = (until_us, frozenset(deaf))

    def _passes(self, source: Host, target: Host, topic: int, body: bytes) -> bool:
        if not self._muffled or topic != wire.Code.AGREEMENT:
            return True
        kind = body[1]  # a message is a short array that begins with its kind
        until_us, deaf = self._muffled.get(kind, (0, frozenset[int]()))
        return target.place not in deaf or self.world.clock.now_us >= until_us


def crash(weather: Weather) -> None:
    """One host is killed and comes back."""
    host = weather.someone()
    host.crash()
    weather.then((1, 800), host.start)


def crash_at_boundary(weather: Weather) -> None:
    """One host is killed between two writes; it comes back by itself."""
    host = weather.someone()
    host.crash_at = host.boundaries + weather.random.randint(1, 4)


def crash_all(weather: Weather) -> None:
    """The power goes; the hosts come back one after the other."""
    for host in weather.world.hosts:
        host.crash()
        weather.then((1, 300), host.start)


def partition(weather: Weather) -> None:
    """Two or three groups that do not hear each other, perhaps none of them a quorum."""
    count = weather.random.randint(2, 3)
    groups: list[list[int]] = [[] for _ in range(count)]
    for host in weather.world.hosts:
        weather.random.choice(groups).append(host.place)
    weather.world.partition(*(tuple(group) for group in groups if group))
    everybody = tuple(host.place for host in weather.world.hosts)
    weather.then((50, 700), lambda: weather.world.partition(everybody))


def deafness(weather: Weather) -> None:
    """For a while proposals, votes, timeouts or header signatures do not reach some."""
    weather.muffle(weather.random.choice(_MUFFLED), weather.some())


def hoarse(weather: Weather) -> None:
    """For seconds nobody's header signatures are heard, so that nothing is certified."""
    everybody = tuple(host.place for host in weather.world.hosts)
    weather.muffle(MessageKind.HEADER_SIGNATURE, everybody, (2_000, 3_000))


def absence(weather: Weather) -> None:
    """One host is cut off for long, while the others go on."""
    gone = weather.someone().place
    weather.world.partition(tuple(host.place for host in weather.world.hosts if host.place != gone))
    everybody = tuple(host.place for host in weather.world.hosts)
    weather.then((800, 2_000), lambda: weather.world.partition(everybody))


def standstill(weather: Weather) -> None:
    """Nobody hears anybody for longer than some transactions live."""
    weather.world.partition()
    everybody = tuple(host.place for host in weather.world.hosts)
    weather.then((700, 2_000), lambda: weather.world.partition(everybody))


def lonely_restart(weather: Weather) -> None:
    """One host is killed and starts again with nobody to ask."""
    world, gone = weather.world, weather.someone()
    world.partition(tuple(host.place for host in world.hosts if host is not gone))
    gone.crash()
    gone.start()
    everybody = tuple(host.place for host in world.hosts)
    weather.then((300, 900), lambda: world.partition(everybody))


def storm(weather: Weather) -> None:
    """Frames are lost, doubled, late and out of order."""
    random, network = weather.random, weather.world.network
    network.quality = Quality(
        (1_000, 1_000 * random.randint(4, 30)), random.randint(0, 40), random.randint(0, 30), 20, 10
    )

    def over() -> None:
        network.quality = Quality(DELAY_US)

    weather.then((100, 800), over)


def clocks_jump(weather: Weather) -> None:
    """All clocks but perhaps one go ahead together, and come back."""
    ahead_ms = weather.random.choice((200, 2_000, 5_000))
    for host in weather.random.sample(
        weather.world.hosts, len(weather.world.hosts) - weather.random.randint(0, 1)
    ):
        host.skew_ms = ahead_ms

        def back(host: Host = host) -> None:
            host.skew_ms = 0

        weather.then((100, 500), back)


def jump_far(weather: Weather) -> None:
    """All clocks go half a minute ahead together, and come back."""
    for host in weather.world.hosts:
        host.skew_ms = 30_000

    def back() -> None:
        for host in weather.world.hosts:
            host.skew_ms = 0

    weather.then((300, 600), back)


def wipe(weather: Weather) -> None:
    """One host, the same always and no liar beside it, loses its data and keeps its guard (C14)."""
    if weather.wiped or weather.world.checkers.exempt:
        return
    weather.wiped = True
    host = weather.someone()
    host.crash()
    guard = host.disk.guard
    host.disk = weather.world.new_disk()
    host.disk.guard = guard
    weather.then((1, 100), host.start)


def restore_backup(weather: Weather) -> None:
    """One host gets a copy back that was made when it was stopped, and keeps its guard (C14)."""
    if weather.wiped or weather.world.checkers.exempt:
        return
    weather.wiped = True
    host = weather.someone()
    host.crash()
    backup = host.disk.copy()
    host.start()

    def restore() -> None:
        host.crash()
        backup.guard = host.disk.guard
        host.disk = backup
        weather.then((1, 100), host.start)

    weather.then((50, 1_000), restore)


def decision(weather: Weather) -> None:
    """The operators give a validator another weight, by which an epoch ends (C4); for a moment nobody hears
    the header signatures that certify its end, so that the old set orders on."""
    up = [host for host in weather.world.hosts if host.up]
    if not up:
        return
    operators, host = Operators(weather.world), weather.random.choice(up)
    chosen = weather.random.choice(operators.roster(host).validators)
    _, proposal_id = operators.propose([Reweigh(chosen.name, 3 - chosen.weight)], host.place)
    everybody = tuple(other.place for other in weather.world.hosts)

    def approve() -> None:
        operators.approve(proposal_id, host.place)
        weather.muffle(MessageKind.HEADER_SIGNATURE, everybody, (100, 400))

    weather.then((50, 300), approve)


CRASHES: tuple[Fault, ...] = (crash, crash_at_boundary, crash_at_boundary, crash_all)
NETWORK: tuple[Fault, ...] = (partition, deafness, deafness, storm)
LOST_DATA: tuple[Fault, ...] = (wipe, restore_backup)
GENERIC: tuple[Fault, ...] = (*CRASHES, *NETWORK, clocks_jump)
