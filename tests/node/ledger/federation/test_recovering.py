"""Clusters that learn of a fork in pieces, and of its recoveries in different orders, end alike."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from consensus import Digest, Epoch, PublicKey, Validator, ValidatorSet, bitmap_of
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.cluster.certified import Certified
from node.anchoring.forks.evidence import ForkEvidence, ForkKind, Statement
from node.anchoring.forks.recovery import RecoveredBy, RecoveryCertificate
from node.anchoring.forks.views import VIEW_EVIDENCE_BYTES_MAX
from node.ledger.codes import Code
from node.ledger.execution import Execution
from node.ledger.federation import convicting, queries
from node.ledger.federation.changes import ApproveRecovery
from node.ledger.receipts import Receipt
from tests.node.ledger.federation.cluster import Cluster, federate
from tests.node.ledger.federation.test_judging import accuse, recover
from tests.node.ledger.federation.test_sharing import shared

EVERYBODY = range(4)


class Island:
    """Cluster A with a fork, signed by whoever should be: each pair of signers' sets is other evidence."""

    def __init__(self, a: Cluster) -> None:
        self.a = a
        self.fork = a.branch()
        self.one = a.execute()
        request = self.fork.sign(self.fork.alice, "records", "request", ("port/x", bytes(32)))
        self.other = self.fork.execute(request)
        self.set = ValidatorSet(
            Epoch(0), tuple(Validator(a.key("consensus", n).public_key, 1) for n in EVERYBODY)
        )

    def certified(self, execution: Execution, signers: Sequence[int]) -> Certified:
        whole = self.a.certify(execution, [f"v{number}" for number in EVERYBODY])
        message = whole.certificate.digest(execution.header.cluster_id)
        joined = b"".join(self.a.key("consensus", number).sign(message) for number in signers)
        signed = replace(whole.certificate, signers=bitmap_of(signers, 4), signatures=joined)
        return Certified(execution.header, signed)

    def evidence(self, first: Sequence[int], second: Sequence[int]) -> ForkEvidence:
        both = Statement(self.certified(self.one, first)), Statement(self.certified(self.other, second))
        return ForkEvidence(ForkKind.TWO_HEADERS, self.one.header.height, (), *both)

    def recovery(
        self,
        successor: Cluster,
        accused: Sequence[int],
        signers: Sequence[int],
        by: RecoveredBy = RecoveredBy.VALIDATORS,
    ) -> RecoveryCertificate:
        """On A's own branch, for the incarnation of `successor`."""
        members, operators = (
            tuple(Validator(PublicKey(successor.key(label, n).public_key), 1) for n in EVERYBODY)
            for label in ("consensus", "operator")
        )
        proposed = RecoveryCertificate.proposed(
            self.a.certify(self.one, [f"v{number}" for number in EVERYBODY]),
            members,
            operators,
            by,
            accused=[self.set.validators[number].public_key for number in accused],
            convicted=self.set if accused else None,
            replaces=successor.ledger.tip.header.incarnation - 1,
            signers=bitmap_of(signers, 4),
        )
        label = "consensus" if by is RecoveredBy.VALIDATORS else "operator"
        joined = b"".join(self.a.key(label, number).sign(proposed.digest()) for number in signers)
        return replace(proposed, signatures=joined)


def apply(at: Cluster, recovery: RecoveryCertificate) -> Receipt:
    """Our operators approve, and a courier brings it."""
    cluster_id = Digest(recovery.base.header.cluster_id)
    approved = at.govern(ApproveRecovery(cluster_id, recovery.incarnation, recovery.digest()))
    assert approved.ok, approved.explanation
    return recover(at, recovery, None)


def standing(at: Cluster, a: Cluster) -> tuple[int, ClientStatus]:
    client = at.client(a)
    return client.incarnation, client.status


def gossip(*clusters: Cluster, rounds: int = 12) -> None:
    """Couriers between these, which bring views; blocks change the turns in which they are told."""
    for _ in range(rounds):
        for cluster in clusters:
            cluster.run()
        for cluster in clusters:
            for other in clusters:
                if other is not cluster:
                    cluster.pull(other)


def four() -> tuple[Cluster, ...]:
    clusters = tuple(Cluster(f"ports.{name}") for name in ("alpha", "beta", "gamma", "delta"))
    federate(*clusters)
    return clusters


def test_evidence_that_was_held_back_reaches_all_and_a_better_recovery_brings_them_together() -> None:
    a, b, c, d = four()
    island = Island(a)
    shown, kept_back = island.evidence((0, 1, 2), (1, 2, 3)), island.evidence((0, 2, 3), (0, 2, 3))
    first = island.recovery(a.recovered(1), (1, 2), (0, 3))
    for at in (b, c, d):
        assert accuse(at, shown).ok
    assert apply(b, first).ok
    assert standing(b, a) == (1, ClientStatus.ACTIVE)
    assert accuse(c, kept_back).ok
    assert apply(c, first).ok
    assert standing(c, a) == (1, ClientStatus.FROZEN)
    view = queries.cluster(c.state, a.id, c.now_ms)
    assert view is not None
    assert view.is_parked
    gossip(b, c, d)
    assert standing(b, a) == (1, ClientStatus.FROZEN)
    assert len(d.client(a).accused) == 4
    assert d.status(a) is ClientStatus.FROZEN
    assert apply(d, first).ok
    assert standing(d, a) == (1, ClientStatus.FROZEN)
    assert [b.client(a).anchor, c.client(a).anchor] == [d.client(a).anchor] * 2
    better = island.recovery(a.recovered(2), (0, 1, 2, 3), (0, 1, 3), RecoveredBy.OPERATORS)
    for at in (b, c, d):
        receipt = apply(at, better)
        assert receipt.ok, receipt.explanation
        assert standing(at, a) == (2, ClientStatus.ACTIVE)
        at.put("port/after")
        assert at.share("port/after", a).ok


