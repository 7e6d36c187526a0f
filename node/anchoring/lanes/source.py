"""The source's side of a lane: sending, and hearing once what became of it.

A commitment stands from `send` until the destination's answer is proven; silence means nothing, however
long it lasts. Rules and sources: `rules.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias

from consensus import CodecError
from node.anchoring.lanes.disputes import disputes_of, settle_dispute
from node.anchoring.lanes.messages import (
    GAPS_MAX,
    MESSAGE_PAYLOAD_BYTES_MAX,
    SEQUENCE_MAX,
    WINDOW,
    Acknowledgement,
    Closing,
    Gap,
    Lane,
    Message,
    Result,
)
from node.anchoring.lanes.records import (
    CLOSED_WAITING_MAX,
    PRUNED_PER_STEP_MAX,
    TAIL,
    Closed,
    Commitment,
    OutLane,
    Settled,
)
from node.anchoring.lanes.refusals import LaneRefused, Refusal
from node.anchoring.lanes.rules import (
    Arrival,
    HandlerFailed,
    check_jump,
    check_proof,
    check_room,
    note_heard,
    usable_peer,
)
from node.anchoring.lanes.state import (
    LaneState,
    WriteSet,
    closed_key,
    commitment_key,
    load,
    out_key,
    peer_key,
    save,
    settled_key,
)
from node.anchoring.lanes.views import AnchoredView, OwnBlock

DEADLINE_AHEAD_MAX_MS = 7 * 24 * 3_600_000
"""How far beyond our own block time a deadline may lie (F7)."""

CLOSED_ANSWER = b"closed-by-recovery"
"""What the application hears with the EXPIRED of a message that came into a closed place."""

SendPolicy: TypeAlias = Callable[[Lane], bool]
"""Whether this cluster admits sending on a lane."""
Callback: TypeAlias = Callable[[LaneState, Acknowledgement], None]
"""Hears, once, what became of a message; may raise HandlerFailed, or what
a lane that it sends on refuses: either undoes its own writes."""


class Standing(Enum):
    """What an acknowledgement meant."""

    SETTLED = "settled"
    CONFIRMED = "confirmed"
    """It repeats, on the recovered branch, what the dropped branch had said; nobody is told again."""
    CONTRADICTED = "contradicted"
    """It says something else than the dropped branch had; nobody is told again, the dispute stays listed."""
    CLOSED = "closed"
    """It says what was in the place of a message of ours that the lane is closed for: ours is EXPIRED."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An acknowledgement that was taken; `callback_failed` where the application refused the news."""

    acknowledgement: Acknowledgement
    standing: Standing
    callback_failed: bool = False


def send(
    state: LaneState,
    block: OwnBlock,
    view: AnchoredView,
    lane: Lane,
    payload: bytes,
    deadline_ms: int,
    is_permitted: SendPolicy,
) -> Message:
    """Send `payload` on `lane`, to be handled before `deadline_ms` on the destination's clock.

    Raises LaneRefused: another cluster's lane, a payload, deadline or window beyond its bound, a client
    that is not active, a lane that policy or the bound on lanes forbids.
    """
    if lane.source != block.cluster_id or lane.destination != view.cluster_id:
        raise LaneRefused(Refusal.WRONG_LANE, f"lane {lane} does not lead from here to the given cluster")
    peer = usable_peer(state, view)
    if len(payload) > MESSAGE_PAYLOAD_BYTES_MAX:
        raise LaneRefused(
            Refusal.PAYLOAD_TOO_LARGE, f"{len(payload)} bytes exceed {MESSAGE_PAYLOAD_BYTES_MAX}"
        )
    earliest, latest = max(block.time_ms, view.time_ms), block.time_ms + DEADLINE_AHEAD_MAX_MS
    if deadline_ms <= earliest:
        raise LaneRefused(Refusal.DEADLINE_TOO_SOON, f"{deadline_ms} ms is not after {earliest} ms")
    if deadline_ms > latest:
        raise LaneRefused(Refusal.DEADLINE_TOO_FAR, f"{deadline_ms} ms is after {latest} ms")
    if not is_permitted(lane):
        raise LaneRefused(Refusal.NOT_PERMITTED, f"the policy admits no sending on lane {lane}")
    key = out_key(lane)
    before = load(state, key, OutLane.from_value)
    known = before or OutLane()
    if known.sent - known.floor >= WINDOW:
        raise LaneRefused(
            Refusal.WINDOW_FULL, f"lane {lane} has sent {known.sent}, acknowledged is {known.floor}"
        )
    if known.sent >= SEQUENCE_MAX:
        raise LaneRefused(Refusal.SEQUENCES_EXHAUSTED, f"lane {lane} has sent {known.sent}")
    if before is None:
        check_room(lane, peer.outgoing)
        save(
            state,
            peer_key(lane.destination),
            replace(peer, outgoing=(*peer.outgoing, (lane.port, lane.mode))),
        )
    message = Message.make(
        lane,
        sequence=known.sent + 1,
        deadline_ms=deadline_ms,
        acked_floor=known.floor,
        incarnation=block.incarnation,
        payload=payload,
    )
    save(state, commitment_key(key, message.sequence), Commitment(message.hash, deadline_ms, block.height))
    save(state, key, replace(known, sent=message.sequence))
    state.say(lane.destination, message.encoded)
    return message


