"""Disputes: what rested on a branch that a recovery dropped, as a lane lists it.

    .../disputed   [complete, [[seq, incarnation, H(message), result, contradiction], ...]]

A lane asks for its list with every leaf, and a list may be long: it is read once for all who hold its bytes.
"""

from dataclasses import dataclass
from functools import lru_cache

from consensus import CodecError, Digest, LocalError, Value, as_array, as_int, as_tuple, decode
from node.anchoring.lanes.messages import Result
from node.anchoring.lanes.records import RECEIPTS_MAX, hash_of, result_of
from node.anchoring.lanes.state import LaneState, disputes_key, save

DISPUTES_MAX = 4 * RECEIPTS_MAX
"""Disputed sequences a lane lists, those of four recoveries that each dispute all that a lane can hold. Of
results the oldest go beyond it, and the list says that it is incomplete: their callbacks ran, and are not
repeated whatever is listed. Of messages that took effect none ever goes, for it could be handled again."""
_CROWDED = DISPUTES_MAX - RECEIPTS_MAX
"""Beyond it nothing more takes effect on a lane that we receive on, so that what it holds fits its list."""
_LISTS_CACHED = 64


@dataclass(frozen=True, slots=True)
class Dispute:
    """A sequence whose outcome rested on a branch that a recovery dropped; `incarnation` is that branch's.

    `contradiction`: what the recovered branch said of the same message instead, outgoing lanes only.
    """

    sequence: int
    incarnation: int
    message_hash: Digest
    result: Result
    contradiction: Result | None = None


@dataclass(frozen=True, slots=True)
class Disputes:
    """All disputes of a lane, oldest first; not `is_complete` when some could not be told or kept."""

    is_complete: bool = True
    listed: tuple[Dispute, ...] = ()

    def of(self, sequence: int, message_hash: bytes) -> Dispute | None:
        """The dispute about exactly this message, if there is one."""
        for dispute in self.listed:
            if dispute.sequence == sequence and dispute.message_hash == message_hash:
                return dispute
        return None

    def adding(self, new: tuple[Dispute, ...], is_complete: bool) -> "Disputes":
        """With `new` at the end, the oldest dropped beyond the bound."""
        listed = (*self.listed, *new)
        is_whole = self.is_complete and is_complete and len(listed) <= DISPUTES_MAX
        return Disputes(is_whole, listed[-DISPUTES_MAX:])

    @property
    def is_crowded(self) -> bool:
        """Whether what the lane may still hold would fill the list. It stays so, or a message that was left
        out of it could take effect after all."""
        return len(self.listed) > _CROWDED

    def choose(self, new: tuple[Dispute, ...]) -> tuple[tuple[Dispute, ...], bool]:
        """Of a lane that we receive on, what of `new`, one a sequence, is listed beside what is: all that
        took effect, and of the rest no more than crowds the list. Whether nothing was left out."""
        known = {(dispute.sequence, dispute.message_hash) for dispute in self.listed}
        fresh = tuple(each for each in new if (each.sequence, each.message_hash) not in known)
        room = max(0, _CROWDED + 1 - len(self.listed))
        room -= sum(dispute.result is Result.OK for dispute in fresh)
        rest = [dispute for dispute in fresh if dispute.result is not Result.OK]
        left_out = {dispute.sequence for dispute in rest[max(0, room) :]}
        return tuple(dispute for dispute in fresh if dispute.sequence not in left_out), not left_out

    def replacing(self, old: Dispute, new: Dispute | None) -> "Disputes":
        """With `old` settled (None) or changed."""
        changed = (new if item == old else item for item in self.listed)
        return Disputes(self.is_complete, tuple(item for item in changed if item is not None))

    def to_value(self) -> Value:
        """`[complete, [[seq, incarnation, H(message), result, contradiction | 0], ...]]`."""
        return (
            int(self.is_complete),
            tuple(
                (d.sequence, d.incarnation, d.message_hash, int(d.result), int(d.contradiction or 0))
                for d in self.listed
            ),
        )

    @staticmethod
    def from_value(value: Value) -> "Disputes":
        """The inverse of `to_value`; raises CodecError."""
        complete, listed = as_tuple(value, 2, "disputes")
        items = []
        for item in as_array(listed, DISPUTES_MAX, "disputes"):
            sequence, incarnation, message_hash, result, contradiction = as_tuple(item, 5, "dispute")
            other = as_int(contradiction, "contradiction", high=3)
            items.append(
                Dispute(
                    as_int(sequence, "sequence", low=1),
                    as_int(incarnation, "incarnation"),
                    hash_of(message_hash),
                    result_of(result),
                    Result(other) if other else None,
                )
            )
        return Disputes(as_int(complete, "complete", high=1) == 1, tuple(items))


def disputes_of(state: LaneState, lane_key: bytes) -> Disputes:
    """The disputes of the lane under `lane_key`; none where nothing was ever disputed."""
    data = state.get(disputes_key(lane_key))
    return _NOTHING if data is None else _read(data)


def settle_dispute(state: LaneState, lane_key: bytes, old: Dispute, new: Dispute | None) -> None:
    """Take `old` off the list of a lane, or put `new` in its place."""
    save(state, disputes_key(lane_key), disputes_of(state, lane_key).replacing(old, new))


_NOTHING = Disputes()


@lru_cache(maxsize=_LISTS_CACHED)
def _read(data: bytes) -> Disputes:
    try:
        return Disputes.from_value(decode(data))
    except CodecError as error:
        raise LocalError(f"the disputes of a lane cannot be read: {error}") from error
