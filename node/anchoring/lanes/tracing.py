"""Where a message is and what it waits for, read from two committed numbers and a few heights.

The pending set of a lane is `floor < seq <= sent` without what is acknowledged: no event, no log of a
courier and no memory of a process is needed to know it (federation 3.3; section 2, failures 5 and 6).
`explain` says which step comes next; what it is not told of the other side, it does not guess.
"""

from dataclasses import dataclass
from enum import Enum

from node.anchoring.lanes.disputes import DISPUTES_MAX, disputes_of
from node.anchoring.lanes.messages import Lane, Mode, Result
from node.anchoring.lanes.records import (
    CLOSED_WAITING_MAX,
    COMMITMENTS_MAX,
    LANES_PER_PEER_MAX,
    RECEIPTS_MAX,
    SETTLED_MAX,
    Closed,
    Commitment,
    InLane,
    OutLane,
    Peer,
    PeerStatus,
    Settled,
)
from node.anchoring.lanes.state import (
    LaneState,
    closed_key,
    commitment_key,
    in_key,
    load,
    out_key,
    peer_key,
    settled_key,
)


class Step(Enum):
    """What a sequence of a lane waits for, in the order of its life; the value is the stable name."""

    NOT_SENT = "not-sent"
    CERTIFICATION = "certification"
    """Its header is not certified here yet."""
    ANCHORING = "anchoring"
    """Certified here; the destination has not anchored that header yet."""
    EARLIER_SEQUENCE = "earlier-sequence"
    """Anchored there; an ordered lane takes the sequences before it first."""
    DELIVERY = "delivery"
    """Anchored there and next; a courier, a quota or the deadline decides."""
    DELIVERY_OR_ANSWER = "delivery-or-answer"
    """Anchored there; whether it was delivered since is not known here."""
    ANSWER = "answer"
    """Delivered or expired there; its acknowledgement is not proven here yet."""
    RECOVERY = "recovery"
    """The destination is frozen or retired: unresolved until it recovers."""
    CONFIRMATION = "confirmation"
    """Acknowledged with `result` on a branch that was dropped; the recovered one has not said the same."""
    CLOSED_PLACE = "closed-place"
    """The destination has closed its place after a recovery: what was answered in that place decides."""
    CLOSED = "closed"
    """Its place was closed: its answer came before and is forgotten, or it is EXPIRED."""
    GAP = "gap"
    """We never said a message there, nor ever shall: the lane went on above a closed place."""
    NOTHING = "nothing"
    """Acknowledged: `result` says with what."""


