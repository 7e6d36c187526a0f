"""Test the tester: each rule is broken on purpose, and a checker must see it. Unbroken, all is clean.

The broken variants are seams patched for one test; nothing of them is in the package.
"""

from collections.abc import Callable

import pytest

from consensus import (
    Block,
    CommittedBlock,
    Digest,
    GuardRecord,
    Message,
    Proposal,
    QuorumCertificate,
    SafetyRecord,
    SigningKey,
    Timeout,
    ValidatorIndex,
    ValidatorSet,
    Vote,
    core,
    safety,
)
from consensus.blocktree import BlockTree
from consensus.core import ReplicaCore
from consensus.safety import SafetyRules
from consensus.tally import VoteTally
from tests.consensus.cluster import ROOT, Cluster, Disk, Node, Violation, config_of
from tests.consensus.forge import block, certify, give_up, propose
from tests.consensus.test_lemmas import committed_by_a_replica_that_sees, hidden_certificates

Schedule = Callable[[], None]


def caught(schedule: Schedule) -> bool:
    """Whether a checker saw a violation."""
    try:
        schedule()
    except Violation:
        return True
    return False


def without(kind: type[Message], *sources: str) -> Callable[[Node, Node, Message], bool]:
    return lambda source, target, message: not (isinstance(message, kind) and source.name in sources)


# --- never vote in a round that was left: the last_voted check ----------------------------------------


class ForgetsLastVoted(SafetyRules):
    """May vote whatever it signed before."""

    def may_vote(self, block: Block) -> str | None:
        return safety.extends_safely(block)


def late_proposal(factory: type[SafetyRules]) -> None:
    """The proposal of round 1 comes after its timeout was signed, and no TC forms meanwhile."""
    cluster = Cluster(safety_factory=factory).start()
    cluster.filter = lambda source, target, message: not isinstance(message, Proposal | Timeout)
    cluster.submit(b"late")
    cluster.run(700)
    cluster.filter = without(Timeout, *"abcd")
    cluster.run(2_000)


def test_dropping_the_last_voted_check_is_caught() -> None:
    assert not caught(lambda: late_proposal(SafetyRules))
    assert caught(lambda: late_proposal(ForgetsLastVoted))


# --- the record must survive a restart, and be written before anything is sent ------------------------


def forgets_at_restart(
    key: SigningKey, cluster_id: bytes, author: ValidatorIndex, record: SafetyRecord, guard: GuardRecord
) -> SafetyRules:
    return SafetyRules(
        key, cluster_id, author, SafetyRecord.initial(record.epoch, record.boot, guard.height_start), guard
    )


def equivocation_around_a_restart(cluster: Cluster, keep_blocks: bool) -> None:
    """a votes for b's block and crashes at once; the Byzantine b then shows it a twin."""
    cluster.byzantine[1] = True
    cluster.start()
    node = cluster.node("a")
    first, twin = propose(block(1, payload=b"one")), propose(block(1, payload=b"two"))
    cluster.send(cluster.node("b"), node.peer, first)
    cluster.run(3)
    cluster.crash("a")
    if not keep_blocks:
        node.disk.proposals.clear()
    cluster.restart("a")
    cluster.send(cluster.node("b"), node.peer, twin)
    cluster.run(200)


def test_forgetting_the_record_at_a_restart_is_caught() -> None:
    assert not caught(lambda: equivocation_around_a_restart(Cluster(), keep_blocks=False))
    broken = Cluster(safety_factory=forgets_at_restart)
    assert caught(lambda: equivocation_around_a_restart(broken, keep_blocks=False))


def test_sending_before_the_write_is_durable_is_caught_as_a_double_vote() -> None:
    """The vote left, the write did not arrive: after the crash the same key votes again."""
    honest = Cluster(persist_ms=50, checks_durability=False)
    assert not caught(lambda: equivocation_around_a_restart(honest, keep_blocks=True))
    broken = Cluster(persist_ms=50, checks_durability=False, honours_barrier=False)
    assert caught(lambda: equivocation_around_a_restart(broken, keep_blocks=True))


def test_sending_before_the_write_is_durable_is_caught_at_once() -> None:
    def schedule() -> None:
        cluster = Cluster(honours_barrier=False).start()
        cluster.submit(b"one")
        cluster.run(100)

    assert caught(schedule)


# --- wiped data without the guard ---------------------------------------------------------------------


def wiped_and_lied_to(guard_is_kept: bool) -> None:
    cluster = Cluster()
    cluster.byzantine[1] = True
    cluster.start()
    node = cluster.node("a")
    cluster.send(cluster.node("b"), node.peer, propose(block(1, payload=b"one")))
    cluster.run(3)
    cluster.crash("a")
    node.disk = Disk(guard=node.disk.guard) if guard_is_kept else Disk()
    cluster.restart("a")
    cluster.send(cluster.node("b"), node.peer, propose(block(1, payload=b"two")))
    cluster.run(200)


