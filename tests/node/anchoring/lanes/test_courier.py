"""Couriers plan by numbers alone, bundles are checked before they are pooled, and the idle stay idle."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import CodecError, Digest, encode
from node.anchoring.lanes.courier import (
    AnchorReason,
    BundleRequest,
    Held,
    LeafName,
    Offer,
    plan,
    should_anchor,
    wanted,
)
from node.anchoring.lanes.inbound import (
    INBOUND_BYTES_MAX,
    INBOUND_LEAVES_MAX,
    BundledLeaf,
    InboundBundle,
    check,
    pack,
    takes_any,
)
from node.anchoring.lanes.messages import MESSAGE_PAYLOAD_BYTES_MAX, Acknowledgement, Lane, Mode, decode_leaf
from node.anchoring.lanes.outbox import LogProof
from node.anchoring.lanes.progress import BITMAP_BYTES_MAX, Progress, progress_with
from node.anchoring.lanes.views import AnchoredView
from node.proofs import ProofError
from tests.node.anchoring.lanes.islands import PORT, START_MS, Federation, Island, admit

HEARTBEAT_MS = 60_000


class Post:
    """Couriers between islands that do only what plans say; `blocks` counts what they caused."""

    def __init__(self, world: Federation) -> None:
        self.world = world
        self.anchored_ms: dict[tuple[bytes, bytes], int] = {}
        self.blocks = 0
        self.bundles = 0

    def held(self, at: Island, other: Island) -> Held:
        view = at.view_of(other)
        progress = progress_with(at.root, at.cluster_id, other.cluster_id)
        anchored_ms = self.anchored_ms.get((at.cluster_id, other.cluster_id), START_MS)
        return Held(view.incarnation, view.height, anchored_ms, progress.received, progress.answered)

    def visit(self, at: Island, other: Island) -> bool:
        """One courier's visit: offer, plan, request, bundle, check, pool, block. Whether it made a block."""
        offer = Offer.decode(
            Offer(other.incarnation, other.height, other.outbox.log(at.cluster_id).size).encode()
        )
        held = self.held(at, other)
        request = plan(held, offer, at.time_ms, HEARTBEAT_MS)
        if request is None:
            return False
        bundle = serve(other, at.cluster_id, BundleRequest.decode(request.encode()))
        if bundle is None:
            return False
        self.bundles += 1
        bundle = InboundBundle.decode(bundle.encode())
        view = check(bundle, at.cluster_id, at.view_of(other), updates(other))
        takes = takes_any(at.root, at.block, view, bundle, admit)
        reason = should_anchor(
            held,
            view.incarnation,
            view.height,
            says_something=takes,
            now_ms=at.time_ms,
            every_ms=HEARTBEAT_MS,
        )
        if reason is AnchorReason.NOTHING and not takes:
            return False
        if bundle.update is not None:
            at.anchor(other)
            self.anchored_ms[at.cluster_id, other.cluster_id] = at.time_ms
        for arrival in bundle.arrivals():
            self.world.try_take(at, other, arrival.proof.index, view.height)
        at.seal()
        self.blocks += 1
        return True

    def rest(self, rounds_max: int = 200) -> None:
        """Visits until no courier has anything to do."""
        for _ in range(rounds_max):
            pairs = [(at, other) for at in self.world.islands for other in self.world.islands]
            if not any([self.visit(at, other) for at, other in pairs if at is not other]):
                return
        raise AssertionError("couriers never rest")


def updates(other: Island) -> Callable[[bytes], AnchoredView]:
    def updated(update: bytes) -> AnchoredView:
        shown = other.published[other.height]
        assert update == b"update to %d" % other.height
        return AnchoredView(
            other.cluster_id, shown.incarnation, other.height, shown.time_ms, shown.outbox_root, True
        )

    return updated


def named(leaf: bytes) -> LeafName:
    decoded = decode_leaf(leaf)
    is_answer = isinstance(decoded, Acknowledgement)
    return LeafName(is_answer, decoded.lane.port, decoded.lane.mode, decoded.sequence)


