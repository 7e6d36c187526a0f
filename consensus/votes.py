"""Everybody's votes, ours among them once they are durable; a quorum of them is a QC.

Votes of rounds at or below the highest QC change nothing and are not even verified, so that a round costs
no more verifications than its quorum needs. Those of failed rounds above it are kept for a while: counted
late they still certify a block, which then survives its successor's refusal.
"""

from consensus.core import ReplicaCore
from consensus.errors import InvalidMessage
from consensus.evidence import TimeoutClaim
from consensus.messages import Timeout, Vote
from consensus.tally import VoteTally
from consensus.validators import Round, ValidatorIndex

ROUNDS_KEPT_BELOW = 2
"""Votes of the last rounds stay for evidence that arrives late."""


class Votes:
    """The votes of a window of rounds around ours, and each author's lock as its votes show it."""

    def __init__(self, core: ReplicaCore) -> None:
        self._core = core
        self._tally = VoteTally(core.validators)
        self._locking: dict[ValidatorIndex, Vote] = {}  # an author's vote with the highest parent

    @property
    def kept(self) -> int:
        """Votes kept."""
        return len(self._tally)

    @property
    def _oldest_round(self) -> Round:
        """E11: failed rounds are kept, but an outage of days must not fill the memory with them."""
        return Round(self._core.pacemaker.round - self._core.config.rounds_ahead_max)

    def enter_round(self) -> None:
        """The round changed: forget what is superseded."""
        pacemaker = self._core.pacemaker
        needed = min(pacemaker.round - ROUNDS_KEPT_BELOW, pacemaker.hqc.round + 1)
        self._tally.prune(max(Round(needed), self._oldest_round))

    def on_vote(self, peer: bytes, vote: Vote) -> None:
        """Count a peer's vote; raises InvalidMessage."""
        core = self._core
        core.require_author(peer, vote.author, "vote")
        if vote.epoch != core.validators.epoch:
            return
        if not vote.is_consistent:
            raise InvalidMessage("vote-shape", f"round {vote.round}, parent round {vote.parent_round}")
        if not self._oldest_round <= vote.round <= core.pacemaker.round + core.config.rounds_ahead_max:
            return
        known = self._tally.get(vote.round, vote.author)
        if known is not None:
            if known != vote:
                core.require_signature(vote, "vote")
                core.accuse(known, vote)
        elif vote.round > core.pacemaker.hqc.round:
            core.require_signature(vote, "vote")
            self.count(vote)

    def count(self, vote: Vote) -> None:
        """A verified vote, ours when it is durable (L2, C2)."""
        core = self._core
        if vote.round <= core.pacemaker.hqc.round:
            return
        best = self._locking.get(vote.author)
        if best is None or vote.parent_round > best.parent_round:
            self._locking[vote.author] = vote
        qc = self._tally.add(vote)
        if qc is not None:
            core.adopt_qc(qc)

    def belies(self, timeout: Timeout) -> bool:
        """C20: whether a timeout claims less than its author's earlier vote has locked."""
        vote = self._locking.get(timeout.author)
        return vote is not None and vote.parent_round > timeout.hqc_round

    def compare_lock(self, timeout: Timeout) -> None:
        """Accuse the author of a verified timeout that its own vote belies."""
        if self.belies(timeout):
            self._core.accuse(self._locking[timeout.author], TimeoutClaim.of(timeout))
