"""Proposals as they arrive: believed, kept for the current rounds, and put into the tree.

Who leads a round opened by a QC is written in the block that the QC certifies (C12). A proposal that overtook
that block is held until it comes (E15), and nothing else waits for it: its certificates are taken at once.
"""

from consensus.certification import Certification
from consensus.core import ReplicaCore
from consensus.errors import InvalidBlock
from consensus.evidence import ProposalClaim
from consensus.fetching import Fetching
from consensus.messages import Proposal
from consensus.validators import Round, ValidatorIndex

PROPOSALS_KEPT_PER_LEADER = 2
"""E9: the second one is evidence; more are not needed unless certified, then they are fetched by id. A round
has two leaders at most: by the QC and by the TC of the round before."""
ROUNDS_KEPT_BELOW = 2
"""Proposals of the last rounds stay for evidence that arrives late."""


class Arrivals:
    """The proposals of the current rounds: seen, of their leaders; held, as long as that cannot be told."""

    def __init__(self, core: ReplicaCore, fetching: Fetching, certification: Certification) -> None:
        self._core = core
        self._fetching = fetching
        self._certification = certification
        self._seen: dict[Round, list[Proposal]] = {}
        self._held: dict[tuple[Round, ValidatorIndex], tuple[Proposal, bytes]] = {}  # with its sender
        self._held_bytes = 0

    @property
    def seen(self) -> int:
        """Proposals kept for the current rounds."""
        return sum(len(proposals) for proposals in self._seen.values())

    @property
    def held(self) -> int:
        """Proposals of which it cannot be told yet whether their authors lead."""
        return len(self._held)

    @property
    def held_bytes(self) -> int:
        """Their encoded size."""
        return self._held_bytes

    def first(self, round: Round) -> Proposal | None:
        """The first proposal of `round` that was seen: the only one that may get a vote (V4)."""
        seen = self._seen.get(round)
        return seen[0] if seen else None

    def holds(self, round: Round) -> bool:
        """Whether a proposal of `round` is held."""
        return any(held == round for held, _ in self._held)

    def enter_round(self) -> None:
        """The round changed: forget what is superseded."""
        floor = self._core.pacemaker.round - ROUNDS_KEPT_BELOW
        for past in [known for known in self._seen if known < floor]:
            del self._seen[past]
        for place in [held for held in self._held if held[0] < floor]:
            self._let_go(place)

    def on_proposal(self, peer: bytes, proposal: Proposal) -> None:
        """Verify, keep and place a proposal; raises PeerError."""
        core, block = self._core, proposal.block
        if block.id in core.tree or block.round <= core.tree.committed.round:
            return
        if self._is_late(block.round) and not self._fetching.is_wanted(block.id):
            return  # dead, or fetched by its id once a certificate names it: its leader may make any number
        is_led = core.verify_proposal(proposal)
        core.adopt_qc(block.qc)
        if block.tc is not None:
            core.adopt_tc(block.tc)
        if block.certified is not None:
            self._certification.adopt(block.certified, peer)
        self._take(proposal, peer, is_led)

    def judge_held(self) -> None:
        """Look again at what is held: its parent may have come, or a certificate that names it."""
        held, self._held, self._held_bytes = self._held, {}, 0
        for proposal, peer in held.values():
            try:
                self._take(proposal, peer, self._core.is_led(proposal.block))
            except InvalidBlock as error:
                self._core.penalise(peer, error)

    def _take(self, proposal: Proposal, peer: bytes, is_led: bool) -> None:
        """Place a proposal if its author is known to lead the round, or if a certificate names it: then that
        was for others to judge. Else hold it, one an author and round (E15); raises InvalidBlock."""
        core, block = self._core, proposal.block
        is_named = self._fetching.is_wanted(block.id) or core.pacemaker.hqc.block_id == block.id
        if not is_led and not is_named:
            self._hold(proposal, peer)
            self._fetching.want(block.parent_id, block.qc.round, peer)
        elif self.see(proposal):
            self._fetching.place(proposal, peer)

    def _hold(self, proposal: Proposal, peer: bytes) -> None:
        """E15. Room is made by what matters least: the oldest round, and in a round the largest, because the
        one that leads has no reason to be larger than all that only claim to."""
        block, config = proposal.block, self._core.config
        known = self._held.get((block.round, block.author))
        if known is not None:
            if known[0].block.id != block.id:
                self._core.accuse(ProposalClaim.of(known[0]), ProposalClaim.of(proposal))
            return
        self._held[block.round, block.author] = (proposal, peer)
        self._held_bytes += len(block.encoded)
        while self._held_bytes > config.held_bytes_max:
            self._let_go(min(self._held, key=self._worth))

    def _worth(self, place: tuple[Round, ValidatorIndex]) -> tuple[Round, int, ValidatorIndex]:
        round, author = place
        return round, -len(self._held[place][0].block.encoded), author

    def _let_go(self, place: tuple[Round, ValidatorIndex]) -> None:
        proposal, _ = self._held.pop(place)
        self._held_bytes -= len(proposal.block.encoded)

    def _is_late(self, round: Round) -> bool:
        return round < self._core.pacemaker.round - ROUNDS_KEPT_BELOW

    def see(self, proposal: Proposal) -> bool:
        """Whether a verified proposal is worth keeping, our own and those of our journal included; a second
        one of a leader and round is evidence (C20)."""
        block = proposal.block
        if self._is_late(block.round):
            return True  # a certificate names it
        seen = self._seen.setdefault(block.round, [])
        if any(other.block.id == block.id for other in seen):
            return True
        by_author = [other for other in seen if other.block.author == block.author]
        if len(by_author) >= PROPOSALS_KEPT_PER_LEADER:
            return False
        if by_author:
            self._core.accuse(ProposalClaim.of(by_author[0]), ProposalClaim.of(proposal))
        seen.append(proposal)
        return True
