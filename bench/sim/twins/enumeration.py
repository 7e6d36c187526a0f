"""Every scenario of a space has a number, every number is a scenario, and a range of numbers can be played.

Of scenarios that differ in names only, the first is listed: the smallest word of its orbit. A word is the
smallest iff no renaming that keeps its beginning makes the next letter smaller, so the renamings that still
keep the beginning are all that must be carried along; how many words follow depends on them alone. So
counting and numbering are cheap, and whoever walks in order can share the runs of common beginnings.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from bench.sim.twins.generate import Space, SpaceError, symmetries
from bench.sim.twins.scenario import Scenario

Keepers: TypeAlias = tuple[int, ...]
"""The renamings (by position in the tables) that keep the beginning of a word."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A letter that may come next: what keeps the word then, and the number of the first word below it."""

    letter: int
    keepers: Keepers
    first: int


class Enumeration:
    """The scenarios of a space in order; with `symmetric`, one of each orbit."""

    def __init__(self, space: Space, *, symmetric: bool = True) -> None:
        """Raises SpaceError when there are too many plans, or too many renamings."""
        self.space = space
        self.symmetric = symmetric
        self.alphabet = space.alphabet()
        self._number_of = {plan: number for number, plan in enumerate(self.alphabet)}
        identity = tuple(range(len(self.alphabet)))
        self._tables = symmetries(space, self.alphabet) if symmetric else (identity,)
        self._branches: dict[tuple[Keepers, int], tuple[tuple[Branch, ...], int]] = {}
        self.all = tuple(range(len(self._tables)))
        """What keeps the empty word: every renaming."""

    @property
    def renamings(self) -> int:
        """How many renamings there are, the one that changes nothing included."""
        return len(self._tables)

    @property
    def raw_count(self) -> int:
        """Scenarios, equal ones counted each."""
        count: int = len(self.alphabet) ** self.space.rounds
        return count

    def __len__(self) -> int:
        total: int = self.branches(self.all, self.space.rounds)[1]
        return total

    def branches(self, keepers: Keepers, left: int) -> tuple[tuple[Branch, ...], int]:
        """The letters that may come next when `left` more make the word, and how many words that gives."""
        known = self._branches.get((keepers, left))
        if known is not None:
            return known
        found, total = [], 0
        for letter, after in self._letters(keepers):
            found.append(Branch(letter, after, total))
            total += 1 if left == 1 else self.branches(after, left - 1)[1]
        self._branches[keepers, left] = (tuple(found), total)
        return tuple(found), total

    def _letters(self, keepers: Keepers) -> Iterator[tuple[int, Keepers]]:
        tables = [self._tables[g] for g in keepers]
        for letter in range(len(self.alphabet)):
            images = [table[letter] for table in tables]
            if min(images) == letter:
                yield letter, tuple(g for g, image in zip(keepers, images, strict=True) if image == letter)

    # --- numbers ------------------------------------------------------------------------------

    def scenario(self, number: int) -> Scenario:
        """The scenario of a number. Raises SpaceError beyond the last."""
        letters, _ = self._word(number)
        plans = tuple(self.alphabet[letter] for letter in letters)
        return Scenario(self.space.nodes, self.space.twins, plans)

    def orbit(self, number: int) -> int:
        """How many scenarios this one stands for, itself included."""
        return self.renamings // len(self._word(number)[1])

    def _word(self, number: int) -> tuple[list[int], Keepers]:
        if not 0 <= number < len(self):
            raise SpaceError(f"there is no scenario {number}: they are numbered from 0 to {len(self) - 1}")
        letters, keepers = [], self.all
        for left in range(self.space.rounds, 0, -1):
            branches, _ = self.branches(keepers, left)
            taken = branches[bisect_right(branches, number, key=lambda branch: branch.first) - 1]
            letters.append(taken.letter)
            keepers, number = taken.keepers, number - taken.first
        return letters, keepers

    def number(self, scenario: Scenario) -> int:
        """The number of a scenario, or of the one that is listed for it. Raises SpaceError when it is not of
        this space."""
        space = self.space
        if (scenario.nodes, scenario.twins, len(scenario.rounds)) != (space.nodes, space.twins, space.rounds):
            raise SpaceError("the scenario is of another size")
        try:
            word = [self._number_of[plan] for plan in scenario.rounds]
        except KeyError as error:
            raise SpaceError("a round of the scenario has a plan that is not in this space") from error
        least: list[int] = min([table[letter] for letter in word] for table in self._tables)
        number: int = 0
        keepers = self.all
        for left, letter in zip(range(space.rounds, 0, -1), least, strict=True):
            branches, _ = self.branches(keepers, left)
            taken = branches[bisect_right(branches, letter, key=lambda branch: branch.letter) - 1]
            number, keepers = number + taken.first, taken.keepers
        return number
