"""The one door: `step(event, now_ms) -> list[Effect]`.

An event changes what is known (a match arm each, below); `_settle` then does what follows from it, in a
fixed order: commit, enter the round, propose, vote, give up, fetch, set timers. So it never matters which
event made something possible. The same events give the same effects, on every machine.
"""

from dataclasses import dataclass
from typing import assert_never

from consensus.arrivals import Arrivals
from consensus.blocktree import Node
from consensus.certificates import HeaderCertificate, QuorumCertificate, TimeoutCertificate
from consensus.certification import Certification
from consensus.config import RecoveredState, ReplicaConfig
from consensus.core import ReplicaCore
from consensus.effects import Broadcast, Diverged, Effect
from consensus.errors import PeerError
from consensus.events import (
    ChainSynced,
    Event,
    HeaderComputed,
    LedgerContradicted,
    PayloadChecked,
    PayloadReady,
    PeerConnected,
    PendingPayload,
    Persisted,
    Received,
    Started,
    TimerFired,
)
from consensus.fetching import Fetching
from consensus.keys import ED25519, Digest, SignatureCache, SignatureScheme
from consensus.leader import Schedule, excluded
from consensus.messages import (
    Blocks,
    BlocksRequest,
    Certificates,
    CertificatesRequest,
    HeaderSignature,
    Message,
    Proposal,
    Status,
    Timeout,
    TimeoutReason,
    Vote,
)
from consensus.ordering import Ordering
from consensus.reading import BALLOTS
from consensus.rounds import Rounds
from consensus.safety import SafetyRules
from consensus.standing import Standing
from consensus.validators import Epoch, Height, Round, ValidatorIndex, ValidatorSet
from consensus.votes import Votes


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """A snapshot for status pages, metrics and `why`: plain facts, no way back in."""

    epoch: Epoch
    round: Round
    leader: ValidatorIndex
    """By its turn alone while the block that decides it is being fetched (C12)."""
    left_out: tuple[ValidatorIndex, ...]
    """Who leads no round now, unless a TC opens it, because they failed to (C12)."""
    standing: Standing
    """What the chain below the highest QC remembers of leaders that failed: why they are left out."""
    hqc: QuorumCertificate
    htc: TimeoutCertificate | None
    committed_height: Height
    committed_round: Round
    certified_height: Height
    round_timeout_ms: int
    failed_rounds: int
    timer_armed: bool
    timeouts_by_reason: tuple[tuple[TimeoutReason, int], ...]
    timed_out_now: tuple[ValidatorIndex, ...]
    blamed: tuple[ValidatorIndex, ...]
    """Batch authors whose payload a blocking set missed in the last failed round: leave them out (C9)."""
    last_voted_round: Round
    floor_round: Round
    floor_height: Height
    refusal: str | None
    behind_height: Height | None
    diverged: Diverged | None
    signature_cache_hits: int
    signature_cache_misses: int


