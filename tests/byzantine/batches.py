"""Lies in the data plane: batches that nobody can get, that are none, or that nobody holds.

Sources: Narwhal (arXiv 2105.11827) on availability before ordering; C9 (acknowledgements, fetching, blame),
C22 (validity by bytes alone), C24 (expiry); aptos-core issues 10929 and 11629, where consensus named what
its voters did not hold.
"""

from bench.sim.host import Host
from consensus import Proposal, ValidatorIndex
from node.ledger.transactions import Transaction
from node.pool.batches import batch_digest
from node.pool.messages import (
    Acknowledge,
    BatchesUnavailable,
    FetchBatches,
    FetchedBatch,
    PushBatch,
)
from node.pool.payload import Payload, Reference
from node.validator import Input
from tests.byzantine import forging
from tests.byzantine.driver import AnyMessage, Driver

_SIZE = 1_000
"""Characters that make a batch too large to go inline in these worlds."""


def _bare_quorum(driver: Driver, target: Host) -> bool:
    """Whether the target is among those who make a quorum with the driver's host."""
    total = len(driver.peers) + 1
    return driver.peers.index(target) < 2 * total // 3


def withheld_batches(seed: int) -> Driver:
    """Pushes its batches to a bare quorum and answers no fetch: whoever was left out must get them from
    those who acknowledged, before it may vote."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if isinstance(message, FetchedBatch | BatchesUnavailable):
            driver.strike("unanswered")
            return []
        if isinstance(message, PushBatch) and not _bare_quorum(driver, target):
            driver.strike("withheld")
            return []
        return [message]

    return Driver(seed, says=says)


def hoarded_batches(seed: int) -> Driver:
    """Names its batches in its blocks and gives them to nobody."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if isinstance(message, PushBatch | FetchedBatch | BatchesUnavailable):
            driver.strike("withheld")
            return []
        if isinstance(message, Proposal):
            driver.strike("phantoms")
            return [_naming(driver, message, driver.host.index_in_set)]
        return [message]

    return Driver(seed, says=says)


def framing_leader(seed: int) -> Driver:
    """Names batches that do not exist, as batches of somebody honest, who must not be blamed."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, Proposal):
            return [message]
        driver.strike("phantoms")
        return [_naming(driver, message, driver.random.choice(driver.honest).index_in_set)]

    return Driver(seed, says=says)


def _naming(driver: Driver, proposal: Proposal, author: ValidatorIndex) -> AnyMessage:
    """The proposal, naming a batch of `author` that does not exist in the place of its payload."""

    def lie() -> Proposal:
        payload = Payload((Reference(author, forging.noise(driver.random)),), ()).encode()
        return forging.propose(driver.host, forging.remade(proposal.block, payload=payload))

    return driver.same_lie(proposal, lie) or proposal


def garbage_batches(seed: int) -> Driver:
    """Pushes batches that break every rule there is, each to everybody."""

    def begins(driver: Driver) -> None:
        kinds = (_forged, _unequal, _foreign, _immortal, _expired, _another, _twice, _empty, _oversized, _raw)

        def push() -> None:
            driver.strike("garbage")
            driver.tell_all(PushBatch(driver.random.choice(kinds)(driver)))

        driver.every(40, push)

    return Driver(seed, begins=begins)


def _transaction(driver: Driver, size: int = _SIZE) -> Transaction:
    return driver.world.transaction(size=size)


def _forged(driver: Driver) -> bytes:
    return forging.batch_of(driver.host, forging.forged(_transaction(driver))).encoded


def _unequal(driver: Driver) -> bytes:
    good = _transaction(driver)
    return forging.batch_of(driver.host, good.encoded, forging.forged(_transaction(driver))).encoded


def _foreign(driver: Driver) -> bytes:
    return forging.batch_of(driver.host, _transaction(driver).encoded, cluster_id=bytes(32)).encoded


def _immortal(driver: Driver) -> bytes:
    return forging.batch_of(driver.host, _transaction(driver).encoded, life_ms=10**9).encoded


def _expired(driver: Driver) -> bytes:
    made_ms = driver.world.now_ms - 30_001
    return forging.batch_of(driver.host, _transaction(driver).encoded, created_ms=made_ms).encoded


def _another(driver: Driver) -> bytes:
    victim = driver.random.choice(driver.honest).index
    return forging.batch_of(driver.host, _transaction(driver).encoded, author=victim).encoded


def _twice(driver: Driver) -> bytes:
    one = _transaction(driver).encoded
    return forging.batch_of(driver.host, one, one).encoded


def _empty(driver: Driver) -> bytes:
    return forging.batch_of(driver.host).encoded


def _oversized(driver: Driver) -> bytes:
    return forging.batch_of(driver.host, *[driver.random.randbytes(60_000) for _ in range(6)]).encoded


def _raw(driver: Driver) -> bytes:
    return driver.random.randbytes(driver.random.randint(0, 3_000))


def garbage_answers(seed: int) -> Driver:
    """As `withheld_batches`, but answers every fetch at once, with other bytes."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if isinstance(message, PushBatch) and not _bare_quorum(driver, target):
            driver.strike("withheld")
            return []
        if isinstance(message, FetchedBatch):
            driver.strike("garbage")
            return [FetchedBatch(forging.one_bit_off(message.data, driver.random))]
        return [message]

    return Driver(seed, says=says)


def garbage_payload(seed: int) -> Driver:
    """Proposes payload that no voter may accept: inline batches that are forged, expired or too large, bytes
    that are no payload, and what was ordered before."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, Proposal):
            return [message]
        if message.block.payload and not ordered:
            ordered.append(message.block.payload)
        block = message.block

        def lie() -> Proposal | None:
            payload = driver.random.choice(kinds)(driver)
            if payload is None:
                return None
            return forging.propose(driver.host, forging.remade(block, payload=payload))

        driver.strike("garbage")
        return [driver.same_lie(message, lie) or message]

    def inline(*bodies: bytes) -> bytes:
        return Payload((), bodies).encode()

    def missing_reference(driver: Driver) -> bytes:
        name = forging.noise(driver.random)
        return Payload((Reference(ValidatorIndex(99), name),), ()).encode()

    ordered: list[bytes] = []
    kinds = (
        lambda driver: inline(_forged(driver)),
        lambda driver: inline(_expired(driver)),
        lambda driver: inline(_foreign(driver)),
        lambda driver: inline(*[_raw(driver) + b"x" for _ in range(5)]),
        lambda driver: inline(*[driver.random.randbytes(30_000) for _ in range(30)]),
        lambda driver: inline(*[b"x"] * 2),
        missing_reference,
        lambda driver: driver.random.randbytes(300),
        lambda driver: ordered[0] if ordered else None,
    )
    return Driver(seed, says=says)


def acknowledges_unseen(seed: int) -> Driver:
    """Says at once that it holds whatever is pushed to it, keeps nothing and hands out nothing: of a quorum
    of acknowledgements one is always a lie."""

    def hears(driver: Driver, item: Input) -> list[Input]:
        message = driver.heard(item)
        if isinstance(message, PushBatch):
            driver.strike("lies")
            driver.tell_all(Acknowledge((batch_digest(message.data),)))
            return []
        if isinstance(message, FetchBatches):
            return []
        return [item]

    return Driver(seed, hears=hears)


def acknowledges_nothing(seed: int) -> Driver:
    """Holds everything and says so to nobody."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if isinstance(message, Acknowledge):
            driver.strike("withheld")
            return []
        return [message]

    return Driver(seed, says=says)
