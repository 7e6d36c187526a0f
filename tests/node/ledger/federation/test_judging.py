"""A cluster that certifies two histories is stopped everywhere, and comes back by an approved recovery."""

from dataclasses import replace

import pytest

from consensus import Digest, Epoch, PublicKey, Validator, ValidatorSet, Value
from node.anchoring.bundles.verification import check_evidence
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.forks.evidence import EvidenceFile, ForkEvidence, ForkKind, Statement
from node.anchoring.forks.recovery import RecoveredBy, RecoveryCertificate
from node.anchoring.lanes import CommonPrefix, Result
from node.anchoring.lanes.outbox import prove_common, prove_log
from node.ledger.codes import Code
from node.ledger.execution import Execution
from node.ledger.federation import queries, serving
from node.ledger.federation.changes import ApproveRecovery, RetireCluster
from node.ledger.federation.tables import StoredOutbox
from node.ledger.receipts import Receipt
from node.proofs import rfc6962
from tests.node.ledger.federation.cluster import Cluster, federate, key_of, settle
from tests.node.ledger.federation.test_anchoring import next_epoch
from tests.node.ledger.federation.test_sharing import outcome, shared, two


def evidence_of(one: Execution, other: Execution, cluster: Cluster) -> ForkEvidence:
    names = [f"v{number}" for number in range(4)]
    return ForkEvidence(
        ForkKind.TWO_HEADERS,
        one.header.height,
        (),
        Statement(cluster.certify(one, names)),
        Statement(cluster.certify(other, names)),
    )


def forked(a: Cluster) -> tuple[Cluster, ForkEvidence]:
    """Another branch of `a`, one height further on both, and the evidence."""
    other = a.branch()
    one = a.execute()
    two_ = other.execute(other.sign(other.alice, "records", "request", ("port/x", bytes(32))))
    return other, evidence_of(one, two_, a)


def accuse(at: Cluster, evidence: ForkEvidence) -> Receipt:
    return at.run(at.sign(at.alice, "federation", "accuse", (evidence.encode(),)))[0]


def test_evidence_freezes_and_nothing_passes_any_more() -> None:
    a, b = two()
    a.put("port/manifest")
    a.share("port/manifest", b)
    waiting = b.fetch(a)
    _, evidence = forked(a)
    receipt = accuse(b, evidence)
    assert receipt.ok, receipt.explanation
    assert b.status(a) is ClientStatus.FROZEN
    assert waiting is not None
    (refused,) = b.run(b.bring(waiting))
    assert refused.status == Code.CLUSTER_NOT_ACTIVE
    assert shared(b, a, "port/manifest") is None
    b.put("port/answer")
    assert b.share("port/answer", a).status == Code.CLUSTER_NOT_ACTIVE
    view = queries.cluster(b.state, a.id, b.now_ms)
    assert view is not None
    assert view.is_parked


def test_evidence_is_kept_and_convicts_offline() -> None:
    a, b = two()
    _, evidence = forked(a)
    assert accuse(b, evidence).ok
    (kept,) = queries.evidence(b.state, a.id)
    body = queries.genesis_body(b.state, a.id)
    assert body is not None
    *_, verdict = check_evidence(EvidenceFile(body, kept).encode(), a.id)
    assert len(verdict.accused) == 3
    again = accuse(b, evidence)
    assert again.status == Code.NOTHING_NEW
    assert len(queries.evidence(b.state, a.id)) == 1


def test_what_proves_nothing_freezes_nobody() -> None:
    a, b = two()
    one = a.execute()
    same = evidence_of(one, one, a)
    assert accuse(b, same).status == Code.EVIDENCE_REFUSED
    _, evidence = forked(a)
    first = evidence.first.certified
    broken = replace(first.certificate, signatures=bytes(len(first.certificate.signatures)))
    forged = replace(evidence, first=Statement(replace(first, certificate=broken)))
    assert accuse(b, forged).status == Code.EVIDENCE_REFUSED
    assert b.status(a) is ClientStatus.ACTIVE
    stranger = Cluster("ports.stranger")
    _, foreign = forked(stranger)
    assert accuse(b, foreign).status == Code.CLUSTER_UNKNOWN
    sender = key_of("nobody", "x")
    (receipt,) = b.run(b.sign(sender, "federation", "accuse", (evidence.encode(),)))
    assert receipt.status == Code.UNKNOWN_SENDER