def test_what_was_anchored_of_a_recovery_that_is_replaced_is_a_dropped_branch() -> None:
    a, b, c, _ = four()
    island = Island(a)
    evidence = island.evidence((0, 1, 2), (1, 2, 3))
    wrong, right = a.recovered(1), a.recovered(2)
    first = island.recovery(wrong, (1, 2), (0, 3))
    second = island.recovery(right, (1, 2), (0, 3))
    for at in (b, c):
        assert accuse(at, evidence).ok
    assert apply(b, first).ok
    wrong.put("port/wrong")
    assert wrong.share("port/wrong", b).ok
    delivered = b.pull(wrong)
    assert delivered is not None
    assert delivered.ok, delivered.explanation
    assert shared(b, a, "port/wrong") is not None
    assert b.client(a).last.incarnation == 1
    for at in (b, c):  # beta replaces what it had taken, gamma never took it
        receipt = apply(at, second)
        assert receipt.ok, receipt.explanation
    assert b.client(a).anchor == c.client(a).anchor
    (disputed,) = queries.disputes(b.state, b.id, a.id)
    assert [(item.sequence, item.incarnation) for item in disputed.disputes.listed] == [(1, 1)]
    assert not queries.disputes(c.state, c.id, a.id)
    right.put("port/right")
    for at in (b, c):
        assert right.share("port/right", at).ok
    for at in (b, c):
        delivered = at.pull(right)
        assert delivered is not None
        assert delivered.ok, delivered.explanation
        assert shared(at, a, "port/right") is not None
        at.put("port/answer")
        assert at.share("port/answer", a).ok
        assert right.pull(at) is not None
    assert standing(b, a) == standing(c, a) == (2, ClientStatus.ACTIVE)
    wrong.put("port/later")
    assert b.fetch(wrong) is None
    assert b.govern(ApproveRecovery(a.id, 2, first.digest())).status == Code.RECOVERY_REFUSED


def test_evidence_goes_round_until_everybody_accuses_the_same() -> None:
    a, b, c, d = four()
    island = Island(a)
    pieces = [
        island.evidence((0, 1, 2), (1, 2, 3)),
        island.evidence((0, 2, 3), (0, 1, 2)),
        island.evidence((0, 1, 3), (1, 2, 3)),
    ]
    for at, piece in zip((b, c, d), pieces, strict=True):
        assert accuse(at, piece).ok
    gossip(b, c, d)
    assert [at.client(a).accused for at in (b, c)] == [d.client(a).accused] * 2
    assert len(b.client(a).accused) == 4
    kept = len(queries.evidence(b.state, a.id))
    gossip(b, c, d, rounds=2)
    assert len(queries.evidence(b.state, a.id)) == kept <= 3


def test_what_matters_less_makes_room_for_what_matters_more(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, _, _ = four()
    island = Island(a)
    monkeypatch.setattr(convicting, "EVIDENCE_KEPT_MAX", 1)
    first, second = island.evidence((0, 1, 2), (1, 2, 3)), island.evidence((0, 2, 3), (0, 2, 3))
    assert len(first.encode()) < VIEW_EVIDENCE_BYTES_MAX
    assert accuse(b, first).ok
    assert accuse(b, second).ok
    assert [kept.id for kept in queries.evidence(b.state, a.id)] == [first.id]
    assert len(b.client(a).accused) == 4
    # What convicts the incarnation that a recovery began pushes out what convicted the one before.
    going_on = a.recovered(1)
    assert apply(b, island.recovery(going_on, (0, 1, 2, 3), (0, 1, 2), RecoveredBy.OPERATORS)).ok
    again = Island(going_on).evidence((0, 1, 2), (1, 2, 3))
    assert accuse(b, again).ok
    assert [kept.id for kept in queries.evidence(b.state, a.id)] == [again.id]
    assert standing(b, a) == (1, ClientStatus.FROZEN)


@pytest.mark.parametrize("seed", range(3))
def test_in_whatever_order_clusters_are_told_they_come_to_one_view(seed: int) -> None:
    """Two holders are shown the fork, one of them also what was held back; recoveries are approved in any
    order, with couriers' rounds between. What a ledger refuses for now is brought again later."""
    chance = Random(seed)
    a, b, c, d = four()
    island = Island(a)
    shown, kept_back = island.evidence((0, 1, 2), (1, 2, 3)), island.evidence((0, 2, 3), (0, 2, 3))
    first = island.recovery(a.recovered(1), (1, 2), (0, 3))
    better = island.recovery(a.recovered(2), (0, 1, 2, 3), (0, 1, 3), RecoveredBy.OPERATORS)
    holders = (b, c, d)
    told = [(at, shown) for at in holders] + [(chance.choice(holders), kept_back)]
    for ends, recoveries in (((1, ClientStatus.FROZEN), (first,)), ((2, ClientStatus.ACTIVE), (better,))):
        waiting: list[tuple[Cluster, ForkEvidence | RecoveryCertificate]] = [*told]
        waiting += [(at, recovery) for at in holders for recovery in recoveries]
        chance.shuffle(waiting)
        for _ in range(40):
            if not waiting:
                break
            at, item = waiting.pop(0)
            if isinstance(item, ForkEvidence):
                accuse(at, item)
            elif not apply(at, item).ok:
                waiting.append((at, item))
            gossip(*chance.sample(holders, 2), rounds=1)
        assert not waiting
        gossip(*holders, rounds=12)
        assert [standing(at, a) for at in holders] == [ends] * 3
        assert len({at.client(a).anchor for at in holders}) == 1
        told = []
