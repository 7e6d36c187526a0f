"""Plays a range of scenarios and counts what they went through; shards and chunks of it add up.

A chunk of an enumeration is walked in order: the run of a common beginning is made once and copied for each
plan that may follow (`branching.py`). Every scenario is run to its end; none is skipped for looking like
another, but for the renamings that the enumeration leaves out and counts as `orbits`.
"""

from dataclasses import dataclass, field, fields
from functools import lru_cache
from random import Random

from bench.sim.keyedhash import KEYED_HASH
from bench.sim.twins.branching import branch
from bench.sim.twins.enumeration import Enumeration, Keepers
from bench.sim.twins.executor import World, play
from bench.sim.twins.generate import Space, random_scenario
from bench.sim.twins.oracles import Violation
from bench.sim.twins.scenario import Scenario
from consensus import ED25519, ConsensusError

FAULTS = (Violation, ConsensusError, AssertionError, LookupError, TypeError, ValueError)
"""What a broken replica raises, beside what the oracles see."""
CHUNK = 200
"""Scenarios between two entries of a checkpoint: seconds of work to lose, and few beginnings run twice."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is played: all scenarios of a space in order, or with a `seed` endless random ones of it."""

    space: Space
    symmetric: bool = True
    seed: int | None = None
    real_signatures: bool = False

    def world(self, jitter: int = 0) -> World:
        """A fresh run of a scenario of this size."""
        space = self.space
        scheme = ED25519 if self.real_signatures else KEYED_HASH
        return World(space.nodes, space.twins, space.rounds, jitter=jitter, scheme=scheme)

    def scenario(self, number: int) -> Scenario:
        """The scenario of a number."""
        if self.seed is None:
            return enumeration_of(self.space, self.symmetric).scenario(number)
        return random_scenario(self.space, Random(f"{self.seed}/{number}"))


@lru_cache(maxsize=4)
def enumeration_of(space: Space, symmetric: bool) -> Enumeration:
    """The enumeration of a space, made once a process."""
    return Enumeration(space, symmetric=symmetric)


@dataclass(slots=True)
class Tally:
    """What the scenarios of some ranges went through. Sums, but for `tail_rounds_max`."""

    scenarios: int = 0
    orbits: int = 0
    """Scenarios these stand for, their renamings included."""
    steps: int = 0
    commits: int = 0
    commits_before_tail: int = 0
    """Scenarios in which somebody committed something before the network was whole."""
    healed: int = 0
    """Rounds that could not end inside their partition."""
    restarts: int = 0
    equivocated: int = 0
    """Scenarios in which a correct node saw two statements of one key; all of them led to evidence."""
    accused: int = 0
    """Scenarios in which a twin was accused."""
    tail_rounds_max: int = 0

    def add_run(self, world: World, orbit: int) -> None:
        """One scenario was played to its end."""
        counters = world.counters
        self.scenarios += 1
        self.orbits += orbit
        self.steps += counters.steps
        self.commits += counters.commits
        self.commits_before_tail += int(counters.commits_before_tail > 0)
        self.healed += counters.healed
        self.restarts += counters.restarts
        self.equivocated += int(bool(world.oracles.equivocated))
        self.accused += int(bool(world.oracles.accused))
        self.tail_rounds_max = max(self.tail_rounds_max, counters.tail_rounds)

    def add(self, other: "Tally") -> None:
        """Another range's."""
        longest = max(self.tail_rounds_max, other.tail_rounds_max)
        for counter in fields(self):
            setattr(self, counter.name, getattr(self, counter.name) + getattr(other, counter.name))
        self.tail_rounds_max = longest


@dataclass(frozen=True, slots=True)
class Failure:
    """The first scenario of a range that broke something."""

    number: int
    scenario: Scenario
    text: str


@dataclass(slots=True)
class Outcome:
    """A chunk's result: [first, last), what it went through, and what it found."""

    first: int
    last: int
    tally: Tally = field(default_factory=Tally)
    failure: Failure | None = None


def play_range(sweep: Sweep, first: int, last: int) -> Outcome:
    """Play the scenarios first..last-1 in order, up to the first that breaks something."""
    outcome = Outcome(first, last)
    if sweep.seed is None:
        _Walk(sweep, outcome).go()
        return outcome
    for number in range(first, last):
        scenario = sweep.scenario(number)
        try:
            world = play(scenario, sweep.world(scenario.jitter))
        except FAULTS as error:
            outcome.failure = Failure(number, scenario, explain(error))
            break
        outcome.tally.add_run(world, 1)
    return outcome


def explain(error: BaseException) -> str:
    """What went wrong, in one line."""
    return str(error) if isinstance(error, Violation) else f"{type(error).__name__}: {error}"


class _Walk:
    """Depth first through the words of an enumeration whose numbers are in a range."""

    def __init__(self, sweep: Sweep, outcome: Outcome) -> None:
        self._sweep = sweep
        self._outcome = outcome
        self._enumeration = enumeration_of(sweep.space, sweep.symmetric)

    def go(self) -> None:
        """Play the range; stops at the first failure."""
        world = self._sweep.world()
        world.run()
        self._below(world, self._enumeration.all, self._sweep.space.rounds, 0)

    def _below(self, world: World, keepers: Keepers, left: int, base: int) -> bool:
        """Play what follows the word of `world`, whose first continuation has the number `base`; whether
        nothing broke."""
        enumeration, outcome = self._enumeration, self._outcome
        branches, total = enumeration.branches(keepers, left)
        for position, taken in enumerate(branches):
            low = base + taken.first
            high = base + (branches[position + 1].first if position + 1 < len(branches) else total)
            if high <= outcome.first or low >= outcome.last:
                continue
            run = branch(world)
            run.open(enumeration.alphabet[taken.letter])
            try:
                ended = run.run()
            except FAULTS as error:
                number = max(low, outcome.first)
                outcome.failure = Failure(number, enumeration.scenario(number), explain(error))
                return False
            if left == 1:
                assert ended, "after its last round a scenario has a tail and an end"
                outcome.tally.add_run(run, enumeration.renamings // len(taken.keepers))
            elif not self._below(run, taken.keepers, left - 1, low):
                return False
        return True
