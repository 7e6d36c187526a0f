"""Whatever couriers do, in whatever order and however often: each message has one outcome, heard once."""

from hypothesis import event, given, settings
from hypothesis import strategies as st

from consensus import Digest
from node.anchoring.lanes import InboundBundle, Message, Result, decode_leaf
from node.anchoring.lanes.messages import Acknowledgement
from node.ledger.codes import Code
from node.ledger.execution import BlockToExecute
from node.ledger.federation import queries, serving
from node.ledger.federation.posting import view_of
from node.ledger.federation.tables import ANCHORS, OUTBOX, map_key
from node.proofs import smt
from node.proofs.smt_tree import pack_key
from node.storage import ChainTable
from tests.node.ledger.federation.cluster import Cluster, federate, settle
from tests.node.ledger.federation.test_sharing import outcome, shared

NAMES = ("ports.alpha", "ports.beta", "ports.gamma")
PLACES = st.integers(0, 2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("share"), PLACES, PLACES, st.sampled_from([2_000, 60_000, 600_000])),
        st.tuples(st.just("fetch"), PLACES, PLACES, st.just(0)),
        st.tuples(st.just("bring"), PLACES, st.integers(0, 50), st.integers(1, 3)),
        st.tuples(st.just("time"), PLACES, st.just(0), st.sampled_from([1_000, 30_000])),
    ),
    max_size=25,
)


def outcomes_of(clusters: list[Cluster]) -> None:
    """Every answer ever said, per message: at most one; nothing is answered that was not asked."""
    asked = {
        leaf.hash
        for cluster in clusters
        for leaves in cluster.said.values()
        for leaf in map(decode_leaf, leaves)
        if isinstance(leaf, Message)
    }
    answered = [
        leaf.message_hash
        for cluster in clusters
        for leaves in cluster.said.values()
        for leaf in map(decode_leaf, leaves)
        if isinstance(leaf, Acknowledgement)
    ]
    assert len(answered) == len(set(answered))
    assert set(answered) <= asked


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_couriers_in_any_order_deliver_each_message_once(steps: list[tuple[str, int, int, int]]) -> None:
    clusters = [Cluster(name) for name in NAMES]
    federate(*clusters)
    fetched: list[tuple[Cluster, InboundBundle]] = []
    shares: list[tuple[Cluster, Cluster, str]] = []
    for word, first, second, number in steps:
        one, other = clusters[first], clusters[second % len(clusters)]
        if word == "time":
            one.run(after_ms=number)
        elif word == "bring" and fetched:
            at, bundle = fetched[second % len(fetched)]
            receipts = at.run(*(at.bring(bundle, node=node) for node in range(number)))
            assert all(receipt.status == Code.NOTHING_NEW for receipt in receipts[1:])
        elif one is other:
            continue
        elif word == "share":
            name = f"port/{len(shares)}"
            one.put(name)
            if one.share(name, other, lasting_ms=number).ok:
                shares.append((one, other, name))
        elif word == "fetch":
            bundle = one.fetch(other)
            if bundle is not None:
                fetched.append((one, bundle))
    outcomes_of(clusters)
    settle(*clusters, rounds=4)
    outcomes_of(clusters)
    for source, destination, name in shares:
        told = outcome(source, destination, name)
        event(f"{told.result}")
        assert told.result in (Result.OK, Result.EXPIRED)
        assert (shared(destination, source, name) is not None) == (told.result is Result.OK)
    for cluster in clusters:
        for peer in clusters:
            lanes = () if peer is cluster else queries.lanes(cluster.state, cluster.id, peer.id)
            assert all(lane.pending == 0 and lane.sent == lane.acked for lane in lanes if lane.is_outgoing)


def test_what_only_repeats_is_not_worth_a_block() -> None:
    a, b = Cluster("ports.alpha"), Cluster("ports.beta")
    federate(a, b)
    a.put("port/manifest")
    a.share("port/manifest", b)
    bundle = b.fetch(a)
    assert bundle is not None
    assert b.run(b.bring(bundle))[0].ok
    assert not serving.takes_any(b.reader, bundle, view_of(b.client(a)))
    a.share("port/manifest", b)
    fresh = b.fetch(a)
    assert fresh is not None
    assert b.run(b.bring(InboundBundle(fresh.source, fresh.update, None, ())))[0].ok
    assert serving.takes_any(b.reader, fresh, view_of(b.client(a)))


def test_a_chain_that_is_ahead_of_the_state_is_served_by_what_the_state_says() -> None:
    a, b = Cluster("ports.alpha"), Cluster("ports.beta")
    federate(a, b)
    a.put("port/manifest")
    behind = a.branch()
    a.share("port/manifest", b)
    with a.store.snapshot() as newer:
        reader = Mixed(newer, behind.reader)
        assert serving.offer(reader, b.id).log_size == 0
        request = b.request(behind)
        assert request is not None
        bundle = serving.answer(reader, b.id, request)
    assert bundle is not None
    assert not bundle.leaves
    assert b.run(b.bring(bundle))[0].ok


class Mixed:
    """The chain of one reader, the state of another."""

    def __init__(self, chain, state) -> None:  # type: ignore[no-untyped-def]  # readers
        self._chain, self._state = chain, state

    def get(self, table, key):  # type: ignore[no-untyped-def]  # as a reader
        return (self._chain if isinstance(table, ChainTable) else self._state).get(table, key)


def test_a_bundle_ends_its_slice_and_slicing_never_shows() -> None:
    a, b = Cluster("ports.alpha"), Cluster("ports.beta")
    federate(a, b)
    a.put("port/manifest")
    a.share("port/manifest", b)
    bundle = b.fetch(a)
    assert bundle is not None
    other = b.branch()
    transactions = [b.bring(bundle, node=node) for node in range(3)]
    height, time_ms = b.ledger.tip.height + 1, b.now_ms + 1_000
    block = BlockToExecute(height, Digest(bytes(32)), b.ledger.epoch, time_ms, tuple(transactions))
    b.ledger.begin(block)
    slices = 1
    while (execution := b.ledger.advance(100)) is None:
        slices += 1
    assert slices == len(transactions)
    assert other.ledger.execute(block).header == execution.header


@given(st.binary(min_size=32, max_size=32), st.integers(0, 63), st.binary(min_size=32, max_size=32))
def test_no_node_of_a_map_stands_where_one_of_the_state_tree_does(
    path: bytes, level: int, other: bytes
) -> None:
    state = {pack_key(path, 4 * level), pack_key(other, 4 * level), smt.ROOT_KEY}
    maps = {
        map_key(letter, key)
        for letter in (ANCHORS, OUTBOX)
        for key in (pack_key(path, 4 * level), smt.ROOT_KEY)
    }
    assert len(maps) == 4
    assert not state & maps
    assert all(key.endswith(b"\x00") for key in maps)
    assert all(not key.endswith(b"\x00") for key in state - {smt.ROOT_KEY})