def acknowledge(
    state: LaneState, block: OwnBlock, view: AnchoredView, arrival: Arrival, callback: Callback
) -> Acknowledged:
    """Take the destination's proven answer to a message of ours. Raises LaneRefused, before any write.

    The commitment is gone before the callback runs; its failure rolls back its own writes only.
    """
    try:
        acknowledgement = Acknowledgement.decode(arrival.leaf)
    except CodecError as error:
        raise LaneRefused(Refusal.MALFORMED_LEAF, str(error)) from error
    lane = acknowledgement.lane
    if lane.source != block.cluster_id or lane.destination != view.cluster_id:
        raise LaneRefused(Refusal.WRONG_LANE, f"lane {lane} does not lead from here to the given cluster")
    usable_peer(state, view)
    check_proof(view, block.cluster_id, arrival)
    taken = _take(state, acknowledgement, arrival.proof.index, callback)
    note_heard(state, view.cluster_id, arrival.proof.log)
    return taken


def _take(
    state: LaneState, acknowledgement: Acknowledgement, leaf_index: int, callback: Callback
) -> Acknowledged:
    lane, sequence = acknowledgement.lane, acknowledgement.sequence
    key = out_key(lane)
    known = load(state, key, OutLane.from_value) or OutLane()
    if sequence > known.sent:
        raise LaneRefused(Refusal.UNKNOWN_SEQUENCE, f"lane {lane} has sent {known.sent}, not {sequence}")
    commitment = load(state, commitment_key(key, sequence), Commitment.from_value)
    if commitment is None:
        closed = load(state, closed_key(key), Closed.from_value)
        waiting = None if closed is None else closed.of(sequence)
        if closed is not None and waiting is not None:
            return _take_closed(state, acknowledgement, leaf_index, callback, closed, waiting)
        return _take_again(state, key, acknowledgement, leaf_index)
    _check_binding(commitment, acknowledgement)
    state.delete(commitment_key(key, sequence))
    settled = Settled(commitment.message_hash, acknowledgement.result, leaf_index, False)
    save(state, settled_key(key, sequence), settled)
    save(state, key, _advance_floor(state, key, known))
    failed = not _call_back(state, acknowledgement, callback)
    if failed:
        save(state, settled_key(key, sequence), replace(settled, callback_failed=True))
    return Acknowledged(acknowledgement, Standing.SETTLED, failed)


