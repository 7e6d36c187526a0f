"""Every Byzantine driver against clusters of shipped validators: nobody honest is harmed, and who can be
proven guilty is."""

from collections import Counter
from functools import cache

import pytest

from bench.sim.violation import Violation
from consensus import Offence
from tests.byzantine import CONSEQUENCES, DRIVERS, FACTORIES, Consequence
from tests.byzantine.arena import Outcome
from tests.byzantine.arena import fight as fight_anew

SEEDS = (1, 2)
"""An odd seed has somebody away for long, an even one for a short while."""
SERVERS = ("lying_server", "silent_server", "empty_server", "slow_server", "lying_blocks")
SERVER_SEEDS = (3, 5, 7, 9)
"""It is chance whom a laggard asks first."""
DEAR = (
    "batch_flood",
    "large_batches",
    "vote_flood",
    "poisoner",
    "transaction_flood",
    "gossip_flood",
    "request_flood",
)
"""Drivers that make so much work that one seed must do."""
PAIRS = (
    ("conspirator", "conspirator"),
    ("equivocating_leader", "votes_for_everything"),
    ("mute", "silent_leader"),
    ("lying_server", "silent_server"),
    ("equivocating_executor", "wrong_executor"),
    ("stale_leader", "votes_for_everything"),
    ("false_blame", "hoarded_batches"),
    ("acknowledges_unseen", "withheld_batches"),
    ("false_attester", "false_attester"),
    ("false_attester", "silent_attester"),
    ("byzzfuzz", "byzzfuzz"),
    ("chameleon", "thief_of_time"),
)
fight = cache(fight_anew)
"""The same seed is the same fight, which a test below holds by fighting twice."""


@pytest.mark.parametrize("name", [name for name, _ in DRIVERS])
def test_one_of_four_harms_nobody_and_is_found_out_where_it_can_be(name: str) -> None:
    seeds = SEEDS[:1] if name in DEAR else SEEDS
    outcomes = [fight(name, seed) for seed in seeds]
    if name in SERVERS:
        outcomes += [fight(name, seed) for seed in SERVER_SEEDS]
    strikes = sum((outcome.strikes for outcome in outcomes), Counter[str]())
    assert strikes.total() > 0
    consequence = CONSEQUENCES.get(name, Consequence())
    offences = {offence for outcome in outcomes for offence in outcome.offences}
    faults = {fault for outcome in outcomes for fault in outcome.faults}
    assert consequence.offence is None or consequence.offence in offences
    assert not consequence.faults or consequence.faults & faults


@pytest.mark.parametrize("names", PAIRS, ids="+".join)
def test_two_of_seven_together_harm_nobody(names: tuple[str, str]) -> None:
    # Whoever only answers those that catch up meets one in few fights.
    seeds = SERVER_SEEDS if set(names) <= set(SERVERS) else SEEDS[:1]
    strikes = sum((fight(names[0], seed, 7, names[1]).strikes for seed in seeds), Counter[str]())
    assert strikes.total() > 0


@pytest.mark.parametrize(
    "name", ["mute", "garbage_batches", "acknowledges_unseen", "withheld_batches", "moody"]
)
def test_who_believes_verification_certificates_is_harmed_by_nobody_either(name: str) -> None:
    assert fight(name, 1, trusting=True).strikes.total() > 0


def test_two_that_vote_for_two_blocks_are_proven_guilty() -> None:
    found = [fight("conspirator", seed, 7, "conspirator").offences for seed in (1, 2)]
    assert any(Offence.DOUBLE_VOTE in offences for offences in found)


def test_the_same_seed_is_the_same_fight() -> None:
    first, again = fight_anew("chameleon", 3), fight_anew("chameleon", 3)
    assert first == again
    assert first.fingerprint != fight("chameleon", 4).fingerprint


def test_one_too_many_is_noticed() -> None:
    """The arena can fail: two mute ones of four leave no quorum."""
    with pytest.raises(Violation, match="liveness"):
        fight("mute", 1, 4, "mute")


def test_every_consequence_is_of_a_driver() -> None:
    assert set(CONSEQUENCES) <= set(FACTORIES)


def quiet(outcome: Outcome) -> bool:
    """Whether nobody was found out."""
    return not outcome.offences and not outcome.faults


@pytest.mark.parametrize("name", ["silent_leader", "vote_withholder", "header_withholder", "mute"])
def test_silence_is_no_offence(name: str) -> None:
    assert quiet(fight(name, 5))
