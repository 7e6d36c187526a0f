"""What the rooms of a replica share: identity, tree, pacemaker, outbox, faults; and how to believe.

The rooms are ordering.py (proposals, our vote, payload), votes.py, rounds.py (timeouts, status, timers),
certification.py (headers) and fetching.py (missing blocks). None of them calls another's internals: a
message changes what is known here, and `Replica` then lets each room do what follows from it.
"""

from consensus.blocks import Block
from consensus.blocktree import BlockTree, Node
from consensus.certificates import HeaderCertificate, QuorumCertificate, TimeoutCertificate
from consensus.config import RecoveredState, ReplicaConfig
from consensus.effects import Commit, Diverged, KeepEvidence, Penalise
from consensus.errors import InvalidBlock, InvalidCertificate, InvalidMessage, PeerError
from consensus.evidence import Evidence, EvidenceLog, Statement
from consensus.keys import Digest, SignatureCache, SignatureScheme
from consensus.leader import LeaderSchedule, Schedule, standing_after
from consensus.messages import HeaderSignature, Proposal, Timeout, Vote
from consensus.outbox import Outbox
from consensus.pacemaker import Pacemaker
from consensus.reservation import ExactWrites
from consensus.safety import SafetyRules, extends_safely
from consensus.standing import Standing
from consensus.validators import Height, Round, ValidatorIndex, ValidatorSet


