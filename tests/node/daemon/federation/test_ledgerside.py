"""Two real ledgers as couriers and servers read them: what is true passes, what is not names its fault."""

from dataclasses import replace

import pytest

from node.anchoring.client.lightclient import Update
from node.anchoring.lanes.courier import BundleRequest, plan
from node.anchoring.lanes.inbound import InboundBundle
from node.daemon.federation.ledgerside import BundleFault, LedgerSide, Seat, Standing
from tests.node.ledger.federation.cluster import Cluster, federate, settle

MINUTE_MS = 60_000


def two() -> tuple[Cluster, Cluster]:
    a, b = Cluster("ports.alpha"), Cluster("ports.beta")
    federate(a, b)
    settle(a, b, rounds=1)
    return a, b


def side(cluster: Cluster) -> LedgerSide:
    return LedgerSide(cluster.store, cluster.id)


def standing(at: Cluster, other: Cluster) -> Standing:
    found = side(at).standing(other.id)
    assert found is not None
    return found


def asked(at: Cluster, other: Cluster) -> BundleRequest | None:
    here = standing(at, other)
    offer = side(other).offers((at.id,))[at.id]
    return plan(here.held, offer, at.now_ms, here.heartbeat_ms)


def fetched(at: Cluster, other: Cluster) -> bytes:
    request = asked(at, other)
    assert request is not None
    bundle = side(other).answer(at.id, request)
    assert bundle is not None
    return bundle


def shared() -> tuple[Cluster, Cluster, bytes]:
    """A record shared by alpha, and the bundle that tells beta."""
    a, b = two()
    assert a.put("port/manifest").ok
    assert a.share("port/manifest", b).ok
    return a, b, fetched(b, a)


def fault(at: Cluster, other: Cluster, data: bytes) -> BundleFault:
    with pytest.raises(BundleFault) as caught:
        side(at).check(standing(at, other), data, at.now_ms)
    return caught.value


def test_a_true_bundle_passes_and_brings_what_was_said() -> None:
    a, b, data = shared()
    bundle = side(b).check(standing(b, a), data, b.now_ms).bundle
    assert (bundle.source, len(bundle.leaves)) == (a.id, 1)


def test_how_we_will_stand_after_a_bundle_is_how_we_stand_once_it_is_executed() -> None:
    a, b, _ = shared()
    for number in range(3):
        assert a.put(f"port/more-{number}").ok
        assert a.share(f"port/more-{number}", b).ok
    for at, other in ((b, a), (a, b)):  # messages, then their answers
        after = side(at).check(standing(at, other), fetched(at, other), at.now_ms).after
        assert at.pull(other) is not None
        now = standing(at, other)
        assert after is not None
        assert after.held.leaves_taken == 4
        assert after.held == replace(now.held, anchored_ms=after.held.anchored_ms)
        assert after.client == now.client


def test_two_idle_clusters_have_nothing_to_ask() -> None:
    a, b = two()
    assert asked(a, b) is None
    assert asked(b, a) is None


@pytest.mark.parametrize("at", [0, 1, 50, -1])
def test_truncated_or_changed_bytes_are_their_senders_fault(at: int) -> None:
    a, b, data = shared()
    assert fault(b, a, data[:at]).is_blamed
    position = at % len(data)
    changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
    assert fault(b, a, changed).is_blamed


def test_a_leaf_that_was_never_said_is_its_senders_fault() -> None:
    a, b, data = shared()
    bundle = InboundBundle.decode(data)
    (leaf,) = bundle.leaves
    forged = replace(bundle, leaves=(replace(leaf, leaf=leaf.leaf[:-1] + b"!"),))
    assert fault(b, a, forged.encode()).code == "false-proof"


def test_a_forged_certificate_is_its_senders_fault() -> None:
    a, b, data = shared()
    bundle = InboundBundle.decode(data)
    assert bundle.update is not None
    update = Update.decode(bundle.update)
    certificate = update.certified.certificate
    broken = replace(certificate, signatures=bytes(len(certificate.signatures)))
    forged = replace(update, certified=replace(update.certified, certificate=broken))
    found = fault(b, a, replace(bundle, update=forged.encode()).encode())
    assert found.is_blamed
    assert found.code not in ("malformed", "nothing-new")


def test_another_clusters_bundle_is_its_senders_fault() -> None:
    a, b, data = shared()
    forged = replace(InboundBundle.decode(data), source=b"\x07" * 32)
    assert fault(b, a, forged.encode()).code == "false-proof"


def test_what_another_validator_brought_meanwhile_is_nobodys_fault() -> None:
    a, b, data = shared()
    assert b.pull(a) is not None
    late = fault(b, a, data)
    assert not late.is_blamed
    repeated = replace(InboundBundle.decode(data), update=None).encode()
    found = fault(b, a, repeated)
    assert (found.code, found.is_blamed) == ("nothing-new", False)


def test_a_seat_is_found_by_node_key_and_unknown_clusters_are_left_out() -> None:
    a, b = two()
    seats = [side(a).seat(v.node_key) for v in a.ledger.roster.validators]
    assert seats == [Seat(index, len(seats)) for index in range(len(seats))]
    assert side(a).seat(bytes(32)) is None
    assert side(a).standing(bytes(32)) is None
    assert set(side(a).offers((b.id, bytes(32)))) == {b.id}
    (neighbour,) = side(a).clusters(a.now_ms + MINUTE_MS)
    assert neighbour.view.client.cluster_id == b.id
    assert neighbour.node_keys == tuple(v.node_key for v in b.genesis.validators)
    assert neighbour.pending == 0