class Replica:
    """One validator's (or observer's) part in one epoch."""

    def __init__(
        self,
        config: ReplicaConfig,
        validators: ValidatorSet,
        me: ValidatorIndex | None,
        safety: SafetyRules | None,
        recovered: RecoveredState,
        scheme: SignatureScheme = ED25519,
        schedule: Schedule | None = None,
    ) -> None:
        """`me` and `safety` are None for observers; a validator that must not sign has only `me`. The
        first event must be `Started`. `schedule` None means `LeaderSchedule`; simulations give another."""
        self._core = ReplicaCore(config, validators, me, safety, recovered, scheme, schedule)
        self._fetching = Fetching(self._core)
        self._certification = Certification(self._core)
        self._arrivals = Arrivals(self._core, self._fetching, self._certification)
        self._ordering = Ordering(self._core, self._arrivals)
        self._votes = Votes(self._core)
        self._rounds = Rounds(self._core, self._votes, self._ordering, self._fetching, self._certification)
        self._round = Round(0)
        self._committed: Digest = self._core.tree.committed.id
        self._recover(recovered)

    # --- the door -----------------------------------------------------------------------------

    def step(self, event: Event, now_ms: int) -> list[Effect]:
        """What must be done now, in this order; see effects.py for the driver's duty.

        Raises LocalError when a local invariant is broken, and nothing that a peer can cause.
        """
        core = self._core
        core.now_ms = now_ms
        if isinstance(event, Received) and type(event.message) in BALLOTS:
            core.prune()
            known = core.known
            self._on_received(event.peer, event.message)
            if core.known == known:
                return core.outbox.flush()  # nothing follows from what completes nothing: the hot path ends
            core.pace_guard()
        else:
            core.pace_guard()
            if not isinstance(event, Received) or not isinstance(event.message, BlocksRequest):
                core.prune()  # E16: who let a request through saw the block here
            self._learn(event)
        self._settle()
        return core.outbox.flush()

    def _learn(self, event: Event) -> None:
        """Change what is known."""
        match event:
            case Received(peer, message):
                self._on_received(peer, message)
            case Persisted(seq):
                for signed in self._core.outbox.on_persisted(seq):
                    self._count_own(signed)
            case PayloadChecked():
                self._ordering.on_payload_checked(event)
            case PayloadReady():
                self._ordering.on_payload_ready(event)
            case PendingPayload(exists):
                self._ordering.on_pending_payload(exists)
            case TimerFired(timer):
                self._rounds.on_timer(timer)
            case HeaderComputed():
                self._certification.on_header_computed(event)
            case PeerConnected(peer):
                self._rounds.greet(peer)
            case LedgerContradicted(height, ours, theirs, detail):
                self._core.diverge(height, ours, theirs, detail)
            case ChainSynced():
                self._on_synced(event)
            case Started():
                self._on_started()
            case _:
                assert_never(event)

    def _settle(self) -> None:
        """Everything that follows from what is known; each part does nothing when nothing is due."""
        core = self._core
        core.commit_what_is_proven()
        if core.tree.committed.id != self._committed:
            self._committed = core.tree.committed.id
            self._fetching.drop_stale()
        if core.pacemaker.round != self._round:
            self._round = core.pacemaker.round
            self._votes.enter_round()
            self._arrivals.enter_round()
            self._ordering.enter_round()
            self._rounds.enter_round()
        if self._arrivals.held:
            self._arrivals.judge_held()
        self._ordering.propose()
        self._ordering.vote()
        self._rounds.give_up()
        self._fetch()
        self._rounds.set_timers()

    # --- messages -----------------------------------------------------------------------------

    def _on_received(self, peer: bytes, message: Message) -> None:
        try:
            self._dispatch(peer, message)
        except PeerError as error:
            self._core.penalise(peer, error)

    def _dispatch(self, peer: bytes, message: Message) -> None:
        match message:
            case Vote():
                self._votes.on_vote(peer, message)
            case Proposal():
                self._arrivals.on_proposal(peer, message)
            case HeaderSignature():
                self._certification.on_header_signature(peer, message)
            case Timeout():
                self._rounds.on_timeout(peer, message)
            case Status():
                self._rounds.on_status(peer, message)
            case CertificatesRequest():
                self._rounds.on_certificates_request(peer, message)
            case Certificates():
                self._rounds.on_certificates(peer, message)
            case BlocksRequest():
                self._fetching.on_blocks_request(peer, message)
            case Blocks():
                self._fetching.on_blocks(peer, message)
            case _:
                assert_never(message)

    def _count_own(self, message: Message) -> None:
        """An own signature is durable: now it counts (C2)."""
        core = self._core
        if isinstance(message, Vote | Timeout | HeaderSignature):
            key = core.validators.validators[message.author].public_key
            core.signatures.add(key, message.digest(core.config.cluster_id), message.signature)
        match message:
            case Vote():
                self._votes.count(message)
            case Timeout():
                self._rounds.count(message)
            case HeaderSignature():
                self._certification.count(message)
            case _:
                pass

    def _fetch(self) -> None:
        """Ask for what certificates name and we do not have."""
        core = self._core
        hqc = core.pacemaker.hqc
        if hqc.block_id not in core.tree and hqc.round > core.tree.committed.round:
            self._fetching.want(hqc.block_id, hqc.round, None)
        if self._certification.missing is not None:
            block_id, peer = self._certification.missing
            self._fetching.want(block_id, core.pacemaker.round, peer)
            self._certification.missing = None
        if self._fetching.overflowed:
            self._fetching.overflowed = False
            self._certification.give_up_walking()

    # --- starting and catching up --------------------------------------------------------------

    def _recover(self, recovered: RecoveredState) -> None:
        """Rebuild the tree from the journal; our own data is trusted (its records carry checksums)."""
        core = self._core
        proposals = sorted(recovered.proposals, key=lambda p: (p.block.round, p.block.id))
        for proposal in proposals:
            block = proposal.block
            if block.epoch == core.validators.epoch and block.parent_id in core.tree:
                core.tree.insert(proposal)
                core.adopt_qc(block.qc)
                self._arrivals.see(proposal)
        core.adopt_qc(core.pacemaker.hqc)

    def _on_started(self) -> None:
        """Our stored signatures are durable: count them, and send them again (C7, C15)."""
        core = self._core
        if core.safety is not None:
            record = core.safety.record
            for stored in (record.last_vote, record.last_timeout, record.last_header):
                if stored is not None and stored.epoch == core.validators.epoch:
                    self._count_own(stored)
            core.outbox.emit(Broadcast(self._rounds.status()))
            for message in self._rounds.unsuperseded():
                core.outbox.emit(Broadcast(message))

    def _on_synced(self, event: ChainSynced) -> None:
        """Continue from the certified block that catch-up has stored and executed (C25)."""
        core, block, certificate = self._core, event.block, event.certificate
        if certificate.height <= core.tree.committed.height:
            return
        root = Node(
            block.id,
            block.round,
            block.time_ms,
            certificate.height,
            event.header_time_ms,
            True,
            block,
            None,
        )
        core.tree.replant(root)
        core.outbox.unstage_except(core.tree)
        core.behind = None
        self._certification.on_synced(certificate)
        self._fetching.reconnect()

    @property
    def signatures(self) -> SignatureCache:
        """The cache of verified signatures, for whoever checks certificates beside this replica."""
        return self._core.signatures

    # --- looking in ---------------------------------------------------------------------------

    def proposal(self, block_id: Digest) -> Proposal | None:
        """A block of the tree as it was proposed, None when it is not held here: the composition then
        answers a peer's `BlocksRequest` from storage. Every block of a `Commit` is still answered for while
        the effects of its step are performed: that is the moment to store it with its signature."""
        node = self._core.tree.get(block_id)
        if node is None or node.block is None or node.signature is None:
            return None
        return Proposal(node.block, node.signature)

    def rounds(self) -> tuple[Round, Round, Round]:
        """The current, the highest certified and the committed round: of `view`, what is cheap enough for
        whoever looks after every step."""
        core = self._core
        return core.pacemaker.round, core.pacemaker.hqc.round, core.tree.committed.round

    @property
    def certified_round(self) -> Round:
        """The highest certified round."""
        return self._core.pacemaker.hqc.round

    @property
    def last_good_round(self) -> tuple[Round, int]:
        """The last round that was waited for here and ended by its QC, and how many ms it took."""
        return self._core.pacemaker.last_good

    def view(self) -> ReplicaView:
        """A snapshot of where this replica is."""
        core = self._core
        record = None if core.safety is None else core.safety.record
        round, leader, node = core.pacemaker.round, core.leader, core.tree.get(core.pacemaker.hqc.block_id)
        return ReplicaView(
            epoch=core.validators.epoch,
            round=round,
            leader=core.schedule.leader_of(round, None) if leader is None else leader,
            left_out=() if node is None else excluded(node.standing, round, core.validators),
            standing=() if node is None else node.standing,
            hqc=core.pacemaker.hqc,
            htc=core.pacemaker.htc,
            committed_height=core.tree.committed.height,
            committed_round=core.tree.committed.round,
            certified_height=core.certified_height,
            round_timeout_ms=core.pacemaker.duration_ms,
            failed_rounds=core.pacemaker.failed_rounds,
            timer_armed=self._rounds.is_armed,
            timeouts_by_reason=tuple(sorted(self._rounds.reasons.items())),
            timed_out_now=self._rounds.timed_out_now(),
            blamed=self._rounds.blamed,
            last_voted_round=Round(0) if record is None else record.last_voted_round,
            floor_round=Round(0) if record is None else record.floor_round,
            floor_height=Height(0) if record is None else record.floor_height,
            refusal=self._ordering.refusal,
            behind_height=None if core.behind is None else core.behind.height,
            diverged=core.diverged,
            signature_cache_hits=core.signatures.hits,
            signature_cache_misses=core.signatures.misses,
        )

    def certified(self) -> HeaderCertificate | None:
        """The highest header certificate known here."""
        return self._core.certified

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound) of everything that can grow; for metrics and for the tests of bounds."""
        core, config, n = self._core, self._core.config, len(self._core.validators)
        rounds = config.rounds_ahead_max + 4
        return (
            ("tree_blocks", len(core.tree), config.tree_blocks_max),
            ("orphans", self._fetching.orphans, config.orphans_max),
            ("orphan_bytes", self._fetching.orphan_bytes, config.orphan_bytes_max),
            ("wants", self._fetching.wants, config.wants_max),
            ("votes", self._votes.kept, 2 * rounds * n),
            ("proposals_seen", self._arrivals.seen, 16),
            ("proposals_held", self._arrivals.held, 4 * n),
            ("proposals_held_bytes", self._arrivals.held_bytes, config.held_bytes_max),
            ("timeouts", self._rounds.timeouts, n),
            ("header_signatures", self._certification.signatures, 2 * config.heights_ahead_max * n),
            ("headers_computed", self._certification.computed, config.heights_ahead_max),
            ("certificates_ahead", self._certification.certified_ahead, config.heights_ahead_max),
            ("evidence", len(core.evidence), config.evidence_max),
            ("peers_counted", self._rounds.peers_counted, config.peers_max),
            ("peers_served", self._fetching.peers_served, config.peers_max),
            ("signature_cache", len(core.signatures), core.signatures.limit),
            ("blocks_staged", core.outbox.staged, config.tree_blocks_max),
            ("writes_awaited", core.outbox.awaiting, config.tree_blocks_max),
        )