def recovery_of(base: Cluster, execution: Execution) -> tuple[RecoveryCertificate, dict[int, object]]:
    """The operators of a cluster whose validators are convicted begin anew with fresh keys."""
    fresh = {number: key_of(base.name, f"fresh {number}") for number in range(4)}
    validators = tuple(Validator(PublicKey(key.public_key), 1) for key in fresh.values())
    operators = tuple(Validator(base.key("operator", number).public_key, 1) for number in range(4))
    certified = base.certify(execution, [f"v{number}" for number in range(4)])
    guilty = tuple(Validator(base.key("consensus", number).public_key, 1) for number in range(4))
    proposed = RecoveryCertificate.proposed(
        certified,
        validators,
        operators,
        RecoveredBy.OPERATORS,
        accused=[each.public_key for each in guilty[:3]],
        convicted=ValidatorSet(Epoch(0), guilty),
    )
    signatures = [base.key("operator", number).sign(proposed.digest()) for number in range(3)]
    return replace(proposed, signers=bytes((0b0111,)), signatures=b"".join(signatures)), dict(fresh)


def recover(at: Cluster, recovery: RecoveryCertificate, prefix: CommonPrefix | None) -> Receipt:
    args = (recovery.encode(), None if prefix is None else prefix.encode())
    return at.run(at.sign(at.key("node"), "federation", "recover", args))[0]


def test_a_recovery_needs_our_operators_and_ends_the_freeze_once() -> None:
    a, b = two()
    a.put("port/manifest")
    a.share("port/manifest", b)
    settle(a, b, rounds=2)
    _, evidence = forked(a)
    assert accuse(b, evidence).ok
    base = a.executions[-1]
    recovery, _ = recovery_of(a, base)
    assert recover(b, recovery, None).status == Code.RECOVERY_NOT_APPROVED
    assert b.govern(ApproveRecovery(a.id, 1, recovery.digest())).ok
    other = replace(recovery, signers=b"\x03")
    assert recover(b, other, None).status == Code.RECOVERY_REFUSED
    receipt = recover(b, recovery, None)
    assert receipt.ok, receipt.explanation
    assert b.status(a) is ClientStatus.ACTIVE
    assert b.client(a).incarnation == 1
    assert recover(b, recovery, None).status == Code.RECOVERY_NOT_APPROVED
    assert b.govern(ApproveRecovery(a.id, 1, recovery.digest())).status == Code.RECOVERY_REFUSED
    b.put("port/after")
    assert b.share("port/after", a).ok


def test_what_both_branches_said_is_not_disputed() -> None:
    a, b = two()
    a.put("port/manifest")
    a.share("port/manifest", b)
    settle(a, b, rounds=2)
    dropped = prove_log(StoredOutbox(a.reader), b.id)
    assert dropped is not None
    tip = a.executions[-1]
    branch = a.branch()
    assert branch.share("port/manifest", b).ok
    b.pull(branch)
    _, evidence = branch, evidence_of(branch.executions[-1], a.execute(), a)
    assert accuse(b, evidence).ok
    held = prove_log(StoredOutbox(branch.reader), b.id)
    assert held is not None
    assert held.size == dropped.size + 1
    ours, theirs = StoredOutbox(a.reader), StoredOutbox(branch.reader)
    prefix = prove_common(ours, theirs, b.id, dropped.size, held.size)
    assert prefix is not None
    recovery, _ = recovery_of(a, tip)
    assert b.govern(ApproveRecovery(a.id, 1, recovery.digest())).ok
    lying = replace(prefix, size=held.size, root=held.root)
    assert recover(b, recovery, lying).status == Code.PROOF_REFUSED
    receipt = recover(b, recovery, prefix)
    assert receipt.ok, receipt.explanation
    assert receipt.result == (1, dropped.size)
    (disputed,) = queries.disputes(b.state, b.id, a.id)
    assert disputed.is_incoming
    assert [item.sequence for item in disputed.disputes.listed] == [2]


def test_a_retired_cluster_is_over_for_ever() -> None:
    a, b = two()
    b.put("port/manifest")
    b.share("port/manifest", a)
    assert b.govern(RetireCluster(a.id)).ok
    assert b.status(a) is ClientStatus.RETIRED
    settle(a, b, rounds=2)
    assert outcome(b, a, "port/manifest").result is None
    assert b.govern(RetireCluster(a.id)).status == Code.NO_CHANGE
    assert b.admit(a).status == Code.CLUSTER_KNOWN
    bundle = b.fetch(a)
    assert bundle is not None
    assert b.run(b.bring(bundle))[0].status == Code.CLUSTER_NOT_ACTIVE
    _, evidence = forked(a)
    assert accuse(b, evidence).status == Code.CLUSTER_NOT_ACTIVE


def test_three_clusters_freeze_by_the_same_evidence_and_their_anchors_say_so() -> None:
    clusters = a, b, c = Cluster("ports.alpha"), Cluster("ports.beta"), Cluster("ports.gamma")
    federate(*clusters)
    settle(*clusters, rounds=1)
    _, evidence = forked(a)
    before = c.executions[-1].header.anchors_root
    for at in (b, c):
        assert accuse(at, evidence).ok
        assert at.status(a) is ClientStatus.FROZEN
    assert c.executions[-1].header.anchors_root != before


