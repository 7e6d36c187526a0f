"""Once the network is calm and everybody is up, what a client is promised to be tried gets done, in time.

`bound_ms` after calm began, or after the transaction was admitted if that is later, every honest host
stores the first transaction that one of them admitted since and that lives long enough:

    bound = T x (6/5 + 6/5^2 + ... + 6/5^ROUNDS), no round longer than the max timeout, + SLACK
    ROUNDS = 4 x (f + 1) + 4

T is the longest round that an honest host had asked its shell to time when calm began: what back-off has come
to, seen from outside. It is never more than the base and a fifth of the time that has passed, because rounds
grow by 6/5 and their sum is at most that time (C11). ROUNDS: one to meet in, and four for each leader of the
f that may be silent, because two good ones in a row are needed and reputation takes a few rounds to pass over
the others (C12); every one of them may fail and lengthen the next. SLACK is for fetching, catching up, idling
and storing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.sim.violation import Violation
from consensus import Digest
from node.validator import Refusal

BASE_TIMEOUT_MS = 600
MAX_TIMEOUT_MS = 30_000
SLACK_MS = 20_000
ROUND_TIMER = "consensus-round"
"""The timer of a round, by the name it has for the shell; an epoch's number may follow."""
ELIGIBLE_MAX = 1_024
"""Transactions made in calm of which one will be waited for."""


def faults_tolerated(weights: Sequence[int]) -> int:
    """How many validators may fail at once: the lightest that stay below a third of the weight."""
    failed = count = 0
    for weight in sorted(weights):
        failed += weight
        if 3 * failed >= sum(weights):
            break
        count += 1
    return count


def longest_ms(elapsed_ms: int) -> int:
    """The longest round that back-off can have come to in this time."""
    return min(MAX_TIMEOUT_MS, BASE_TIMEOUT_MS + elapsed_ms // 5)


def bound_ms(round_ms: int, weights: Sequence[int], slack_ms: int = SLACK_MS) -> int:
    """The bound of this file's first lines, for a calm that begins with rounds of at most `round_ms`."""
    total_ms = slack_ms
    for _ in range(4 * (faults_tolerated(weights) + 1) + 4):
        round_ms = min(MAX_TIMEOUT_MS, round_ms * 6 // 5)
        total_ms += round_ms
    return total_ms


@dataclass(slots=True)
class _Probe:
    transaction: bytes
    deadline_ms: int
    stored: dict[int, None] = field(default_factory=dict)


class Liveness:
    """Watches one transaction at a time, and only while it is calm."""

    def __init__(self, weights: Sequence[int], exempt: dict[int, None], now_ms: Callable[[], int]) -> None:
        self._weights, self._exempt, self._now_ms = weights, exempt, now_ms
        self._numbers: Sequence[int] = range(len(weights))
        self._begun_ms = now_ms()
        self._rounds: dict[int, int] = {}
        self._bound_ms: int | None = None
        self._probe: _Probe | None = None
        self._eligible: dict[bytes, None] = {}
        self.proven = 0
        """Transactions that arrived everywhere in time."""

    @property
    def bound_ms(self) -> int:
        """The bound if calm began now."""
        seen_ms = max(BASE_TIMEOUT_MS, *self._rounds.values()) if self._rounds else BASE_TIMEOUT_MS
        return bound_ms(min(seen_ms, longest_ms(self._now_ms() - self._begun_ms)), self._weights)

    def begin(self, numbers: Sequence[int], weights: Sequence[int]) -> None:
        """An epoch began: who is to store what is promised, and how heavy each is (C4)."""
        self._numbers, self._weights = numbers, weights

    def on_timer(self, place: int, name: str, delay_ms: int) -> None:
        """An honest host asks for a timer."""
        if name.startswith(ROUND_TIMER):
            self._rounds[place] = delay_ms

    def on_calm(self) -> None:
        """No fault is left: everybody is up, or on the way up, and hears everybody."""
        self._bound_ms, self._probe = self.bound_ms, None
        self._eligible.clear()

    def on_trouble(self) -> None:
        """Faults go on; nothing is expected."""
        self._bound_ms = self._probe = None
        self._eligible.clear()

    def on_made(self, transaction_id: bytes, expires_at_ms: int) -> None:
        """A client signed this; what expires within the bound is not waited for."""
        if self._bound_ms is None or self._probe is not None:
            return
        if expires_at_ms > self._now_ms() + 2 * self._bound_ms and len(self._eligible) < ELIGIBLE_MAX:
            self._eligible[transaction_id] = None

    def on_answer(self, outcomes: tuple[Digest | Refusal, ...]) -> None:
        """An honest host told a client what it takes."""
        if self._bound_ms is None or self._probe is not None:
            return
        for outcome in outcomes:
            if not isinstance(outcome, Refusal) and outcome in self._eligible:
                self._eligible.clear()
                self._probe = _Probe(outcome, self._now_ms() + self._bound_ms)
                return

    def on_stored(self, index: int, names: Sequence[bytes]) -> None:
        """An honest host stored these transactions."""
        probe = self._probe
        if probe is None or probe.transaction not in names:
            return
        probe.stored[index] = None
        if all(i in probe.stored or i in self._exempt for i in self._numbers):
            self.proven += 1
            self._probe = None

    def check(self) -> None:
        """Raises Violation once the bound has passed."""
        probe = self._probe
        if probe is not None and self._now_ms() > probe.deadline_ms:
            missing = [i for i in self._numbers if i not in probe.stored and i not in self._exempt]
            words = f"{probe.transaction.hex()[:12]} was admitted in calm and is not stored by {missing}"
            raise Violation("liveness", f"{words} after {self._bound_ms} ms")
