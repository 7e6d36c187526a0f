"""Games with the time of blocks (C8): the ledger's clock is the leaders' word, within bounds that the
voters keep. Source: the same games in Bitcoin ("time warp") and with CometBFT's proposer-based timestamps.
"""

from collections.abc import Callable

from bench.sim.host import Host
from consensus import Block, Proposal
from tests.byzantine import forging
from tests.byzantine.driver import AnyMessage, Driver

_HOUR_MS = 3_600_000


def _timing(seed: int, time_of: Callable[[Driver, Block, int], int]) -> Driver:
    """A driver whose blocks have the time `time_of(driver, block, parent's time)`."""

    def says(driver: Driver, target: Host, message: AnyMessage) -> list[AnyMessage]:
        if not isinstance(message, Proposal):
            return [message]
        block = message.block

        def lie() -> Proposal:
            parent = driver.host.validator.replica.proposal(block.parent_id)
            parent_ms = driver.world.genesis.params.created_ms if parent is None else parent.block.time_ms
            time_ms = time_of(driver, block, parent_ms)
            return forging.propose(driver.host, forging.remade(block, time_ms=time_ms))

        driver.strike("times")
        return [driver.same_lie(message, lie) or message]

    return Driver(seed, says=says)


def clock_far_ahead(seed: int) -> Driver:
    """Its blocks are of the next hour: were they taken, every transaction would expire."""
    return _timing(seed, lambda driver, block, parent_ms: block.time_ms + _HOUR_MS)


def clock_at_parent(seed: int) -> Driver:
    """Its blocks are of the very time of their parents: time must grow."""
    return _timing(seed, lambda driver, block, parent_ms: parent_ms)


def clock_backwards(seed: int) -> Driver:
    """Its blocks are older than their parents."""
    return _timing(
        seed, lambda driver, block, parent_ms: max(0, parent_ms - driver.random.randint(1, _HOUR_MS))
    )


def clock_drift(seed: int) -> Driver:
    """Its blocks are as far ahead as voters may just accept, every time: ledger time must not run away."""

    def ahead(driver: Driver, block: Block, parent_ms: int) -> int:
        precision_ms = driver.world.genesis.params.precision_ms
        return max(parent_ms + 1, driver.world.now_ms + precision_ms + driver.random.randint(-20, 3))

    return _timing(seed, ahead)


def clock_standing(seed: int) -> Driver:
    """Its blocks are one millisecond after their parents, however late it is: expiry must go on."""
    return _timing(seed, lambda driver, block, parent_ms: parent_ms + 1)
