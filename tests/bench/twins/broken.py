"""Rules broken on purpose, each through a seam that the package has anyway, and leaders that lie.

Twins run the shipped code, so a rule against lies is never exercised by them alone: for those rules the
proposals of twins are replaced on their way out (`StaleLeader`, `LyingLeader`).
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from bench.sim.twins.cast import make_cast
from bench.sim.twins.instance import Instance
from consensus import (
    Block,
    GuardRecord,
    Message,
    Persist,
    Proposal,
    QuorumCertificate,
    Round,
    SafetyRecord,
    SafetyRules,
    Signer,
    Standing,
    Timeout,
    TimeoutCertificate,
    TimeoutReason,
    ValidatorIndex,
    ValidatorSet,
    Vote,
    bitmap_of,
    certificates,
    core,
    proposal_digest,
    safety,
    standing_after,
    vote_digest,
)
from consensus.core import ReplicaCore
from consensus.effects import Effect
from consensus.keys import SignatureCache
from consensus.outbox import Outbox
from consensus.pacemaker import Pacemaker
from consensus.tally import TimeoutTally, VoteTally

Patch = Callable[[pytest.MonkeyPatch], None]


def nothing(patch: pytest.MonkeyPatch) -> None:
    """The rules are broken elsewhere, or not at all."""


# --- signers ----------------------------------------------------------------------------------------


class ForgetsLastVoted(SafetyRules):
    """May vote whatever it signed before."""

    def may_vote(self, block: Block) -> str | None:
        return safety.extends_safely(block)


class IgnoresLock(SafetyRules):
    """Gives rounds up with a QC below its lock."""

    def may_time_out(self, round: Round, hqc: QuorumCertificate, tc: TimeoutCertificate | None) -> str | None:
        record = self.record
        self.record = replace(record, locked_round=Round(0))
        try:
            return super().may_time_out(round, hqc, tc)
        finally:
            self.record = record


class LosesLock(SafetyRules):
    """Forgets its lock with the second timeout in a row."""

    def sign_timeout(
        self,
        round: Round,
        hqc: QuorumCertificate,
        tc: TimeoutCertificate | None,
        reason: TimeoutReason,
        blamed: ValidatorIndex | None,
    ) -> Timeout:
        timeout = super().sign_timeout(round, hqc, tc, reason, blamed)
        if tc is not None:
            self.record = replace(self.record, locked_round=Round(0))
        return timeout


def forgets_at_restart(
    key: Signer, cluster_id: bytes, author: ValidatorIndex, record: SafetyRecord, guard: GuardRecord
) -> SafetyRules:
    """Starts with an empty record, whatever the journal says."""
    empty = SafetyRecord.initial(record.epoch, record.boot, guard.height_start)
    return SafetyRules(key, cluster_id, author, empty, guard)


# --- rules ------------------------------------------------------------------------------------------


def vote_rule_without_tc(patch: pytest.MonkeyPatch) -> None:
    """Any TC of the round before is enough, whatever QC round it reports."""

    def extends(block: Block) -> str | None:
        qc, tc = block.qc, block.tc
        if block.round == qc.round + 1:
            return None if tc is None else "a TC beside the QC"
        return None if tc is not None and qc.round < block.round == tc.round + 1 else "not opened"

    patch.setattr(safety, "extends_safely", extends)
    patch.setattr(core, "extends_safely", extends)


def commit_across_gaps(patch: pytest.MonkeyPatch) -> None:
    """A certified child commits its parent, consecutive or not: the first Fast-HotStuff."""
    honest = ReplicaCore.adopt_qc

    def adopt_qc(self: ReplicaCore, qc: QuorumCertificate) -> None:
        honest(self, qc)
        node = self.tree.get(qc.block_id)
        if node is not None and node.block is not None and not node.block.qc.is_root:
            self.commit(node.block.parent_id)

    patch.setattr(ReplicaCore, "adopt_qc", adopt_qc)


def quorum_of_half(patch: pytest.MonkeyPatch) -> None:
    """2f of 3f + 1 is enough."""
    patch.setattr(ValidatorSet, "is_quorum", lambda self, weight: 2 * weight >= self.total_weight)


def votes_counted_by_arrival(patch: pytest.MonkeyPatch) -> None:
    """Each vote that arrives adds its weight, also one that came before, here and in certificates."""
    honest = VoteTally.add
    heard: dict[tuple[int, bytes], list[Vote]] = {}

    def add(self: VoteTally, vote: Vote) -> QuorumCertificate | None:
        arrived = heard.setdefault((id(self), vote.block_id), [])
        arrived.append(vote)
        qc = honest(self, vote)
        if qc is not None or len(arrived) < 3:
            return qc
        signatures = {other.author: other.signature for other in arrived}
        return QuorumCertificate(
            vote.epoch,
            vote.round,
            vote.block_id,
            vote.parent_id,
            vote.parent_round,
            vote.commit_id,
            bitmap_of(signatures, 4),
            b"".join(signatures[author] for author in sorted(signatures)),
        )

    patch.setattr(VoteTally, "add", add)
    patch.setattr(VoteTally, "get", lambda self, round, author: None)
    patch.setattr(certificates, "verify_signatures", lambda *arguments: None)


def sent_before_written(patch: pytest.MonkeyPatch) -> None:
    """Signatures leave first, the record is written afterwards."""
    honest = Outbox.flush

    def flush(self: Outbox) -> list[Effect]:
        effects = honest(self)
        writes = [effect for effect in effects if isinstance(effect, Persist)]
        return [effect for effect in effects if not isinstance(effect, Persist)] + writes

    patch.setattr(Outbox, "flush", flush)


def tc_signatures_unchecked(patch: pytest.MonkeyPatch) -> None:
    """Nobody checks that a TC's signers signed the QC rounds it reports of them."""

    def verify(
        self: TimeoutCertificate, cluster_id: bytes, validators: ValidatorSet, cache: SignatureCache
    ) -> None:
        pass

    patch.setattr(TimeoutCertificate, "verify", verify)


