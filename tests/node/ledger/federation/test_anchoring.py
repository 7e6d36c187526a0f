"""Light clients in the ledger: what anchors, what grows stale and heals, what each wrong bundle comes to."""

from dataclasses import replace

import pytest

from consensus import Digest, Epoch
from node.anchoring.client.lightclient import Update
from node.anchoring.cluster.anchors import Anchor, AnchorProof, ClientStatus
from node.anchoring.lanes import InboundBundle
from node.anchoring.lanes.inbound import BundledLeaf
from node.ledger.codes import Code
from node.ledger.federation import queries, serving
from node.ledger.federation.changes import SetFederation, VouchForHeader
from node.ledger.federation.delivering import Seen
from node.ledger.federation.records import FederationParams
from node.ledger.federation.tables import anchor_nodes
from node.ledger.governance.changes import AddValidator, RemoveValidator, RotateKeys
from node.ledger.governance.proposals import ready_digest
from node.proofs import smt
from tests.node.ledger.federation.cluster import Cluster, federate, key_of, settle
from tests.node.ledger.federation.test_sharing import outcome, shared, two
from tests.node.ledger.world import CREATED_MS

DAY_MS = 24 * 3_600_000


def next_epoch(cluster: Cluster, number: int) -> None:
    """Validator v<number> joins, ready at once: the epoch ends."""
    change = AddValidator(cluster.record(number))
    (receipt,) = cluster.run(
        cluster.sign(cluster.key("operator", 0), "governance", "propose", ((change.to_value(),), 1))
    )
    assert receipt.ok, receipt.explanation
    proposal_id = receipt.result[0]  # type: ignore[index]  # a tuple
    header = cluster.executions[-1].header
    signed = ready_digest(cluster.id, proposal_id, header.height, header.hash)  # type: ignore[arg-type]  # bytes
    key = cluster.key("consensus", number)
    proof = (proposal_id, key.public_key, header.height, header.hash, key.sign(signed))
    cluster.run(cluster.sign(cluster.key("operator", 0), "governance", "ready", proof))
    epoch, voter = cluster.ledger.epoch, 1
    while cluster.ledger.epoch == epoch:
        cluster.run(cluster.sign(cluster.key("operator", voter), "governance", "approve", (proposal_id,)))
        voter += 1


def opened(bundle: InboundBundle | None) -> tuple[InboundBundle, Update]:
    assert bundle is not None
    assert bundle.update is not None
    return bundle, Update.decode(bundle.update)


def test_a_bundle_crosses_epochs_by_their_links_one_by_one() -> None:
    a, b = two()
    a.put("port/manifest")
    next_epoch(a, 4)
    next_epoch(a, 5)
    a.share("port/manifest", b)
    _, update = opened(b.fetch(a))
    assert [link.ending.header.epoch for link in update.links] == [0, 1]
    receipt = b.pull(a)
    assert receipt is not None
    assert receipt.ok, receipt.explanation
    assert b.client(a).epoch == 2
    assert len(b.client(a).validators) == 6
    assert shared(b, a, "port/manifest") is not None
    a.pull(b)
    assert outcome(a, b, "port/manifest").result is not None


def test_a_tip_that_ended_its_epoch_is_the_first_link() -> None:
    a, b = two()
    next_epoch(a, 4)
    b.pull(a)
    assert b.client(a).last.next_validators_hash is not None
    a.put("port/manifest")
    receipt = b.pull(a)
    assert receipt is not None
    assert receipt.ok, receipt.explanation
    assert b.client(a).epoch == 1


def test_many_epochs_come_in_as_many_bundles_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = two()
    a.put("port/manifest")
    for number in range(4, 8):
        next_epoch(a, number)
    a.share("port/manifest", b)
    monkeypatch.setattr("node.ledger.federation.serving._PROOFS_BYTES", 47 * 1024)
    epochs = []
    while b.client(a).last.height < a.ledger.tip.height:
        receipt = b.pull(a)
        assert receipt is not None
        assert receipt.ok, receipt.explanation
        epochs.append(b.client(a).epoch)
    assert len(epochs) > 1
    assert epochs == sorted(epochs)
    assert shared(b, a, "port/manifest") is not None


# --- stale, and back -----------------------------------------------------------------------------------


