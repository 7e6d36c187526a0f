"""Our proposal, our vote and payload: the happy path of a round.

The settle methods (`propose`, `vote`) look at what is known and do what is due and not done yet, so it does
not matter which event made it possible: a certificate, a fetched parent, an answer of the data plane.
"""

from consensus.arrivals import Arrivals
from consensus.blocks import Block
from consensus.blocktree import Node
from consensus.core import ReplicaCore
from consensus.effects import CheckPayload, RequestPayload
from consensus.events import PayloadChecked, PayloadReady, Verdict
from consensus.keys import Digest
from consensus.messages import TimeoutReason
from consensus.validators import Round, ValidatorIndex

BRANCH_ROUNDS_KEPT = 16
"""Uncertified blocks of failed rounds are dropped after so many rounds; certified late, they are fetched."""


class Ordering:
    """The current round's candidate block, and our own proposal."""

    def __init__(self, core: ReplicaCore, arrivals: Arrivals) -> None:
        self._core = core
        self._arrivals = arrivals
        self._decided: Digest | None = None  # the candidate we voted for, or refused for good
        self._checking: Digest | None = None  # the candidate whose payload is being looked at
        self._verdict: PayloadChecked | None = None
        self._requested: tuple[Round, Digest, int] | None = None  # payload asked: round, parent, time
        self._answers_due = 0  # of this round: a late QC moves the parent while an answer is under way
        self._barren_round = Round(0)  # the data plane had nothing in this round
        self.idle_over_round = Round(0)  # the leader has waited long enough in this round
        self.deferred_ms: int | None = None  # the candidate's timestamp lies this far ahead (C8)
        self.refusal: str | None = None  # why the current candidate got no vote

    def enter_round(self) -> None:
        """The round changed: forget what is superseded."""
        core, round = self._core, self._core.pacemaker.round
        core.tree.drop_branches(core.pacemaker.hqc.block_id, Round(round - BRANCH_ROUNDS_KEPT))
        core.outbox.unstage_except(core.tree)
        self._decided = self._checking = self._verdict = self._requested = None
        self._answers_due = 0
        self.deferred_ms = self.refusal = None

    def candidate(self) -> Node | None:
        """The first proposal of the current round, once it is in the tree."""
        first = self._arrivals.first(self._core.pacemaker.round)
        return None if first is None else self._core.tree.get(first.block.id)

    # --- voting -------------------------------------------------------------------------------

    def vote(self) -> None:
        """Vote for the current round's candidate as soon as every rule allows it (S1-S5, V4-V7)."""
        core = self._core
        node = self.candidate()
        if node is None or node.block is None or node.id == self._decided or core.safety is None:
            return
        block = node.block
        last = core.safety.record.last_vote
        if last is not None and last.round == block.round:
            self._decided = node.id  # S1: sent again by rounds.py, never signed again
            return
        refusal = core.safety.may_vote(block) or self._refuses(block)
        if refusal is not None:
            self._decided, self.refusal = node.id, refusal
            return
        if not self._is_timely(block) or not self._payload_is_here(block):
            return
        if self._verdict is not None and self._verdict.verdict is Verdict.INVALID:
            self._decided, self.refusal = node.id, f"payload: {self._verdict.reason}"
            return
        self._decided = node.id
        core.outbox.release(core.safety.sign_vote(block))

    def _refuses(self, block: Block) -> str | None:
        """What safety.py cannot know: the chain the block is in."""
        core = self._core
        parent = core.tree.get(block.parent_id)
        if parent is None:
            return "the parent was dropped"
        if block.standing != core.standing_on(parent, block.qc, block.round, block.author):  # V8
            return "its standing is not what the chain shows of failed leaders"
        certified = block.certified
        if certified is not None:  # V5
            if certified.height > parent.height:
                return f"certified height {certified.height} above the parent's height {parent.height}"
            ancestor = core.tree.ancestor_at(parent.id, certified.height)
            if ancestor is not None and ancestor.id != certified.block_id:
                return f"the certified header of height {certified.height} is of another chain"
        if not block.has_payload:
            return None
        if core.diverged is not None:  # C3
            return "this replica has diverged and votes for no payload"
        lag = core.lag(parent, certified)
        if lag > core.config.certification_lag_max:  # V7, C13
            return f"payload while certification lags by {lag} > {core.config.certification_lag_max}"
        return None

    def _is_timely(self, block: Block) -> bool:
        """V6, C8: not ahead of our clock, but for the smallest step; too early is deferred, not refused."""
        core = self._core
        parent = core.tree.get(block.parent_id)
        ahead_ms = block.time_ms - (core.now_ms + core.config.precision_ms)
        if ahead_ms <= 0 or (parent is not None and block.time_ms == parent.time_ms + 1):
            self.deferred_ms = None
            return True
        self.deferred_ms = ahead_ms
        return False

    def _payload_is_here(self, block: Block) -> bool:
        """Whether the data plane has given its verdict; asks it once (V7, C9)."""
        if not block.has_payload or block.author == self._core.me:
            return True
        if self._checking != block.id:
            self._checking, self._verdict = block.id, None
            self._core.outbox.emit(
                CheckPayload(block, self._core.tree.uncommitted_ancestors(block.parent_id))
            )
        return self._verdict is not None and self._verdict.verdict is not Verdict.MISSING

    def on_payload_checked(self, event: PayloadChecked) -> None:
        """The data plane's verdict; only that on the current candidate matters."""
        if event.block_id == self._checking:
            self._verdict = event

    # --- proposing ----------------------------------------------------------------------------

    def may_propose(self) -> bool:
        """Whether this round is ours and not used yet, and we hold what it must extend. Who has voted in it
        already, for the leader by a TC (C12), could only split the votes of others."""
        core = self._core
        return (
            core.is_leader
            and core.safety is not None
            and core.safety.may_propose(core.pacemaker.round) is None
            and core.safety.record.last_voted_round < core.pacemaker.round  # S5: nor given it up
            and self._parent() is not None
        )

    def _parent(self) -> Node | None:
        tree = self._core.tree
        node = tree.get(self._core.pacemaker.hqc.block_id)
        if node is None or (tree.is_committed(node.id) and node.id != tree.committed.id):
            return None
        return node

    @property
    def is_waiting(self) -> bool:
        """Whether a leader lets the round lie idle (DESIGN.md, idle clusters)."""
        core = self._core
        return (
            self.may_propose()
            and self._requested is None
            and not core.must_drive
            and self.idle_over_round != core.pacemaker.round
        )

    def propose(self) -> None:
        """Propose when there is something to order, something to drive, or the idle wait is over."""
        core = self._core
        if not self.may_propose():
            return
        parent = self._parent()
        if parent is None:
            return
        round = core.pacemaker.round
        if self._requested is not None and self._requested[:2] == (round, parent.id):
            return  # the data plane is answering
        time_ms = max(core.now_ms, parent.time_ms + 1)  # C8
        overdue = core.must_drive or self.idle_over_round == round
        if self._may_carry_payload(parent) and (overdue or self._barren_round != round):
            self._requested = (round, parent.id, time_ms)
            self._answers_due += 1
            ancestors = core.tree.uncommitted_ancestors(parent.id)
            core.outbox.emit(RequestPayload(round, time_ms, ancestors, core.config.payload_bytes_max))
        elif overdue:
            self._make(parent, b"", time_ms)

    def _may_carry_payload(self, parent: Node) -> bool:
        core = self._core
        if not core.pending_payload or core.diverged is not None:  # C3
            return False
        return core.lag(parent, core.certified) <= core.config.certification_lag_max  # C13

    def on_pending_payload(self, exists: bool) -> None:
        """News from the data plane: what it did not have a moment ago it may have now."""
        self._core.pending_payload = exists
        if exists:
            self._barren_round = Round(0)

    def on_payload_ready(self, event: PayloadReady) -> None:
        """The data plane's answer; too late when the round or its parent changed: nothing is lost, the
        data plane keeps what is not ordered."""
        core = self._core
        if event.round != core.pacemaker.round:
            return
        self._answers_due -= 1
        requested, parent = self._requested, self._parent()
        if requested is None or parent is None or self._answers_due > 0 or not self.may_propose():
            return  # E3: only the answer to the last question knows the right ancestors
        round, parent_id, time_ms = requested
        self._requested = None
        if parent.id != parent_id:
            return  # `propose` asks again
        if event.payload == b"":
            self._barren_round = round  # a false alarm: wait, as without it
            if not core.must_drive and self.idle_over_round != round:
                return
        self._make(parent, event.payload, time_ms)

    def _make(self, parent: Node, payload: bytes, time_ms: int) -> None:
        core = self._core
        if core.safety is None or core.me is None:
            return
        certified = core.certified
        if certified is not None and (
            certified.height > parent.height or certified.epoch != core.validators.epoch
        ):
            certified = None  # of a chain we do not hold yet, or of the epoch before
        block = Block.make(
            cluster_id=core.config.cluster_id,
            epoch=core.validators.epoch,
            round=core.pacemaker.round,
            qc=core.pacemaker.hqc,
            tc=core.pacemaker.tc_to_carry,
            certified=certified,
            payload=payload,
            author=core.me,
            time_ms=time_ms,
            standing=core.standing_on(parent, core.pacemaker.hqc, core.pacemaker.round, core.me),
        )
        proposal = core.safety.sign_proposal(block)
        core.signatures.add(core.safety.public_key, proposal.digest(), proposal.signature)
        self._arrivals.see(proposal)
        core.tree.insert(proposal)
        core.outbox.stage_proposal(proposal)
        core.outbox.release(proposal)

    # --- why a round fails --------------------------------------------------------------------

    def timeout_reason(self) -> tuple[TimeoutReason, ValidatorIndex | None]:
        """What to say when this round is given up, and the batch author to blame, if any (C9)."""
        core = self._core
        first = self._arrivals.first(core.pacemaker.round)
        if first is None:
            is_held = self._arrivals.holds(core.pacemaker.round)
            return TimeoutReason.PARENT_MISSING if is_held else TimeoutReason.PROPOSAL_NOT_RECEIVED, None
        if first.block.id not in core.tree:
            return TimeoutReason.PARENT_MISSING, None
        if self._verdict is not None and self._verdict.verdict is not Verdict.AVAILABLE:
            return TimeoutReason.PAYLOAD_UNAVAILABLE, self._verdict.blamed
        if self._checking is not None and self._verdict is None:
            return TimeoutReason.PAYLOAD_UNAVAILABLE, None
        if self.refusal is not None or self.deferred_ms is not None:
            return TimeoutReason.PROPOSAL_REFUSED, None
        return TimeoutReason.NO_QUORUM, None