@dataclass(frozen=True, slots=True)
class Sightings:
    """What is known beside our own state; None where it is not known.

    `certified_height` is ours. `anchored_height` is our height as the destination holds it, from its
    anchors. `received` is the destination's contiguous receipts of the lane, and `has_receipt` whether it
    holds one for the sequence in question, from its state.
    """

    certified_height: int | None = None
    anchored_height: int | None = None
    received: int | None = None
    has_receipt: bool | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The step a sequence waits for; `commitment` while it waits, `result` once it does not.

    `result` is None for an acknowledged sequence whose result is pruned.
    """

    lane: Lane
    sequence: int
    step: Step
    commitment: Commitment | None = None
    result: Result | None = None


def pending(state: LaneState, lane: Lane) -> tuple[int, ...]:
    """The sequences that wait for acknowledgement, ascending: at most the window's size, and below it those
    that a closing left waiting."""
    key = out_key(lane)
    known = load(state, key, OutLane.from_value) or OutLane()
    closed = load(state, closed_key(key), Closed.from_value) or Closed()
    waiting = range(known.floor + 1, known.sent + 1)
    above = tuple(number for number in waiting if state.get(commitment_key(key, number)) is not None)
    return (*(sequence for sequence, _ in closed.waiting), *above)


def commitment_of(state: LaneState, lane: Lane, sequence: int) -> Commitment | None:
    """What a sequence of a lane that we send on is committed to while it waits, None once it does not."""
    key = out_key(lane)
    found = load(state, commitment_key(key, sequence), Commitment.from_value)
    return found or (load(state, closed_key(key), Closed.from_value) or Closed()).of(sequence)


def explain(state: LaneState, lane: Lane, sequence: int, seen: Sightings) -> Explanation:
    """Which step `sequence` of a lane that we send on waits for."""
    key = out_key(lane)
    known = load(state, key, OutLane.from_value) or OutLane()
    if not 0 < sequence <= known.sent:
        return Explanation(lane, sequence, Step.NOT_SENT)
    closed = load(state, closed_key(key), Closed.from_value) or Closed()
    commitment = load(state, commitment_key(key, sequence), Commitment.from_value) or closed.of(sequence)
    if commitment is None:
        settled = load(state, settled_key(key, sequence), Settled.from_value)
        result = None if settled is None else settled.result
        is_disputed = any(dispute.sequence == sequence for dispute in disputes_of(state, key).listed)
        step = Step.CONFIRMATION if is_disputed else _ended(closed, sequence, result)
        return Explanation(lane, sequence, step, None, result)
    peer = load(state, peer_key(lane.destination), Peer.from_value)
    if peer is not None and peer.status is PeerStatus.PARKED:
        return Explanation(lane, sequence, Step.RECOVERY, commitment)
    if closed.of(sequence) is not None and not seen.has_receipt:
        return Explanation(lane, sequence, Step.CLOSED_PLACE, commitment)
    return Explanation(lane, sequence, _waits_for(lane, sequence, commitment, seen), commitment)


def _ended(closed: Closed, sequence: int, result: Result | None) -> Step:
    """What a place without an open message is."""
    if any(first <= sequence <= last for first, last in closed.gaps):
        return Step.GAP
    return Step.CLOSED if result is None and sequence <= closed.closed else Step.NOTHING


def _waits_for(lane: Lane, sequence: int, commitment: Commitment, seen: Sightings) -> Step:
    if seen.has_receipt or (seen.received is not None and sequence <= seen.received):
        return Step.ANSWER
    if seen.anchored_height is None or seen.anchored_height < commitment.height:
        is_certified = seen.certified_height is None or seen.certified_height >= commitment.height
        return Step.ANCHORING if is_certified else Step.CERTIFICATION
    if seen.received is None:
        return Step.DELIVERY_OR_ANSWER
    if lane.mode is Mode.ORDERED and sequence > seen.received + 1:
        return Step.EARLIER_SEQUENCE
    return Step.DELIVERY


def limits(state: LaneState, own_id: bytes, cluster_id: bytes) -> tuple[tuple[str, int, int], ...]:
    """(name, current, bound) of what lanes with one cluster hold, for metrics: the fullest lane of each."""
    peer = load(state, peer_key(cluster_id), Peer.from_value) or Peer(PeerStatus.LIVE, 0)
    commitments = settled = receipts = disputes = closed = 0
    for port, mode in peer.outgoing:
        key = out_key(Lane(own_id, cluster_id, port, mode))
        sending = load(state, key, OutLane.from_value) or OutLane()
        commitments = max(commitments, sending.sent - sending.floor)
        settled = max(settled, sending.sent - sending.pruned)
        disputes = max(disputes, len(disputes_of(state, key).listed))
        closed = max(closed, len((load(state, closed_key(key), Closed.from_value) or Closed()).waiting))
    for port, mode in peer.incoming:
        key = in_key(Lane(cluster_id, own_id, port, mode))
        receiving = load(state, key, InLane.from_value) or InLane()
        receipts = max(receipts, receiving.highest - receiving.pruned)
        disputes = max(disputes, len(disputes_of(state, key).listed))
    return (
        ("lanes_outgoing", len(peer.outgoing), LANES_PER_PEER_MAX),
        ("lanes_incoming", len(peer.incoming), LANES_PER_PEER_MAX),
        ("lane_commitments", commitments, COMMITMENTS_MAX),
        ("lane_settled", settled, SETTLED_MAX),
        ("lane_receipts", receipts, RECEIPTS_MAX),
        ("lane_disputes", disputes, DISPUTES_MAX),
        ("lane_closed", closed, CLOSED_WAITING_MAX),
    )
