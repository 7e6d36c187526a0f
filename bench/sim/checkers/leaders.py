"""Every committed block is by the one validator that may lead its round, and tells of failed leaders what its
chain shows (C12).

Both are worked out here from the committed sequence alone, in words of their own: a table of failures walks
along with the blocks. That all replicas have the same opinion would not be enough, it must be the right one.
"""

from dataclasses import dataclass, field
from math import gcd

from bench.sim.checkers.reading import SeenBlock, round_at
from bench.sim.checkers.rosters import Members, Rosters
from bench.sim.violation import Violation

_MEMORY = 3_000
_SLOTS = 4_096
_STRIKES = 6


@dataclass(slots=True)
class _Failure:
    round: int
    strikes: int
    silent: bool

    def lasts(self, members: int) -> int:
        """For how many rounds its validator is left out."""
        if self.silent:
            return int(_MEMORY * 2 ** (self.strikes - 1))
        return 0 if self.strikes == 1 else int(min(_MEMORY, members * 8 ** (self.strikes - 1)))


@dataclass(slots=True)
class _Walk:
    """Along one epoch."""

    members: Members
    turns: list[int]
    failures: dict[int, _Failure] = field(default_factory=dict)

    def leader(self, round: int, *, by_qc: bool) -> int:
        """Who leads it after the last block, opened by that block's QC or by a TC."""
        left_out = self._left_out(round) if by_qc else []
        turns = [turn for turn in self.turns if turn not in left_out]
        return turns[round % len(turns)]

    def _left_out(self, round: int) -> list[int]:
        count, weights = len(self.members.members), self.members.weights
        failed = [i for i, f in self.failures.items() if round < f.round + f.lasts(count)]
        failed.sort(
            key=lambda i: (not self.failures[i].silent, -self.failures[i].strikes, self.failures[i].round, i)
        )
        left_out: list[int] = []
        for index in failed:
            kept = sum(weights) - sum(weights[other] for other in (*left_out, index))
            if 3 * kept > 2 * sum(weights):
                left_out.append(index)
        return left_out

    def take(self, block: SeenBlock, round: int, parent_round: int) -> None:
        """Go on to this block."""
        blamed = [
            (failed, self.leader(failed, by_qc=failed == parent_round + 1))
            for failed in range(max(parent_round + 1, round - len(self.members.members)), round)
        ]
        bits = int.from_bytes(block.qc[6], "little")
        for index, failure in self.failures.items():
            if bits >> index & 1 and parent_round > failure.round:
                failure.silent = False
        for failed, index in blamed:
            known = self.failures.get(index)
            if known is None:
                self.failures[index] = _Failure(failed, 1, True)
            elif not known.silent or failed >= known.round + known.lasts(len(self.members.members)):
                self.failures[index] = _Failure(failed, min(_STRIKES, known.strikes + 1), True)
        if block.author in self.failures:
            self.failures[block.author].silent = False
        for index in [i for i, f in self.failures.items() if not f.silent and round >= f.round + _MEMORY]:
            del self.failures[index]

    @property
    def told(self) -> tuple[tuple[int, int, int, int], ...]:
        """As a block tells it."""
        return tuple((i, f.round, f.strikes, int(f.silent)) for i, f in sorted(self.failures.items()))


class Leaders:
    """One walk an epoch."""

    def __init__(self, rosters: Rosters) -> None:
        self._rosters = rosters
        self._walks: dict[int, _Walk] = {}

    def on_committed(self, block: SeenBlock) -> None:
        """The next block of its epoch's committed sequence."""
        walk = self._walks.get(block.epoch)
        if walk is None:
            members = self._rosters.of(block.epoch)
            if members is None:
                raise Violation("leaders", f"a block of epoch {block.epoch} is committed before it began")
            walk = self._walks[block.epoch] = _Walk(members, _turns(members.weights))
        round, parent_round = round_at(block.round), round_at(block.parent_round)
        leader = walk.leader(round, by_qc=block.tc is None)
        if block.author != leader:
            raise Violation("leaders", f"round {round} was led by {block.author}, it belongs to {leader}")
        walk.take(block, round, parent_round)
        if block.standing != walk.told:
            words = f"{block.standing} of failed leaders, its chain shows {walk.told}"
            raise Violation("leaders", f"the block of round {round} tells {words}")


def _turns(weights: list[int]) -> list[int]:
    shares = [weight // gcd(*weights) for weight in weights]
    if sum(shares) > _SLOTS:
        shares = [max(1, share * _SLOTS // sum(shares)) for share in shares]
    owed, turns = [0] * len(shares), []
    for _ in range(sum(shares)):
        owed = [debt + share for debt, share in zip(owed, shares, strict=True)]
        first = owed.index(max(owed))
        owed[first] -= sum(shares)
        turns.append(first)
    return turns
