"""The timers a replica may ask for; at most one of each kind runs at a time.

Setting a timer again replaces it. A fired timer carries the round it was set for, so that one that
fires late, after the round moved on, is recognised and ignored.
"""

from enum import IntEnum

from consensus.validators import Round
from consensus.values import immutable


class TimerKind(IntEnum):
    """What a timer is for."""

    ROUND = 1
    """The round failed: time it out (C7, C11)."""
    RESEND = 2
    """Send again what is not superseded: vote, timeout, header signature, proposal (C7, C11)."""
    STATUS = 3
    """Tell the peers our rounds and certified height."""
    IDLE = 4
    """An idle leader has waited long enough; also an overdue heartbeat (C24)."""
    DEFERRED = 5
    """A proposal whose timestamp lies ahead of our clock may be looked at again (C8)."""


@immutable(frozen=True, slots=True)
class Timer:
    """A timer's identity: its kind and the round it was set for."""

    kind: TimerKind
    round: Round