def close(
    state: LaneState, block: OwnBlock, view: AnchoredView, arrival: Arrival, callback: Callback
) -> Closing:
    """Take the destination's proven word that our lane is closed up to a sequence: on a branch of ours that a
    recovery dropped it answered what this branch never said there, and has forgotten it.

    We go on above that sequence, and say so, for branches of the destination that never closed the lane.
    Messages of ours below it wait for the acknowledgement of their place: the very same message gets its own
    outcome, in the place of another one it is EXPIRED, and so it is at once where there never was any.
    Bounded reads and writes, whatever the sequence. Raises LaneRefused, before any write.
    """
    try:
        closing = Closing.decode(arrival.leaf)
    except CodecError as error:
        raise LaneRefused(Refusal.MALFORMED_LEAF, str(error)) from error
    lane = closing.lane
    if lane.source != block.cluster_id or lane.destination != view.cluster_id:
        raise LaneRefused(Refusal.WRONG_LANE, f"lane {lane} does not lead from here to the given cluster")
    peer = usable_peer(state, view)
    check_proof(view, block.cluster_id, arrival)
    key = out_key(lane)
    known = load(state, key, OutLane.from_value)
    if known is None:
        raise LaneRefused(Refusal.UNKNOWN_SEQUENCE, f"nothing was ever sent on lane {lane}")
    closed = load(state, closed_key(key), Closed.from_value) or Closed()
    open_there = _open_messages(state, key, known, closing.closed)
    _check_closing(block, closing, known, closed, len(open_there))
    check_jump(block, view, lane, closing.closed)
    gaps = closed.gaps
    uncounted = 0
    if closing.closed > known.sent:
        # A branch of the destination that never said this will wait for what we shall never send.
        gaps = (*gaps, (known.sent + 1, closing.closed))
        state.say(lane.destination, Gap.make(lane, *gaps[-1]).encoded)
        uncounted = sum(max(0, last - max(first, known.sent + 1) + 1) for first, last in closing.gaps)
    for sequence, _ in open_there:
        state.delete(commitment_key(key, sequence))
    waiting = (*closed.waiting, *open_there)
    ended = tuple((sequence, c) for sequence, c in waiting if closing.is_gap(sequence))
    now = Closed(
        max(closed.closed, closing.closed),
        max(closed.reopened, closing.reopened),
        arrival.proof.index,
        closed.taken + 1,
        gaps,
        tuple(item for item in waiting if item not in ended),
    )
    save(state, closed_key(key), now)
    if closing.closed > known.floor:
        _forget(state, key, known, closing.closed)
    counted = replace(peer, closings=peer.closings + 1, lost=peer.lost + uncounted + len(ended))
    save(state, peer_key(lane.destination), counted)
    note_heard(state, view.cluster_id, arrival.proof.log)
    for sequence, commitment in ended:
        _rest_on(state, key, sequence, arrival.proof.index)
        _call_back(state, _expired(lane, sequence, commitment), callback)
    return closing


def _forget(state: LaneState, key: bytes, known: OutLane, closed: int) -> None:
    """Go on above a closed sequence, without the results up to there."""
    leaves = known.leaves_pruned
    for sequence in range(known.pruned + 1, min(known.sent, closed) + 1):
        forgotten = load(state, settled_key(key, sequence), Settled.from_value)
        if forgotten is not None:
            leaves = max(leaves, forgotten.leaf_index + 1)
            state.delete(settled_key(key, sequence))
    raised = OutLane(max(known.sent, closed), closed, closed, leaves)
    save(state, key, _advance_floor(state, key, raised))


def _expired(lane: Lane, sequence: int, commitment: Commitment) -> Acknowledgement:
    """What the application hears of a message whose place is closed."""
    return Acknowledgement.about(lane, sequence, commitment.message_hash, Result.EXPIRED, CLOSED_ANSWER)


def _check_closing(block: OwnBlock, closing: Closing, known: OutLane, closed: Closed, opened: int) -> None:
    """Whether a proven closing is news, and no more than a destination may say."""
    lane = closing.lane
    if closing.closed <= known.floor and not closed.is_told_by(closing.closed):
        raise LaneRefused(
            Refusal.ALREADY_ACKNOWLEDGED, f"lane {lane} is settled up to {known.floor}, past {closing.closed}"
        )
    if closed.taken >= block.incarnation:
        raise LaneRefused(
            Refusal.UNKNOWN_INCARNATION,
            f"{block.incarnation} branches of ours were dropped, lane {lane} was closed {closed.taken} times",
        )
    if len(closed.gaps) >= GAPS_MAX:
        raise LaneRefused(Refusal.SEQUENCES_EXHAUSTED, f"lane {lane} has {GAPS_MAX} gaps")
    if len(closed.waiting) + opened > CLOSED_WAITING_MAX:
        raise LaneRefused(
            Refusal.WINDOW_FULL, f"{len(closed.waiting)} messages of lane {lane} wait in closed places"
        )


