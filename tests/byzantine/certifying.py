"""Stale and forged certificates: what looks like a quorum's word and is not, or is an old one.

Sources: C6 (every signature of every embedded certificate is verified; an engine that checked only the
outermost one was broken so), C10 and L3 (a TC holds each signer's own highest round), Jolteon (arXiv
2106.10362) section 3 for what may be extended.
"""

from collections.abc import Callable
from dataclasses import replace

from bench.sim.host import Host
from consensus import (
    Block,
    Certificates,
    Height,
    Proposal,
    QuorumCertificate,
    Round,
    Timeout,
    TimeoutCertificate,
    TimeoutReason,
)
from tests.byzantine import forging
from tests.byzantine.driver import AnyMessage, Driver

_KEPT = 64
"""Old certificates a driver remembers."""


def _proposing(seed: int, what: str, forge: Callable[[Driver, Block], Block | None]) -> Driver:
    """A driver that changes its proposals alone; `forge` gives None when it has nothing to lie with."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, Proposal):
            return [message]
        block = message.block

        def lie() -> Proposal | None:
            forged = forge(driver, block)
            return None if forged is None else forging.propose(driver.host, forged)

        told = driver.same_lie(message, lie)
        if told is None:
            return [message]
        driver.strike(what)
        return [told]

    return Driver(seed, says=says)


def forged_parent(seed: int) -> Driver:
    """Proposes on a QC in which one signature is wrong: its quorum never stood (C6)."""

    def forge(driver: Driver, block: Block) -> Block | None:
        return forging.remade(block, qc=forging.junk_qc(block.qc, driver.random))

    return _proposing(seed, "forged QCs", forge)


def misled_parent(seed: int) -> Driver:
    """Proposes on a real QC that says it commits something else, is of another block, or counts a signer
    twice or too few of them."""

    def forge(driver: Driver, block: Block) -> Block | None:
        qc = block.qc
        if qc.is_root:
            return None
        first = qc.signatures[:64]
        lies = (
            replace(qc, commit_id=forging.noise(driver.random)),
            replace(qc, commit_id=None),
            replace(qc, block_id=forging.noise(driver.random)),
            replace(qc, signatures=first * (len(qc.signatures) // 64)),
            replace(qc, signers=bytes((qc.signers[0] & -qc.signers[0],)) + qc.signers[1:], signatures=first),
            replace(qc, signers=qc.signers + b"\x01"),
            replace(qc, signers=b"\xff" * len(qc.signers)),
            forging.own_qc(driver.host, qc, qc.round, forging.noise(driver.random)),
        )
        return forging.remade(block, qc=driver.random.choice(lies))

    return _proposing(seed, "forged QCs", forge)


def forged_header(seed: int) -> Driver:
    """Its blocks show a quorum's signatures under another ledger header."""

    def forge(driver: Driver, block: Block) -> Block | None:
        certified = driver.host.validator.replica.certified()
        if certified is None:
            return None
        lies = (
            forging.junk_header(certified, driver.random),
            replace(certified, height=Height(certified.height + 1)),
            replace(certified, incarnation=1),
            replace(certified, block_id=block.qc.block_id),
            replace(certified, signatures=forging.one_bit_off(certified.signatures, driver.random)),
        )
        return forging.remade(block, certified=driver.random.choice(lies))

    return _proposing(seed, "forged headers", forge)


def stale_leader(seed: int) -> Driver:
    """Extends an old certified block, as if later ones did not exist, with an old TC or one of its own."""
    known: list[QuorumCertificate] = []

    def forge(driver: Driver, block: Block) -> Block | None:
        if not known or known[-1].round < block.qc.round:
            known.append(block.qc)
            del known[:-_KEPT]
        old = driver.random.choice(known)
        if old.round >= block.qc.round:
            return None
        own = forging.own_tc(driver.host, block.epoch, block.round - 1, old.round)
        tc = driver.random.choice((own, block.tc, None))
        return forging.remade(block, qc=old, tc=tc, keep_tc=tc is not None)

    return _proposing(seed, "stale blocks", forge)