def serve(server: Island, to: bytes, request: BundleRequest) -> InboundBundle | None:
    """What a node does: look up the wanted leaves by name, prove them at its tip, pack what fits."""
    progress = progress_with(server.root, server.cluster_id, to)
    places = {named(leaf): index for index, leaf in enumerate(server.outbox.leaves.get(to, []))}
    update = b"update to %d" % server.height if server.height > request.height else None
    log: LogProof | None = None
    leaves = []
    for name in wanted(request, progress.sent, progress.received):
        index = places.get(name)
        if index is None:
            continue
        arrival = server.arrival_for(to, index, server.height)
        log = arrival.proof.log
        leaves.append(BundledLeaf(index, arrival.leaf, arrival.proof.path))
        if len(leaves) == request.leaves_max:
            break
    return pack(
        server.cluster_id, update, log, leaves, leaves_max=request.leaves_max, bytes_max=request.bytes_max
    )


SENDS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(Mode),
        st.sampled_from((b"plain", b"fails", b"answers", b"denied")),
        st.sampled_from((1, 2, 30)),
    ),
    max_size=6,
)


@settings(max_examples=12, deadline=None)
@given(SENDS)
def test_couriers_bring_everything_and_then_rest(sends: Any) -> None:
    world = Federation("AB")
    post = Post(world)
    for which, mode, payload, times in sends:
        for _ in range(times):
            world.try_send(world.islands[which], world.islands[1 - which], payload, mode, 60_000)
    for island in world.islands:
        island.seal()
    post.rest()
    world.check()
    for island in world.islands:
        assert not island.held(b"/c/")
        assert len(island.told) == len(island.sent)
    blocks = post.blocks
    post.rest()
    assert post.blocks == blocks


def test_one_message_costs_two_blocks_and_no_more() -> None:
    world = Federation("AB")
    post = Post(world)
    here, there = world.islands
    here.send(there, b"plain")
    here.seal()
    post.rest()
    assert len(here.told) == 1
    assert post.blocks == 2, "one that takes the message, one that takes its answer"


def test_an_idle_federation_anchors_once_a_heartbeat_each_and_never_in_between() -> None:
    world = Federation("AB")
    post = Post(world)
    for island in world.islands:
        island.seal()
    post.rest()
    assert post.blocks == 0
    for _ in range(3):
        for island in world.islands:
            island.time_ms += HEARTBEAT_MS
        before = post.blocks
        post.rest()
        assert post.blocks - before == 2


def test_messages_that_wait_for_a_quota_make_no_blocks() -> None:
    world = Federation("AB")
    post = Post(world)
    for at, other in (world.islands, reversed(world.islands)):
        at.send(other, b"waits", Mode.UNORDERED)
        at.seal()
    post.rest()
    assert post.blocks == 0
    for island in world.islands:
        island.time_ms += 10_000
    post.rest()
    assert [len(island.told) for island in world.islands] == [1, 1]


def test_a_lane_with_a_backlog_delays_no_other() -> None:
    request = BundleRequest(0, 0, (), (), INBOUND_LEAVES_MAX, INBOUND_BYTES_MAX)
    sent = (Progress("busy", Mode.ORDERED, 200), Progress("calm", Mode.ORDERED, 1))
    first = [name.port for name in wanted(request, sent, ())][:3]
    assert first == ["busy", "calm", "busy"]


def test_answers_come_before_messages_and_only_what_is_missing_is_wanted() -> None:
    request = BundleRequest(
        0,
        0,
        (Progress("in", Mode.UNORDERED, 2, (4, 6)),),
        (Progress("out", Mode.UNORDERED, 1, (3,)),),
        INBOUND_LEAVES_MAX,
        INBOUND_BYTES_MAX,
    )
    sent = (Progress("in", Mode.UNORDERED, 7),)
    answered = (Progress("out", Mode.UNORDERED, 2, (4,)), Progress("unasked", Mode.ORDERED, 9))
    names = [(name.is_answer, name.sequence) for name in wanted(request, sent, answered)]
    assert names == [(True, 2), (True, 4), (False, 3), (False, 5), (False, 7)]


