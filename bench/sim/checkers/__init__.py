"""What must never happen, looked at while it happens: the invariants of a cluster of validators.

One checker a file, each told bytes and nothing else: frames as they leave, journal records as they become
durable, flushes as they reach the database. None asks a validator for its opinion, and none uses the code
that it watches. `composite.Checkers` reads the bytes once and hands them round.
"""

from bench.sim.checkers.bounds import HighWater
from bench.sim.checkers.composite import INVARIANTS, Checkers

__all__ = ["INVARIANTS", "Checkers", "HighWater"]
