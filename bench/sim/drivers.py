"""Byzantine drivers and broken parts by name: `MODULE:NAME@PLACE` and `MODULE:NAME`.

None of them ships. They are found as Python finds modules, and in the current folder, so that
`tests.byzantine:equivocating_leader@3` works in a checkout; worker processes load them again by name.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.sim.seams import SHIPPED, Behaviour, Parts


class DriverError(ValueError):
    """A name leads to nothing that can be used; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Drivers:
    """`behaviours` as `MODULE:NAME@PLACE`, `mutant` as `MODULE:NAME` or None."""

    behaviours: tuple[str, ...] = ()
    mutant: str | None = None

    @property
    def places(self) -> tuple[int, ...]:
        """Hosts with a behaviour. Raises DriverError."""
        return tuple(place for _, place in map(_split, self.behaviours))

    @contextmanager
    def parts(self) -> Iterator[Parts]:
        """What every host is made of, for as long as this lasts. A mutant is `Parts`, or is called and makes
        them, or makes a context manager of them that breaks more in the meantime. Raises DriverError."""
        found: object = SHIPPED if self.mutant is None else _find(self.mutant)
        if callable(found):
            found = found()
        with ExitStack() as stack:
            if isinstance(found, AbstractContextManager):
                found = stack.enter_context(found)
            if not isinstance(found, Parts):
                raise DriverError(f"{self.mutant} is no bench.sim.seams.Parts and makes none")
            yield found

    def load_behaviours(self, seed: int) -> Mapping[int, Behaviour]:
        """A new behaviour for each place; factories are called with the seed. Raises DriverError."""
        loaded: dict[int, Behaviour] = {}
        for name, place in map(_split, self.behaviours):
            factory = _find(name)
            if not callable(factory):
                raise DriverError(f"{name} cannot be called with a seed to make a behaviour")
            if place in loaded:
                raise DriverError(f"host {place} has two behaviours")
            loaded[place] = factory(seed)
        return loaded


def _split(named: str) -> tuple[str, int]:
    name, _, place = named.rpartition("@")
    if not name or not place.isdecimal():
        raise DriverError(f"{named!a:.80} must be MODULE:NAME@PLACE, as in tests.byzantine:silent_leader@3")
    return name, int(place)


def _find(named: str) -> object:
    module_name, _, name = named.partition(":")
    if not module_name or not name:
        raise DriverError(f"{named!a:.80} must be MODULE:NAME")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        found: object = importlib.import_module(module_name)
    except ImportError as error:
        raise DriverError(
            f"{module_name} cannot be imported ({error}); it is looked for as `import {module_name}` would "
            f"be, and in the current folder: run this in the checkout that has it"
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise DriverError(f"{module_name} has no {name}")
        found = getattr(found, part)
    return found
