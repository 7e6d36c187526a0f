"""Couriers carry what clusters hold of third ones: split views are found without a link, and convict."""

from dataclasses import replace

import pytest

from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.forks.views import Place, View
from node.anchoring.lanes import InboundBundle
from node.daemon.federation.ledgerside import BundleFault, LedgerSide
from node.ledger.codes import Code
from node.ledger.federation import queries
from node.ledger.federation.changes import VouchForHeader
from node.ledger.federation.watching import about_of, claim_of, places_of, seen_of
from tests.node.ledger.federation.cluster import Cluster, federate
from tests.node.ledger.federation.test_anchoring import next_epoch
from tests.node.ledger.federation.test_sharing import two

DAY_MS = 24 * 3_600_000


def named(*names: str) -> list[Cluster]:
    clusters = [Cluster(f"ports.{name}") for name in names]
    for cluster in clusters:
        cluster.put("port/first")
    return clusters


def other_branch(a: Cluster) -> Cluster:
    """A second history of `a`, both one height further."""
    other = a.branch()
    a.put("port/ours")
    other.put("port/theirs", b"other content")
    return other


def brought(at: Cluster, source: Cluster) -> InboundBundle:
    bundle = at.fetch(source)
    assert bundle is not None
    return bundle


def will_ask(here: Cluster, subject: Cluster, *holders: Cluster) -> None:
    """`here` asks each of these about the subject next: whom it asks about hangs on their tips."""
    for holder in holders:
        for _ in range(32):
            if subject.id in about_of(here.state, here.client(holder)):
                break
            holder.run()
            here.pull(holder)
        else:
            raise AssertionError(f"{holder.name} is never asked about {subject.name}")


def test_two_views_of_one_height_convict_at_once() -> None:
    a, b, c = named("alpha", "beta", "gamma")
    federate(a, b, c)
    fork = other_branch(a)
    b.pull(a)
    c.pull(fork)
    b.pull(c)
    assert b.status(a) is ClientStatus.FROZEN
    (evidence,) = queries.evidence(b.state, a.id)
    assert evidence.index == a.ledger.tip.height


def test_evidence_in_a_bundle_that_brings_nothing_else_freezes_all_the_same() -> None:
    """Another courier was faster with the tip and told none of its views."""
    a, b, c = named("alpha", "beta", "gamma")
    federate(a, b, c)
    fork = other_branch(a)
    b.pull(a)
    c.pull(fork)
    bundle = brought(b, c)
    assert b.run(b.bring(replace(bundle, views=(), places=())))[0].ok
    assert b.status(a) is ClientStatus.ACTIVE
    first, again = b.run(b.bring(bundle, node=1), b.bring(bundle, node=2))
    assert first.ok, first.explanation
    assert again.status == Code.NOTHING_NEW
    assert b.status(a) is ClientStatus.FROZEN
    assert len(queries.evidence(b.state, a.id)) == 1


def test_a_view_of_another_height_is_held_against_the_history_of_the_accused() -> None:
    a, b, c = named("alpha", "beta", "gamma")
    federate(a, b, c)
    fork = other_branch(a)
    c.pull(fork)
    a.put("port/second")
    b.pull(a)
    b.pull(c)
    claim = queries.claim(b.state, a.id)
    assert claim is not None
    assert (claim.seer, b.status(a)) == (c.id, ClientStatus.ACTIVE)
    assert places_of(b.state, b.client(a)) == (fork.ledger.tip.height,)
    a.put("port/third")
    bundle = brought(b, a)
    assert [place.height for place in bundle.places] == [fork.ledger.tip.height]
    (receipt,) = b.run(b.bring(bundle))
    assert receipt.ok, receipt.explanation
    assert b.status(a) is ClientStatus.FROZEN
    assert claim_of(b.state, a.id) is None


