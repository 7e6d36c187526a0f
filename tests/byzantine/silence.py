"""Saying nothing, too little, or too late: no rule is broken, and nothing can be proven.

Sources: the liveness bugs of consensus.md 1.5; C7, C9, C10, C11; "leader who proposes only to one" is the
attack that a broadcast of votes and fetching by certificate answer (DESIGN, addition a).
"""

from bench.sim.host import Host
from consensus import Blocks, HeaderSignature, LeaderSchedule, Proposal, Round, Timeout, Vote
from node.validator import Frame, Input
from tests.byzantine import forging
from tests.byzantine.driver import AnyMessage, Driver

_LATE_MS = (100, 900)
"""Around the 600 ms of a round."""


def _withholding(seed: int, *kinds: type) -> Driver:
    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, kinds):
            return [message]
        driver.strike("withheld")
        return []

    return Driver(seed, says=says)


def silent_leader(seed: int) -> Driver:
    """Never proposes, else a good citizen: every round of its own costs a timeout."""
    return _withholding(seed, Proposal)


def vote_withholder(seed: int) -> Driver:
    """Never votes: the others are a bare quorum."""
    return _withholding(seed, Vote)


def timeout_withholder(seed: int) -> Driver:
    """Never proposes, and never joins in giving its own rounds up."""
    return _withholding(seed, Proposal, Timeout)


def header_withholder(seed: int) -> Driver:
    """Never signs a result."""
    return _withholding(seed, HeaderSignature)


def mute(seed: int) -> Driver:
    """Takes everything in and says nothing at all, with all its links open."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        driver.strike("withheld")
        return []

    return Driver(seed, says=says)


def leader_to_one(seed: int) -> Driver:
    """Proposes to one other validator only, another one each round."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, Proposal):
            return [message]
        chosen = driver.peers[message.block.round % len(driver.peers)]
        if target is chosen:
            return [message]
        driver.strike("withheld")
        return []

    return Driver(seed, says=says)


def leader_to_bare_quorum(seed: int) -> Driver:
    """Proposes to just as many as are needed with itself: whoever is left out sees the votes alone and must
    fetch the block by its certificate."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, Proposal):
            return [message]
        peers, total = driver.peers, len(driver.peers) + 1
        left_out = total - (2 * total // 3 + 1)
        first = message.block.round % len(peers)
        if target not in [peers[(first + step) % len(peers)] for step in range(left_out)]:
            return [message]
        driver.strike("withheld")
        return []

    return Driver(seed, says=says)


def leader_but_to_its_successor(seed: int) -> Driver:
    """Proposes to all but who leads next, and does not answer when that asks for the block: it would lose its
    round, and be blamed for it (C12), unless it asks others soon enough (E4)."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if isinstance(message, Blocks):
            return []
        if not isinstance(message, Proposal):
            return [message]
        block = message.block
        schedule = LeaderSchedule(driver.host.validator.validators)
        if target.index != schedule.leader_of(Round(block.round + 1), block.standing):
            return [message]
        driver.strike("withheld")
        return []

    return Driver(seed, says=says)


def vote_to_one(seed: int) -> Driver:
    """Votes so that only one validator can complete the certificate."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, Vote | Timeout):
            return [message]
        if target is driver.peers[message.round % len(driver.peers)]:
            return [message]
        driver.strike("withheld")
        return []

    return Driver(seed, says=says)


def moody(seed: int) -> Driver:
    """Leaves out three frames in ten, and hears only nine in ten."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if driver.random.random() >= 0.3:
            return [message]
        driver.strike("withheld")
        return []

    def hears(driver: Driver, item: Input) -> list[Input]:
        deaf = isinstance(item, Frame) and driver.random.random() < 0.1
        return [] if deaf else [item]

    return Driver(seed, says=says, hears=hears)


def laggard(seed: int) -> Driver:
    """Everything it says comes about one round too late."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        driver.strike("late")
        driver.say_later(driver.random.randint(*_LATE_MS), target, message)
        return []

    return Driver(seed, says=says)


def hasty(seed: int) -> Driver:
    """Gives every round up as soon as it begins, and votes in it all the same: one of them must not be able
    to end rounds (C10)."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, Proposal):
            return [message]
        driver.strike("timeouts")
        return [message, forging.timeout_beside(driver.host, message.block)]

    def hears(driver: Driver, item: Input) -> list[Input]:
        message = driver.heard(item)
        if isinstance(message, Proposal):
            driver.strike("timeouts")
            driver.tell_all(forging.timeout_beside(driver.host, message.block))
        return [item]

    return Driver(seed, says=says, hears=hears)