def test_a_silent_cluster_grows_stale_by_block_time_and_the_header_says_so() -> None:
    a, b = two()
    root = b.executions[-1].header.anchors_root
    b.run(after_ms=DAY_MS - 10_000)
    assert b.executions[-1].header.anchors_root == root
    b.run(after_ms=20_000)
    assert b.executions[-1].header.anchors_root != root
    assert stored_anchor(b, a).status is ClientStatus.STALE
    b.put("port/manifest")
    assert b.share("port/manifest", a).status == Code.CLUSTER_NOT_ACTIVE
    a.run(after_ms=DAY_MS)
    b.pull(a)
    assert stored_anchor(b, a).status is ClientStatus.ACTIVE
    assert b.share("port/manifest", a).ok


def stored_anchor(at: Cluster, of: Cluster) -> Anchor:
    """The view under the tip's anchors root, proven."""
    anchor = queries.cluster(at.state, of.id, 0)
    assert anchor is not None
    value = anchor.client.anchor.encode()
    proof = smt.prove(anchor_nodes(at.reader), of.id)
    smt.verify_presence(at.executions[-1].header.anchors_root, of.id, value, proof)
    return Anchor.decode(value)


def test_a_restart_grows_stale_at_the_same_block() -> None:
    a, b = two()
    other = b.branch()
    other.restart()
    for cluster in (b, other):
        cluster.run(after_ms=DAY_MS + 60_000)
    assert b.executions[-1].header == other.executions[-1].header
    assert stored_anchor(b, a).status is ClientStatus.STALE


def old_newcomer() -> tuple[Cluster, Cluster, Cluster]:
    """A and B follow each other; C, two days old and in its second epoch, is admitted by both."""
    a, b = Cluster("ports.alpha"), Cluster("ports.beta")
    c = Cluster("ports.gamma", created_ms=CREATED_MS - 2 * DAY_MS)
    next_epoch(c, 4)
    c.run(after_ms=2 * DAY_MS)
    federate(a, b, c)
    settle(a, b, rounds=1)
    return a, b, c


def test_epochs_that_nobody_watched_need_witnesses_or_operators() -> None:
    a, b, c = old_newcomer()
    assert a.status(c) is ClientStatus.STALE
    bundle, update = opened(a.fetch(c))
    (refused,) = a.run(a.bring(bundle))
    assert refused.status == Code.NEEDS_CORROBORATION
    header = update.certified.header
    assert a.govern(VouchForHeader(c.id, header.height, header.hash)).ok
    (taken,) = a.run(a.bring(bundle, (), ()))
    assert taken.ok, taken.explanation
    assert a.status(c) is ClientStatus.ACTIVE
    # A's view is what B needs: here brought by hand, see test_watching for couriers.
    without = b.fetch(a)
    assert without is not None
    assert b.run(b.bring(replace(without, views=())))[0].ok
    bundle, update = opened(b.fetch(c))
    assert b.run(b.bring(bundle))[0].status == Code.NEEDS_CORROBORATION
    view = serving.anchor(a.reader, c.id)
    assert view is not None
    path = serving.history_path(c.reader, a.client(c).last.height, update.certified.header.height)
    seen = Seen(a.id, view, path)
    (taken,) = b.run(b.bring(bundle, (seen.to_value(),), None))
    assert taken.ok, taken.explanation
    assert b.status(c) is ClientStatus.ACTIVE


def test_a_witness_that_is_nobody_or_sees_something_else_is_none() -> None:
    a, b, c = old_newcomer()
    bundle, _ = opened(b.fetch(c))
    view = AnchorProof(c.id, a.client(c).anchor.encode(), smt.prove(anchor_nodes(a.reader), c.id))
    for seer in (a.id, c.id, Digest(bytes(32))):
        (refused,) = b.run(b.bring(bundle, (Seen(seer, view, ()).to_value(),), None))
        assert refused.status == Code.NEEDS_CORROBORATION
    (refused,) = b.run(b.bring(bundle, (), ()))
    assert refused.status == Code.NEEDS_CORROBORATION


def test_parameters_of_the_federation_take_effect_at_once() -> None:
    a, b = two()
    assert b.govern(SetFederation(FederationParams(1, 10_000, 60_000))).ok
    b.run(after_ms=120_000)
    assert b.status(a) is ClientStatus.STALE
    assert queries.parameters(b.state).heartbeat_ms == 10_000


# --- bad input -----------------------------------------------------------------------------------------


def test_a_replayed_bundle_is_nothing_new_and_writes_nothing() -> None:
    a, b = two()
    a.put("port/manifest")
    a.share("port/manifest", b)
    bundle = b.fetch(a)
    assert bundle is not None
    assert b.run(b.bring(bundle))[0].ok
    before = b.executions[-1].header
    (again,) = b.run(b.bring(bundle))
    assert again.status == Code.NOTHING_NEW
    after = b.executions[-1].header
    assert (after.anchors_root, after.outbox_root) == (before.anchors_root, before.outbox_root)


