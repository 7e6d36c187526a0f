"""Lies about others and about the past: false blame, forged evidence, poison to pass on, words of others,
old words again, and bytes that are nothing.

Sources: C9 (one liar excludes nobody), C15 and C21 (what is signed names cluster, epoch and round, so that
nothing is worth sending twice), C20 (evidence is positive); p2p's rule that a forwarder answers for what
it forwards, which a poisoner turns against honest forwarders.
"""

from collections import deque
from dataclasses import replace

from bench.sim.host import Host
from consensus import (
    Epoch,
    Evidence,
    HeaderSignature,
    Offence,
    Proposal,
    Round,
    Timeout,
    TimeoutReason,
    ValidatorIndex,
    Vote,
    encode_trusted,
)
from node import wire
from node.validator import Frame, Input
from tests.byzantine import forging
from tests.byzantine.driver import AnyMessage, Driver, Said, frame_of

_KEPT = 400
"""Frames remembered for later."""


def false_blame(seed: int) -> Driver:
    """Gives up every round because of payload that is not missing, and blames one victim for it."""

    def blame(driver: Driver, proposal: Proposal) -> Timeout:
        driver.strike("blame")
        victim = ValidatorIndex(driver.honest[0].index)
        return forging.timeout_beside(driver.host, proposal.block, TimeoutReason.PAYLOAD_UNAVAILABLE, victim)

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        return [message, blame(driver, message)] if isinstance(message, Proposal) else [message]

    def hears(driver: Driver, item: Input) -> list[Input]:
        message = driver.heard(item)
        if isinstance(message, Proposal):
            driver.tell_all(blame(driver, message))
        return [item]

    return Driver(seed, says=says, hears=hears)


def false_evidence(seed: int) -> Driver:
    """Gossips proofs against honest validators: with its own signatures, with words that do not conflict."""
    votes: deque[Vote] = deque(maxlen=_KEPT)

    def hears(driver: Driver, item: Input) -> list[Input]:
        message = driver.heard(item)
        if isinstance(message, Vote):
            votes.append(message)
        return [item]

    def begins(driver: Driver) -> None:
        def accuse() -> None:
            if not votes:
                return
            vote = driver.random.choice(votes)
            key = driver.world.setting.validators[vote.author].public_key
            signed = forging.sign_vote(driver.host, replace(vote, block_id=vote.parent_id))
            other = replace(signed, author=vote.author)
            later = driver.random.choice([v for v in votes if v.author == vote.author])
            driver.strike("accusations")
            for second in (other, later):
                lie = Evidence(Offence.DOUBLE_VOTE, vote.epoch, vote.author, key, vote, second)
                driver.gossip(wire.Code.EVIDENCE, lie.encode())

        driver.every(50, accuse)

    return Driver(seed, hears=hears, begins=begins)


def endless_evidence(seed: int) -> Driver:
    """Gossips true proofs against itself without end: each costs a synced flush, if it is kept (E9)."""

    def begins(driver: Driver) -> None:
        def confess() -> None:
            host, random = driver.host, driver.random
            validators = host.world.genesis.validator_set()
            height = random.randint(1, 2**40)
            first, second = (
                forging.header_of(host, height, forging.noise(random), forging.noise(random)) for _ in "ab"
            )
            proof = Evidence.of(validators, first, second)
            assert proof is not None
            driver.strike("confessions")
            driver.gossip(wire.Code.EVIDENCE, proof.encode())

        driver.every(20, confess)

    return Driver(seed, begins=begins)


def poisoner(seed: int) -> Driver:
    """Gossips what honest nodes might pass on and others refuse: transactions about to expire, of an attempt
    that is too high, the same in other words, on topics that are no gossip."""

    def begins(driver: Driver) -> None:
        def poison() -> None:
            world, random = driver.world, driver.random
            life_ms = random.choice((0, 1, 5, 300, 999, 1_000, 1_001, 1_010, 600_000, 600_005))
            body = world.transaction(life_ms=life_ms).encoded
            driver.strike("poison")
            target = random.choice(driver.honest)
            for attempt in (0, 1, 64, 65):
                said = encode_trusted((attempt, body))
                driver.tell_frame(target, wire.Code.TRANSACTIONS, said, gossip=True)
            topic = random.choice((wire.Code.AGREEMENT, wire.Code.DATA, 99))
            driver.tell_frame(target, topic, encode_trusted((1, body)), gossip=True)

        driver.every(25, poison)

    return Driver(seed, begins=begins)


