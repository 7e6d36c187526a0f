"""Lies about who verified what (VC1 to VC5), in clusters that believe verification certificates."""

from bench.sim.host import Host
from node.pool.batches import batch_digest
from node.pool.messages import Attest, PushBatch
from node.validator import BatchChecked, Input
from tests.byzantine import forging
from tests.byzantine.driver import AnyMessage, Driver

_TOGETHER = 9
"""Transactions in a batch that is worth an attestation."""
_LATE_MS = (300, 2_500)
"""Before the others' patience ends, and after."""


def false_attester(seed: int) -> Driver:
    """Attests whatever it hears of at once, and again, and digests of nothing; pushes batches of which one
    transaction is forged, finds them good itself, attests them and votes for them."""

    def hears(driver: Driver, item: Input) -> list[Input]:
        if isinstance(item, BatchChecked):
            return [BatchChecked(item.digest, None)]
        message = driver.heard(item)
        if isinstance(message, PushBatch):
            driver.strike("unseen")
            driver.tell_all(Attest((batch_digest(message.data),) * 2))
        return [item]

    def begins(driver: Driver) -> None:
        def push() -> None:
            world = driver.world
            good = [world.transaction().encoded for _ in range(_TOGETHER - 1)]
            batch = forging.batch_of(driver.host, *good, forging.forged(world.transaction()))
            driver.strike("forged")
            driver.tell_all(PushBatch(batch.encoded))
            for _ in range(2):
                driver.tell_all(Attest((batch.digest, forging.noise(driver.random))))

        driver.every(90, push)

    return Driver(seed, hears=hears, begins=begins)


def silent_attester(seed: int) -> Driver:
    """Verifies when it is its turn, and attests nothing."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if isinstance(message, Attest):
            driver.strike("withheld")
            return []
        return [message]

    return Driver(seed, says=says)


def late_attester(seed: int) -> Driver:
    """Attests what it verified, to each at another moment: often when nobody waits any more."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if isinstance(message, Attest):
            driver.strike("late")
            driver.say_later(driver.random.randint(*_LATE_MS), target, message)
            return []
        return [message]

    return Driver(seed, says=says)
