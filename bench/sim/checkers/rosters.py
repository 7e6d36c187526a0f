"""Who validates in which epoch, read from what hosts store: the header that ends an epoch names the next set
by its hash, and the flush that stores it holds the leaf with its members (C4).

Checkers know a validator by its number in the setting, which lasts for ever; what is signed knows it by its
index in an epoch's set. Rounds restart with each epoch: `place` makes one ascending number of both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgpack

from bench.sim.checkers.reading import Fields, tagged, unpack
from bench.sim.violation import Violation

_SET_DOMAIN = "isthmus/validators/v1"
STRANGER = -1
"""The number of a validator that the setting does not know."""


@dataclass(frozen=True, slots=True)
class Members:
    """One epoch's set, in the order of its indices."""

    epoch: int
    members: tuple[tuple[bytes, int], ...]
    """(key, weight) of each."""
    numbers: tuple[int, ...]
    """What the setting calls each."""

    @property
    def weights(self) -> list[int]:
        """The weight of each."""
        return [weight for _, weight in self.members]

    def number_of(self, index: int) -> int:
        """The validator at `index`."""
        return self.numbers[index] if 0 <= index < len(self.numbers) else STRANGER

    def signers(self, bitmap: bytes) -> list[int]:
        """The numbers of those whose bits are set."""
        bits = int.from_bytes(bitmap, "little")
        return [number for index, number in enumerate(self.numbers) if bits >> index & 1]


class Rosters:
    """All epochs that began so far."""

    def __init__(self, keys: Sequence[bytes], members: Sequence[tuple[bytes, int]]) -> None:
        """`keys` of all validators of the setting, `members` of epoch 0."""
        self._numbers = {key: number for number, key in enumerate(keys)}
        self._epochs: dict[int, Members] = {}
        self._add(0, members)

    def _add(self, epoch: int, members: Sequence[tuple[bytes, int]]) -> Members:
        numbers = tuple(self._numbers.get(key, STRANGER) for key, _ in members)
        added = self._epochs[epoch] = Members(epoch, tuple(members), numbers)
        return added

    def of(self, epoch: int) -> Members | None:
        """The set of an epoch; None before it began."""
        return self._epochs.get(epoch)

    def number_of(self, epoch: int, index: int) -> int:
        """The validator at an index of an epoch's set."""
        members = self._epochs.get(epoch)
        return STRANGER if members is None else members.number_of(index)

    @property
    def newest(self) -> Members:
        """The set of the newest epoch."""
        return self._epochs[max(self._epochs)]

    def learn(self, who: str, header: Fields, leaf: bytes | None) -> Members | None:
        """An honest host stores a header that ends its epoch, with this roster in the state; the set, if it
        is new. Raises Violation when the roster is not the one that the header names."""
        epoch, after = header[3] + 1, header[15]
        if leaf is None:
            raise Violation("headers", f"{who} ends epoch {header[3]} without a roster in its state")
        _, of, records = unpack(leaf)
        members = tuple((record[2], record[4]) for record in records)
        named = tagged(_SET_DOMAIN, msgpack.packb(members))
        if (of, named) != (epoch, after):
            raise Violation("headers", f"{who} stores a roster of epoch {of} that its header does not name")
        known = self._epochs.get(epoch)
        if known is not None:
            if known.members != members:
                raise Violation("headers", f"{who} has another set of epoch {epoch} than others")
            return None
        return self._add(epoch, members)
