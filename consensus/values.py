"""`@immutable(frozen=True, slots=True)`: dataclasses that are frozen for the type checker and cheap to make.

A frozen dataclass fills each field through `object.__setattr__`: a vote of eight fields takes 0.9 us to
make instead of 0.2 us, and messages, effects and their parts are most of what a round makes. So the types
of the hot path are frozen where it costs nothing: mypy, which reads the decorator as the dataclass of the
standard library, refuses every assignment. Running, they are ordinary slotted dataclasses, equal and hashed
by their fields. Everything else is a frozen dataclass.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

__all__ = ["immutable"]

if TYPE_CHECKING:
    from dataclasses import dataclass as immutable
else:
    _T = TypeVar("_T")

    def immutable(*, frozen: bool, slots: bool, eq: bool = True) -> Callable[[type[_T]], type[_T]]:
        """A dataclass decorator; `frozen` must be True and is the type checker's."""
        if not frozen:
            raise ValueError("what may change is a plain dataclass")
        return dataclass(slots=slots, eq=eq, unsafe_hash=eq)