def test_several_couriers_in_one_block_bring_each_thing_once() -> None:
    a, b = two()
    a.put("port/manifest")
    a.share("port/manifest", b)
    bundle = b.fetch(a)
    assert bundle is not None
    receipts = b.run(*(b.bring(bundle, node=number) for number in range(4)))
    assert [receipt.status for receipt in receipts] == [Code.OK, *[Code.NOTHING_NEW] * 3]
    a.pull(b)
    (lane,) = queries.lanes(a.state, a.id, b.id)
    assert lane.acked == 1


def test_who_is_no_validators_node_brings_nothing() -> None:
    a, b = two()
    a.put("port/manifest")
    bundle = b.fetch(a)
    assert bundle is not None
    for key in (b.alice, b.key("operator"), b.key("consensus"), key_of("x", "stranger")):
        (receipt,) = b.run(b.sign(key, "federation", "deliver", (bundle.encode(),)))
        assert receipt.status == Code.NOT_COURIER
    assert b.ledger.knows(b.key("node").public_key)
    assert not b.ledger.knows(b.key("consensus").public_key)


def test_an_unknown_cluster_a_wrong_genesis_and_a_name_that_is_taken_are_refused() -> None:
    a, b = two()
    stranger = Cluster("ports.stranger")
    stranger.run()
    bundle, _ = opened(b.fetch(a)) if a.put("port/x").ok else (None, None)
    foreign = replace(bundle, source=stranger.id)  # type: ignore[type-var]  # a bundle
    assert b.run(b.bring(foreign))[0].status == Code.CLUSTER_UNKNOWN  # type: ignore[arg-type]  # as above
    assert b.admit(b).status == Code.GENESIS_REFUSED
    assert b.admit(a).status == Code.CLUSTER_KNOWN
    double = Cluster("ports.alpha", count=3)
    refused = b.admit(double)
    assert refused.status == Code.NAME_TAKEN
    assert a.id.hex() in str(refused.result)
    assert double.id.hex() in str(refused.result)
    body = (8, b"no genesis", ())
    (receipt,) = b.run(b.sign(b.key("operator"), "governance", "propose", ((body,), 0)))
    assert receipt.status == Code.INVALID_ARGUMENTS


def test_each_damage_to_an_update_has_its_code() -> None:
    a, b = two()
    a.put("port/manifest")
    next_epoch(a, 4)
    next_epoch(a, 5)
    a.share("port/manifest", b)
    bundle, update = opened(b.fetch(a))
    certificate = update.certified.certificate
    damaged = {
        Code.HEADER_REFUSED: [
            replace(update, certified=replace(update.certified, certificate=replace(certificate, **fields)))
            for fields in (
                {"signatures": bytes(len(certificate.signatures))},
                {"epoch": Epoch(1)},
                {"signatures": certificate.signatures[:-64]},
            )
        ],
        Code.LINK_REFUSED: [
            replace(update, links=update.links[::-1]),
            replace(
                update,
                links=(update.links[0], replace(update.links[1], validators=update.links[0].validators)),
            ),
        ],
        Code.NOT_CONSISTENT: [
            replace(update, consistency_path=update.consistency_path[::-1]),
            replace(update, consistency_path=()),
            replace(update, tip_path=update.tip_path[::-1]),
        ],
    }
    for code, updates in damaged.items():
        for wrong in updates:
            (receipt,) = b.run(b.bring(replace(bundle, update=wrong.encode())))
            assert receipt.status == code, (code, receipt.explanation)
    skipped = replace(update, links=update.links[1:])
    (receipt,) = b.run(b.bring(replace(bundle, update=skipped.encode())))
    assert receipt.status == Code.HEADER_REFUSED
    truncated = b.sign(b.key("node"), "federation", "deliver", (bundle.encode()[:-1],))
    assert b.run(truncated)[0].status == Code.INVALID_ARGUMENTS
    assert b.run(b.bring(bundle))[0].ok


def test_a_set_that_is_over_certifies_nothing_more() -> None:
    a, b = two()
    fork = a.branch()
    next_epoch(a, 4)
    b.pull(a)
    a.run()
    b.pull(a)
    while fork.ledger.tip.height <= a.ledger.tip.height:
        fork.run()
    bundle, update = opened(b.fetch(a)) if a.run() == () else (None, None)
    assert bundle is not None
    old = fork.certify(fork.executions[-1], [f"v{number}" for number in range(4)])
    forged = replace(update, certified=old)  # type: ignore[type-var]  # an update
    (receipt,) = b.run(b.bring(replace(bundle, update=forged.encode())))  # type: ignore[attr-defined]  # as above
    assert receipt.status in (Code.NOT_CONSISTENT, Code.HEADER_REFUSED)
    assert b.status(a) is ClientStatus.ACTIVE


