"""Saying two things: two blocks, votes or headers where a correct validator signs one.

Sources: Castro and Liskov, "Practical Byzantine Fault Tolerance" (OSDI 1999), which is about little else;
Twins (arXiv 2004.10617); the evidence each of them leaves is C20 and C3.
"""

from dataclasses import replace

from bench.sim.host import Host
from consensus import Block, HeaderSignature, Proposal, Vote
from node.validator import Frame, Input
from tests.byzantine import forging
from tests.byzantine.driver import AnyMessage, Driver, message_of

_STORM = 24
"""Blocks of one round by one leader."""


def _other(host: Host, block: Block, step: int = 1) -> Proposal:
    """Another block of the same round: it orders nothing and is a little later."""
    return forging.propose(host, forging.remade(block, payload=b"", time_ms=block.time_ms + step))


def _is_accomplice(driver: Driver, target: Host) -> bool:
    return target.index in driver.world.checkers.exempt


def equivocating_leader(seed: int) -> Driver:
    """One block for half of the cluster, another for the other half, both for accomplices: with too small a
    quorum both would be certified."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, Proposal):
            return [message]
        driver.strike("two blocks")
        other = _other(driver.host, message.block)
        if _is_accomplice(driver, target):
            return [message, other]
        return [other if (target.place + message.block.round) % 2 else message]

    return Driver(seed, says=says)


def equivocating_leader_to_all(seed: int) -> Driver:
    """Both blocks of a round to everybody, in any order."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, Proposal):
            return [message]
        driver.strike("two blocks")
        both: list[AnyMessage] = [message, _other(driver.host, message.block)]
        driver.random.shuffle(both)
        return both

    return Driver(seed, says=says)


def proposal_storm(seed: int) -> Driver:
    """Two dozen blocks of one round to everybody: memory and evidence must stay bounded (E9)."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, Proposal):
            return [message]
        driver.strike("storms")
        storm: list[AnyMessage] = [message]
        storm += [_other(driver.host, message.block, step) for step in range(1, _STORM)]
        driver.random.shuffle(storm)  # another one comes first at each
        return storm

    return Driver(seed, says=says)


def _other_vote(driver: Driver, vote: Vote) -> Vote:
    return forging.sign_vote(driver.host, replace(vote, block_id=forging.noise(driver.random)))


def equivocating_voter(seed: int) -> Driver:
    """Half of the cluster hears a vote for a block that nobody proposed."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, Vote) or (target.place + message.round) % 2:
            return [message]
        driver.strike("two votes")
        return [_other_vote(driver, message)]

    return Driver(seed, says=says)


def equivocating_voter_to_all(seed: int) -> Driver:
    """Everybody hears both votes of a round."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, Vote):
            return [message]
        driver.strike("two votes")
        return [message, _other_vote(driver, message)]

    return Driver(seed, says=says)


def votes_for_everything(seed: int) -> Driver:
    """Signs a vote for every block it hears of, of whatever round and parent: the accomplice that an
    equivocating leader needs."""

    def hears(driver: Driver, item: Input) -> list[Input]:
        # decoding is dear: proposals are the frames whose first field is 1
        if isinstance(item, Frame) and item.gossip_id is None and item.body[1:2] == b"\x01":
            message = message_of(item.topic, item.body)
            if isinstance(message, Proposal):
                driver.strike("votes")
                driver.tell_all(forging.vote_for(driver.host, message.block))
        return [item]

    return Driver(seed, hears=hears)


def _other_header(driver: Driver, signed: HeaderSignature) -> HeaderSignature:
    return forging.sign_header(driver.host, replace(signed, header_hash=forging.noise(driver.random)))


def equivocating_executor(seed: int) -> Driver:
    """Half of the cluster hears another result of executing a height."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, HeaderSignature) or (target.place + message.height) % 2:
            return [message]
        driver.strike("two headers")
        return [_other_header(driver, message)]

    return Driver(seed, says=says)


def equivocating_executor_to_all(seed: int) -> Driver:
    """Everybody hears both results (C3)."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, HeaderSignature):
            return [message]
        driver.strike("two headers")
        return [message, _other_header(driver, message)]

    return Driver(seed, says=says)


def wrong_executor(seed: int) -> Driver:
    """Everybody hears the same wrong result: it must neither be certified nor unsettle anybody."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, HeaderSignature):
            return [message]
        driver.strike("wrong headers")
        return [forging.sign_header(driver.host, replace(message, header_hash=message.block_id))]

    return Driver(seed, says=says)
