"""Negative controls: a simulator that misses one of these broken rules is not done.

Each is searched for in random scenarios of a seed, with the rule whole (nothing may be found) and with it
broken (it must be found within a bound); each prints in how many scenarios. Where plain random scenarios
hardly ever reach the one moment that matters, the generation is guided, and the generator says how.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import pytest

from bench.sim.twins.cast import make_cast
from bench.sim.twins.executor import Byzantine, World, play
from bench.sim.twins.generate import Space, random_scenario
from bench.sim.twins.instance import SafetyFactory
from bench.sim.twins.oracles import Check, Violation
from bench.sim.twins.scenario import Image, RoundPlan, Scenario, whole
from bench.sim.twins.sweep import FAULTS, explain
from consensus import QuorumCertificate, SafetyRules
from tests.bench.twins import broken

Generator = Callable[[Random], Scenario]
EVERYTHING = tuple(Check)
ROOT = make_cast(4, 1).root


def drawn_from(space: Space) -> Generator:
    return lambda rng: random_scenario(space, rng)


def wiped(rng: Random) -> Scenario:
    """Restarts, and whoever crashes loses all its data but the guard."""
    scenario = random_scenario(Space(rounds=6, restarts=True, per_phase=True), rng)
    rounds = tuple(
        replace(plan, restarts=tuple(replace(r, image=Image.WIPED) for r in plan.restarts))
        for plan in scenario.rounds
    )
    return replace(scenario, rounds=rounds)


def one_commits_alone(rng: Random) -> Scenario:
    """Guided: a whole round; one in which a correct node hears votes that nobody else hears, while timeouts
    pass; then the twins lead, in any partitions."""
    splits, all_of_them = Space().splits(), whole(4, 1)

    def plan(leader: int) -> RoundPlan:
        split = rng.choice(splits)
        return RoundPlan(leader, (split, split, split))

    muted, split = rng.randrange(1, 4), rng.choice(splits)
    deaf = tuple(i for i in range(5) if i != muted)
    alone = RoundPlan(rng.randrange(1, 4), (split, split, all_of_them), ((muted, deaf),))
    first = RoundPlan(rng.randrange(4), (all_of_them, all_of_them, all_of_them))
    return Scenario(4, 1, (first, alone, plan(0), plan(0)))


PLAIN = drawn_from(Space())


@dataclass(frozen=True)
class Control:
    """A broken rule, where it is looked for, and within how many scenarios it must be found."""

    name: str
    patch: broken.Patch
    within: int
    generator: Generator = PLAIN
    rules: SafetyFactory = SafetyRules
    liar: Callable[[QuorumCertificate], Byzantine] | None = None
    watched: tuple[Check, ...] = EVERYTHING
    setting: broken.Patch = broken.nothing

    def __str__(self) -> str:
        return self.name


def without(*checks: Check) -> tuple[Check, ...]:
    return tuple(check for check in Check if check not in checks)


CRASHES = drawn_from(Space(restarts=True))
CONTROLS = (
    Control("a vote after a timeout of the round", broken.nothing, 50, rules=broken.ForgetsLastVoted),
    Control(
        "a vote below the QC that the TC reports",
        broken.vote_rule_without_tc,
        100,
        one_commits_alone,
        liar=broken.StaleLeader,
        watched=without(Check.EVIDENCE),  # a proposal that is refused is not kept to convict its author
    ),
    Control(
        "a timeout below the lock",
        broken.nothing,
        50,
        wiped,
        broken.IgnoresLock,
    ),
    Control("a commit across a gap of rounds", broken.commit_across_gaps, 20),
    Control("a quorum of 2f", broken.quorum_of_half, 20),
    Control(
        "a quorum of 2f, by its consequences alone",
        broken.quorum_of_half,
        100,
        watched=(Check.AGREEMENT,),
    ),
    Control("votes that count twice", broken.votes_counted_by_arrival, 20),
    Control("a record forgotten at a restart", broken.nothing, 50, CRASHES, broken.forgets_at_restart),
    Control("a signature sent before it is durable", broken.sent_before_written, 5, CRASHES),
    Control(
        "a signature sent before it is durable, by its consequences alone",
        broken.sent_before_written,
        300,
        CRASHES,
        watched=without(Check.DURABLE),
    ),
    Control(
        "a TC whose reported QC rounds nobody checks",
        broken.tc_signatures_unchecked,
        100,
        one_commits_alone,
        liar=broken.LyingLeader,
        watched=without(Check.EVIDENCE),
    ),
    Control(
        "a TC without a QC round for each signer",
        broken.tc_of_one_hqc,
        200,
        drawn_from(Space(rounds=5, per_phase=True, firewalls=True)),
    ),
    Control(
        "a lock lost over two timeouts",
        broken.hqc_lost_over_two_timeouts,
        20,
        drawn_from(Space(rounds=6)),
        broken.LosesLock,
    ),
    Control(
        "a lock lost over two timeouts, by its consequences alone",
        broken.hqc_lost_over_two_timeouts,
        50,
        drawn_from(Space(rounds=6)),
        broken.LosesLock,
        watched=(Check.AGREEMENT, Check.BLAME),
    ),
)


def search(control: Control, rules: SafetyFactory, limit: int) -> tuple[int, str] | None:
    """In how many scenarios something was found, and what."""
    for count in range(1, limit + 1):
        scenario = control.generator(Random(f"controls/{count}"))
        world = World(
            4,
            1,
            len(scenario.rounds),
            jitter=scenario.jitter,
            rules=rules,
            byzantine=None if control.liar is None else control.liar(ROOT),
            watched=control.watched,
        )
        try:
            play(scenario, world)
        except FAULTS as error:
            if not isinstance(error, Violation) or error.check in control.watched:
                return count, explain(error)
    return None


@pytest.mark.parametrize("control", CONTROLS, ids=str)
def test_a_broken_rule_is_found(
    control: Control, monkeypatch: pytest.MonkeyPatch, caught: Callable[[str], None]
) -> None:
    control.setting(monkeypatch)
    control.patch(monkeypatch)
    found = search(control, control.rules, control.within)
    assert found is not None, f"not found in {control.within} scenarios"
    caught(f"{control.name}: found in {found[0]} scenarios: {found[1]:.110}")


@pytest.mark.parametrize("control", CONTROLS, ids=str)
def test_with_the_rule_whole_nothing_is_found(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    control.setting(monkeypatch)
    assert search(control, SafetyRules, min(control.within, 60)) is None