class ReplicaCore:
    """Shared knowledge; every attribute has one meaning and the rooms that change it are named."""

    def __init__(
        self,
        config: ReplicaConfig,
        validators: ValidatorSet,
        me: ValidatorIndex | None,
        safety: SafetyRules | None,
        recovered: RecoveredState,
        scheme: SignatureScheme,
        schedule: Schedule | None = None,
    ) -> None:
        self.config = config
        self.validators = validators
        self.me = me
        self.safety = safety
        self.root_qc = recovered.root_certificate
        self.epoch_height = recovered.epoch_height
        self.schedule = LeaderSchedule(validators) if schedule is None else schedule
        # four rounds of everything a full set can send, at least the default
        self.signatures = SignatureCache(max(4096, 16 * len(validators)), scheme)
        self.evidence = EvidenceLog(config.evidence_max)
        self.outbox = Outbox(safety)
        self.pacemaker = Pacemaker(
            recovered.high_qc or recovered.root_certificate,
            recovered.high_tc,
            config.base_timeout_ms,
            config.max_timeout_ms,
        )
        self.tree = BlockTree(_root_node(recovered), config.heartbeat_ms, config.tree_blocks_max)
        self.certified = recovered.certified  # changed by certification
        self.behind: HeaderCertificate | None = None  # set by certification, cleared by commits
        self.diverged: Diverged | None = None
        self.pending_payload = False  # set by the data plane
        self.now_ms = 0  # the driver's clock, for timestamps, and for what the guard may cost
        self._exact_writes = ExactWrites()
        self._leader: tuple[QuorumCertificate | TimeoutCertificate, ValidatorIndex] | None = None
        self._commit_proof: QuorumCertificate | None = None
        self._verified_header: HeaderCertificate | None = None  # of this epoch and incarnation
        self._prune_due = False
        self._forget_below: Digest | None = None

    # --- who ----------------------------------------------------------------------------------

    def require_author(self, peer: bytes, author: ValidatorIndex, what: str) -> None:
        """Votes, timeouts and header signatures come only over their author's own link (V1)."""
        if self.validators.index_of(peer) != author:
            raise InvalidMessage(f"{what}-link", f"a {what} of validator {author} over another's link")

    def require_signature(self, message: Vote | Timeout | HeaderSignature, what: str) -> None:
        """The signature is the author's (V2); its index was checked by `require_author`."""
        key = self.validators.validators[message.author].public_key
        if not self.signatures.verify(key, message.digest(self.config.cluster_id), message.signature):
            raise InvalidMessage(f"{what}-signature", f"not signed by validator {message.author}")

    @property
    def is_needed(self) -> bool:
        """Whether there is no quorum without us: of the others, those that the chain shows silent are out."""
        if self.me is None:
            return False
        members = self.validators.validators
        out = [fault.author for fault in self.tip.standing if fault.silent and fault.author != self.me]
        weight_out = sum(members[index].weight for index in (*out, self.me))
        return not self.validators.is_quorum(self.validators.total_weight - weight_out)

    def pace_guard(self) -> None:
        """Whether a guard that is written in this step is exact, or reserves ahead (E17)."""
        safety = self.safety
        if safety is not None:
            affordable = self._exact_writes.can_afford(self.now_ms, safety.guards_written)
            safety.reserves_ahead = not affordable and not self.is_needed

    @property
    def is_leader(self) -> bool:
        """Whether the current round is ours to propose in."""
        return self.me is not None and self.me == self.leader

    @property
    def leader(self) -> ValidatorIndex | None:
        """Who leads the current round; asked often, found once. None while the block that decides it is
        missing here."""
        opened_by, known = self.pacemaker.opened_by, self._leader
        if known is not None and known[0] is opened_by:
            return known[1]
        leader = self.leader_after(self.pacemaker.round, opened_by)
        if leader is not None and self.validators.contains(leader):  # a scenario may have nobody lead, yet
            self._leader = opened_by, leader
        return leader

    def leader_after(
        self, round: Round, opened_by: QuorumCertificate | TimeoutCertificate
    ) -> ValidatorIndex | None:
        """Who leads `round` when this opens it (C12); None while the block of a QC is not in the tree."""
        if isinstance(opened_by, TimeoutCertificate):
            return self.schedule.leader_of(round, None)
        node = self.tree.get(opened_by.block_id)
        return None if node is None else self.schedule.leader_of(round, node.standing)

    def standing_on(
        self, parent: Node, qc: QuorumCertificate, round: Round, author: ValidatorIndex
    ) -> Standing:
        """What a block of `round` on `parent`, certified by `qc`, must say of failed leaders (C12)."""
        return standing_after(parent.standing, qc, round, author, self.schedule, self.validators)

    # --- certificates -------------------------------------------------------------------------

    def verify_proposal(self, proposal: Proposal) -> bool:
        """The author may propose this, signed it, and every embedded certificate is good (V3, C6). Whether it
        could be told who leads its round: see `is_led`. Raises InvalidBlock and InvalidCertificate."""
        block = proposal.block
        if block.cluster_id != self.config.cluster_id or block.epoch != self.validators.epoch:
            raise InvalidBlock("block-epoch", f"epoch {block.epoch}, expected {self.validators.epoch}")
        if not self.validators.contains(block.author):
            raise InvalidBlock("block-leader", f"author {block.author} is no validator")
        is_led = self.is_led(block)
        unsafe = extends_safely(block)
        if unsafe is not None:
            raise InvalidBlock("block-parent", unsafe)
        self._verify_author(proposal)
        self._verify_standing(block)
        self.verify_qc(block.qc)
        if block.tc is not None:
            self.verify_tc(block.tc)
        if block.certified is not None:
            self.verify_header(block.certified)
        return is_led

    def verify_fetched(self, proposal: Proposal) -> None:
        """A block asked for by a certified id: the quorum checked its content, we check its signature, so
        that we never pass on a proposal its author did not sign."""
        block = proposal.block
        if block.epoch != self.validators.epoch or not self.validators.contains(block.author):
            raise InvalidBlock("block-epoch", f"epoch {block.epoch}, author {block.author}")
        self._verify_author(proposal)
        self._verify_standing(block)

    def is_led(self, block: Block) -> bool:
        """Whether the block is by the leader of its round; False while that cannot be told, its parent being
        missing here. Raises InvalidBlock when it is by another."""
        leader = self.leader_after(block.round, block.qc if block.tc is None else block.tc)
        if leader is not None and block.author != leader:
            raise InvalidBlock(
                "block-leader", f"author {block.author}, but round {block.round} belongs to {leader}"
            )
        return leader is not None

    def _verify_standing(self, block: Block) -> None:
        if block.standing and not self.validators.contains(block.standing[-1].author):
            raise InvalidBlock("block-standing", f"a fault of validator {block.standing[-1].author}")

    def _verify_author(self, proposal: Proposal) -> None:
        key = self.validators.validators[proposal.block.author].public_key
        if not self.signatures.verify(key, proposal.digest(), proposal.signature):
            raise InvalidBlock("block-signature", f"not signed by validator {proposal.block.author}")

    def verify_qc(self, qc: QuorumCertificate) -> None:
        """Raises InvalidCertificate; the one we hold is known to be good."""
        if qc != self.pacemaker.hqc:
            qc.verify(self.config.cluster_id, self.validators, self.signatures, self.root_qc.block_id)

    def verify_tc(self, tc: TimeoutCertificate) -> None:
        """Raises InvalidCertificate; the one we hold is known to be good."""
        if tc != self.pacemaker.htc:
            tc.verify(self.config.cluster_id, self.validators, self.signatures)

    def verify_header(self, certificate: HeaderCertificate) -> None:
        """Raises InvalidCertificate; the one we hold is known to be good, unless the epoch began with it, and
        the one that was checked last: every proposal carries it again until there is a higher one."""
        if certificate == self._verified_header:
            return
        if certificate != self.certified or certificate.epoch != self.validators.epoch:
            certificate.verify(self.config.cluster_id, self.validators, self.signatures)
            if certificate.incarnation != self.config.incarnation:
                raise InvalidCertificate("header-incarnation", f"incarnation {certificate.incarnation}")
        self._verified_header = certificate

    def adopt_qc(self, qc: QuorumCertificate) -> None:
        """Take a verified QC: it may open a round, and it may commit (P1, S9)."""
        if self.pacemaker.on_qc(qc):
            self.outbox.stage_qc(qc)
        if qc.commit_id is not None and (self._commit_proof is None or qc.round > self._commit_proof.round):
            self._commit_proof = qc

    def adopt_tc(self, tc: TimeoutCertificate) -> None:
        """Take a verified TC; the highest QC is at least its `max_hqc_round` by the caller's check."""
        if self.pacemaker.on_tc(tc):
            self.outbox.stage_tc(tc)

    @property
    def known(self) -> tuple[QuorumCertificate, HeaderCertificate | None, Diverged | None]:
        """All that a vote or a header signature can change but the tallies: where this stays the same, there
        is nothing to do that there was not before."""
        return self.pacemaker.hqc, self.certified, self.diverged

    # --- commits ------------------------------------------------------------------------------

    def commit_what_is_proven(self) -> None:
        """S9: a QC whose block and parent have consecutive rounds commits the parent; a header certificate
        its block (C25), which may have come after it: the last one of an epoch has no child to wait for
        (C4)."""
        final, committed = self.certified, self.tree.committed
        if final is not None and final.height > committed.height and final.block_id in self.tree:
            self.commit(final.block_id)
            self.forget_below(final.block_id)
        proof = self._commit_proof
        if proof is None or proof.commit_id is None:
            return
        if proof.commit_id not in self.tree:
            committed = self.tree.committed
            if proof.parent_round == committed.round and proof.commit_id != committed.id:
                self.diverge(
                    committed.height, committed.id, proof.commit_id, "two blocks of one round are committed"
                )
            if proof.parent_round > committed.round:
                return  # the block is being fetched
        else:
            self.commit(proof.commit_id)
        self._commit_proof = None

    def commit(self, block_id: Digest) -> None:
        """Commit a proven block that is in the tree, with its ancestors."""
        committed = self.tree.commit(block_id)
        if not committed:
            return
        self.outbox.emit(Commit(committed, self.tree.proposals_of(committed)))
        self.pacemaker.on_commit()
        if self.behind is not None and self.tree.committed.height >= self.behind.height:
            self.behind = None
        self._prune_due = True

    def forget_below(self, block_id: Digest) -> None:
        """A committed block is certified: what lies below it is served from storage after this step."""
        self._forget_below = block_id
        self._prune_due = True

    def prune(self) -> None:
        """Shrink the tree (E13). At the start of a step, not when blocks are committed: while the driver
        performs a step's effects it may look up every block of a `Commit`, whose signature is only here."""
        if not self._prune_due:
            return
        self._prune_due = False
        if self._forget_below is not None and self.tree.is_committed(self._forget_below):
            self.tree.raise_root(self._forget_below)
        self._forget_below = None
        self.tree.shrink()
        self.outbox.unstage_except(self.tree)

    # --- heights ------------------------------------------------------------------------------

    @property
    def certified_height(self) -> Height:
        """The highest certified height, the epoch's start before the first."""
        return self.epoch_height if self.certified is None else self.certified.height

    def lag(self, parent: Node, certified: HeaderCertificate | None) -> int:
        """How far ordering would run ahead of what the block itself shows as certified (C13)."""
        return parent.height - (self.epoch_height if certified is None else certified.height)

    @property
    def tip(self) -> Node:
        """What the next block extends, if we hold it; else the committed block."""
        return self.tree.get(self.pacemaker.hqc.block_id) or self.tree.committed

    @property
    def heartbeat_in_ms(self) -> int:
        """Time until an empty block would yield a header (C24); 0 when overdue."""
        due_ms = self.tip.header_time_ms + self.config.heartbeat_ms - self.now_ms
        return due_ms if due_ms > 0 else 0

    @property
    def must_drive(self) -> bool:
        """Whether the next block is needed at once, be it empty: payload to commit, heartbeat overdue."""
        return self.tree.uncommitted_headers > 0 or self.heartbeat_in_ms == 0

    # --- faults -------------------------------------------------------------------------------

    def penalise(self, peer: bytes, error: PeerError) -> None:
        """Name and score the sender."""
        self.outbox.emit(Penalise(peer, error.blamed_on(peer)))

    def accuse(self, first: Statement, second: Statement) -> None:
        """Report two verified statements if they conflict, once (C20)."""
        evidence = Evidence.of(self.validators, first, second)
        if evidence is not None and self.evidence.add(evidence):
            self.outbox.emit(KeepEvidence(evidence))

    def diverge(self, height: Height, ours: Digest, theirs: Digest, detail: str) -> None:
        """C3, E10: stop payload and header signing, say so once; never raise."""
        if self.diverged is None:
            self.diverged = Diverged(height, ours, theirs, detail)
            self.outbox.emit(self.diverged)


def _root_node(recovered: RecoveredState) -> Node:
    block = recovered.root
    if block is None:
        certificate = recovered.root_certificate
        time_ms = recovered.root_header_time_ms
        return Node(
            certificate.block_id,
            certificate.round,
            time_ms,
            recovered.root_height,
            time_ms,
            False,
            None,
            None,
        )
    return Node(
        block.id,
        block.round,
        block.time_ms,
        recovered.root_height,
        recovered.root_header_time_ms,
        True,
        block,
        None,
    )
