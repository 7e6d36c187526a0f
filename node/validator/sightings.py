"""What peers were last seen to do: where they say they are, their last vote, and how their clocks differ.

What they say of their own condition stands beside it, the latest of each. For operators only: nothing is
decided from it, and it is neither verified beyond the link nor kept.
"""

from collections import deque
from dataclasses import dataclass, field

from consensus import Message, Proposal, Round, Status, Timeout, TimeoutReason, Vote, epoch_of
from node.condition import Condition

SIGHTINGS_MAX = 256
"""Peers remembered, by node key; the one not heard of for longest makes room."""
_SKEWS = 8
"""Proposals of which the clock is judged: travelling only delays them, so the least delayed one counts."""


@dataclass(slots=True)
class Sighting:
    """The last that was seen of one peer; None is never. `heard_ms` (0: never) and the skew are by our wall
    clock."""

    heard_ms: int
    epoch: int = 0
    """What follows is of this epoch: rounds begin anew in each."""
    round: Round | None = None
    certified_height: int | None = None
    has_told: bool = False
    """Whether it said how far it is since its link came up last: what it said before may be hours old."""
    vote_round: Round | None = None
    timeout_round: Round | None = None
    timeout_reason: TimeoutReason | None = None
    passed_before: int = 0
    """How many rounds had passed here when it voted last, or when its link came up."""
    fresh_above: Round | None = None
    """Its round when its link came up or it entered the epoch; None until it has told. What it
    proposes up to there may be sent again, with the time of before: of its clock that says nothing."""
    judged_round: Round | None = None
    """Of the latest proposal by which its clock was judged. Who waits for votes sends it again, with the time
    of before."""
    skews_ms: deque[int] = field(default_factory=lambda: deque(maxlen=_SKEWS))

    condition: Condition | None = None
    """What it said of itself last, and when by our wall clock."""
    condition_ms: int = 0

    @property
    def clock_skew_ms(self) -> int | None:
        """How far its proposals were ahead of our clock as they came; a little too low, by their way here."""
        return max(self.skews_ms, default=None)

    def enter(self, epoch: int, passed: int) -> None:
        """The peer is in a later epoch; nothing that passed before was its to vote for."""
        self.epoch = epoch
        self.passed_before = passed
        self.round = self.vote_round = self.timeout_round = self.timeout_reason = self.fresh_above = None
        self.judged_round = None


class Sightings:
    """Bounded, by node key."""

    def __init__(self) -> None:
        self._seen: dict[bytes, Sighting] = {}
        self._certified_round = Round(0)
        self._passed = 0

    def of(self, node_key: bytes) -> Sighting | None:
        """What was seen of a peer, or None."""
        return self._seen.get(node_key)

    def missed_rounds(self, node_key: bytes) -> int:
        """How many rounds were voted for and certified, while this node heard votes, since this peer voted
        last or its link came up. Rounds that nobody voted for now, as before a start, are none of them."""
        seen = self._seen.get(node_key)
        return 0 if seen is None else self._passed - seen.passed_before

    def on_link_up(self, node_key: bytes) -> None:
        """From now on this peer's votes can come."""
        seen = self._seen.get(node_key)
        if seen is None:
            seen = self._begin(node_key, 0)
        seen.passed_before = self._passed
        seen.has_told = False
        seen.fresh_above = None
        seen.skews_ms.clear()  # it may have been stopped to set its clock

    def note(self, node_key: bytes, message: Message, now_ms: int, certified_round: Round) -> None:
        """A message of agreement came over the link of `node_key`; `certified_round` is the highest here."""
        seen = self._seen.get(node_key)
        if seen is None:
            seen = self._begin(node_key, now_ms)
        seen.heard_ms = now_ms
        epoch = epoch_of(message)
        if epoch is not None and epoch > seen.epoch:
            seen.enter(epoch, self._passed)
        if isinstance(message, Vote):
            if certified_round != self._certified_round:  # in another epoch it may be a lower one
                self._certified_round = certified_round
                self._passed += 1
            seen.round = seen.vote_round = message.round
            seen.passed_before = self._passed
        elif isinstance(message, Proposal):
            least, at = seen.fresh_above, seen.round or Round(0)
            is_new = message.block.round >= at and message.block.round > (seen.judged_round or 0)
            if least is not None and message.block.round > least and is_new:
                seen.judged_round = message.block.round
                seen.skews_ms.append(message.block.time_ms - now_ms)
        elif isinstance(message, Status):
            if seen.fresh_above is None:
                seen.fresh_above = message.round
            seen.round, seen.certified_height, seen.has_told = message.round, message.certified_height, True
        elif isinstance(message, Timeout):
            seen.timeout_round, seen.timeout_reason = message.round, message.reason

    def told(self, node_key: bytes, condition: Condition, now_ms: int) -> None:
        """A peer told its condition; what it told before is forgotten, however often it tells."""
        seen = self._seen.get(node_key)
        if seen is None:
            seen = self._begin(node_key, 0)
        seen.condition, seen.condition_ms = condition, now_ms

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound)."""
        return (("sightings", len(self._seen), SIGHTINGS_MAX),)

    def _begin(self, node_key: bytes, now_ms: int) -> Sighting:
        if len(self._seen) >= SIGHTINGS_MAX:
            del self._seen[min(self._seen, key=lambda key: self._seen[key].heard_ms)]
        seen = self._seen[node_key] = Sighting(now_ms, passed_before=self._passed)
        return seen
