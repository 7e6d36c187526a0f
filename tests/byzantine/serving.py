"""Lying to who catches up: wrong, cut, late or no answers, and claims of a chain that does not exist.

Sources: C25 (a range of heights is believed for one certificate), cometbft and diem reports of laggards
held up by one bad peer (consensus.md 4: validate before storing, rotate, no global deadline).
"""

from collections.abc import Callable
from dataclasses import replace

from bench.sim.host import Host
from consensus import (
    Blocks,
    Certificates,
    Height,
    Proposal,
    Round,
    Status,
    Value,
    decode,
    encode_trusted,
)
from node.pool.messages import FetchedBatch, SyncItem, SyncResponse
from node.proofs.header import Header
from node.validator import Input, LinkUp
from tests.byzantine import forging
from tests.byzantine.driver import AnyMessage, Driver

_FAR = 2**40
_SLOW_MS = (4_000, 9_000)
"""Around the 5 s after which a range is asked for elsewhere."""


def _claims(status: Status) -> Status:
    return replace(status, certified_height=Height(_FAR), committed_height=Height(_FAR))


def _offers_itself(driver: Driver, item: Input) -> list[Input]:
    """Shows its certificates to whoever comes, before being asked, so that it is asked for the rest."""
    if isinstance(item, LinkUp):
        replica = driver.host.validator.replica
        view = replica.view()
        offer = Certificates(view.hqc, view.htc, replica.certified())
        for target in driver.world.hosts_of(item.peer):
            driver.tell(target, offer)
    return [item]


def _serving(seed: int, lie: Callable[[Driver, SyncResponse], list[AnyMessage]]) -> Driver:
    """A driver that offers itself, says it has everything, and answers ranges with `lie`."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if isinstance(message, Status):
            return [_claims(message)]
        if not isinstance(message, SyncResponse):
            return [message]
        driver.strike("lies")
        return lie(driver, message)

    return Driver(seed, says=says, hears=_offers_itself)


def lying_server(seed: int) -> Driver:
    """Changes one thing in each answer: a header, a block, a body, a link, the certificate, the order."""

    def lie(driver: Driver, answer: SyncResponse) -> list[AnyMessage]:
        if not answer.items:
            return [replace(answer, items=(SyncItem(b"h", b"p", ()),))]
        return [driver.random.choice(_LIES)(driver, answer)]

    return _serving(seed, lie)


def _with_item(driver: Driver, answer: SyncResponse, change: Callable[[SyncItem], SyncItem]) -> SyncResponse:
    place = driver.random.randrange(len(answer.items))
    items = list(answer.items)
    items[place] = change(items[place])
    return replace(answer, items=tuple(items))


def _wrong_header(driver: Driver, answer: SyncResponse) -> SyncResponse:
    def change(item: SyncItem) -> SyncItem:
        header = Header.decode(item.header)
        return replace(item, header=replace(header, state_root=forging.noise(driver.random)).encoded)

    return _with_item(driver, answer, change)


def _wrong_block(driver: Driver, answer: SyncResponse) -> SyncResponse:
    def change(item: SyncItem) -> SyncItem:
        proposal = Proposal.from_value(decode(item.proposal))
        block = forging.remade(proposal.block, payload=b"")
        lie = replace(proposal, block=block)
        return replace(item, proposal=encode_trusted(lie.to_value()))

    return _with_item(driver, answer, change)


def _wrong_signature(driver: Driver, answer: SyncResponse) -> SyncResponse:
    def change(item: SyncItem) -> SyncItem:
        value = decode(item.proposal)
        assert isinstance(value, tuple)
        assert isinstance(value[1], bytes)
        fields: tuple[Value, ...] = (value[0], forging.one_bit_off(value[1], driver.random))
        return replace(item, proposal=encode_trusted(fields))

    return _with_item(driver, answer, change)


def _wrong_bodies(driver: Driver, answer: SyncResponse) -> SyncResponse:
    def change(item: SyncItem) -> SyncItem:
        if not item.batches:
            return replace(item, batches=(b"more",))
        *first, last = item.batches
        return replace(item, batches=(*first, forging.one_bit_off(last, driver.random)))

    return _with_item(driver, answer, change)


def _cut(driver: Driver, answer: SyncResponse) -> SyncResponse:
    return replace(answer, items=answer.items[: len(answer.items) // 2])


def _unproven(driver: Driver, answer: SyncResponse) -> SyncResponse:
    return replace(answer, certificate=None)


def _wrong_certificate(driver: Driver, answer: SyncResponse) -> SyncResponse:
    certificate = answer.certificate
    assert certificate is not None
    junk = forging.one_bit_off(certificate.signatures, driver.random)
    return replace(answer, certificate=replace(certificate, signatures=junk))


def _of_another_epoch(driver: Driver, answer: SyncResponse) -> SyncResponse:
    certificate = answer.certificate
    assert certificate is not None
    return replace(answer, certificate=replace(certificate, epoch=type(certificate.epoch)(9)))


def _reversed(driver: Driver, answer: SyncResponse) -> SyncResponse:
    return replace(answer, items=answer.items[::-1] if len(answer.items) > 1 else answer.items * 2)


def _raw(driver: Driver, answer: SyncResponse) -> SyncResponse:
    return _with_item(driver, answer, lambda item: SyncItem(b"\x90", b"\x90", (b"",)))


_LIES = (
    _wrong_header,
    _wrong_block,
    _wrong_signature,
    _wrong_bodies,
    _cut,
    _unproven,
    _wrong_certificate,
    _of_another_epoch,
    _reversed,
    _raw,
)


def silent_server(seed: int) -> Driver:
    """Says it has everything and answers no range."""
    return _serving(seed, lambda driver, answer: [])


def empty_server(seed: int) -> Driver:
    """Says it has everything and answers that it has nothing."""
    return _serving(seed, lambda driver, answer: [SyncResponse(answer.from_height, (), (), None)])


def slow_server(seed: int) -> Driver:
    """Answers ranges truthfully, at about the time at which nobody waits any more, and twice."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if isinstance(message, Status):
            return [_claims(message)]
        if not isinstance(message, SyncResponse | Blocks | FetchedBatch | Certificates):
            return [message]
        driver.strike("late")
        for _ in range(2):
            driver.say_later(driver.random.randint(*_SLOW_MS), target, message)
        return []

    return Driver(seed, says=says, hears=_offers_itself)


