"""How long agreement takes, from a proposal of this validator's to the quorum certificate on it: two message
delays, which are known in calm before any client comes, and which nobody's queue of batches makes longer.

No liar makes it shorter than the way to a quorum and back. Only the least counts (`node/pool/window.py`), so
rounds that wait for somebody do no harm.

And how long the rounds of all take in turn: a batch waits for whoever leads, also for one that is far away
while a quorum is near. The longest of a whole turn counts, and of the last turns that where it was least.
"""

from consensus import Broadcast, Proposal, Round, Send
from node.pool.pool import BatchPool


class OwnRounds:
    """The last proposal, while it is not certified; times are the wall clock's, which tell nothing across a
    moment when that was set."""

    __slots__ = ("_clock_set", "_good", "_longest_ms", "_proposed", "_rounds")

    def __init__(self) -> None:
        self._proposed: tuple[Round, int | None] | None = None
        self._good = Round(0)
        self._rounds = self._longest_ms = 0  # of this turn, so far
        self._clock_set = False  # since the last good round

    def clock_set(self) -> None:
        """The wall clock was set: nothing is known of the rounds that are under way."""
        if self._proposed is not None:
            self._proposed = self._proposed[0], None
        self._clock_set = True

    def said(self, said: Send | Broadcast, now_ms: int) -> None:
        """This leaves now. Who proposes a second time sends the same proposal again."""
        message, known = said.message, self._proposed
        if isinstance(said, Broadcast) and isinstance(message, Proposal):
            round = message.block.round
            if known is None or known[0] != round:
                self._proposed = round, now_ms

    def certified(self, round: Round, pool: BatchPool, now_ms: int) -> None:
        """The highest certificate is of this round now; `pool` is told how long that took, if it is ours. A
        clock that went back meanwhile tells nothing."""
        if self._proposed is None or round < self._proposed[0]:
            return
        ours, since_ms = self._proposed
        self._proposed = None
        if round == ours and since_ms is not None and now_ms >= since_ms:
            pool.sealer.window.on_own_round(now_ms - since_ms)

    def good(self, round: Round, took_ms: int, turn_rounds: int, pool: BatchPool) -> None:
        """The last round that was waited for and did not fail; told again and again. `turn_rounds` in a row
        are a turn, for everybody leads among them, behind one that may have begun before anybody waited."""
        if round == self._good:
            return
        follows, self._good = round == self._good + 1 and not self._clock_set, round
        self._clock_set = False
        if not follows:
            self._begin_turn()
            return
        self._rounds += 1
        self._longest_ms = max(self._longest_ms, took_ms)
        if self._rounds >= turn_rounds:
            pool.sealer.window.on_turn(self._longest_ms)
            self._begin_turn()

    def _begin_turn(self) -> None:
        self._rounds = self._longest_ms = 0