def test_a_forged_leaf_is_passed_over_and_the_anchor_stands() -> None:
    a, b = two()
    a.put("port/manifest")
    a.share("port/manifest", b)
    bundle, _ = opened(b.fetch(a))
    (leaf,) = bundle.leaves
    forged = replace(bundle, leaves=(BundledLeaf(leaf.index, leaf.leaf[:-1] + b"\x01", leaf.path),))
    (receipt,) = b.run(b.bring(forged))
    assert receipt.ok
    assert receipt.result[2][0][1] in ("proof-failed", "malformed-leaf")  # type: ignore[index]  # a tuple
    only = replace(bundle, update=None, leaves=forged.leaves)
    (receipt,) = b.run(b.bring(only))
    assert receipt.status in (Code.PROOF_REFUSED, Code.LANE_REFUSED)
    assert b.run(b.bring(replace(bundle, update=None)))[0].ok


def test_deadlines_are_in_the_future_and_not_too_far() -> None:
    a, b = two()
    a.put("port/manifest")
    for lasting_ms in (-1_000, 8 * DAY_MS):
        assert a.share("port/manifest", b, lasting_ms=lasting_ms).status == Code.DEADLINE_REFUSED
    args = ("port/manifest", b.id, 2**62)
    (receipt,) = a.run(a.sign(a.alice, "records", "share", args))
    assert receipt.status == Code.INVALID_ARGUMENTS


def test_sending_without_leave_or_beyond_the_window_is_refused() -> None:
    a, b = Cluster("ports.alpha"), Cluster("ports.beta")
    a.admit(b)
    b.admit(a)
    a.put("port/manifest")
    assert a.share("port/manifest", b).status == Code.LANE_FORBIDDEN
    stranger = Cluster("ports.stranger")
    assert a.share("port/manifest", stranger).status == Code.CLUSTER_NOT_ACTIVE
    a, b = two()
    a.put("port/manifest")
    receipts = a.run(*(a.signed_share("port/manifest", b) for _ in range(257)))
    assert [receipt.status for receipt in receipts] == [*[Code.OK] * 256, Code.LANE_FULL]


def test_names_lead_to_admitted_clusters_only() -> None:
    a, b = two()
    found = queries.resolve(b.state, "ports.alpha/records/port/manifest")
    assert found is not None
    assert (found.cluster_id, found.app, found.resource) == (a.id, "records", "port/manifest")
    assert queries.resolve(b.state, "ports.nobody/records") is None


def test_a_validator_that_left_is_no_courier_any_more() -> None:
    a, b = two()
    a.put("port/manifest")
    assert b.govern(RemoveValidator("v3"), sweeping=True).ok
    bundle = b.fetch(a)
    assert bundle is not None
    assert b.run(b.bring(bundle, node=3))[0].status == Code.NOT_COURIER
    assert b.run(b.bring(bundle, node=2))[0].ok


def test_operators_are_renewed_from_the_anchored_roster() -> None:
    a, b = two()
    rotated = key_of(a.name, "operator new").public_key
    assert a.govern(RotateKeys("v3", None, None, rotated), sweeping=True).ok
    a.run()
    bundle = b.fetch(a)
    assert bundle is not None
    assert b.run(b.bring(replace(bundle, roster=None)))[0].ok
    roster = serving.roster(a.reader)
    leaf, proof = roster.leaf, roster.proof
    assert rotated not in {operator.public_key for operator in b.client(a).operators.validators}
    args = (a.id, leaf, proof.to_value())
    forged = (a.id, leaf[:-1] + b"\x00", proof.to_value())
    assert b.run(b.sign(b.key("node"), "federation", "renew", forged))[0].status == Code.RECOVERY_REFUSED
    assert b.run(b.sign(b.alice, "federation", "renew", args))[0].status == Code.NOT_COURIER
    (receipt,) = b.run(b.sign(b.key("node"), "federation", "renew", args))
    assert receipt.ok, receipt.explanation
    assert rotated in {operator.public_key for operator in b.client(a).operators.validators}
    assert b.run(b.sign(b.key("node"), "federation", "renew", args))[0].status == Code.NOTHING_NEW
