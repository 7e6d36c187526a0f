"""At most one block is certified in a round, and what a quorum gave up cannot hide what one committed.

All certificates are looked at, Byzantine hosts' included, and votes are counted here as well: a quorum of
votes on the wire is a certificate whether or not anybody put it together. With less than a third of the
weight faulty, neither of these can happen; if it does, a rule is broken or the assumption is.
Sources: Jolteon (arXiv 2106.10362) lemmas 1 to 4; correction L3 on TCs.
"""

from collections.abc import Sequence
from typing import Any

from bench.sim.checkers.reading import epoch_at
from bench.sim.violation import Violation

ROUNDS_KEPT = 2_048
"""Rounds behind the newest of which certificates are remembered, and a quarter of it for votes: a certificate
of an older round cannot enter a replica any more that has come so far."""
_TRIM_EVERY = 64


class Quorum:
    """Takes verified certificates and votes alone, with places for rounds (`reading.place`)."""

    def __init__(self, weights: Sequence[int]) -> None:
        self._weights = {0: weights}
        self._certified: dict[int, tuple[Any, ...]] = {}
        self._votes: dict[int, dict[tuple[Any, ...], dict[int, None]]] = {}
        self._gave_up: dict[int, int] = {}
        self._committed: dict[int, None] = {}
        self._newest = self._trim_at = 0

    def begin(self, epoch: int, weights: Sequence[int]) -> None:
        """An epoch began (C4)."""
        self._weights[epoch] = weights

    def on_qc(self, qc: tuple[Any, ...]) -> None:
        """A quorum certificate, in order of its fields."""
        if qc[1]:
            self._certify(qc[1], qc[2:6], "a certificate")

    def on_vote(self, author: int, vote: tuple[Any, ...]) -> bool:
        """A vote of this index in its epoch, `[epoch, round, block, parent, parent round, commit]`; whether
        it completes a quorum."""
        round, claim, weights = vote[1], vote[2:6], self._weights[vote[0]]
        total = sum(weights)
        if vote[0] == epoch_at(self._newest) and round > self._newest + ROUNDS_KEPT:
            return False
        voters = self._votes.setdefault(round, {}).setdefault(claim, {})
        if author in voters:
            return False
        before = sum(weights[index] for index in voters)
        voters[author] = None
        if 3 * before > 2 * total or 3 * (before + weights[author]) <= 2 * total:
            return False
        self._certify(round, claim, "a quorum of votes")
        return True

    def on_tc(self, tc: tuple[Any, ...]) -> None:
        """A timeout certificate: `[epoch, round, signers, highest rounds, signatures]`."""
        round, highest = tc[1], max(tc[3])
        self._gave_up[round] = min(highest, self._gave_up.get(round, highest))
        for committed in self._committed:
            if highest < committed < round:
                self._hidden(round, highest, committed)
        self._trim(round)

    def _certify(self, round: int, claim: tuple[Any, ...], what: str) -> None:
        known = self._certified.setdefault(round, claim)
        if known != claim:
            one, other = known[0].hex()[:12], claim[0].hex()[:12]
            raise Violation("quorum", f"round {round}: {what} for {other}, and {one} is certified")
        if claim[3] is not None and claim[2] not in self._committed:
            self._committed[claim[2]] = None
            for given_up, highest in self._gave_up.items():
                if highest < claim[2] < given_up:
                    self._hidden(given_up, highest, claim[2])
        self._trim(round)

    def _hidden(self, round: int, highest: int, committed: int) -> None:
        words = f"round {round} was given up with the highest round {highest}, but {committed} is committed"
        raise Violation("quorum", words)

    def _trim(self, round: int) -> None:
        self._newest = max(self._newest, round)
        if round >= self._trim_at:
            self._trim_at = round + _TRIM_EVERY
            for rounds in (self._certified, self._gave_up, self._committed):
                for old in [known for known in rounds if known < round - ROUNDS_KEPT]:
                    del rounds[old]
            for old in [known for known in self._votes if known < round - ROUNDS_KEPT // 4]:
                del self._votes[old]
