"""Blocks whose parent is unknown, and how the missing ones are asked for.

Every id asked for is certified (E4): it comes from a verified QC or header certificate, or is the parent of a
block that was asked for. So what answers it by hash needs no further trust. Walks are bounded by
`orphans_max` and `orphan_bytes_max`; what cannot be walked is left to catch-up (`FellBehind`, C25).
"""

from dataclasses import dataclass

from consensus.blocks import Block
from consensus.core import ReplicaCore
from consensus.effects import Send
from consensus.errors import InvalidBlock, InvalidMessage
from consensus.keys import Digest
from consensus.messages import BLOCKS_BYTES_MAX, BLOCKS_COUNT_MAX, Blocks, BlocksRequest, Proposal
from consensus.validators import Round

PAUSE_DOUBLINGS_MAX = 16
"""By then any pause is as long as it gets."""


@dataclass(slots=True)
class Want:
    """A missing block of at most this round: whom to ask first, and how often it was asked for."""

    round: Round
    hint: bytes | None
    attempts: int = 0


class Fetching:
    """Orphans by id, and the wanted ids. `overflowed` says that a walk did not fit."""

    def __init__(self, core: ReplicaCore) -> None:
        self._core = core
        self._orphans: dict[Digest, tuple[Proposal, bytes]] = {}
        self._waiting: dict[Digest, list[Digest]] = {}
        self._orphan_bytes = 0
        self._wants: dict[Digest, Want] = {}
        self._served: dict[bytes, int] = {}  # block requests answered since the last status tick
        self.overflowed = False

    @property
    def orphans(self) -> int:
        """Blocks waiting for a parent."""
        return len(self._orphans)

    @property
    def orphan_bytes(self) -> int:
        """Their encoded size."""
        return self._orphan_bytes

    @property
    def wants(self) -> int:
        """Blocks being asked for."""
        return len(self._wants)

    def is_wanted(self, block_id: Digest) -> bool:
        """Whether this block is being asked for."""
        return block_id in self._wants

    @property
    def has_new_wants(self) -> bool:
        """Whether something is missing that nobody was asked for yet."""
        return any(want.attempts == 0 for want in self._wants.values())

    @property
    def pause_ms(self) -> int:
        """How long to wait before asking: for the proposal to come by itself, then twice as long each time,
        up to the time after which anything is sent again (E4)."""
        config = self._core.config
        attempts = min((want.attempts for want in self._wants.values()), default=PAUSE_DOUBLINGS_MAX)
        return min(config.fetch_delay_ms << min(attempts, PAUSE_DOUBLINGS_MAX), config.resend_ms)

    # --- placing blocks -----------------------------------------------------------------------

    def place(self, proposal: Proposal, peer: bytes) -> None:
        """Put a verified block into the tree, with the orphans it connects, or keep it as an orphan.

        Raises InvalidBlock when its timestamp does not follow its parent's (C8).
        """
        block = proposal.block
        tree = self._core.tree
        if block.id in tree or block.round <= tree.committed.round:
            return
        if not self._can_insert(block):
            self._keep(proposal, peer)
            return
        self._insert(proposal)
        connected = self._take_children(block.id)
        while connected:
            orphan, sender = connected.pop()
            try:
                self._insert(orphan)
            except InvalidBlock as error:
                self._core.penalise(sender, error)
                continue
            connected.extend(self._take_children(orphan.block.id))

    def _can_insert(self, block: Block) -> bool:
        tree = self._core.tree
        return block.parent_id in tree and (
            not tree.is_committed(block.parent_id) or block.parent_id == tree.committed.id
        )

    def _insert(self, proposal: Proposal) -> None:
        block = proposal.block
        parent = self._core.tree.get(block.parent_id)
        if parent is None or block.time_ms <= parent.time_ms:
            above = "an unknown time" if parent is None else str(parent.time_ms)
            raise InvalidBlock("block-time", f"time {block.time_ms} is not after its parent's {above}")
        self._core.tree.insert(proposal)
        self._core.outbox.stage_proposal(proposal)
        self._wants.pop(block.id, None)

    def _keep(self, proposal: Proposal, peer: bytes) -> None:
        block = proposal.block
        if block.id in self._orphans or self._is_dead(block):
            return
        config = self._core.config
        full = len(self._orphans) >= config.orphans_max
        if full or self._orphan_bytes + len(block.encoded) > config.orphan_bytes_max:
            self.overflowed = True  # the walk is given up as a whole: parts of it are of no use
            self.drop_all()
            return
        self._orphans[block.id] = (proposal, peer)
        self._waiting.setdefault(block.parent_id, []).append(block.id)
        self._orphan_bytes += len(block.encoded)
        self._wants.pop(block.id, None)
        if block.parent_id not in self._orphans:
            self.want(block.parent_id, block.qc.round, peer)

    def _is_dead(self, block: Block) -> bool:
        """Its parent is not committed and not above the committed block: it can never be committed."""
        return block.qc.round <= self._core.tree.committed.round

    def _take_children(self, block_id: Digest) -> list[tuple[Proposal, bytes]]:
        taken = [
            self._orphans.pop(child) for child in self._waiting.pop(block_id, ()) if child in self._orphans
        ]
        self._orphan_bytes -= sum(len(proposal.block.encoded) for proposal, _ in taken)
        return taken

    def drop_all(self) -> None:
        """Forget all orphans and wants."""
        self._orphans.clear()
        self._waiting.clear()
        self._wants.clear()
        self._orphan_bytes = 0

    def reconnect(self) -> None:
        """After the tree changed its root: connect what fits now, drop what can never fit."""
        waiting = list(self._orphans.values())
        self.drop_all()
        for proposal, peer in waiting:
            try:
                self.place(proposal, peer)
            except InvalidBlock as error:
                self._core.penalise(peer, error)

    def drop_stale(self) -> None:
        """After a commit: forget what lies at or below it."""
        if not self._orphans and not self._wants:
            return
        floor = self._core.tree.committed.round
        stale = [key for key, (proposal, _) in self._orphans.items() if proposal.block.qc.round <= floor]
        for block_id in stale:
            proposal, _ = self._orphans.pop(block_id)
            self._orphan_bytes -= len(proposal.block.encoded)
            siblings = self._waiting.get(proposal.block.parent_id, [])
            siblings.remove(block_id)
            if not siblings:
                self._waiting.pop(proposal.block.parent_id, None)
        core = self._core
        certified = None if core.certified is None else core.certified.block_id
        for block_id in [want for want in self._wants if want not in self._waiting]:
            if block_id != core.pacemaker.hqc.block_id and block_id != certified:
                del self._wants[block_id]  # of a branch that the commit cut off: nobody may hold it any more

    # --- asking -------------------------------------------------------------------------------

    def want(self, block_id: Digest, round: Round, hint: bytes | None) -> None:
        """A certified block is missing, which has this round at most; `hint` has shown what names it."""
        if self._core.behind is not None:
            return  # catch-up brings it
        known = block_id in self._wants or block_id in self._orphans or block_id in self._core.tree
        if not known and len(self._wants) < self._core.config.wants_max:
            self._wants[block_id] = Want(round, hint)

    def ask(self) -> None:
        """Ask for everything missing: first the peer that showed it, then one validator after the other."""
        if self._core.behind is not None:
            self._wants.clear()  # catch-up brings them; what is missing above it is wanted again then
        for block_id, want in self._wants.items():
            peer, count = self._whom_to_ask(want), self._how_many(want)
            want.attempts += 1
            if peer is not None:
                self._core.outbox.emit(Send(peer, BlocksRequest(block_id, count)))

    def _how_many(self, want: Want) -> int:
        """No more than there are rounds below it without a block here: one where just one is missing. What is
        here may be of another branch, so from the second time on all down to the committed block."""
        tree = self._core.tree
        known = tree.highest_below(want.round) if want.attempts == 0 else tree.committed.round
        return min(max(want.round - known, 1), BLOCKS_COUNT_MAX)

    def _whom_to_ask(self, want: Want) -> bytes | None:
        if want.attempts == 0 and want.hint is not None:
            return want.hint
        me, members = self._core.me, self._core.validators.validators
        others = [v.public_key for index, v in enumerate(members) if index != me]
        first = (
            0 if me is None else me
        )  # who follows us in turn; the author, if it left us out, is mostly last
        return others[(first + want.attempts) % len(others)] if others else None

    # --- answers ------------------------------------------------------------------------------

    def on_blocks(self, peer: bytes, blocks: Blocks) -> None:
        """Place a chain that was asked for; raises InvalidMessage or InvalidBlock."""
        first = blocks.proposals[0].block
        if first.id not in self._wants:
            return  # an answer that came twice, or too late
        expected = first.id
        for proposal in blocks.proposals:
            if proposal.block.id != expected:
                raise InvalidMessage("blocks-chain", "the blocks are not one chain")
            self._core.verify_fetched(proposal)
            self._compare_with_committed(proposal.block)
            expected = proposal.block.parent_id
        before = self._wants.copy()
        for proposal in blocks.proposals:
            self.place(proposal, peer)
        for block_id, want in self._wants.items():
            if block_id not in before:  # the walk goes on below what this peer just sent
                want.attempts = 1
                self._core.outbox.emit(Send(peer, BlocksRequest(block_id, self._how_many(want))))

    def _compare_with_committed(self, block: Block) -> None:
        """E10: a certified block above the committed one must extend it, unless more than a third of the
        weight broke the rules."""
        committed = self._core.tree.committed
        if block.round > committed.round >= block.qc.round and block.parent_id != committed.id:
            self._core.diverge(
                committed.height, committed.id, block.parent_id, "a certified chain leaves our commit out"
            )

    def on_blocks_request(self, peer: bytes, request: BlocksRequest) -> None:
        """Answer from the tree; what it no longer holds is answered from storage by the composition."""
        config = self._core.config
        served = self._served.get(peer, 0)
        if served >= config.requests_per_tick or (served == 0 and len(self._served) >= config.peers_max):
            return
        chain = self._core.tree.chain_down(request.block_id, request.count, BLOCKS_BYTES_MAX)
        if chain:
            self._served[peer] = served + 1
            self._core.outbox.emit(Send(peer, Blocks(chain)))

    def on_tick(self) -> None:
        """A status interval passed: peers may ask again."""
        self._served.clear()

    @property
    def peers_served(self) -> int:
        """Peers answered since the last status tick."""
        return len(self._served)
