"""Whoever measures by the wall clock hears that it was set: it is the one clock that the core is told.

What the pools wait for is counted on as if nothing had been. Of rounds the least that one ever took counts:
what is under way is not measured at all.
"""

from node.pool.catchup import CatchUp
from node.pool.following import Following
from node.pool.pool import BatchPool
from node.validator.ownrounds import OwnRounds


def clock_set(by_ms: int, rounds: OwnRounds, *machines: BatchPool | CatchUp | Following) -> None:
    """It was set by so much, forth or (negative) back."""
    rounds.clock_set()
    for machine in machines:
        machine.alarm.clock_set(by_ms)