def test_clusters_without_a_direct_link_learn_of_a_split_view_by_the_evidence_between_them() -> None:
    """B and D were shown two histories of A and never met; C follows them both."""
    a, b, c, d = named("alpha", "beta", "gamma", "delta")
    federate(a, b)
    federate(a, d)
    federate(a, c)
    federate(b, c)
    federate(d, c)
    fork = other_branch(a)
    for holder, branch in ((b, a), (c, a), (d, fork)):
        holder.pull(branch)
    for _ in range(8):
        c.pull(d)
        d.run()
        b.run()
        c.run()
        b.pull(c)
        d.pull(c)
    assert [holder.status(a) for holder in (b, c, d)] == [ClientStatus.FROZEN] * 3
    ids = {evidence.id for holder in (b, c, d) for evidence in queries.evidence(holder.state, a.id)}
    assert len(ids) == 1


def test_what_all_were_shown_alike_is_confirmed_and_forgotten() -> None:
    a, b, c = named("alpha", "beta", "gamma")
    federate(a, b, c)
    c.pull(a)
    for number in range(4):
        a.put(f"port/{number}")
        b.pull(a)
        c.run()
        b.pull(c)
        c.pull(b)
    a.put("port/last")
    b.pull(a)
    assert claim_of(b.state, a.id) is None
    assert {b.status(a), b.status(c), c.status(a), c.status(b)} == {ClientStatus.ACTIVE}


def test_a_view_from_ahead_waits_for_the_history_to_come_there() -> None:
    a, b, c = named("alpha", "beta", "gamma")
    federate(a, b, c)
    b.pull(a)
    a.put("port/second")
    c.pull(a)
    b.pull(c)
    claim = claim_of(b.state, a.id)
    assert claim is not None
    assert claim.certified.header.height > b.client(a).last.height
    a.put("port/third")
    b.pull(a)
    assert claim_of(b.state, a.id) is None
    assert b.status(a) is ClientStatus.ACTIVE


def test_two_views_of_one_height_convict_while_a_claim_from_ahead_is_open() -> None:
    """Whoever forked leaves a claim without an answer; the next view of the other branch needs none."""
    a, b, c, d = named("alpha", "beta", "gamma", "delta")
    federate(a, b, c, d)
    will_ask(b, a, c, d)
    fork = other_branch(a)
    b.pull(a)
    d.pull(fork)
    fork.put("port/second")
    c.pull(fork)
    bundles = [brought(b, holder) for holder in (c, d)]
    views = [[view for view in bundle.views if view.anchor.subject == a.id] for bundle in bundles]
    for bundle, about in zip(bundles, views, strict=True):
        assert about, "nothing was told of alpha"
        b.run(b.bring(bundle))
    assert b.status(a) is ClientStatus.FROZEN


def test_two_claims_of_one_height_convict_whatever_we_hold() -> None:
    a, b, c, d = named("alpha", "beta", "gamma", "delta")
    federate(a, b, c, d)
    will_ask(b, a, c, d)
    b.pull(a)
    fork = other_branch(a)
    c.pull(fork)
    d.pull(a)
    b.pull(c)
    assert b.status(a) is ClientStatus.ACTIVE
    b.pull(d)
    assert b.status(a) is ClientStatus.FROZEN
    assert claim_of(b.state, a.id) is None
    (evidence,) = queries.evidence(b.state, a.id)
    assert evidence.index == fork.ledger.tip.height


def test_views_and_places_that_prove_nothing_are_passed_over() -> None:
    a, b, c = named("alpha", "beta", "gamma")
    federate(a, b, c)
    a.put("port/second")
    c.pull(a)
    bundle = brought(b, c)
    (view,) = bundle.views
    assert view.certified is not None
    junk = replace(view.certified.certificate, signatures=bytes(len(view.certified.certificate.signatures)))
    unsigned = replace(view, certified=replace(view.certified, certificate=junk))
    other = replace(view, anchor=replace(view.anchor, value=view.anchor.value[:-1] + b"\x02"))
    nonsense = View(view.anchor, None, b"no evidence")
    stranger = replace(view, anchor=replace(view.anchor, subject=b.id))
    before = b.client(a)
    (receipt,) = b.run(b.bring(replace(bundle, views=(unsigned, other, nonsense, stranger))))
    assert receipt.ok, receipt.explanation
    assert claim_of(b.state, a.id) is None
    assert b.client(a) == before
    b.pull(c)
    a.put("port/third")
    honest = brought(b, a)
    lying = tuple(Place(place.height, view.anchor.subject, place.path) for place in honest.places)
    (receipt,) = b.run(b.bring(replace(honest, places=lying)))
    assert receipt.ok, receipt.explanation
    assert b.status(a) is ClientStatus.ACTIVE