def forged_rounds(seed: int) -> Driver:
    """Skips its own turn, so that rounds end by TC, and shows TCs that are forged: other rounds held by their
    signers, a wrong signature, its own name in everybody's place."""

    def forge(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, Proposal | Timeout):
            return [message]
        if isinstance(message, Proposal):
            block = message.block
            if block.tc is None:
                return []
            driver.strike("forged TCs")
            return [
                driver.same_lie(
                    message,
                    lambda: forging.propose(driver.host, forging.remade(block, tc=_forged_tc(driver, block))),
                )
                or message
            ]
        ahead = Round(message.round + driver.random.randint(1, 5))
        tc = forging.own_tc(driver.host, message.epoch, ahead - 1, message.hqc.round)
        driver.strike("forged TCs")
        lie = forging.sign_timeout(driver.host, replace(message, round=ahead, tc=tc))
        return [message, lie]

    return Driver(seed, says=forge)


def _forged_tc(driver: Driver, block: Block) -> TimeoutCertificate:
    tc = block.tc
    assert tc is not None
    own = forging.own_tc(driver.host, block.epoch, block.round - 1, block.qc.round)
    lies = (forging.junk_tc(tc, driver.random), forging.modest_tc(tc), own)
    return driver.random.choice(lies)


def denies_its_lock(seed: int) -> Driver:
    """Gives rounds up with less than it has voted for, and with certificates that do not open them (P2)."""
    known: list[QuorumCertificate] = []

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, Proposal):
            return [message]
        block = message.block
        if not known or known[-1].round < block.qc.round:
            known.append(block.qc)
            del known[:-_KEPT]
        old = known[0]
        if old.round >= block.qc.round:
            return [message]
        driver.strike("denied locks")
        honest = forging.timeout_beside(driver.host, block, TimeoutReason.NO_QUORUM)
        lie = replace(honest, hqc=old)
        own = replace(lie, tc=forging.own_tc(driver.host, block.epoch, block.round - 1, old.round))
        return [message, *(forging.sign_timeout(driver.host, claim) for claim in (lie, own))]

    return Driver(seed, says=says)


def stale_certificates(seed: int) -> Driver:
    """Sends old certificates to everybody all the time, and answers questions with the oldest it has."""
    known: list[Certificates] = []

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if isinstance(message, Certificates):
            driver.strike("stale")
            return [known[0] if known else message]
        return [message]

    def begins(driver: Driver) -> None:
        def send() -> None:
            view = driver.host.validator.replica.view()
            known.append(Certificates(view.hqc, view.htc, driver.host.validator.replica.certified()))
            del known[1:-_KEPT]
            driver.strike("stale")
            driver.tell_all(driver.random.choice(known))

        driver.every(50, send)

    return Driver(seed, says=says, begins=begins)


def forged_certificates(seed: int) -> Driver:
    """Sends forged certificates of later rounds and heights: nobody may follow."""

    def begins(driver: Driver) -> None:
        driver.every(60, lambda: _send_forged(driver))

    return Driver(seed, begins=begins)


def _send_forged(driver: Driver) -> None:
    replica, random = driver.host.validator.replica, driver.random
    view, certified = replica.view(), replica.certified()
    ahead = view.round + random.randint(1, 200)
    qc = forging.own_qc(driver.host, view.hqc, ahead, forging.noise(random))
    tc = forging.own_tc(driver.host, view.epoch, ahead, view.hqc.round)
    driver.strike("forged")
    driver.tell_all(random.choice((Certificates(qc, None, None), Certificates(None, tc, None))))
    if certified is not None:
        higher = replace(certified, height=Height(certified.height + random.randint(1, 500)))
        driver.tell_all(Certificates(None, None, higher))