def lying_blocks(seed: int) -> Driver:
    """Leaves one validator out of each of its proposals, so that it must ask for the block, and answers with
    cut, reversed, changed or other chains."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if isinstance(message, Proposal):
            left_out = driver.peers[message.block.round % len(driver.peers)]
            return [] if target is left_out else [message]
        if not isinstance(message, Blocks):
            return [message]
        driver.strike("lies")
        chain = message.proposals
        first = chain[0]
        lies = (
            (first,),
            chain[::-1],
            chain[1:] or chain,
            (first, first),
            (first, *chain[2:]),
            (replace(first, block=forging.remade(first.block, payload=b"x")), *chain[1:]),
            (replace(first, signature=chain[-1].signature), *chain[1:]),
        )
        return [Blocks(driver.random.choice(lies))]

    return Driver(seed, says=says, hears=_offers_itself)


def boaster(seed: int) -> Driver:
    """Its status claims rounds and heights that do not exist; asked for certificates, it has none."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if isinstance(message, Certificates):
            return [Certificates(None, None, None)]
        if not isinstance(message, Status):
            return [message]
        driver.strike("lies")
        far = Round(_FAR)
        return [replace(_claims(message), round=far, hqc_round=far, htc_round=far)]

    return Driver(seed, says=says)


def belittler(seed: int) -> Driver:
    """Its status claims to be at the very beginning, so that everybody helps it all the time."""

    def begins(driver: Driver) -> None:
        def claim() -> None:
            view = driver.host.validator.replica.view()
            zero = Round(0)
            driver.strike("lies")
            driver.tell_all(Status(view.epoch, Round(1), zero, zero, Height(0), Height(0)))

        driver.every(20, claim)

    return Driver(seed, begins=begins)