def test_a_silence_across_epochs_heals_by_what_other_couriers_brought() -> None:
    """Nobody acts by hand: C watched, B did not, and C's view is B's witness."""
    a, b, c = named("alpha", "beta", "gamma")
    federate(a, b, c)
    b.pull(a)
    for _ in range(4):
        a.run(after_ms=DAY_MS // 2)
        c.run(after_ms=DAY_MS // 2)
        c.pull(a)
    b.run(after_ms=2 * DAY_MS)
    next_epoch(a, 4)
    a.put("port/second")
    c.pull(a)
    assert (c.client(a).epoch, c.client(a).needs_others) == (1, False)
    a.put("port/third")
    assert a.id in about_of(b.state, b.client(c))
    b.pull(c)
    assert (b.status(a), b.status(c)) == (ClientStatus.STALE, ClientStatus.ACTIVE)
    refused = brought(b, a)
    assert refused.places
    assert not b.run(b.bring(replace(refused, places=())))[0].ok
    assert [seer for seer, _ in seen_of(b.state, a.id)] == [c.id]
    receipt = b.pull(a)
    assert receipt is not None
    assert receipt.ok, receipt.explanation
    assert (b.status(a), b.client(a).epoch) == (ClientStatus.ACTIVE, 1)
    assert not b.client(a).needs_others


def test_two_clusters_alone_ask_each_other_about_nobody() -> None:
    a, b = two()
    assert about_of(b.state, b.client(a)) == ()
    a.put("port/second")
    bundle = brought(b, a)
    assert (bundle.views, bundle.places) == ((), ())


def test_a_federation_that_was_off_for_days_watches_itself_again_before_its_next_epoch() -> None:
    """Everybody was silent for everybody, and healed by plain updates; then they compare."""
    clusters = a, b, _ = named("alpha", "beta", "gamma")
    federate(*clusters)
    for cluster in clusters:
        cluster.run(after_ms=3 * DAY_MS)
    for _ in range(4):
        for holder in clusters:
            for other in clusters:
                if holder is not other:
                    other.run()
                    holder.pull(other)
    for holder in clusters:
        for other in clusters:
            if holder is not other:
                assert holder.status(other) is ClientStatus.ACTIVE
                assert not holder.client(other).needs_others
    next_epoch(a, 4)
    a.put("port/second")
    receipt = b.pull(a)
    assert receipt is not None
    assert receipt.ok, receipt.explanation
    assert b.client(a).epoch == 1


def test_two_clusters_alone_cross_an_unwatched_epoch_once_operators_vouch_and_couriers_do_the_rest() -> None:
    a, b = two()
    b.pull(a)
    for cluster in (a, b):
        cluster.run(after_ms=3 * DAY_MS)
    next_epoch(a, 4)
    a.put("port/second")
    vouched = a.executions[-1].header
    refused = b.pull(a)
    assert refused is not None
    assert refused.status == Code.NEEDS_CORROBORATION
    assert b.govern(VouchForHeader(a.id, vouched.height, vouched.hash)).ok
    a.put("port/third")
    receipt = b.pull(a)
    assert receipt is not None
    assert receipt.ok, receipt.explanation
    assert (b.status(a), b.client(a).epoch) == (ClientStatus.ACTIVE, 1)


def test_a_courier_judges_an_unwatched_epoch_as_its_ledger_does() -> None:
    a, b = two()
    b.pull(a)
    for cluster in (a, b):
        cluster.run(after_ms=3 * DAY_MS)
    next_epoch(a, 4)
    a.put("port/second")
    side = LedgerSide(b.store, b.id)
    standing = side.standing(a.id)
    assert standing is not None
    with pytest.raises(BundleFault) as fault:
        side.check(standing, brought(b, a).encode(), b.now_ms)
    assert (fault.value.code, fault.value.is_blamed) == ("needs-approval", False)
    header = a.executions[-1].header
    assert b.govern(VouchForHeader(a.id, header.height, header.hash)).ok
    assert side.check(standing, brought(b, a).encode(), b.now_ms).bundle.update is not None