def test_wiping_the_data_is_harmless_with_the_guard_and_caught_without() -> None:
    assert not caught(lambda: wiped_and_lied_to(guard_is_kept=True))
    assert caught(lambda: wiped_and_lied_to(guard_is_kept=False))


# --- quorums and counting -----------------------------------------------------------------------------


def split_brain() -> None:
    """Two against two, with different payloads on both sides."""
    cluster = Cluster().start()
    cluster.partition("ab", "cd")
    cluster.submit(b"one")
    cluster.run(10_000)


def test_a_quorum_of_half_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not caught(split_brain)
    monkeypatch.setattr(ValidatorSet, "is_quorum", lambda self, weight: 2 * weight >= self.total_weight)
    assert caught(split_brain)


def test_counting_a_repeated_signer_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not caught(split_brain)
    honest = VoteTally.add
    heard: dict[tuple[int, bytes], int] = {}

    def add(self: VoteTally, vote: Vote) -> QuorumCertificate | None:
        """Votes that come again, as re-sent ones do, add weight again."""
        key = (id(self), vote.block_id)
        heard[key] = heard.get(key, 0) + 1
        return honest(self, vote) or (certify_two(vote) if heard[key] >= 3 else None)

    def certify_two(vote: Vote) -> QuorumCertificate:
        return QuorumCertificate(
            vote.epoch,
            vote.round,
            vote.block_id,
            vote.parent_id,
            vote.parent_round,
            vote.commit_id,
            b"\7",
            vote.signature * 3,
        )

    monkeypatch.setattr(VoteTally, "add", add)
    monkeypatch.setattr(VoteTally, "get", lambda self, round, author: None)
    assert caught(split_brain)


# --- the commit rule ----------------------------------------------------------------------------------


def branches_agree() -> bool:
    """Whether two replicas of the hidden-certificates schedule commit prefixes of one chain."""
    left, left_qc, right, right_qc = hidden_certificates()
    first = committed_by_a_replica_that_sees(left, left_qc)
    second = committed_by_a_replica_that_sees(right, right_qc)
    shorter = min(len(first), len(second))
    return first[:shorter] == second[:shorter]


def test_committing_across_a_gap_of_rounds_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Fast-HotStuff trap: a direct parent is not enough, the rounds must be consecutive."""
    assert branches_agree()
    honest = ReplicaCore.adopt_qc

    def adopt_qc(self: ReplicaCore, qc: QuorumCertificate) -> None:
        honest(self, qc)
        node = self.tree.get(qc.block_id)
        if node is not None and node.block is not None and not node.block.qc.is_root:
            self.commit(node.block.parent_id)

    monkeypatch.setattr(ReplicaCore, "adopt_qc", adopt_qc)
    assert not branches_agree()


def test_committing_in_reversed_order_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trap of a well-known implementation: several missing ancestors came newest first."""

    def schedule() -> None:
        cluster = Cluster().start()
        cluster.filter = without(Proposal, "c", "d")
        cluster.submit(b"one")
        cluster.run(6_000)

    assert not caught(schedule)
    honest = BlockTree.commit

    def commit(self: BlockTree, target: Digest) -> tuple[CommittedBlock, ...] | None:
        committed = honest(self, target)
        return None if committed is None else committed[::-1]

    monkeypatch.setattr(BlockTree, "commit", commit)
    assert caught(schedule)


# --- the vote rule ------------------------------------------------------------------------------------


def votes_below_the_lock() -> list[Message]:
    """B2 on B1 is certified: B1 is committed somewhere. Everybody else gives round 2 up, and the Byzantine
    leader of round 3 extends the root in spite of the lock that its TC reports. Who votes for that?"""
    cluster = Cluster(config=config_of(idle_interval_ms=10**6))
    cluster.byzantine[3] = True
    cluster.start()
    b1 = block(1, payload=b"one")
    b2 = block(2, certify(b1))
    attack = block(3, ROOT, give_up(2, (1, 1, 1)), b"attack")
    votes: list[Message] = []

    def record(source: Node, target: Node, message: Message) -> bool:
        if isinstance(message, Vote) and message.block_id == attack.id:
            votes.append(message)
        return source.name == "d"

    cluster.filter = record
    for proposal in (propose(b1), propose(b2), propose(attack)):
        for name in "abc":
            cluster.send(cluster.node("d"), cluster.node(name).peer, proposal)
        cluster.run(20)
    return votes


def test_ignoring_the_timeout_certificate_in_the_vote_rule_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    assert votes_below_the_lock() == []

    def ignores_the_lock(made: Block) -> str | None:
        return None

    monkeypatch.setattr(safety, "extends_safely", ignores_the_lock)
    monkeypatch.setattr(core, "extends_safely", ignores_the_lock)
    voters = {vote.author for vote in votes_below_the_lock() if isinstance(vote, Vote)}
    assert voters == {0, 1, 2}, "a quorum certifies a block beside a committed one"
