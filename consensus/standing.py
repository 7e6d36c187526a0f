"""What a chain remembers of leaders that failed: carried in every block, checked by every voter (C12).

The standing in a block says everything that the block and its ancestors in its epoch show. So whoever holds
one certified block knows who may lead after it: a node that starts, one that caught up, an observer. Nobody
has to have seen how it came about. The rule that makes it is in leader.py; in good times it is empty.
"""

from itertools import pairwise
from typing import TypeAlias

from consensus.codec import Value, as_array, as_int, as_tuple
from consensus.errors import CodecError
from consensus.validators import VALIDATORS_MAX, Round, ValidatorIndex
from consensus.values import immutable

STRIKES_MAX = 6
"""More are not counted: by then the wait is as long as it gets."""


@immutable(frozen=True, slots=True)
class Fault:
    """`author` did not lead `round`, the last of its failures; `strikes` counts them, one a row of rounds
    (1 to STRIKES_MAX). `silent`: the chain shows no vote and no block of it since."""

    author: ValidatorIndex
    round: Round
    strikes: int
    silent: bool

    def to_value(self) -> tuple[Value, ...]:
        """`[author, round, strikes, silent as 0 or 1]`."""
        return (self.author, self.round, self.strikes, int(self.silent))

    @staticmethod
    def from_value(value: Value) -> "Fault":
        """The inverse of `to_value`; raises CodecError."""
        author, round, strikes, silent = as_tuple(value, 4, "fault")
        return Fault(
            ValidatorIndex(as_int(author, "fault author", high=VALIDATORS_MAX - 1)),
            Round(as_int(round, "fault round", low=1)),
            as_int(strikes, "strikes", low=1, high=STRIKES_MAX),
            bool(as_int(silent, "silent", high=1)),
        )


Standing: TypeAlias = tuple[Fault, ...]
"""At most one fault a validator, by growing index. () is how every epoch begins (C4)."""


def standing_value(standing: Standing) -> tuple[Value, ...]:
    """`[fault, ...]`."""
    return tuple(fault.to_value() for fault in standing) if standing else ()


def standing_from(value: Value) -> Standing:
    """The inverse of `standing_value`; raises CodecError."""
    if value == ():
        return ()  # as nearly every block of a good cluster has it
    standing = tuple(Fault.from_value(item) for item in as_array(value, VALIDATORS_MAX, "standing"))
    authors = [fault.author for fault in standing]
    if any(after <= before for before, after in pairwise(authors)):
        raise CodecError("faults of a standing are not in the order of their authors")
    return standing