def tc_of_one_hqc(patch: pytest.MonkeyPatch) -> None:
    """A TC reports one QC round for all its signers: that of the timeout which completed it."""
    honest = TimeoutTally.add

    def add(self: TimeoutTally, timeout: Timeout) -> TimeoutCertificate | None:
        tc = honest(self, timeout)
        return None if tc is None else replace(tc, hqc_rounds=(timeout.hqc_round,) * len(tc.hqc_rounds))

    patch.setattr(TimeoutTally, "add", add)
    tc_signatures_unchecked(patch)


def hqc_lost_over_two_timeouts(patch: pytest.MonkeyPatch) -> None:
    """The highest QC is forgotten with the second TC in a row."""
    honest = Pacemaker.on_tc

    def on_tc(self: Pacemaker, tc: TimeoutCertificate) -> bool:
        before = self.htc_round
        taken = honest(self, tc)
        if taken and before + 1 == tc.round:
            self.hqc = make_cast(4, 1).root
        return taken

    patch.setattr(Pacemaker, "on_tc", on_tc)


# --- leaders that lie -------------------------------------------------------------------------------


class StaleLeader:
    """A twin that leads a round opened by a TC extends the root, not the QC the TC reports, and votes so."""

    def __init__(self, root: QuorumCertificate) -> None:
        self._root = root
        self._forged: dict[tuple[int, int], Block] = {}

    def tc_of(self, tc: TimeoutCertificate) -> TimeoutCertificate:
        """The certificate it shows."""
        return tc

    def __call__(self, instance: Instance, message: Message) -> Message:
        if isinstance(message, Proposal) and message.block.tc is not None and message.block.qc.round > 0:
            return self._forge(instance, message.block, message.block.tc)
        if isinstance(message, Vote):
            forged = self._forged.get((instance.index, message.round))
            if forged is not None:
                qc = forged.qc
                fields = (forged.epoch, forged.round, forged.id, qc.block_id, qc.round, forged.commit_id)
                signature = instance.key.sign(vote_digest(forged.cluster_id, *fields))
                return Vote(*fields, message.author, signature)
        return message

    def _standing(self, instance: Instance, block: Block) -> Standing:
        """What every voter finds: the rounds since the root have failed."""
        turns, validators = instance.replica._core.schedule, instance.replica._core.validators
        return standing_after((), self._root, block.round, block.author, turns, validators)

    def _forge(self, instance: Instance, block: Block, tc: TimeoutCertificate) -> Proposal:
        forged = Block.make(
            cluster_id=block.cluster_id,
            epoch=block.epoch,
            round=block.round,
            qc=self._root,
            tc=self.tc_of(tc),
            certified=None,
            payload=block.payload,
            author=block.author,
            time_ms=block.time_ms,
            standing=self._standing(instance, block),
        )
        self._forged[instance.index, block.round] = forged
        digest = proposal_digest(block.cluster_id, block.epoch, block.round, forged.id)
        return Proposal(forged, instance.key.sign(digest))


class LyingLeader(StaleLeader):
    """Shows a TC in which nobody has any QC."""

    def tc_of(self, tc: TimeoutCertificate) -> TimeoutCertificate:
        return replace(tc, hqc_rounds=(Round(0),) * len(tc.hqc_rounds))
