"""Which round it is, and how long it may last.

A round is entered only by the QC or the TC of the round before (P1), so `round` is a function of the
two highest certificates. Time does not appear here: durations are computed, timers are set by rounds.py.
Source: Jolteon section 3.2; DiemBFT v4 section 3.5; C7, C11.
"""

from bisect import bisect_left

from consensus.certificates import QuorumCertificate, TimeoutCertificate
from consensus.validators import Round

BACKOFF_NUMERATOR, BACKOFF_DENOMINATOR = 6, 5
"""Each failed round lasts 1.2 times the one before (C11): doubling takes hours to come back from."""

BASE_FLOOR_MS = 300
"""A base adapts downwards to half of what is configured, and never below this: a pause of a busy machine must
not look like a dead leader."""
BASE_GROWTH = 4
"""A base adapts upwards to so many times what is configured."""
LONGEST_FACTOR = 3
"""A round may last so many times the longest of late."""
FORGETTING = 32
"""A round takes away one part in so many of the longest: the memory is some dozens of rounds."""
LOWERED_AFTER = 16
"""Rounds measured before the base goes below what is configured."""


def backoff_table(base_ms: int, max_ms: int) -> tuple[int, ...]:
    """Round durations by number of failed rounds, from `base_ms` up to exactly `max_ms`."""
    durations = [base_ms]
    while durations[-1] < max_ms:
        grown = durations[-1] * BACKOFF_NUMERATOR // BACKOFF_DENOMINATOR
        durations.append(min(max(grown, durations[-1] + 1), max_ms))
    return tuple(durations)


def durations_around(base_ms: int, max_ms: int) -> tuple[int, tuple[int, ...]]:
    """All durations a round may have, shortest first, and the place of `base_ms` among them."""
    shorter: list[int] = []
    lowest_ms = max(BASE_FLOOR_MS, base_ms // 2)
    while (below := (shorter or [base_ms])[-1] * BACKOFF_DENOMINATOR // BACKOFF_NUMERATOR) >= lowest_ms:
        shorter.append(below)
    return len(shorter), (*reversed(shorter), *backoff_table(base_ms, max_ms))


class Pacemaker:
    """The highest certificates, the round they open, and how long it may last. Monotone in the certificates.

    The base of the back-off follows the time that good rounds take (C11): LONGEST_FACTOR times the longest of
    late, within its bounds. It is a replica's own: nobody else's safety or liveness depends on it.
    """

    __slots__ = (
        "_base",
        "_base_max_ms",
        "_configured",
        "_durations",
        "_failed",
        "_longest_us",
        "_measured",
        "hqc",
        "htc",
        "last_good",
        "round",
    )

    def __init__(
        self, hqc: QuorumCertificate, htc: TimeoutCertificate | None, base_ms: int, max_ms: int
    ) -> None:
        """Both certificates are verified (or our own journal's): recovery uses both (P1)."""
        self.hqc = hqc
        self.htc = htc
        self.round = Round(max(hqc.round, 0 if htc is None else htc.round) + 1)
        self._configured, self._durations = durations_around(base_ms, max_ms)
        self._base = self._configured
        self._base_max_ms = min(BASE_GROWTH * base_ms, max_ms)
        self._longest_us = 0
        self._measured = 0
        self.last_good = Round(0), 0
        """The last round that was waited for and ended by its QC, and how many ms it took."""
        self._failed = 0

    @property
    def htc_round(self) -> Round:
        """The round of the highest TC, 0 without one."""
        return Round(0) if self.htc is None else self.htc.round

    @property
    def opened_by(self) -> QuorumCertificate | TimeoutCertificate:
        """The certificate that opened the current round; the QC when both do."""
        if self.htc is None or self.hqc.round >= self.htc.round:
            return self.hqc
        return self.htc

    @property
    def tc_to_carry(self) -> TimeoutCertificate | None:
        """What a proposal or timeout of this round must carry beside `hqc`: nothing if that opens it."""
        return None if self.hqc.round + 1 == self.round else self.htc

    @property
    def duration_ms(self) -> int:
        """How long the current round may last once its timer runs."""
        return self._durations[min(self._base + self._failed, len(self._durations) - 1)]

    @property
    def failed_rounds(self) -> int:
        """Steps of back-off in force."""
        return self._failed

    @property
    def backoff_steps_max(self) -> int:
        """The step at which the duration reaches its maximum, from the configured base."""
        return len(self._durations) - 1 - self._configured

    @property
    def base_ms(self) -> int:
        """The duration of a round when none has failed, now."""
        return self._durations[self._base]

    def on_good_round(self, took_ms: int) -> None:
        """A round whose timer ran ended by its QC, so long after that was set. What is longer than the base
        may become tells of a clock that was set, and counts as no more than that."""
        self.last_good = self.hqc.round, max(0, took_ms)
        took_us = 1_000 * max(0, min(took_ms, self._base_max_ms))
        self._longest_us = max(took_us, self._longest_us - self._longest_us // FORGETTING)
        self._measured += 1
        wanted_ms = min(LONGEST_FACTOR * self._longest_us // 1_000, self._base_max_ms)
        lowest = 0 if self._measured > LOWERED_AFTER else self._configured
        self._base = max(lowest, bisect_left(self._durations, wanted_ms))

    def on_qc(self, qc: QuorumCertificate) -> bool:
        """Take a verified QC; whether it is the highest so far."""
        if qc.round <= self.hqc.round:
            return False
        self.hqc = qc
        self.round = max(self.round, Round(qc.round + 1))
        return True

    def on_tc(self, tc: TimeoutCertificate) -> bool:
        """Take a verified TC; whether it is the highest so far. Entering a round by it is a failure."""
        if tc.round <= self.htc_round:
            return False
        self.htc = tc
        if tc.round >= self.round:
            self.round = Round(tc.round + 1)
            self._failed = min(self._failed + 1, self.backoff_steps_max)
        return True

    def on_commit(self) -> None:
        """A commit takes one step of back-off away (C11)."""
        self._failed = max(self._failed - 1, 0)
