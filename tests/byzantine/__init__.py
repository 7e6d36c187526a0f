"""Byzantine drivers: what one validator of a cluster may do against all rules, with its real key.

Each driver is a `bench.sim.seams.Behaviour` around a shipped validator. `DRIVERS` lists them by name, and
each is an attribute of this package, so that a sweep can name it: `tests.byzantine:silent_leader@3`.
`python -m tests.byzantine --seeds A..B` runs them all.
"""

from tests.byzantine.driver import Attacker, Chameleon, Driver, Together
from tests.byzantine.drivers import CONSEQUENCES, DRIVERS, FACTORIES, Consequence, Factory

globals().update(FACTORIES)

__all__ = [
    "CONSEQUENCES",
    "DRIVERS",
    "FACTORIES",
    "Attacker",
    "Chameleon",
    "Consequence",
    "Driver",
    "Factory",
    "Together",
]
