"""ByzzFuzz: few faults, small ones, at random rounds.

Winter, Buse, de Graaf, von Gleissenthall, Kulahcioglu Ozkan, "Randomized Testing of Byzantine Fault Tolerant
Algorithms" (OOPSLA 2023): d network faults (in one round, only hosts of one block of a partition hear each
other) and c mutations of what one validator sends in one round, to some of its receivers. Small-scope
mutations (a round one off, a value of an earlier message) found more than arbitrary ones.
"""

from dataclasses import dataclass, replace
from random import Random

from bench.sim.host import Host
from consensus import (
    Block,
    HeaderSignature,
    Height,
    InvalidMessage,
    Proposal,
    QuorumCertificate,
    Round,
    Timeout,
    Vote,
)
from node import wire
from tests.byzantine import forging
from tests.byzantine.driver import AnyMessage, Driver, message_of

ROUNDS = 40
"""Rounds in which faults happen: these worlds see about so many in their eventful part."""
MUTATIONS = 12
NETWORK_FAULTS = 5
SPLIT_MS = 1_500
"""What is said again later in a split round gets through: links are lost for a while, not for ever."""
_EARLIER = 32


@dataclass(frozen=True, slots=True)
class Mutation:
    """In `round`, what goes to `receivers` (a bit for each place) is changed by `kind`: 0 to 3."""

    round: int
    receivers: int
    kind: int


class Schedule:
    """What goes wrong when: drawn once, from the seed."""

    def __init__(self, random: Random) -> None:
        def some_round() -> int:
            return random.randint(1, ROUNDS)

        self.mutations: dict[int, list[Mutation]] = {}
        for _ in range(MUTATIONS):
            one = Mutation(some_round(), random.randrange(1, 128), random.randrange(4))
            self.mutations.setdefault(one.round, []).append(one)
        # a bit for each place: who is on the first side
        self.splits = {some_round(): random.randrange(1, 128) for _ in range(NETWORK_FAULTS)}


def byzzfuzz(seed: int) -> Driver:
    """The driver with its mutations; when it starts it also lays the network faults over the world."""
    schedule = Schedule(Random(seed ^ 0x5EED))
    earlier: list[AnyMessage] = []
    began_ms: dict[int, int] = {}

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        round = round_of(message)
        if round is None:
            return [message]
        if not earlier or earlier[-1] is not message:
            earlier.append(message)
            del earlier[:-_EARLIER]
        for mutation in schedule.mutations.get(round, ()):
            if mutation.receivers >> target.place & 1:
                driver.strike("mutations")
                return [_mutated(driver, message, mutation.kind, earlier)]
        return [message]

    def begins(driver: Driver) -> None:
        if driver.host.life > 1:
            return
        network = driver.world.network
        below = network.filter

        def through(source: Host, target: Host, topic: int, body: bytes) -> bool:
            if topic == wire.Code.AGREEMENT and not driver.resting:
                round = _round_of_frame(topic, body) or 0
                split = schedule.splits.get(round)
                if split is None:
                    return below(source, target, topic, body)
                since_ms = began_ms.setdefault(round, driver.world.now_ms)
                apart = (split >> source.place ^ split >> target.place) & 1
                if apart and driver.world.now_ms - since_ms < SPLIT_MS:
                    driver.strike("drops")
                    return False
            return below(source, target, topic, body)

        network.filter = through

    return Driver(seed, says=says, begins=begins)


def round_of(message: AnyMessage) -> int | None:
    """The round a message is of; for a header signature its height, which grows likewise."""
    match message:
        case Proposal(block):
            return block.round
        case Vote() | Timeout():
            return message.round
        case HeaderSignature():
            return message.height
        case _:
            return None


def _round_of_frame(topic: int, body: bytes) -> int | None:
    try:
        return round_of(message_of(topic, body))
    except InvalidMessage:
        return None


def _mutated(driver: Driver, message: AnyMessage, kind: int, earlier: list[AnyMessage]) -> AnyMessage:
    """Kind 0 and 1: a round less or more; 2: values of an earlier message; 3: an earlier message itself."""
    same = [known for known in earlier if type(known) is type(message)]
    old = driver.random.choice(same)
    if kind == 3:
        return old
    host, step = driver.host, 2 * kind - 1
    match message, old:
        case Vote(), Vote():
            changed = (
                replace(message, round=Round(max(1, message.round + step)))
                if kind < 2
                else replace(message, block_id=old.block_id, parent_id=old.parent_id)
            )
            return forging.sign_vote(host, changed)
        case Timeout(), Timeout():
            late = (
                replace(message, round=Round(max(1, message.round + step)))
                if kind < 2
                else replace(message, hqc=old.hqc, tc=old.tc)
            )
            return forging.sign_timeout(host, late)
        case HeaderSignature(), HeaderSignature():
            header = (
                replace(message, height=Height(max(1, message.height + step)))
                if kind < 2
                else replace(message, header_hash=old.header_hash)
            )
            return forging.sign_header(host, header)
        case Proposal(block), Proposal(past):
            return forging.propose(host, _mutated_block(block, past, kind))
    return message


def _mutated_block(block: Block, past: Block, kind: int) -> Block:
    if kind < 2:
        return forging.remade(block, round=max(1, block.round + 2 * kind - 1))
    qc: QuorumCertificate = past.qc
    return forging.remade(block, qc=qc, tc=past.tc, keep_tc=False, payload=past.payload)
