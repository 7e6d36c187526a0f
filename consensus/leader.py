"""Who proposes in a round: a function of the certificate that opens it (C12).

Now: weighted round-robin, spread smoothly, so that a heavy validator does not lead a row of rounds.
Leader reputation will be a function of the QC that opens the round (its committed ancestors) and fall back
to this schedule after a TC; the argument it needs is in the signature already.
"""

from math import gcd
from typing import Protocol

from consensus.certificates import QuorumCertificate, TimeoutCertificate
from consensus.validators import Round, ValidatorIndex, ValidatorSet

SCHEDULE_SLOTS_MAX = 4096
"""Turns in one cycle (E12): 128 validators of weights up to a million would otherwise need 128 million."""


class Schedule(Protocol):
    """Says whose turn it is: `LeaderSchedule`, and in the simulator a scenario in its place. Every validator
    of a cluster must be given the same answers."""

    def leader_of(
        self, round: Round, opened_by: QuorumCertificate | TimeoutCertificate | None
    ) -> ValidatorIndex:
        """The only validator whose proposal of `round` may be voted for."""


class LeaderSchedule:
    """One cycle of turns, in which every validator leads in proportion to its weight."""

    __slots__ = ("_turns",)

    def __init__(self, validators: ValidatorSet) -> None:
        weights = scaled_weights([validator.weight for validator in validators.validators])
        self._turns = smooth_turns(weights)

    def leader_of(
        self, round: Round, opened_by: QuorumCertificate | TimeoutCertificate | None
    ) -> ValidatorIndex:
        """The only validator whose proposal of `round` may be voted for.

        `opened_by` is the QC or TC of round - 1 (None for a status display); the schedule ignores it.
        """
        return self._turns[round % len(self._turns)]

    def __len__(self) -> int:
        return len(self._turns)


def scaled_weights(weights: list[int]) -> list[int]:
    """Weights with the same proportions and a sum of at most SCHEDULE_SLOTS_MAX + their number.

    Exact when dividing by the greatest common divisor is enough; otherwise rounded down, at least 1, so
    that nobody loses every turn. Turns are about fairness, not safety: quorums use the true weights.
    """
    divisor = gcd(*weights)
    reduced = [weight // divisor for weight in weights]
    total = sum(reduced)
    if total <= SCHEDULE_SLOTS_MAX:
        return reduced
    return [max(1, weight * SCHEDULE_SLOTS_MAX // total) for weight in reduced]


def smooth_turns(weights: list[int]) -> tuple[ValidatorIndex, ...]:
    """One turn per unit of weight, as evenly spread as integers allow (smooth weighted round-robin).

    Each turn every credit grows by its weight; the highest (lowest index on ties) leads and pays the sum.
    """
    total = sum(weights)
    credits = [0] * len(weights)
    turns: list[ValidatorIndex] = []
    for _ in range(total):
        credits = [credit + weight for credit, weight in zip(credits, weights, strict=True)]
        chosen = max(range(len(credits)), key=credits.__getitem__)
        credits[chosen] -= total
        turns.append(ValidatorIndex(chosen))
    return tuple(turns)
