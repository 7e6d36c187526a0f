"""What belongs to one epoch and dies with it: its validators, our seat among them, agreement, and the pool
(C4).

Execution, storage, catching up and the clients' desk go on through all epochs; a term is made anew from where
storage stands, at a start and at every border alike.
"""

from dataclasses import dataclass

from consensus import (
    Epoch,
    HeaderCertificate,
    Height,
    InvalidCertificate,
    LeaderSchedule,
    Proposal,
    PublicKey,
    QuorumCertificate,
    RecoveredState,
    Replica,
    ReplicaConfig,
    SafetyRecord,
    SafetyRules,
    SignatureCache,
    SignatureScheme,
    TimeoutCertificate,
    ValidatorIndex,
    ValidatorSet,
)
from node.ledger.execution import Tip
from node.ledger.roster import Roster
from node.pool.batches import Batch
from node.pool.config import PoolConfig
from node.pool.pool import BatchPool
from node.pool.verifying import Judgement, Trust
from node.validator.epochs import Epochs, epoch_after
from node.validator.gossip import GossipRoom
from node.validator.recovered import Recovered


@dataclass(frozen=True, slots=True)
class Term:
    """One epoch as this node lives it. `me` is None for who only follows in it; `trust` judges the chain that
    others hand us while we catch up."""

    roster: Roster
    validators: ValidatorSet
    me: ValidatorIndex | None
    replica: Replica
    pool: BatchPool
    gossip: GossipRoom
    trust: Trust
    turn_rounds: int
    """In so many rounds in a row everybody leads who is not left out."""

    @property
    def epoch(self) -> Epoch:
        """Which epoch this is."""
        return self.roster.epoch


@dataclass(frozen=True, slots=True)
class TermStart:
    """Where storage stands, and what agreement had journaled above it, of whatever epoch."""

    tip: Tip
    root: Proposal | None
    certified: HeaderCertificate | None
    proposals: tuple[Proposal, ...] = ()
    high_qc: QuorumCertificate | None = None
    high_tc: TimeoutCertificate | None = None

    @staticmethod
    def of(recovered: Recovered) -> "TermStart":
        """The start of a process."""
        return TermStart(
            recovered.tip,
            recovered.root,
            recovered.certified,
            recovered.proposals,
            recovered.high_qc,
            recovered.high_tc,
        )


class Terms:
    """Makes the terms of one node, one after the other, with the one key that may sign in them."""

    def __init__(
        self,
        config: ReplicaConfig,
        pool: PoolConfig,
        epochs: Epochs,
        consensus_key: PublicKey | None,
        safety: SafetyRules | None,
        scheme: SignatureScheme,
    ) -> None:
        """`consensus_key` is None for an observer, `safety` for who must not sign."""
        self.epochs = epochs
        self._config = config
        self._pool = pool
        self._key = consensus_key
        self._safety = safety
        self._scheme = scheme

    def index_in(self, roster: Roster) -> ValidatorIndex | None:
        """Our seat in this roster."""
        return None if self._key is None else roster.validator_set().index_of(self._key)

    def is_ours(self, batch: Batch) -> bool:
        """Whether we sealed this batch, in whatever epoch."""
        roster = self.epochs.roster(batch.epoch)
        return roster is not None and self.index_in(roster) == batch.author

    def leave(self, epoch: Epoch) -> SafetyRecord | None:
        """Sign nothing of `epoch` any more (C4): the record to make durable, None where nothing is to be."""
        safety = self._safety
        if safety is None or safety.record.epoch > epoch:
            return None
        return safety.enter(Epoch(epoch + 1))

    def on_left(self, record: SafetyRecord) -> None:
        """That record is on disk."""
        if self._safety is not None:
            self._safety.on_durable(record)

    def begin(self, roster: Roster, start: TermStart) -> Term:
        """The term of the epoch that follows what is stored; `roster` is of that epoch. Whoever has signed in
        a later epoch already (its data was lost, or is older) follows until it comes to that one."""
        validators, me = roster.validator_set(), self.index_in(roster)
        safety = self._safety
        if safety is not None and (me is None or safety.record.epoch != roster.epoch):
            safety = None
        if safety is not None:
            safety.sit(me)
        recovered, schedule = self._recovered_state(start), LeaderSchedule(validators)
        replica = Replica(self._config, validators, me, safety, recovered, self._scheme, schedule)
        cluster_id = self._config.cluster_id
        return Term(
            roster,
            validators,
            me,
            replica,
            BatchPool(self._pool, validators, me, None if me is None else roster.validators[me].node_key),
            GossipRoom(cluster_id, validators, self.epochs.set_of, replica.signatures),
            trust_of(cluster_id, validators, SignatureCache(scheme=self._scheme)),
            schedule.turn_rounds,
        )

    def _recovered_state(self, start: TermStart) -> RecoveredState:
        header = start.tip.header
        epoch = epoch_after(header)
        root = self.epochs.root(epoch)
        is_border = root.height == header.height
        certified, high_qc, high_tc = start.certified, start.high_qc, start.high_tc
        return RecoveredState(
            root.certificate,
            header.time_ms,
            None if is_border or start.root is None else start.root.block,
            Height(header.height),
            certified if certified is not None and certified.epoch <= epoch else None,
            start.proposals,
            high_qc if high_qc is not None and high_qc.epoch == epoch else None,
            high_tc if high_tc is not None and high_tc.epoch == epoch else None,
            root.height,
        )


def trust_of(cluster_id: bytes, validators: ValidatorSet, cache: SignatureCache) -> Trust:
    """What the set of one epoch says of certificates and proposals."""

    def judge_certificate(certificate: HeaderCertificate) -> Judgement:
        if certificate.epoch != validators.epoch:
            return Judgement.UNKNOWN_EPOCH
        try:
            certificate.verify(cluster_id, validators, cache)
        except InvalidCertificate:
            return Judgement.INVALID
        return Judgement.VALID

    def judge_proposal(proposal: Proposal) -> Judgement:
        block = proposal.block
        if block.epoch != validators.epoch:
            return Judgement.UNKNOWN_EPOCH
        if not validators.contains(block.author):
            return Judgement.INVALID
        key = validators.validators[block.author].public_key
        good = cache.verify(key, proposal.digest(), proposal.signature)
        return Judgement.VALID if good else Judgement.INVALID

    return Trust(judge_certificate, judge_proposal)
