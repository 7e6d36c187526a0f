"""What every Byzantine driver is made of: a `bench.sim.seams.Behaviour` around a shipped validator.

The validator on the host stays correct and keeps the host's own view true; a driver lies in its name, with
its key. An attack is one to three functions: what is said in the place of a message, what the validator is
told in the place of an input, what is begun at each start. Whatever is not attacked is done properly, since
a liar who is believed does more harm.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from random import Random
from typing import Protocol, TypeAlias

from bench.sim.host import Host
from bench.sim.seams import Behaviour
from bench.sim.world import World
from consensus import (
    Blocks,
    BlocksRequest,
    Certificates,
    CertificatesRequest,
    HeaderSignature,
    Message,
    Proposal,
    Status,
    Timeout,
    Vote,
)
from node import wire
from node.pool.messages import PoolMessage
from node.validator import Frame, Input

AnyMessage: TypeAlias = Message | PoolMessage
Said: TypeAlias = tuple[int, bytes]
"""Topic and body of a frame."""

_AGREEMENT_TYPES = (
    Proposal,
    Vote,
    Timeout,
    HeaderSignature,
    Status,
    CertificatesRequest,
    Certificates,
    BlocksRequest,
    Blocks,
)
_LIES_MAX = 256
"""Lies a driver remembers."""
_GOSSIPED = (wire.Code.EVIDENCE, wire.Code.TRANSACTIONS)


class Attacker(Behaviour, Protocol):
    """A behaviour that can be counted and told to rest."""

    @property
    def strikes(self) -> Counter[str]:
        """How often each kind of attack was really made."""

    resting: bool
    """While it rests, its host does what the shipped validator does."""


class Driver:
    """An attack of up to three functions. `Says` gives what leaves for one target in the place of a message
    (the same object for an unchanged one), `Hears` the inputs in the place of one, `Begins` starts clocks."""

    Says: TypeAlias = Callable[["Driver", Host, AnyMessage], Iterable[AnyMessage]]
    Hears: TypeAlias = Callable[["Driver", Input], Iterable[Input]]
    Begins: TypeAlias = Callable[["Driver"], None]

    def __init__(
        self, seed: int, *, says: Says | None = None, hears: Hears | None = None, begins: Begins | None = None
    ) -> None:
        self.random = Random(seed)
        self._strikes: Counter[str] = Counter()
        self.resting = False
        self._says, self._hears, self._begins = says, hears, begins
        self._host: Host | None = None
        self._decoded: tuple[int, bytes, AnyMessage | None] = (0, b"", None)
        self._lies: dict[AnyMessage, AnyMessage | None] = {}

    # --- the seam --------------------------------------------------------------------------------------

    def started(self, host: Host) -> None:
        """The host's validator runs, for the first time or again."""
        self._host = host
        if self._begins is not None:
            self._begins(self)

    def incoming(self, host: Host, item: Input) -> Iterable[Input]:
        """What the validator is told."""
        self._host = host
        if self.resting or self._hears is None:
            return (item,)
        return self._hears(self, item)

    def outgoing(self, host: Host, target: Host, topic: int, body: bytes) -> Iterable[Said]:
        """What the target is told. Gossip passes: it is attacked by gossiping more."""
        self._host = host
        if self.resting or self._says is None or topic in _GOSSIPED:
            return ((topic, body),)
        message = self.decode(topic, body)
        return [
            (topic, body) if said is message else frame_of(said) for said in self._says(self, target, message)
        ]

    # --- what attacks use ------------------------------------------------------------------------------

    @property
    def strikes(self) -> Counter[str]:
        """How often each kind of attack was made."""
        return self._strikes

    @property
    def host(self) -> Host:
        """The host that is driven."""
        assert self._host is not None, "a driver acts once its host has started"
        return self._host

    @property
    def world(self) -> World:
        """Where it happens."""
        return self.host.world

    @property
    def peers(self) -> list[Host]:
        """All other validators' hosts."""
        return [host for host in self.world.hosts if host.index != self.host.index]

    @property
    def honest(self) -> list[Host]:
        """Those among them that no test made faulty."""
        return [host for host in self.peers if host.index not in self.world.checkers.exempt]

    def strike(self, what: str, times: int = 1) -> None:
        """An attack was made."""
        self._strikes[what] += times

    def same_lie(self, message: AnyMessage, forge: Callable[[], AnyMessage | None]) -> AnyMessage | None:
        """What `forge` made for the first target of this message, for all others too: one lie told to
        everybody, not another to each, which would be equivocation."""
        if message not in self._lies:
            self._lies[message] = forge()
            if len(self._lies) > _LIES_MAX:
                del self._lies[next(iter(self._lies))]
        return self._lies[message]

    def decode(self, topic: int, body: bytes) -> AnyMessage:
        """The typed message of a frame; that of a broadcast is decoded once."""
        known_topic, known_body, known = self._decoded
        if known is None or known_body is not body or known_topic != topic:
            known = message_of(topic, body)
            self._decoded = (topic, body, known)
        return known

    def heard(self, item: Input) -> AnyMessage | None:
        """The message inside an input, if it is a frame with one."""
        if not isinstance(item, Frame) or item.gossip_id is not None:
            return None
        if item.topic not in (*wire.Code,) or item.topic in _GOSSIPED:
            return None
        return message_of(item.topic, item.body)

    def tell(self, target: Host, message: AnyMessage) -> None:
        """One more message leaves for one host."""
        self.tell_frame(target, *frame_of(message))

    def tell_all(self, message: AnyMessage) -> None:
        """One more message leaves for everybody."""
        topic, body = frame_of(message)
        for target in self.peers:
            self.tell_frame(target, topic, body)

    def tell_frame(self, target: Host, topic: int, body: bytes, *, gossip: bool = False) -> None:
        """Any bytes leave for one host, if a link stands."""
        if self.world.network.connected(self.host, target):
            self.world.network.send(self.host, target, topic, body, gossip=gossip)

    def gossip(self, topic: int, body: bytes) -> None:
        """Any bytes are gossiped to everybody."""
        for target in self.peers:
            self.tell_frame(target, topic, body, gossip=True)

    def every(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Run `action` again and again in this life of the host, but not while resting."""

        def again() -> None:
            if not self.resting:
                action()
            self.host.later(delay_ms * 1_000, again)

        self.host.later(delay_ms * 1_000, again)

    def say_later(self, delay_ms: int, target: Host, message: AnyMessage) -> None:
        """A message leaves for one host after a while."""
        self.host.later(delay_ms * 1_000, lambda: self.tell(target, message))


def frame_of(message: AnyMessage) -> Said:
    """Topic and bytes of any message."""
    if isinstance(message, _AGREEMENT_TYPES):
        return wire.frame_of_agreement(message)
    return wire.frame_of_pool(message)


def message_of(topic: int, body: bytes) -> AnyMessage:
    """The typed message of a frame that a shipped validator sent."""
    if topic in (wire.Code.AGREEMENT, wire.Code.BLOCKS):
        return wire.agreement_message(topic, body)
    return wire.pool_message(topic, body)


class Together:
    """Several drivers of one host: each changes what the one before it left."""

    def __init__(self, *drivers: Attacker) -> None:
        self.drivers = drivers

    @property
    def strikes(self) -> Counter[str]:
        """Of all drivers together."""
        return sum((driver.strikes for driver in self.drivers), Counter())

    @property
    def resting(self) -> bool:
        """Whether all rest."""
        return all(driver.resting for driver in self.drivers)

    @resting.setter
    def resting(self, resting: bool) -> None:
        for driver in self.drivers:
            driver.resting = resting

    def started(self, host: Host) -> None:
        """For each."""
        for driver in self.drivers:
            driver.started(host)

    def incoming(self, host: Host, item: Input) -> Iterable[Input]:
        """Through each in turn."""
        items: list[Input] = [item]
        for driver in self.drivers:
            items = [changed for one in items for changed in driver.incoming(host, one)]
        return items

    def outgoing(self, host: Host, target: Host, topic: int, body: bytes) -> Iterable[Said]:
        """Through each in turn; bytes that are no message any more pass the rest as they are."""
        frames: list[Said] = [(topic, body)]
        for driver in self.drivers:
            frames = [said for frame in frames for said in driver.outgoing(host, target, *frame)]
        return frames


class Chameleon:
    """Another driver in each interval, chosen by chance: what one has prepared, the next one profits from."""

    def __init__(self, seed: int, drivers: Iterable[Attacker], interval_ms: int = 700) -> None:
        self.random = Random(seed)
        self._drivers = tuple(drivers)
        self._interval_us = interval_ms * 1_000
        self._resting = False
        self._active = self._drivers[0]

    @property
    def strikes(self) -> Counter[str]:
        """Of all of them."""
        return sum((driver.strikes for driver in self._drivers), Counter())

    @property
    def resting(self) -> bool:
        """Whether it rests."""
        return self._resting

    @resting.setter
    def resting(self, resting: bool) -> None:
        self._resting = resting
        self._show()

    def _show(self) -> None:
        for driver in self._drivers:
            driver.resting = self._resting or driver is not self._active

    def started(self, host: Host) -> None:
        """All begin; one is awake."""
        self._show()
        for driver in self._drivers:
            driver.started(host)

        def change() -> None:
            self._active = self.random.choice(self._drivers)
            self._show()
            host.later(self._interval_us, change)

        change()

    def incoming(self, host: Host, item: Input) -> Iterable[Input]:
        """As the one that is awake does it."""
        return self._active.incoming(host, item)

    def outgoing(self, host: Host, target: Host, topic: int, body: bytes) -> Iterable[Said]:
        """As the one that is awake does it."""
        return self._active.outgoing(host, target, topic, body)