# --- what is asked and offered -----------------------------------------------------------------------


def test_nothing_is_asked_of_a_server_that_is_behind_or_has_nothing_new() -> None:
    held = Held(0, 10, 1_000, (Progress("in", Mode.ORDERED, 3),), (Progress("out", Mode.ORDERED, 2),))
    assert plan(held, Offer(0, 9, 5), 10**9, HEARTBEAT_MS) is None
    assert plan(held, Offer(0, 11, 5), 1_000 + HEARTBEAT_MS - 1, HEARTBEAT_MS) is None
    assert plan(held, Offer(0, 11, 5), 1_000 + HEARTBEAT_MS, HEARTBEAT_MS) is not None
    assert plan(held, Offer(0, 11, 6), 1_000, HEARTBEAT_MS) is not None
    assert plan(held, Offer(0, 10, 6), 1_000, HEARTBEAT_MS) is not None, "leaves under the anchored root"


@pytest.mark.parametrize(
    ("tip", "says_something", "waited_ms", "reason"),
    [
        ((0, 10), True, 10**9, AnchorReason.NOTHING),
        ((0, 9), True, 10**9, AnchorReason.NOTHING),
        ((0, 11), True, 0, AnchorReason.OUTBOX),
        ((0, 11), False, HEARTBEAT_MS - 1, AnchorReason.NOTHING),
        ((0, 11), False, HEARTBEAT_MS, AnchorReason.HEARTBEAT),
        ((1, 3), True, 0, AnchorReason.OUTBOX),
    ],
)
def test_a_tip_is_anchored_at_once_only_for_what_it_says(
    tip: tuple[int, int], says_something: bool, waited_ms: int, reason: AnchorReason
) -> None:
    held = Held(0, 10, 5_000)
    now_ms = 5_000 + waited_ms
    assert reason is should_anchor(
        held, *tip, says_something=says_something, now_ms=now_ms, every_ms=HEARTBEAT_MS
    )


@given(st.integers(0, 2**40), st.sets(st.integers(0, 8 * BITMAP_BYTES_MAX - 1)), st.sampled_from(Mode))
def test_progress_is_read_and_written_back(done: int, places: set[int], mode: Mode) -> None:
    progress = Progress("records", mode, done, tuple(done + 2 + place for place in sorted(places)))
    assert Progress.from_value(progress.to_value()) == progress


def test_progress_too_far_above_is_left_out() -> None:
    far = Progress("records", Mode.UNORDERED, 0, (2, 3 + 8 * BITMAP_BYTES_MAX))
    assert Progress.from_value(far.to_value()) == Progress("records", Mode.UNORDERED, 0, (2,))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (("records", 1, 0, b"\x01\x00"), "empty bytes"),
        (("records", 3, 0, b""), "mode"),
        (("records", 1, -1, b""), "done"),
        (("records", 1, 0, bytes(BITMAP_BYTES_MAX) + b"\x01"), "bitmap"),
        (("records", 1, 0), "array of 4"),
        ((7, 1, 0, b""), "port"),
    ],
)
def test_damaged_progress_is_refused(damage: Any, says: str) -> None:
    with pytest.raises(CodecError, match=says):
        Progress.from_value(damage)


