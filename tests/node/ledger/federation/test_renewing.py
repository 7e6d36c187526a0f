"""Who is a node of another cluster is learnt from its proven roster; names and addresses are decided here."""

from dataclasses import replace

from node.anchoring.lanes.inbound import RosterProof
from node.ledger.codes import Code
from node.ledger.federation import queries, serving
from node.ledger.federation.changes import SetAddresses
from node.ledger.federation.records import Address, nodes_of, peering_of
from node.ledger.governance.changes import RemoveValidator
from tests.node.ledger.federation.cluster import Cluster, key_of, settle
from tests.node.ledger.federation.test_anchoring import next_epoch
from tests.node.ledger.federation.test_sharing import outcome, two


def node_keys_of(cluster: Cluster) -> tuple[bytes, ...]:
    return tuple(validator.node_key for validator in cluster.ledger.roster.validators)


def test_the_nodes_of_the_genesis_are_known_until_a_roster_is_proven() -> None:
    a, b = two()
    a.put("port/manifest")
    assert queries.node_keys(b.state, a.id) == tuple(v.node_key for v in a.genesis.validators)
    bundle = b.fetch(a)
    assert bundle is not None
    assert bundle.roster is None
    assert queries.node_keys(b.state, bytes(32)) == ()


def test_an_epoch_change_brings_its_roster_with_the_bundle_that_crosses_it() -> None:
    a, b = two()
    next_epoch(a, 4)
    a.put("port/manifest")
    before = b.client(a).operators
    bundle = b.fetch(a)
    assert bundle is not None
    assert bundle.roster is not None
    (receipt,) = b.run(b.bring(bundle))
    assert receipt.ok, receipt.explanation
    assert queries.node_keys(b.state, a.id) == node_keys_of(a)
    assert nodes_of(b.state, a.id).epoch == 1
    assert len(b.client(a).operators) == len(before) + 1
    again = b.fetch(a)
    assert again is None or again.roster is None
    assert b.run(b.bring(bundle))[0].status == Code.NOTHING_NEW


def test_a_federation_survives_that_nobody_of_the_genesis_is_left() -> None:
    a, b = two()
    first = node_keys_of(a)
    for number in range(4, 8):
        next_epoch(a, number)
    assert a.govern(*(RemoveValidator(f"v{number}") for number in range(4)), sweeping=True).ok
    a.run()
    b.pull(a)
    b.pull(a)
    assert set(first).isdisjoint(node_keys_of(a))
    assert queries.node_keys(b.state, a.id) == node_keys_of(a)
    b.put("port/manifest")
    assert b.share("port/manifest", a).ok
    a.run()
    bundle = a.fetch(b)
    assert bundle is not None
    assert a.run(a.bring(bundle, node=5))[0].ok
    b.pull(a)
    assert outcome(b, a, "port/manifest").result is not None


def test_a_roster_that_a_courier_left_out_is_asked_for_until_it_is_known() -> None:
    a, b = two()
    next_epoch(a, 4)
    a.put("port/manifest")
    bundle = b.fetch(a)
    assert bundle is not None
    assert b.run(b.bring(replace(bundle, roster=None)))[0].ok
    assert nodes_of(b.state, a.id).epoch == 0
    alone = b.fetch(a, every_ms=10**9)
    assert alone is not None
    assert (alone.update, alone.leaves) == (None, ())
    assert b.run(b.bring(alone))[0].ok
    assert queries.node_keys(b.state, a.id) == node_keys_of(a)
    assert b.fetch(a, every_ms=10**9) is None


def test_a_false_roster_fails_its_bundle_and_changes_nothing() -> None:
    a, b = two()
    next_epoch(a, 4)
    a.put("port/manifest")
    bundle = b.fetch(a)
    assert bundle is not None
    assert bundle.roster is not None
    before = b.client(a)
    stranger = Cluster("ports.alpha.false")
    forged = serving.roster(stranger.reader)
    for wrong in (forged, RosterProof(forged.leaf, bundle.roster.proof)):
        receipt = b.run(b.bring(replace(bundle, roster=wrong)))[0]
        assert receipt.status == Code.RECOVERY_REFUSED
    assert b.client(a) == before
    assert nodes_of(b.state, a.id).epoch == 0
    assert b.run(b.bring(bundle))[0].ok


def test_a_tip_that_ended_its_epoch_brings_no_roster_of_the_epoch_to_come() -> None:
    a, b = two()
    next_epoch(a, 4)
    bundle = b.fetch(a)
    assert bundle is not None
    assert bundle.roster is None
    b.pull(a)
    a.put("port/manifest")
    b.pull(a)
    assert nodes_of(b.state, a.id).epoch == 1


# --- addresses and names -------------------------------------------------------------------------------


def test_operators_change_where_a_cluster_is_dialled() -> None:
    a, b = two()
    moved = (Address(a.key("node", 1).public_key, "new.example", 27_601),)
    assert b.govern(SetAddresses(a.id, moved)).ok
    assert peering_of(b.state, a.id).addresses == moved
    settle(a, b, rounds=1)
    assert peering_of(b.state, a.id).addresses == moved
    assert b.govern(SetAddresses(a.id, ())).ok
    assert peering_of(b.state, a.id).addresses == ()
    stranger = Cluster("ports.stranger")
    assert b.govern(SetAddresses(stranger.id, moved)).status == Code.CLUSTER_UNKNOWN


def test_a_name_claimed_twice_is_refused_with_both_claims_shown() -> None:
    a, b = two()
    twin = Cluster(a.name, created_ms=a.genesis.params.created_ms + 1)
    assert twin.id != a.id
    receipt = b.admit(twin)
    assert receipt.status == Code.NAME_TAKEN
    assert a.id.hex() in receipt.explanation
    assert twin.id.hex() in receipt.explanation
    found = queries.resolve(b.state, f"{a.name}/records/port/manifest")
    assert found is not None
    assert (found.cluster_id, found.app, found.resource) == (a.id, "records", "port/manifest")


def test_nobody_is_admitted_under_our_own_name() -> None:
    a, b = two()
    impostor = Cluster(b.name, created_ms=b.genesis.params.created_ms + 1)
    receipt = b.admit(impostor)
    assert receipt.status == Code.NAME_TAKEN
    assert b.id.hex() in receipt.explanation
    assert impostor.id.hex() in receipt.explanation
    b.restart()
    assert b.admit(impostor).status == Code.NAME_TAKEN
    assert queries.resolve(b.state, b.name) is None
    assert b.admit(Cluster(a.name + ".east")).ok
    assert key_of(a.name, "alice") != key_of(b.name, "alice")
