"""All mutants, by name; `isthmus-bench sim --mutant tests.mutants.catalogue:commit-reversed` plays one."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from bench.sim.seams import Parts
from tests.mutants.agreement import AGREEMENT
from tests.mutants.attesting import ATTESTING
from tests.mutants.certificates import CERTIFICATES
from tests.mutants.dataplane import DATAPLANE
from tests.mutants.durability import DURABILITY
from tests.mutants.leading import LEADING
from tests.mutants.ledger import LEDGER
from tests.mutants.mutant import Mutant, patched
from tests.mutants.signing import SIGNING

MUTANTS: tuple[Mutant, ...] = (
    *AGREEMENT,
    *LEADING,
    *SIGNING,
    *CERTIFICATES,
    *DATAPLANE,
    *ATTESTING,
    *LEDGER,
    *DURABILITY,
)
BY_NAME: dict[str, Mutant] = {mutant.name: mutant for mutant in MUTANTS}


def __getattr__(name: str) -> Callable[[], AbstractContextManager[Parts]]:
    """A mutant as the command takes it: something that breaks the rule for as long as it is entered."""
    mutant = BY_NAME.get(name)
    if mutant is None:
        raise AttributeError(f"there is no mutant {name}")
    return lambda: patched(mutant)