def test_the_largest_request_fits_its_bound() -> None:
    lanes = tuple(
        Progress(f"{'p' * 60}{number:04d}", Mode.UNORDERED, 2**62, (2**62 + 1 + 8 * BITMAP_BYTES_MAX,))
        for number in range(64)
    )
    request = BundleRequest(2**62, 2**62, lanes, lanes, INBOUND_LEAVES_MAX, INBOUND_BYTES_MAX)
    assert BundleRequest.decode(request.encode()) == request


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        (0, 1, "version"),
        (1, -1, "incarnation"),
        (2, None, "height"),
        (3, (("records", 1, 0, b""),) * 65, "at most 64"),
        (5, 0, "leaves max"),
        (5, INBOUND_LEAVES_MAX + 1, "leaves max"),
        (6, 1, "bytes max"),
        (6, INBOUND_BYTES_MAX + 1, "bytes max"),
        (7, -1, "roster epoch"),
        (8, (bytes(32),) * 5, "at most 4"),
        (9, tuple(range(9)), "at most 8"),
    ],
)
def test_a_request_beyond_a_bound_is_refused(field: int, value: Any, says: str) -> None:
    fields: list[Any] = [2, 0, 0, (), (), INBOUND_LEAVES_MAX, INBOUND_BYTES_MAX, 0, (), ()]
    BundleRequest.decode(encode(tuple(fields)))
    fields[field] = value
    with pytest.raises(CodecError, match=says):
        BundleRequest.decode(encode(tuple(fields)))


@pytest.mark.parametrize("value", [(1, 0, 0, 0), (2, 0, 0), (2, 0, -1, 0), (2, 0, 0, 0, 0), (2, b"", 0, 0)])
def test_a_damaged_offer_is_refused(value: Any) -> None:
    with pytest.raises(CodecError):
        Offer.decode(encode(value))


# --- bundles -----------------------------------------------------------------------------------------


def a_bundle() -> tuple[Island, Island, InboundBundle]:
    here, there = Federation("AB").islands
    for number in range(3):
        there.send(here, b"%d" % number)
    there.seal()
    request = BundleRequest(0, 0, (), (), INBOUND_LEAVES_MAX, INBOUND_BYTES_MAX)
    bundle = serve(there, here.cluster_id, request)
    assert bundle is not None
    return here, there, bundle


def test_a_bundle_is_read_and_written_back_and_its_leaves_arrive() -> None:
    here, there, bundle = a_bundle()
    assert InboundBundle.decode(bundle.encode()) == bundle
    view = check(bundle, here.cluster_id, here.view_of(there), updates(there))
    assert (view.height, len(bundle.arrivals())) == (there.height, 3)
    for arrival in bundle.arrivals():
        arrival.proof.verify(view.outbox_root, here.cluster_id, arrival.leaf)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda b: replace(b, source=bytes(32)), "is of cluster"),
        (lambda b: replace(b, log=replace(b.log, size=b.log.size + 1)), "leads to"),
        (lambda b: replace(b, log=replace(b.log, root=Digest(bytes(32)))), "leads to"),
        (lambda b: replace(b, leaves=(replace(b.leaves[0], index=1), b.leaves[2])), "leads to"),
        (lambda b: replace(b, leaves=(replace(b.leaves[0], index=3),)), "outside a tree"),
        (lambda b: replace(b, leaves=(replace(b.leaves[0], path=()),)), "hashes where"),
        (lambda b: replace(b, leaves=(replace(b.leaves[0], leaf=b.leaves[1].leaf),)), "leads to"),
        (lambda b: replace(b, update=None), "leads to"),
    ],
    ids=[
        "of-another-cluster",
        "log-one-longer",
        "log-of-another-root",
        "index-of-the-neighbour",
        "index-beyond-the-log",
        "path-missing",
        "leaf-of-the-neighbour",
        "update-missing",
    ],
)
def test_a_damaged_bundle_is_not_pooled(damage: Callable[[InboundBundle], InboundBundle], says: str) -> None:
    here, there, bundle = a_bundle()
    with pytest.raises(ProofError, match=says):
        check(damage(bundle), here.cluster_id, here.view_of(there), updates(there))


