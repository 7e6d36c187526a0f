"""Who proposes in a round: a function of the certificate that opens it (C12).

A round opened by a TC has its turn in a weighted round-robin, spread smoothly so that a heavy validator does
not lead a row of rounds: a TC says nothing that all would agree on. A round opened by a QC has the same turns
without those who failed to lead of late. What they failed in is read off the chain below the QC, from the
certified block it names (standing.py): never from the QC's own signers, nor from anything else that one node
holds and another does not.
"""

from math import gcd
from typing import Protocol

from consensus.certificates import QuorumCertificate
from consensus.standing import STRIKES_MAX, Fault, Standing
from consensus.validators import Round, ValidatorIndex, ValidatorSet

SCHEDULE_SLOTS_MAX = 4096
"""Turns in one cycle (E12): 128 validators of weights up to a million would otherwise need 128 million."""
MEMORY_ROUNDS = 3_000
"""A failure is remembered so long, and a silent validator left out: with 60 rounds a dead one came back every
half second."""
PENALTY_GROWTH = 8
"""Whoever votes and still fails again waits so many times longer each time, in rounds."""
EXCLUSIONS_KEPT = 64
"""Turns without some validators are computed once for so many different exclusions."""


class Schedule(Protocol):
    """Says whose turn it is: `LeaderSchedule`, and in the simulator a scenario in its place. Every validator
    of a cluster must be given the same answers."""

    def leader_of(self, round: Round, standing: Standing | None) -> ValidatorIndex:
        """The only validator whose proposal of `round` may be voted for. `standing` is that of the block that
        the QC which opens the round certifies, None where a TC does."""


class LeaderSchedule:
    """One cycle of turns, in which every validator leads in proportion to its weight."""

    __slots__ = ("_turns", "_validators", "_without", "turn_rounds")

    def __init__(self, validators: ValidatorSet) -> None:
        self._validators = validators
        weights = scaled_weights([validator.weight for validator in validators.validators])
        self._turns = smooth_turns(weights)
        self.turn_rounds = longest_wait(self._turns)
        """A whole turn: the least number of rounds in a row, whichever they are, in which everybody leads.
        Where some are left out, the others lead no later than so."""
        self._without: dict[tuple[ValidatorIndex, ...], tuple[ValidatorIndex, ...]] = {}

    def leader_of(self, round: Round, standing: Standing | None) -> ValidatorIndex:
        """The only validator whose proposal of `round` may be voted for; see `Schedule`."""
        turns = self._turns
        if standing:
            left_out = excluded(standing, round, self._validators)
            if left_out:
                turns = self._turns_without(left_out)
        return turns[round % len(turns)]

    def _turns_without(self, left_out: tuple[ValidatorIndex, ...]) -> tuple[ValidatorIndex, ...]:
        turns = self._without.get(left_out)
        if turns is None:
            if len(self._without) >= EXCLUSIONS_KEPT:
                self._without.clear()
            turns = tuple(turn for turn in self._turns if turn not in left_out)
            self._without[left_out] = turns
        return turns

    def __len__(self) -> int:
        return len(self._turns)


# --- reputation ------------------------------------------------------------------------------------


def out_until(fault: Fault, members: int) -> Round:
    """The first round that its author may lead again.

    Silent, it is tried again after MEMORY_ROUNDS, then after twice as many. Once it has voted, a first
    failure is forgiven; who fails again and again, and votes in between, waits for a number of cycles.
    """
    if fault.silent:
        return Round(fault.round + (MEMORY_ROUNDS << (fault.strikes - 1)))
    if fault.strikes == 1:
        return fault.round
    penalty = members * PENALTY_GROWTH ** (fault.strikes - 1)
    return Round(fault.round + min(penalty, MEMORY_ROUNDS))


def excluded(standing: Standing, round: Round, validators: ValidatorSet) -> tuple[ValidatorIndex, ...]:
    """Who does not lead `round`, by growing index: never so many that the others are no quorum.

    If there are more, the silent come first (there are never too many of these once a QC has passed), then
    those with most strikes, the oldest failures first.
    """
    out = [fault for fault in standing if round < out_until(fault, len(validators))]
    if not out:
        return ()
    out.sort(key=lambda fault: (not fault.silent, -fault.strikes, fault.round, fault.author))
    left_out: list[ValidatorIndex] = []
    weight = validators.total_weight
    for fault in out:
        rest = weight - validators.validators[fault.author].weight
        if validators.is_quorum(rest):
            weight = rest
            left_out.append(fault.author)
    return tuple(sorted(left_out))


def standing_after(
    before: Standing,
    qc: QuorumCertificate,
    round: Round,
    author: ValidatorIndex,
    schedule: Schedule,
    validators: ValidatorSet,
) -> Standing:
    """The standing in a block of `round` by `author` on the block that `qc` certifies, whose standing is
    `before`.

    The rounds between the two failed: their leaders are blamed, of the last rounds as many as there are
    validators; the first as the QC chose it, the others as TCs did. Whoever signed the QC, and the author, is
    silent no more.
    """
    first = Round(qc.round + 1)
    if first == round and not before:
        return before
    faults = {fault.author: _heard(fault) if _signed(fault, qc) else fault for fault in before}
    for failed in range(max(first, round - len(validators)), round):
        leader = schedule.leader_of(Round(failed), before if failed == first else None)
        if validators.contains(leader):
            faults[leader] = _blamed(faults.get(leader), leader, Round(failed), len(validators))
    if author in faults:
        faults[author] = _heard(faults[author])
    after = tuple(
        fault for _, fault in sorted(faults.items()) if fault.silent or round < fault.round + MEMORY_ROUNDS
    )
    return before if after == before else after


def _signed(fault: Fault, qc: QuorumCertificate) -> bool:
    """Whether the QC shows a vote of its author after the failure."""
    index = fault.author
    return qc.round > fault.round and bool(qc.signers[index // 8] >> (index % 8) & 1)


def _heard(fault: Fault) -> Fault:
    return Fault(fault.author, fault.round, fault.strikes, False) if fault.silent else fault


def _blamed(known: Fault | None, leader: ValidatorIndex, failed: Round, members: int) -> Fault:
    if known is None:
        return Fault(leader, failed, 1, True)
    if known.silent and failed < out_until(known, members):
        return known  # nothing new: it is left out already, and a TC gave it a turn all the same
    return Fault(leader, failed, min(known.strikes + 1, STRIKES_MAX), True)


# --- turns -----------------------------------------------------------------------------------------


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


def longest_wait(turns: tuple[ValidatorIndex, ...]) -> int:
    """The most turns from one of somebody's to the next, in a cycle that begins again behind its last."""
    last: dict[ValidatorIndex, int] = {}
    longest = 0
    for place, leader in enumerate((*turns, *turns)):
        if leader in last:
            longest = max(longest, place - last[leader])
        last[leader] = place
    return longest