@pytest.mark.parametrize("result", [Result.OK])
def test_messages_between_the_others_go_on(result: Result) -> None:
    clusters = a, b, c = Cluster("ports.alpha"), Cluster("ports.beta"), Cluster("ports.gamma")
    federate(*clusters)
    _, evidence = forked(a)
    for at in (b, c):
        accuse(at, evidence)
    b.put("port/manifest")
    assert b.share("port/manifest", c).ok
    settle(b, c, rounds=2)
    assert outcome(b, c, "port/manifest").result is result


def test_evidence_of_an_epoch_that_is_over_needs_another_clusters_view_of_the_other_branch() -> None:
    clusters = a, b, c = Cluster("ports.alpha"), Cluster("ports.beta"), Cluster("ports.gamma")
    federate(*clusters)
    fork = a.branch()
    one = a.execute()
    two_ = fork.execute(fork.sign(fork.alice, "records", "request", ("port/x", bytes(32))))
    evidence = evidence_of(one, two_, a)
    next_epoch(a, 4)
    a.run()
    b.pull(a)
    assert b.client(a).epoch == 1
    assert accuse(b, evidence).status == Code.EVIDENCE_REFUSED
    c.pull(fork)
    b.pull(c)
    view = serving.anchor(c.reader, a.id)
    assert view is not None
    index = one.header.height
    our_path = serving.history_path(a.reader, index, b.client(a).last.height)
    their_path = serving.history_path(fork.reader, index, c.client(fork).last.height)

    def accused(seer: Digest, theirs: tuple[bytes, ...], second: int) -> Receipt:
        other = (seer, view.to_value(), theirs, our_path, None, second)
        return b.run(b.sign(b.alice, "federation", "accuse", (evidence.encode(), other)))[0]

    for wrong in ((a.id, their_path, 0), (c.id, (bytes(32),), 0), (c.id, their_path, 1)):
        assert accused(*wrong).status == Code.EVIDENCE_REFUSED
    assert b.status(a) is ClientStatus.ACTIVE
    receipt = accused(c.id, their_path, 0)
    assert receipt.ok, receipt.explanation
    assert b.status(a) is ClientStatus.FROZEN


def stopped_at(a: Cluster, height: int, replaces: int = 0) -> RecoveryCertificate:
    """Its validators, of whom nobody is accused, begin anew on the header of this height."""
    base = next(execution for execution in a.executions if execution.header.height == height)
    fresh = [key_of(a.name, f"fresh {number} {replaces}") for number in range(4)]
    proposed = RecoveryCertificate.proposed(
        a.certify(base, [f"v{number}" for number in range(4)]),
        tuple(Validator(key.public_key, 1) for key in fresh),
        tuple(Validator(a.key("operator", number).public_key, 1) for number in range(4)),
        RecoveredBy.VALIDATORS,
        replaces=replaces,
        signers=b"\x07",
    )
    signatures = [a.key("consensus", number).sign(proposed.digest()) for number in range(3)]
    return replace(proposed, signatures=b"".join(signatures))


def test_a_cluster_that_merely_stopped_recovers_without_a_dispute() -> None:
    a, b = two()
    a.put("port/manifest")
    a.share("port/manifest", b)
    settle(a, b, rounds=2)
    b.pull(a)
    recovery = stopped_at(a, b.client(a).last.height)
    assert b.govern(ApproveRecovery(a.id, 1, recovery.digest())).ok
    receipt = recover(b, recovery, None)
    assert receipt.ok, receipt.explanation
    assert receipt.result == (1, None)
    assert not queries.disputes(b.state, b.id, a.id)
    assert b.status(a) is ClientStatus.ACTIVE


def test_a_replacement_on_a_higher_header_comes_with_the_path_to_what_it_replaces() -> None:
    """Nobody is convicted: without the path, what we anchored might be dropped."""
    a, b = two()
    settle(a, b, rounds=2)
    b.pull(a)
    held = b.client(a).last.height
    a.run()
    first, second = stopped_at(a, held), stopped_at(a, held + 1, replaces=1)
    assert b.govern(ApproveRecovery(a.id, 1, first.digest())).ok
    assert recover(b, first, None).ok
    assert b.govern(ApproveRecovery(a.id, 2, second.digest())).ok
    headers = [a.genesis.beginning().tip.header, *(execution.header for execution in a.executions)]
    leaves = [rfc6962.leaf_hash(header.hash) for header in headers[: held + 1]]

    def brought(*path: Value) -> Receipt:
        args = (second.encode(), None, *path)
        return b.run(b.sign(b.key("node"), "federation", "recover", args))[0]

    assert brought().status == brought(()).status == Code.RECOVERY_REFUSED
    assert brought((b"short",)).status == brought((), ()).status == Code.INVALID_ARGUMENTS
    receipt = brought(rfc6962.inclusion_path(leaves, held))
    assert receipt.ok, receipt.explanation
    assert (b.client(a).incarnation, b.client(a).last.height) == (2, held + 1)
