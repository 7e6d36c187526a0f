"""Mutants of agreement: the commit rule, the vote rule, timeouts, time, and how a stalled cluster goes on."""

from collections.abc import Sequence
from dataclasses import replace

from bench.sim.seams import Parts
from consensus import (
    Block,
    CommittedBlock,
    Digest,
    GuardRecord,
    InvalidMessage,
    Message,
    Proposal,
    QuorumCertificate,
    RecoveredState,
    SafetyRecord,
    SafetyRules,
    Signer,
    Timeout,
    TimeoutCertificate,
    ValidatorIndex,
    ValidatorSet,
    core,
    rounds,
    safety,
)
from consensus.blocktree import BlockTree
from consensus.core import ReplicaCore
from consensus.ordering import Ordering
from consensus.rounds import Rounds
from consensus.validators import Round
from node.pool import effects as asked
from node.validator import recovered
from node.validator.dataplane import DataPlane
from node.validator.layout import OpenBook
from node.validator.records import JournalRecord
from node.validator.term import Terms, TermStart
from tests.mutants.hunt import Hunt
from tests.mutants.liars import Dissenter, extend_below, leads_by, run_ahead
from tests.mutants.mutant import Mutant, Patch
from tests.mutants.weather import (
    CRASHES,
    NETWORK,
    clocks_jump,
    crash_all,
    deafness,
    jump_far,
    lonely_restart,
    partition,
    storm,
)

# --- what is committed, in which order ---------------------------------------------

_commit = BlockTree.commit
_adopt_qc = ReplicaCore.adopt_qc


def _commit_reversed(self: BlockTree, target: Digest) -> tuple[CommittedBlock, ...] | None:
    committed = _commit(self, target)
    return None if committed is None else committed[::-1]


def _commit_again(self: BlockTree, target: Digest) -> tuple[CommittedBlock, ...] | None:
    before = self.committed
    committed = _commit(self, target)
    if not committed or before.block is None or committed[-1].block.round == before.round + 1:
        return committed
    return (CommittedBlock(before.block, before.height, before.yields_header), *committed)


def _take_any_height(self: DataPlane, ready: asked.BlockReady) -> None:
    if not ready.block.yields_header or self.diverged is not None:
        self.serve_pool(self.pool.on_executed(ready.block.block.id, self._mail.now_ms))
    elif self.catchup.running:
        self._hold((ready,))
    else:
        self._queue(ready.block, ready.batches)


def _commit_any_parent(self: ReplicaCore, qc: QuorumCertificate) -> None:
    _adopt_qc(self, qc)
    node = self.tree.get(qc.block_id)
    if node is not None and node.block is not None and not node.block.qc.is_root:
        self.commit(node.block.parent_id)


# --- the vote rule ---------------------------------------------


def _extends_anything(block: Block) -> str | None:
    qc, tc = block.qc, block.tc
    if qc.round >= block.round:
        return "a QC of this round or a later one"
    if block.round == qc.round + 1:
        return None
    return None if tc is not None and tc.round + 1 == block.round else "no TC of the round before"


def _may_vote_again(self: SafetyRules, block: Block) -> str | None:
    last = self.record.last_vote
    if last is not None and last.round == block.round and last.block_id != block.id:
        return "voted in this round for another block"
    return safety.extends_safely(block)


# --- timeouts ---------------------------------------------


_replay = recovered._replay


def _replay_the_record(
    book: OpenBook,
    records: Sequence[JournalRecord],
    proposals: dict[Digest, Proposal],
    batches: dict[Digest, bytes | None],
) -> OpenBook:
    """Blocks and certificates come from the database, which is behind; the record from the journal."""
    return replace(_replay(book, records, dict(proposals), batches), high_qc=book.high_qc)


def _may_time_out_below(
    self: SafetyRules, round: Round, hqc: QuorumCertificate, tc: TimeoutCertificate | None
) -> str | None:
    if round <= self.record.floor_round or round < self.record.last_voted_round or hqc.round >= round:
        return "a round that was left"
    opened = hqc.round + 1 == round or (tc is not None and tc.round + 1 == round)
    return None if opened else "no certificate opens the round"


def _give_up_forgetting(self: Rounds) -> None:
    """The second failed round in a row reports what was learned in the first one, which is nothing."""
    pacemaker = self._core.pacemaker
    held = pacemaker.hqc
    if pacemaker.hqc.round + 2 < pacemaker.round:
        pacemaker.hqc = self._core.root_qc
    _give_up(self)
    pacemaker.hqc = held


def _require_round_opened(timeout: Timeout) -> None:
    round, hqc, tc = timeout.round, timeout.hqc.round, timeout.tc
    if hqc >= round or (hqc + 1 != round and (tc is None or tc.round + 1 != round)):
        raise InvalidMessage("timeout-opening", f"round {round} is not opened")


_give_up = Rounds.give_up


# --- going on ---------------------------------------------

_shipped_start = Terms._recovered_state


def _start_from_the_qc(self: Terms, start: TermStart) -> RecoveredState:
    return replace(_shipped_start(self, start), high_tc=None)


def _numbers_only(
    key: Signer, cluster_id: bytes, author: ValidatorIndex, record: SafetyRecord, guard: GuardRecord
) -> SafetyRules:
    kept = replace(record, last_vote=None, last_timeout=None, last_header=None)
    return SafetyRules(key, cluster_id, author, kept, guard)


def _numbers(parts: Parts) -> Parts:
    return replace(parts, safety=_numbers_only)


def _nothing_again(self: Rounds) -> list[Message]:
    return []


def _blocking_f(self: ValidatorSet, weight: int) -> bool:
    return 3 * weight >= self.total_weight - 1