def _recording(seed: int, again: "Driver.Begins", kept: "deque[Said]") -> Driver:
    def hears(driver: Driver, item: Input) -> list[Input]:
        if isinstance(item, Frame) and item.gossip_id is None:
            kept.append((item.topic, item.body))
        return [item]

    return Driver(seed, hears=hears, begins=again)


def impostor(seed: int) -> Driver:
    """Sends on what others said as if it had said it, to everybody."""
    kept: deque[Said] = deque(maxlen=_KEPT)

    def begins(driver: Driver) -> None:
        def send() -> None:
            if kept:
                driver.strike("others' words")
                driver.tell_frame(driver.random.choice(driver.honest), *driver.random.choice(kept))

        driver.every(10, send)

    return _recording(seed, begins, kept)


def replayer(seed: int) -> Driver:
    """Sends its own old frames again, from all rounds so far, to anybody."""
    kept: list[Said] = []

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        kept.append(frame_of(message))
        if len(kept) > _KEPT:
            kept[driver.random.randrange(_KEPT)] = kept.pop()
        return [message]

    def begins(driver: Driver) -> None:
        def again() -> None:
            if kept:
                driver.strike("old words")
                driver.tell_frame(driver.random.choice(driver.peers), *driver.random.choice(kept))

        driver.every(10, again)

    return Driver(seed, says=says, begins=begins)


def epoch_liar(seed: int) -> Driver:
    """Says everything once more for other epochs, incarnations and clusters' rounds, properly signed."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        host = driver.host
        epoch = Epoch(driver.random.choice((1, 2, 2**40)))
        lie: AnyMessage
        match message:
            case Vote():
                lie = forging.sign_vote(host, replace(message, epoch=epoch))
            case Timeout():
                lie = forging.sign_timeout(host, replace(message, epoch=epoch))
            case HeaderSignature():
                changes = driver.random.choice(({"epoch": epoch}, {"incarnation": 1}))
                lie = forging.sign_header(host, replace(message, **changes))
            case Proposal():
                lie = forging.propose(host, forging.remade(message.block, epoch=epoch))
            case _:
                return [message]
        driver.strike("other epochs")
        return [lie, message]

    return Driver(seed, says=says)


def babbler(seed: int) -> Driver:
    """Bytes that are nothing, too deep, too long or damaged, on every topic and by gossip."""
    kept: deque[Said] = deque(maxlen=_KEPT)

    def begins(driver: Driver) -> None:
        def babble() -> None:
            random = driver.random
            topic = random.choice((*wire.Code, 0, 6, 99))
            bodies = [
                b"",
                b"\x91" * random.randint(1, 4_000),
                b"\xdd\xff\xff\xff\xff",
                b"\x9a" + bytes(random.randint(0, 30_000)),
                bytes((0x90 + random.randint(0, 15), random.randint(0, 12))) + random.randbytes(200),
            ]
            if kept:
                topic, body = random.choice(kept)
                bodies.append(forging.one_bit_off(body, random))
                bodies.append(body[: random.randrange(len(body))])
            driver.strike("babble")
            chosen = random.choice(bodies)
            driver.tell_frame(random.choice(driver.honest), topic, chosen, gossip=random.random() < 0.3)

        driver.every(8, babble)

    return _recording(seed, begins, kept)


def future_rounds(seed: int) -> Driver:
    """Its own words of this round again as words of the next or the last, signed (the small scope of
    ByzzFuzz, all the time)."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        host, step = driver.host, driver.random.choice((-1, 1))
        lie: AnyMessage
        match message:
            case Vote() if message.round + step >= 1:
                lie = forging.sign_vote(host, replace(message, round=Round(message.round + step)))
            case Timeout() if message.round + step >= 1:
                lie = forging.sign_timeout(host, replace(message, round=Round(message.round + step)))
            case Proposal(block) if block.round + step >= 1:
                lie = forging.propose(host, forging.remade(block, round=block.round + step))
            case _:
                return [message]
        driver.strike("other rounds")
        return [message, lie]

    return Driver(seed, says=says)
