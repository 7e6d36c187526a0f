"""The list of all Byzantine drivers, by name, and what each must lead to.

A factory takes a seed and answers a behaviour: `isthmus-bench sim --behaviour tests.byzantine:mute@3`
names one for the host at place 3. New drivers enter here, and all tests and sweeps take them up.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from consensus import Offence
from tests.byzantine import (
    attesting,
    batches,
    certifying,
    equivocation,
    flooding,
    lying,
    serving,
    silence,
    timing,
)
from tests.byzantine.byzzfuzz import byzzfuzz
from tests.byzantine.driver import Attacker, Chameleon, Together

Factory = Callable[[int], Attacker]

_SINGLE: tuple[Factory, ...] = (
    equivocation.equivocating_leader,
    equivocation.equivocating_leader_to_all,
    equivocation.proposal_storm,
    equivocation.equivocating_voter,
    equivocation.equivocating_voter_to_all,
    equivocation.votes_for_everything,
    equivocation.equivocating_executor,
    equivocation.equivocating_executor_to_all,
    equivocation.wrong_executor,
    silence.silent_leader,
    silence.vote_withholder,
    silence.timeout_withholder,
    silence.header_withholder,
    silence.mute,
    silence.leader_to_one,
    silence.leader_to_bare_quorum,
    silence.leader_but_to_its_successor,
    silence.vote_to_one,
    silence.moody,
    silence.laggard,
    silence.hasty,
    batches.withheld_batches,
    batches.hoarded_batches,
    batches.framing_leader,
    batches.garbage_batches,
    batches.garbage_answers,
    batches.garbage_payload,
    batches.acknowledges_unseen,
    batches.acknowledges_nothing,
    certifying.forged_parent,
    certifying.misled_parent,
    certifying.forged_header,
    certifying.stale_leader,
    certifying.forged_rounds,
    certifying.denies_its_lock,
    certifying.stale_certificates,
    certifying.forged_certificates,
    serving.lying_server,
    serving.silent_server,
    serving.empty_server,
    serving.slow_server,
    serving.lying_blocks,
    serving.boaster,
    serving.belittler,
    timing.clock_far_ahead,
    timing.clock_at_parent,
    timing.clock_backwards,
    timing.clock_drift,
    timing.clock_standing,
    flooding.transaction_flood,
    flooding.gossip_flood,
    flooding.batch_flood,
    flooding.large_batches,
    flooding.request_flood,
    flooding.vote_flood,
    flooding.round_flood,
    lying.false_blame,
    lying.false_evidence,
    lying.endless_evidence,
    lying.poisoner,
    lying.impostor,
    lying.replayer,
    lying.epoch_liar,
    lying.babbler,
    lying.future_rounds,
    byzzfuzz,
)

_ATTESTERS: tuple[Factory, ...] = (
    attesting.false_attester,
    attesting.silent_attester,
    attesting.late_attester,
)
TRUSTED: frozenset[str] = frozenset(factory.__name__ for factory in _ATTESTERS)
"""Those that lie to clusters which believe verification certificates."""


def conspirator(seed: int) -> Attacker:
    """Equivocates as leader, votes for every block and gives every round up: all that two need to try to
    certify two blocks of one round."""
    return Together(
        equivocation.equivocating_leader(seed),
        equivocation.votes_for_everything(seed + 1),
        silence.hasty(seed + 2),
    )


def thief_of_time(seed: int) -> Attacker:
    """Proposes to a bare quorum, too late, at the edge of the clock, and votes to one: slow, and never
    provably wrong."""
    return Together(
        timing.clock_drift(seed),
        silence.leader_to_bare_quorum(seed + 1),
        silence.vote_to_one(seed + 2),
        silence.laggard(seed + 3),
    )


def chameleon(seed: int) -> Attacker:
    """Another driver every 0.7 s."""
    return Chameleon(seed, [factory(seed + number) for number, factory in enumerate(_SINGLE)])


DRIVERS: tuple[tuple[str, Factory], ...] = tuple(
    (factory.__name__, factory) for factory in (*_SINGLE, *_ATTESTERS, conspirator, thief_of_time, chameleon)
)
FACTORIES: dict[str, Factory] = dict(DRIVERS)


@dataclass(frozen=True, slots=True)
class Consequence:
    """What honest validators must hold in the end: a proof of `offence`, and have punished the liar's link
    for one of `faults`. Empty where nothing can be proven, or nothing needs to be."""

    offence: Offence | None = None
    faults: frozenset[str] = field(default_factory=frozenset)


def _faults(*codes: str) -> Consequence:
    return Consequence(faults=frozenset(codes))


CONSEQUENCES: dict[str, Consequence] = {
    "equivocating_leader_to_all": Consequence(Offence.DOUBLE_PROPOSAL),
    "proposal_storm": Consequence(Offence.DOUBLE_PROPOSAL),
    "equivocating_voter_to_all": Consequence(Offence.DOUBLE_VOTE),
    "equivocating_executor_to_all": Consequence(Offence.DOUBLE_HEADER),
    "endless_evidence": Consequence(Offence.DOUBLE_HEADER),
    "false_attester": _faults("batch-invalid"),
    "garbage_batches": _faults("batch-malformed", "batch-invalid"),
    "forged_parent": _faults("qc-signature", "qc-root"),
    "misled_parent": _faults("qc-commit", "qc-signature", "qc-shape", "qc-weight", "qc-count", "qc-bitmap"),
    "forged_header": _faults("header-signature"),
    "stale_leader": _faults("block-parent", "tc-signature"),
    "forged_rounds": _faults("tc-signature", "timeout-opening", "block-parent"),
    "denies_its_lock": _faults("timeout-opening", "tc-signature"),
    "forged_certificates": _faults("qc-signature", "tc-signature"),
    "clock_at_parent": _faults("block-time"),
    "clock_backwards": _faults("block-time"),
    "gossip_flood": _faults("gossip-transaction"),
    "round_flood": _faults("block-leader", "tc-signature"),
    "false_evidence": _faults("evidence-signature", "evidence-statements"),
    "impostor": _faults("vote-link"),
    "babbler": _faults("message-malformed", "pool-message", "topic"),
    "future_rounds": _faults("vote-shape", "block-leader", "block-parent"),
}