# --- time (C8) ---------------------------------------------


def _is_never_ahead(self: Ordering, block: Block) -> bool:
    core = self._core
    ahead_ms = block.time_ms - (core.now_ms + core.config.precision_ms)
    self.deferred_ms = ahead_ms if ahead_ms > 0 else None
    return ahead_ms <= 0


def _is_always_timely(self: Ordering, block: Block) -> bool:
    return True


_HIDDEN_CERTIFICATES = Hunt(
    storm_ms=12_000, faults=(deafness, deafness, deafness, partition), gap_ms=(20, 200), twins=(3,)
)
_HIDDEN_PROPOSALS = Hunt(storm_ms=8_000, faults=(deafness, deafness, partition, storm), gap_ms=(20, 200))
_POWER_CUTS = Hunt(storm_ms=8_000, faults=(deafness, deafness, crash_all, crash_all, storm), gap_ms=(20, 250))
_LONELY_LEADER = Hunt(faults=(*NETWORK, *CRASHES), liars=((3, leads_by(extend_below)),))

AGREEMENT = (
    Mutant(
        "commit-reversed",
        "S9: committed oldest first",
        "asonnino/hotstuff dc01ac8, commit(): ancestors are pushed to the front and popped from the back.",
        Hunt(),
        (Patch(BlockTree, "commit", _commit_reversed),),
    ),
    Mutant(
        "commit-redelivered",
        "S9: committed once",
        "The same function delivers the committed ancestor again when rounds were skipped; nothing behind it "
        "there looks at heights.",
        Hunt(),
        (
            Patch(BlockTree, "commit", _commit_again),
            Patch(DataPlane, "_on_block_ready", _take_any_height),
        ),
    ),
    Mutant(
        "commit-across-a-gap",
        "S9: two consecutive rounds",
        "Fast-HotStuff's first version: a direct parent was enough (twins-simulator, fhs_twins.json).",
        _HIDDEN_CERTIFICATES,
        (Patch(ReplicaCore, "adopt_qc", _commit_any_parent),),
    ),
    Mutant(
        "vote-in-a-round-left",
        "S2: round above the last voted or timed out one",
        "monad-bft #2213: a vote that travelled in a timeout went around the safety module.",
        Hunt(),
        (Patch(SafetyRules, "may_vote", _may_vote_again),),
    ),
    Mutant(
        "vote-ignores-the-tc",
        "S3: the parent is at least as high as the highest QC in the TC",
        "The unsafe shortcut of every first HotStuff: a TC opens the round, so any parent will do.",
        _LONELY_LEADER,
        (
            Patch(safety, "extends_safely", _extends_anything),
            Patch(core, "extends_safely", _extends_anything),
        ),
        likely=1,
    ),
    Mutant(
        "timeout-below-the-lock",
        "S6: a timeout reports at least the lock",
        "DiemBFT has two stores: blocks and certificates come back older than the safety data, and nobody "
        "compares them.",
        Hunt(storm_ms=8_000, faults=(lonely_restart, lonely_restart, deafness, storm), gap_ms=(20, 300)),
        (
            Patch(recovered, "_replay", _replay_the_record),
            Patch(SafetyRules, "may_time_out", _may_time_out_below),
        ),
        by=("signing",),  # the stores alone may cost liveness
        likely=6,
    ),
    Mutant(
        "lock-lost-over-two-timeouts",
        "S6: hqc never falls, however many rounds fail",
        "sei-chain #3029: the second of two timeouts in a row carried no lock any more.",
        _HIDDEN_PROPOSALS,
        (
            Patch(Rounds, "give_up", _give_up_forgetting),
            Patch(SafetyRules, "may_time_out", _may_time_out_below),
            Patch(rounds, "_require_opened", _require_round_opened),
        ),
        likely=1,
    ),
    Mutant(
        "recovers-from-the-qc-only",
        "P1: recovery uses both certificates",
        "radix babylon-node #243: after a restart nobody could vote or time out.",
        _POWER_CUTS,
        (Patch(Terms, "_recovered_state", _start_from_the_qc),),
    ),
    Mutant(
        "stored-signatures-are-not-sent-again",
        "C15: the stored bytes are sent again",
        "tendermint #8739: the chain halts when more than a third cannot sign a replayed message again.",
        _POWER_CUTS,
        parts=_numbers,
    ),
    Mutant(
        "nothing-is-sent-again",
        "C7: what is not superseded is sent again",
        "malachite #850: votes lost once are lost, and the cluster waits for them for ever.",
        Hunt(faults=NETWORK),
        (Patch(Rounds, "unsuperseded", _nothing_again),),
        likely=2,
    ),
    Mutant(
        "blocking-set-of-f",
        "C10: a blocking set is more than a third",
        "f in the place of f+1: a single liar makes everybody doubt the ledger, and stop.",
        Hunt(liars=((3, Dissenter),)),
        (Patch(ValidatorSet, "is_blocking", _blocking_f),),
    ),
    Mutant(
        "clock-strict",
        "C8: parent plus one millisecond is always timely",
        "A quorum's clocks jump ahead and come back: a strict rule halts until they are there again.",
        Hunt(faults=(jump_far, clocks_jump)),
        (Patch(Ordering, "_is_timely", _is_never_ahead),),
    ),
    Mutant(
        "clock-unbounded",
        "C8: no block far ahead of the own clock",
        "tendermint's BFT time before PBTS: a liar moves cluster time, and everything expires.",
        Hunt(liars=((3, leads_by(run_ahead)),)),
        (Patch(Ordering, "_is_timely", _is_always_timely),),
    ),
)