def test_leaves_for_others_are_not_pooled() -> None:
    here, there, third = Federation("ABC").islands
    lane = Lane(there.cluster_id, third.cluster_id, PORT, Mode.ORDERED)
    sent = there.send(third, b"for the third")
    assert sent.lane == lane
    there.root.say(here.cluster_id, sent.encoded)
    there.seal()
    arrival = there.arrival_for(here.cluster_id, 0, there.height)
    leaf = BundledLeaf(0, arrival.leaf, arrival.proof.path)
    bundle = InboundBundle(there.cluster_id, b"update to %d" % there.height, arrival.proof.log, (leaf,))
    with pytest.raises(ProofError, match="does not concern"):
        check(bundle, here.cluster_id, here.view_of(there), updates(there))
    there.root.say(here.cluster_id, b"\x01")
    there.seal()
    arrival = there.arrival_for(here.cluster_id, 1, there.height)
    leaf = BundledLeaf(1, arrival.leaf, arrival.proof.path)
    bundle = InboundBundle(there.cluster_id, b"update to %d" % there.height, arrival.proof.log, (leaf,))
    with pytest.raises(ProofError, match="nothing that lanes say"):
        check(bundle, here.cluster_id, here.view_of(there), updates(there))


def test_what_the_light_client_refuses_is_not_pooled() -> None:
    here, there, bundle = a_bundle()

    def refused(update: bytes) -> AnchoredView:
        raise ProofError("the certificate is not a quorum's")

    with pytest.raises(ProofError, match="quorum"):
        check(bundle, here.cluster_id, here.view_of(there), refused)


def test_a_bundle_stays_within_its_bounds_whatever_the_leaves() -> None:
    here, there = Federation("AB").islands
    for _ in range(80):
        there.send(here, bytes(MESSAGE_PAYLOAD_BYTES_MAX))
    there.seal()
    request = BundleRequest(0, 0, (), (), INBOUND_LEAVES_MAX, INBOUND_BYTES_MAX)
    bundle = serve(there, here.cluster_id, request)
    assert bundle is not None
    assert 20 < len(bundle.leaves) < INBOUND_LEAVES_MAX
    assert len(bundle.encode()) <= INBOUND_BYTES_MAX
    assert InboundBundle.decode(bundle.encode()) == bundle
    smallest = serve(there, here.cluster_id, replace(request, bytes_max=64 * 1024))
    assert smallest is not None
    assert 1 <= len(smallest.leaves) <= 3
    with pytest.raises(ValueError, match="exceeds"):
        pack(there.cluster_id, bytes(256 * 1024 + 1), None, ())
    assert pack(there.cluster_id, None, None, ()) is None


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        (0, 1, "version"),
        (1, bytes(31), "source cluster id"),
        (2, "text", "update"),
        (2, bytes(256 * 1024 + 1), "update"),
        (3, None, "come together"),
        (4, (), "come together"),
        (4, ((0, b"", ()),) * 2, "each leaf once"),
        (4, tuple((index, b"", ()) for index in range(65)), "at most 64"),
        (4, ((0, bytes(17 * 1024), ()),), "leaf must be"),
        (4, ((0, b"", (bytes(32),) * 65),), "at most 64"),
        (4, ((0, b"", (bytes(33),)),), "exactly 32"),
        (4, ((-1, b"", ()),), "leaf index"),
    ],
)
def test_a_misshapen_bundle_is_refused(field: int, value: Any, says: str) -> None:
    _, _, bundle = a_bundle()
    assert bundle.log is not None
    leaves = tuple((leaf.index, leaf.leaf, leaf.path) for leaf in bundle.leaves)
    fields: list[Any] = [2, bundle.source, bundle.update, bundle.log.to_value(), leaves, None, (), ()]
    assert InboundBundle.decode(encode(tuple(fields))) == bundle
    fields[field] = value
    with pytest.raises(CodecError, match=says):
        InboundBundle.decode(encode(tuple(fields)))


def test_an_empty_bundle_is_refused() -> None:
    with pytest.raises(CodecError, match="brings an update"):
        InboundBundle.decode(encode((2, bytes(32), None, None, (), None, (), ())))
