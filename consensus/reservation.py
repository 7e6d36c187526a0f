"""What the guard beside the key says, and how far it reaches ahead of what was signed (C14).

Nothing is signed beyond what the guard says. To say more costs writes of their own, so a busy signer
reserves rounds and heights ahead. But whoever loses its data then knows neither what it signed nor how high
its lock had risen, and is mute until others have gone past the reservation (E7). A guard that says exactly
what was signed takes that away: such a validator gives up the round that the others are in, and votes in the
next. So the guard is exact as often as it can be afforded, and always while there is no quorum without this
validator (E17).
"""

from consensus.codec import Value, as_int, as_tuple
from consensus.validators import Epoch, Height, Round
from consensus.values import immutable

GUARD_ROUNDS = 64
"""Rounds that are reserved ahead where an exact guard cannot be afforded."""
GUARD_HEIGHTS = 64
"""Heights likewise."""
EXACT_WRITE_MS = 200
"""One exact guard in this time can be afforded for ever: a write is two syncs, and the loop waits for both
(measured with 20 a second at 800 transactions a second: a tenth of its time)."""
EXACT_SAVED_MS = 40_000
"""Time without writes that counts, at most: bursts of 200 signatures are exact."""
_GUARD_VERSION = 1


@immutable(frozen=True, slots=True)
class GuardRecord:
    """The reservation kept beside the key, outside data and backups (C14).

    Nothing above `round_bound` or `height_bound` was ever signed, whatever the data directory says. The
    journal held at least `round_start` and `height_start` when the reservation was made. No vote up to the
    bounds has raised the lock above `locked_round` (E7).
    """

    boot: int
    epoch: Epoch
    round_start: Round
    round_bound: Round
    height_start: Height
    height_bound: Height
    locked_round: Round

    @staticmethod
    def initial(epoch: Epoch) -> "GuardRecord":
        """What `init` writes together with a new key: nothing reserved, nothing signed."""
        zero = Round(0)
        return GuardRecord(0, epoch, zero, zero, Height(0), Height(0), zero)

    def covers(self, epoch: Epoch, round: Round, height: Height, lock: Round) -> bool:
        """Whether a signer that came this far needs no other guard."""
        return (
            self.epoch == epoch
            and round <= self.round_bound
            and height <= self.height_bound
            and lock <= self.locked_round
        )

    def to_value(self) -> tuple[Value, ...]:
        """`[version, boot, epoch, round start, bound, height start, bound, locked round]`."""
        return (
            _GUARD_VERSION,
            self.boot,
            self.epoch,
            self.round_start,
            self.round_bound,
            self.height_start,
            self.height_bound,
            self.locked_round,
        )

    @staticmethod
    def from_value(value: Value) -> "GuardRecord":
        """The inverse of `to_value`; raises CodecError."""
        version, *numbers = as_tuple(value, 8, "guard record")
        as_int(version, "guard record version", low=_GUARD_VERSION, high=_GUARD_VERSION)
        boot, epoch, round_start, round_bound, height_start, height_bound, locked = (
            as_int(number, "guard record field") for number in numbers
        )
        return GuardRecord(
            boot,
            Epoch(epoch),
            Round(round_start),
            Round(round_bound),
            Height(height_start),
            Height(height_bound),
            Round(locked),
        )


class ExactWrites:
    """How often the guard may be exact: time is saved up while it is not written, and spent by each write."""

    __slots__ = ("_now_ms", "_saved_ms", "_written")

    def __init__(self) -> None:
        self._saved_ms = EXACT_SAVED_MS
        self._now_ms: int | None = None
        self._written = 0

    def can_afford(self, now_ms: int, written: int) -> bool:
        """Whether the next guard may be exact; `written` is how many were written in all. A clock that is set
        back saves nothing, one that is set ahead no more than the bound."""
        passed_ms = 0 if self._now_ms is None else max(0, now_ms - self._now_ms)
        spent_ms = EXACT_WRITE_MS * (written - self._written)
        self._now_ms, self._written = now_ms, written
        self._saved_ms = max(0, min(self._saved_ms + passed_ms, EXACT_SAVED_MS) - spent_ms)
        return self._saved_ms >= EXACT_WRITE_MS
