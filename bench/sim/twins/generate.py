"""Which scenarios there are: every way to split the instances, to lead, to cut links and to crash, a round.

A round's plan is one of an alphabet, and a scenario is a word over it. Renaming correct identities, and
swapping the two instances of an identity, changes nothing but names and the order of simultaneous events:
these renamings form a group that acts on the alphabet, and one scenario of each orbit is enough
(`enumeration.py`). What is too much to enumerate is drawn at random from a seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from random import Random
from typing import TypeAlias

from bench.sim.twins.scenario import (
    JITTER_MAX,
    Firewall,
    Image,
    Partition,
    Restart,
    RoundPlan,
    Scenario,
    identity_of,
    normal,
)

ALPHABET_MAX = 20_000
"""Plans of one round that are enumerated; with more there are too many words to finish anyway."""
RENAMINGS_MAX = 5_040
"""Renamings that are used to leave equals out; beyond it the tables cost more than they save."""
_WRITES = (1, 2, 3)
_IMAGES = (Image.LOST, Image.WRITTEN, Image.SENT)
"""`Image.WIPED` is not among them: a node that lost its data signs nothing for 64 rounds, and with as many
silent twins as may fail the rest is no quorum."""
Renaming: TypeAlias = tuple[int, ...]
"""The new name of every instance."""


class SpaceError(ValueError):
    """No such space of scenarios, or one too large for what is asked; the text says why."""


def set_partitions(size: int, blocks: int) -> Iterator[Partition]:
    """All ways to split 0..size-1 into at most `blocks` blocks, in the order of their restricted-growth
    strings: digit i is the block of i, and the first of a new block comes right after the last one."""
    growth = [0] * size
    while True:
        found: list[list[int]] = [[] for _ in range(max(growth) + 1)]
        for instance, block in enumerate(growth):
            found[block].append(instance)
        yield normal(found)
        for position in range(size - 1, 0, -1):
            if growth[position] < min(max(growth[:position]) + 1, blocks - 1):
                growth[position] += 1
                growth[position + 1 :] = [0] * (size - position - 1)
                break
        else:
            return


@lru_cache(maxsize=8)
def _splits(size: int, blocks: int) -> tuple[Partition, ...]:
    return tuple(set_partitions(size, blocks))


@dataclass(frozen=True, slots=True)
class Space:
    """All scenarios of a size. `partitions` is the most blocks a split may have; `per_phase` splits
    proposals, votes and timeouts of a round separately; `firewalls` mutes one instance, and `restarts`
    crashes one correct instance at one write, in a round or in none."""

    nodes: int = 4
    twins: int = 1
    partitions: int = 2
    rounds: int = 4
    per_phase: bool = False
    firewalls: bool = False
    restarts: bool = False

    def __post_init__(self) -> None:
        if not 0 <= 3 * self.twins < self.nodes:
            raise SpaceError(f"{self.twins} twins of {self.nodes} nodes: fewer than a third may have one")
        if self.partitions < 1 or self.rounds < 1:
            raise SpaceError("a scenario has rounds, and a split has blocks")

    @property
    def size(self) -> int:
        """Instances."""
        return self.nodes + self.twins

    def splits(self) -> tuple[Partition, ...]:
        """The partitions of one phase."""
        return _splits(self.size, self.partitions)

    def firewall_choices(self) -> tuple[Firewall, ...]:
        """Nobody, or one instance that nobody hears."""
        if not self.firewalls:
            return ((),)
        everyone = tuple(range(self.size))
        return ((), *(((i, tuple(j for j in everyone if j != i)),) for i in everyone))

    def restart_choices(self) -> tuple[tuple[Restart, ...], ...]:
        """Nobody, or one correct instance at one of its writes."""
        if not self.restarts:
            return ((),)
        correct = range(self.twins, self.nodes)
        return ((), *((Restart(*choice),) for choice in product(correct, _WRITES, _IMAGES)))

    @property
    def plan_count(self) -> int:
        """How many plans a round has, without listing them."""
        splits = len(self.splits()) ** (3 if self.per_phase else 1)
        return self.nodes * splits * len(self.firewall_choices()) * len(self.restart_choices())

    def alphabet(self) -> tuple[RoundPlan, ...]:
        """All plans of a round, in a fixed order. Raises SpaceError when there are too many to list."""
        if self.plan_count > ALPHABET_MAX:
            raise SpaceError(
                f"a round has {self.plan_count:,} plans, more than the {ALPHABET_MAX:,} that are enumerated: "
                "draw scenarios at random (--random N)"
            )
        splits = self.splits()
        phases = tuple((p, v, t) for p, v, t in product(splits, repeat=3) if self.per_phase or p == v == t)
        return tuple(
            RoundPlan(leader, partitions, firewall, restarts)
            for leader, partitions, firewall, restarts in product(
                range(self.nodes), phases, self.firewall_choices(), self.restart_choices()
            )
        )


# --- renaming ---------------------------------------------------------------------------------------


def rename(plan: RoundPlan, renaming: Renaming, nodes: int) -> RoundPlan:
    """The same plan under other names; a leader is an identity, whichever of its instances is named."""
    proposal, vote, timeout = (
        normal(tuple(renaming[i] for i in block) for block in partition) for partition in plan.partitions
    )
    firewall = sorted(
        (renaming[sender], tuple(sorted(renaming[i] for i in deaf))) for sender, deaf in plan.firewall
    )
    restarts = sorted(Restart(renaming[r.instance], r.persist, r.image) for r in plan.restarts)
    return RoundPlan(
        identity_of(renaming[plan.leader], nodes), (proposal, vote, timeout), tuple(firewall), tuple(restarts)
    )


def generators(space: Space) -> list[Renaming]:
    """Renamings that all others are made of: neighbours among the correct, the two instances of one identity,
    neighbouring identities with twins."""
    nodes, twins = space.nodes, space.twins
    swaps: list[list[tuple[int, int]]] = [[(i, i + 1)] for i in range(twins, nodes - 1)]
    swaps.extend([(i, nodes + i)] for i in range(twins))
    swaps.extend([(i, i + 1), (nodes + i, nodes + i + 1)] for i in range(twins - 1))
    found = []
    for pairs in swaps:
        names = list(range(space.size))
        for first, second in pairs:
            names[first], names[second] = second, first
        found.append(tuple(names))
    return found


def symmetries(space: Space, alphabet: Sequence[RoundPlan]) -> tuple[tuple[int, ...], ...]:
    """All renamings as they act on the alphabet: table[g][plan] is the plan's number under its new names; the
    first is the identity. Raises SpaceError when there are more than RENAMINGS_MAX."""
    number_of = {plan: number for number, plan in enumerate(alphabet)}
    steps = [
        tuple(number_of[rename(plan, renaming, space.nodes)] for plan in alphabet)
        for renaming in generators(space)
    ]
    identity = tuple(range(len(alphabet)))
    found: dict[tuple[int, ...], None] = {identity: None}
    frontier = [identity]
    while frontier:
        table = frontier.pop()
        for step in steps:
            longer = tuple(map(step.__getitem__, table))
            if longer not in found:
                if len(found) == RENAMINGS_MAX:
                    raise SpaceError(f"more than {RENAMINGS_MAX:,} renamings: turn the symmetry off")
                found[longer] = None
                frontier.append(longer)
    return (identity, *sorted(table for table in found if table != identity))


# --- at random --------------------------------------------------------------------------------------


def random_scenario(space: Space, rng: Random) -> Scenario:
    """One scenario of the space, and beyond: with firewalls any instance may be cut from any others, with
    restarts there may be one in each of some rounds; half of the scenarios have unequal delays."""
    splits = space.splits()
    jitter = rng.randint(1, JITTER_MAX) if rng.randrange(2) else 0
    plans = tuple(_random_plan(space, rng, splits) for _ in range(space.rounds))
    return Scenario(space.nodes, space.twins, plans, jitter)


def _random_plan(space: Space, rng: Random, splits: Sequence[Partition]) -> RoundPlan:
    proposal, vote, timeout = (rng.choice(splits) for _ in range(3))
    if not space.per_phase or rng.randrange(3) == 0:
        vote = timeout = proposal
    firewall: Firewall = ()
    if space.firewalls and rng.randrange(3) == 0:
        sender = rng.randrange(space.size)
        others = [i for i in range(space.size) if i != sender]
        firewall = ((sender, tuple(sorted(rng.sample(others, rng.randint(1, len(others)))))),)
    restarts: tuple[Restart, ...] = ()
    if space.restarts and rng.randrange(3) == 0:
        restarts = rng.choice(space.restart_choices()[1:])
    return RoundPlan(rng.randrange(space.nodes), (proposal, vote, timeout), firewall, restarts)
