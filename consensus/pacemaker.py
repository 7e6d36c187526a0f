"""Which round it is, and how long it may last.

A round is entered only by the QC or the TC of the round before (P1), so `round` is a function of the
two highest certificates. Time does not appear here: durations are computed, timers are set by rounds.py.
Source: Jolteon section 3.2; DiemBFT v4 section 3.5; C7, C11.
"""

from consensus.certificates import QuorumCertificate, TimeoutCertificate
from consensus.validators import Round

BACKOFF_NUMERATOR, BACKOFF_DENOMINATOR = 6, 5
"""Each failed round lasts 1.2 times the one before (C11): doubling takes hours to come back from."""


def backoff_table(base_ms: int, max_ms: int) -> tuple[int, ...]:
    """Round durations by number of failed rounds, from `base_ms` up to exactly `max_ms`."""
    durations = [base_ms]
    while durations[-1] < max_ms:
        grown = durations[-1] * BACKOFF_NUMERATOR // BACKOFF_DENOMINATOR
        durations.append(min(max(grown, durations[-1] + 1), max_ms))
    return tuple(durations)


class Pacemaker:
    """The highest certificates, the round they open, and the back-off. Monotone in both."""

    __slots__ = ("_durations", "_failed", "hqc", "htc", "round")

    def __init__(
        self, hqc: QuorumCertificate, htc: TimeoutCertificate | None, base_ms: int, max_ms: int
    ) -> None:
        """Both certificates are verified (or our own journal's): recovery uses both (P1)."""
        self.hqc = hqc
        self.htc = htc
        self.round = Round(max(hqc.round, 0 if htc is None else htc.round) + 1)
        self._durations = backoff_table(base_ms, max_ms)
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
        return self._durations[self._failed]

    @property
    def failed_rounds(self) -> int:
        """Steps of back-off in force."""
        return self._failed

    @property
    def backoff_steps_max(self) -> int:
        """The step at which the duration reaches its maximum."""
        return len(self._durations) - 1

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
