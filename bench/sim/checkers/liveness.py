"""Once the network is calm and everybody is up, what a client is promised to be tried gets done, in time.

`bound_ms` after calm began, or after the transaction was admitted if that is later, every honest host
stores the first transaction that one of them admitted since and that lives long enough:

    bound = ROUNDS x (6/5 x T) + SLACK,   T = min(max timeout, base timeout + elapsed / 5)
    ROUNDS = 4 x (f + 1) + 4

T is the longest round that back-off can have come to: rounds grow by 6/5 and their sum is at most the time
that has passed, so the last is at most the base and a fifth of it (C11). ROUNDS: one to meet in, and four for
each leader of the f that may be silent, because two good ones in a row are needed and reputation takes a few
rounds to pass over the others (C12). SLACK is for fetching, catching up, idling and storing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.sim.violation import Violation
from consensus import Digest
from node.validator import Refusal

BASE_TIMEOUT_MS = 600
MAX_TIMEOUT_MS = 30_000
SLACK_MS = 20_000
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


def bound_ms(elapsed_ms: int, weights: Sequence[int], slack_ms: int = SLACK_MS) -> int:
    """The bound of this file's first lines, for a calm that begins after `elapsed_ms`."""
    longest_ms = min(MAX_TIMEOUT_MS, BASE_TIMEOUT_MS + elapsed_ms // 5)
    return (4 * (faults_tolerated(weights) + 1) + 4) * longest_ms * 6 // 5 + slack_ms


@dataclass(slots=True)
class _Probe:
    transaction: bytes
    deadline_ms: int
    stored: dict[int, None] = field(default_factory=dict)


class Liveness:
    """Watches one transaction at a time, and only while it is calm."""

    def __init__(self, weights: Sequence[int], exempt: dict[int, None], now_ms: Callable[[], int]) -> None:
        self._weights, self._exempt, self._now_ms = weights, exempt, now_ms
        self._begun_ms = now_ms()
        self._bound_ms: int | None = None
        self._probe: _Probe | None = None
        self._eligible: dict[bytes, None] = {}
        self.proven = 0
        """Transactions that arrived everywhere in time."""

    @property
    def bound_ms(self) -> int:
        """The bound if calm began now."""
        return bound_ms(self._now_ms() - self._begun_ms, self._weights)

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
        if all(i in probe.stored or i in self._exempt for i in range(len(self._weights))):
            self.proven += 1
            self._probe = None

    def check(self) -> None:
        """Raises Violation once the bound has passed."""
        probe = self._probe
        if probe is not None and self._now_ms() > probe.deadline_ms:
            missing = [
                i for i in range(len(self._weights)) if i not in probe.stored and i not in self._exempt
            ]
            words = f"{probe.transaction.hex()[:12]} was admitted in calm and is not stored by {missing}"
            raise Violation("liveness", f"{words} after {self._bound_ms} ms")