def _open_messages(
    state: LaneState, key: bytes, known: OutLane, closed: int
) -> tuple[tuple[int, Commitment], ...]:
    """What waits for an answer up to sequence `closed`: at most a window."""
    found = []
    for sequence in range(known.floor + 1, min(known.sent, closed) + 1):
        commitment = load(state, commitment_key(key, sequence), Commitment.from_value)
        if commitment is not None:
            found.append((sequence, commitment))
    return tuple(found)


def _take_closed(
    state: LaneState,
    said: Acknowledgement,
    leaf_index: int,
    callback: Callback,
    closed: Closed,
    waiting: Commitment,
) -> Acknowledged:
    """What was in the place of a message that waits below a closed sequence. Where an earlier recovery had
    opened the place again it may be an older answer than that to our message, and proves nothing; nor does
    it where only a branch that was dropped had closed the place."""
    key, sequence = out_key(said.lane), said.sequence
    standing, heard = Standing.SETTLED, said
    if said.message_hash != waiting.message_hash:
        if not closed.is_shut(sequence):
            _check_binding(waiting, said)
        standing = Standing.CLOSED
        heard = _expired(said.lane, sequence, waiting)
    save(state, closed_key(key), closed.without(sequence))
    _rest_on(state, key, sequence, leaf_index)
    return Acknowledged(heard, standing, not _call_back(state, heard, callback))


def _check_binding(commitment: Commitment, acknowledgement: Acknowledgement) -> None:
    if commitment.message_hash != acknowledgement.message_hash:
        raise LaneRefused(
            Refusal.OTHER_MESSAGE,
            f"it answers {acknowledgement.message_hash.hex()}, sent was {commitment.message_hash.hex()}",
        )


def _advance_floor(state: LaneState, key: bytes, known: OutLane) -> OutLane:
    """The floor over all that is acknowledged without a gap, and the tail below it pruned."""
    floor = known.floor
    while floor < known.sent and state.get(commitment_key(key, floor + 1)) is None:
        floor += 1
    pruned, leaves = known.pruned, known.leaves_pruned
    for sequence in range(pruned + 1, min(floor - TAIL, pruned + PRUNED_PER_STEP_MAX) + 1):
        forgotten = load(state, settled_key(key, sequence), Settled.from_value)
        leaves = leaves if forgotten is None else max(leaves, forgotten.leaf_index + 1)
        state.delete(settled_key(key, sequence))
        pruned = sequence
    return OutLane(known.sent, floor, pruned, leaves)


def _call_back(state: LaneState, acknowledgement: Acknowledgement, callback: Callback) -> bool:
    """Whether the application took the news."""
    writes = WriteSet(state)
    try:
        callback(writes, acknowledgement)
    except (HandlerFailed, LaneRefused):
        return False
    writes.commit()
    return True


def _take_again(
    state: LaneState, key: bytes, acknowledgement: Acknowledgement, leaf_index: int
) -> Acknowledged:
    """An answer to what was answered before: news only where a recovery has disputed that."""
    sequence = acknowledgement.sequence
    dispute = disputes_of(state, key).of(sequence, acknowledgement.message_hash)
    if dispute is None or dispute.contradiction is not None:
        raise LaneRefused(
            Refusal.ALREADY_ACKNOWLEDGED, f"sequence {sequence} of lane {acknowledgement.lane} is settled"
        )
    if dispute.result is acknowledgement.result:
        settle_dispute(state, key, dispute, None)
        _rest_on(state, key, sequence, leaf_index)
        return Acknowledged(acknowledgement, Standing.CONFIRMED)
    settle_dispute(state, key, dispute, replace(dispute, contradiction=acknowledgement.result))
    return Acknowledged(acknowledgement, Standing.CONTRADICTED)


def _rest_on(state: LaneState, key: bytes, sequence: int, leaf_index: int) -> None:
    """A confirmed result rests on the leaf that confirmed it: the next recovery may drop that one too."""
    settled = load(state, settled_key(key, sequence), Settled.from_value)
    if settled is not None:
        save(state, settled_key(key, sequence), replace(settled, leaf_index=leaf_index))
        return
    known = load(state, key, OutLane.from_value) or OutLane()
    save(state, key, replace(known, leaves_pruned=max(known.leaves_pruned, leaf_index + 1)))
