"""Where a message is: each step of its life is told, from committed numbers alone."""

import pytest

from consensus import LocalError
from node.anchoring.lanes.disputes import Disputes
from node.anchoring.lanes.messages import Lane, Mode, Result
from node.anchoring.lanes.progress import PeerProgress, Progress, progress_with
from node.anchoring.lanes.records import InLane, OutLane, Peer, PeerStatus
from node.anchoring.lanes.recovery import disputed, resume, unresolved
from node.anchoring.lanes.state import WriteSet, in_key, load, out_key, peer_key
from node.anchoring.lanes.tracing import Explanation, Sightings, Step, explain, limits, pending
from tests.node.anchoring.lanes.islands import PORT, Federation, Island, Root, freeze
from tests.node.anchoring.lanes.test_recovery import carry_all

Pair = tuple[Island, Island]


@pytest.fixture
def pair() -> Pair:
    here, there = Federation("AB").islands
    return here, there


def lane_of(here: Island, there: Island, mode: Mode = Mode.ORDERED) -> Lane:
    return Lane(here.cluster_id, there.cluster_id, PORT, mode)


def step(here: Island, there: Island, sequence: int, seen: Sightings, mode: Mode = Mode.ORDERED) -> Step:
    return explain(here.root, lane_of(here, there, mode), sequence, seen).step


def test_a_message_is_followed_through_every_step_of_its_life(pair: Pair) -> None:
    here, there = pair
    lane = lane_of(here, there)
    assert step(here, there, 1, Sightings()) is Step.NOT_SENT
    assert step(here, there, 0, Sightings()) is Step.NOT_SENT
    here.send(there, b"plain")
    here.send(there, b"plain")
    height = here.height + 1
    assert step(here, there, 1, Sightings(height - 1, None)) is Step.CERTIFICATION
    assert step(here, there, 1, Sightings(height, None)) is Step.ANCHORING
    assert step(here, there, 1, Sightings(height, height - 1)) is Step.ANCHORING
    assert step(here, there, 1, Sightings(None, None)) is Step.ANCHORING
    assert step(here, there, 1, Sightings(height, height)) is Step.DELIVERY_OR_ANSWER
    assert step(here, there, 1, Sightings(height, height, 0)) is Step.DELIVERY
    assert step(here, there, 2, Sightings(height, height, 0)) is Step.EARLIER_SEQUENCE
    assert step(here, there, 1, Sightings(height, height, 1)) is Step.ANSWER
    assert step(here, there, 1, Sightings(has_receipt=True)) is Step.ANSWER
    assert pending(here.root, lane) == (1, 2)
    carry_all(there, here)
    carry_all(here, there)
    assert explain(here.root, lane, 2, Sightings()) == Explanation(lane, 2, Step.NOTHING, None, Result.OK)
    assert pending(here.root, lane) == ()


def test_an_unordered_message_waits_for_no_other(pair: Pair) -> None:
    here, there = pair
    here.send(there, b"plain", Mode.UNORDERED)
    here.send(there, b"plain", Mode.UNORDERED)
    height = here.height + 1
    assert step(here, there, 2, Sightings(height, height, 0), Mode.UNORDERED) is Step.DELIVERY


def test_a_message_to_the_dead_waits_for_their_recovery(pair: Pair) -> None:
    here, there = pair
    here.send(there, b"plain")
    freeze(here, there.cluster_id)
    assert step(here, there, 1, Sightings(9, 9, 0)) is Step.RECOVERY


def test_pending_has_gaps_where_an_unordered_lane_was_answered(pair: Pair) -> None:
    here, there = pair
    for _ in range(4):
        here.send(there, b"plain", Mode.UNORDERED)
    here.seal()
    there.anchor(here)
    for index in (1, 3):
        there.take(here, here.arrival_for(there.cluster_id, index, here.height))
    carry_all(here, there)
    assert pending(here.root, lane_of(here, there, Mode.UNORDERED)) == (1, 3)
    outgoing = progress_with(here.root, here.cluster_id, there.cluster_id)
    assert outgoing.answered == (Progress(PORT, Mode.UNORDERED, 0, (2, 4)),)
    assert outgoing.sent == (Progress(PORT, Mode.UNORDERED, 4),)
    incoming = progress_with(there.root, there.cluster_id, here.cluster_id)
    assert incoming.received == (Progress(PORT, Mode.UNORDERED, 0, (2, 4)),)


def test_what_a_lane_holds_is_told_beside_its_bound(pair: Pair) -> None:
    here, there = pair
    for _ in range(3):
        here.send(there, b"plain")
    here.send(there, b"plain", Mode.UNORDERED)
    carry_all(there, here)
    holding = {name: (current, bound) for name, current, bound in limits(
        here.root, here.cluster_id, there.cluster_id
    )}  # fmt: skip
    assert holding == {
        "lanes_outgoing": (2, 64),
        "lanes_incoming": (0, 64),
        "lane_commitments": (3, 256),
        "lane_settled": (3, 768),
        "lane_receipts": (0, 768),
        "lane_disputes": (0, 3_072),
        "lane_closed": (0, 1_024),
    }
    receiving = {name: current for name, current, _ in limits(there.root, there.cluster_id, here.cluster_id)}
    assert (receiving["lanes_incoming"], receiving["lane_receipts"]) == (2, 3)


def test_of_a_cluster_without_lanes_there_is_nothing_to_tell(pair: Pair) -> None:
    here, there = pair
    assert progress_with(here.root, here.cluster_id, there.cluster_id) == PeerProgress()
    assert unresolved(here.root, here.cluster_id, there.cluster_id) == ()
    assert disputed(here.root, here.cluster_id, there.cluster_id) == ()
    assert all(not current for _, current, _ in limits(here.root, here.cluster_id, there.cluster_id))
    resume(here.root, here.cluster_id, there.cluster_id, 1, 0)
    assert here.root.entries == {}


# --- records and write sets --------------------------------------------------------------------------


def test_a_record_that_nobody_could_have_written_stops_loudly(pair: Pair) -> None:
    here, there = pair
    lane = lane_of(here, there)
    for key, read in (
        (peer_key(there.cluster_id), Peer.from_value),
        (out_key(lane), OutLane.from_value),
        (in_key(lane), InLane.from_value),
        (in_key(lane), Disputes.from_value),
    ):
        here.root.put(key, b"\x91\x01")
        with pytest.raises(LocalError, match="cannot be read"):
            load(here.root, key, read)


def test_a_peers_record_is_read_back() -> None:
    peer = Peer(PeerStatus.PARKED, 3, (("a", Mode.ORDERED), ("a", Mode.UNORDERED)), (("b", Mode.ORDERED),))
    assert Peer.from_value(peer.to_value()) == peer


def test_a_write_set_happens_whole_or_not_at_all() -> None:
    root = Root()
    root.put(b"kept", b"1")
    root.put(b"gone", b"1")
    outer = WriteSet(root)
    outer.put(b"new", b"2")
    inner = WriteSet(outer)
    inner.delete(b"gone")
    inner.put(b"new", b"3")
    inner.say(b"there", b"leaf")
    assert (inner.get(b"new"), inner.get(b"gone"), inner.get(b"kept")) == (b"3", None, b"1")
    assert (outer.get(b"new"), outer.get(b"gone")) == (b"2", b"1")
    inner.commit()
    assert (root.entries, root.said) == ({b"kept": b"1", b"gone": b"1"}, [])
    outer.commit()
    assert (root.entries, root.said) == ({b"kept": b"1", b"new": b"3"}, [(b"there", b"leaf")])
    outer.commit()
    assert root.said == [(b"there", b"leaf")]
