"""The destination's side of a lane: a receipt for every message, written before anything else happens.

Whoever brings a message, and however often, the first proven arrival decides: OK or ERROR in time,
EXPIRED at or after the deadline by this cluster's clock. Rules and sources: `rules.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias

from consensus import CodecError
from node.anchoring.lanes.disputes import Dispute, disputes_of, settle_dispute
from node.anchoring.lanes.messages import (
    ANSWER_BYTES_MAX,
    GAPS_MAX,
    Acknowledgement,
    Gap,
    Message,
    Mode,
    Result,
)
from node.anchoring.lanes.outbox import OutboxProof
from node.anchoring.lanes.records import (
    PRUNED_PER_STEP_MAX,
    TAIL,
    InLane,
    Passed,
    Peer,
    Receipt,
)
from node.anchoring.lanes.refusals import LaneRefused, Refusal
from node.anchoring.lanes.rules import (
    Arrival,
    HandlerFailed,
    check_jump,
    check_proof,
    check_room,
    failed_answer,
    note_heard,
    usable_peer,
)
from node.anchoring.lanes.state import (
    LaneState,
    WriteSet,
    in_key,
    load,
    passed_key,
    peer_key,
    receipt_key,
    save,
)
from node.anchoring.lanes.views import AnchoredView, OwnBlock

DENIED = b"denied-by-policy"
"""The answer of an ERROR that no handler gave."""
CROWDED = b"too-many-disputes"
"""The answer where recoveries of the source have left so much in dispute that no more may take effect."""
ANSWER_TOO_LONG = b"answer-too-long"


class Verdict(Enum):
    """What the destination's policy says of a message."""

    ADMIT = 1
    DENY = 2
    """It becomes an ERROR receipt: the policy forbids it."""
    WAIT = 3
    """Nothing happens now: a quota is used up; it waits until its deadline."""


ReceivePolicy: TypeAlias = Callable[[Message], Verdict]
"""What this cluster says of a message that is proven and in time."""
Handler: TypeAlias = Callable[[LaneState, Message], bytes]
"""Runs a message in a write set of its own and answers with at most 4 KiB; may raise HandlerFailed, or what
a lane that it sends on refuses."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message that now has its receipt, and the answer that was said back.

    `acknowledgement` is None where a recovery had disputed this very message: it had been handled, the
    receipt stands again, and its answer is in our outbox already.
    """

    message: Message
    result: Result
    acknowledgement: Acknowledgement | None


def receive(
    state: LaneState,
    block: OwnBlock,
    view: AnchoredView,
    arrival: Arrival,
    policy: ReceivePolicy,
    handler: Handler,
) -> Received:
    """Handle a proven message that is in time. Raises LaneRefused, before anything is written.

    The receipt stands as ERROR before the handler runs and becomes OK when it has succeeded, so that a
    handler that comes back here meets the receipt.
    """
    incoming = _proven_message(state, block, view, arrival)
    message = incoming.message
    if incoming.dispute is not None:
        return _recognise(state, incoming, incoming.dispute)
    if block.time_ms >= message.deadline_ms:
        raise LaneRefused(
            Refusal.DEADLINE_PASSED, f"it is {block.time_ms} ms, the deadline was {message.deadline_ms} ms"
        )
    if disputes_of(state, incoming.key).is_crowded:
        _write_receipt(state, incoming, Result.ERROR)
        return _answer(state, message, Result.ERROR, CROWDED)
    verdict = policy(message)
    if verdict is Verdict.WAIT:
        raise LaneRefused(Refusal.OVER_QUOTA, f"the quota of lane {message.lane} is used up")
    if verdict is Verdict.DENY:
        _write_receipt(state, incoming, Result.ERROR)
        return _answer(state, message, Result.ERROR, DENIED)
    return _answer(state, message, *_run_handler(state, incoming, handler))


def expire(state: LaneState, block: OwnBlock, view: AnchoredView, arrival: Arrival) -> Received:
    """Consume a proven message that came too late: its receipt says EXPIRED and the lane goes on.

    Raises LaneRefused, before anything is written.
    """
    incoming = _proven_message(state, block, view, arrival)
    message = incoming.message
    if incoming.dispute is not None:
        return _recognise(state, incoming, incoming.dispute)
    if block.time_ms < message.deadline_ms:
        raise LaneRefused(
            Refusal.DEADLINE_NOT_REACHED,
            f"it is {block.time_ms} ms, the deadline is {message.deadline_ms} ms",
        )
    _write_receipt(state, incoming, Result.EXPIRED)
    return _answer(state, message, Result.EXPIRED, b"")


def deliver(
    state: LaneState,
    block: OwnBlock,
    view: AnchoredView,
    arrival: Arrival,
    policy: ReceivePolicy,
    handler: Handler,
) -> Received:
    """`receive` or `expire`, as the block's time says: couriers need not guess which it will be."""
    try:
        return receive(state, block, view, arrival, policy, handler)
    except LaneRefused as refused:
        if refused.refusal is not Refusal.DEADLINE_PASSED:
            raise
    return expire(state, block, view, arrival)


def pass_over(state: LaneState, block: OwnBlock, view: AnchoredView, arrival: Arrival) -> Gap:
    """Take the source's proven word that it has nothing to say in some sequences: a branch of ours that a
    recovery dropped had closed the lane, and the source goes on above.

    Receipts up to there are forgotten. Bounded reads and writes, whatever the sequences. Raises LaneRefused,
    before any write.
    """
    try:
        gap = Gap.decode(arrival.leaf)
    except CodecError as error:
        raise LaneRefused(Refusal.MALFORMED_LEAF, str(error)) from error
    lane = gap.lane
    if lane.source != view.cluster_id or lane.destination != block.cluster_id:
        raise LaneRefused(Refusal.WRONG_LANE, f"lane {lane} does not lead from the given cluster to here")
    peer = usable_peer(state, view)
    check_proof(view, block.cluster_id, arrival)
    key = in_key(lane)
    known = load(state, key, InLane.from_value) or InLane(opened=arrival.proof.index)
    if gap.last <= known.received:
        raise LaneRefused(Refusal.ALREADY_RECEIVED, f"lane {lane} is past sequence {gap.last}")
    if gap.first > known.received + 1:
        raise LaneRefused(
            Refusal.SEQUENCE_GAP, f"a gap from {gap.first} of lane {lane}, the next is {known.received + 1}"
        )
    check_jump(block, view, lane, gap.last)
    check_room(lane, peer.incoming)
    passed = load(state, passed_key(key), Passed.from_value) or Passed()
    if passed.taken >= block.incarnation * view.incarnation or len(passed.gaps) >= GAPS_MAX:
        raise LaneRefused(
            Refusal.UNKNOWN_INCARNATION,
            f"no more than {passed.taken} closings of lane {lane} can have been said and dropped",
        )
    known, peer = _opened(known, peer, (lane.port, lane.mode), arrival.proof.index)
    _jump(state, key, known, gap.last, arrival.proof.index)
    save(state, passed_key(key), passed.adding(known.received + 1, gap.last))
    # The lane counts all of these sequences as taken, and the other's log has one leaf for them.
    save(state, peer_key(lane.source), replace(peer, lost=peer.lost + gap.last - known.received - 1))
    note_heard(state, view.cluster_id, arrival.proof.log)
    return gap


def _jump(state: LaneState, key: bytes, known: InLane, last: int, index: int) -> None:
    """Raise a lane over a gap and forget the receipts below. Raises LaneRefused where one stands in it."""
    leaves = max(known.leaves_pruned, index + 1)
    held = []
    for sequence in range(known.pruned + 1, min(known.highest, last) + 1):
        receipt = load(state, receipt_key(key, sequence), Receipt.from_value)
        if receipt is not None:
            held.append(sequence)
            leaves = max(leaves, receipt.leaf_index + 1)
    if held and held[-1] > known.received:
        raise LaneRefused(Refusal.ALREADY_RECEIVED, f"sequence {held[-1]} has its receipt, and is no gap")
    for sequence in held:
        state.delete(receipt_key(key, sequence))
    received = last
    while state.get(receipt_key(key, received + 1)) is not None:
        received += 1
    raised = replace(known, received=received, highest=max(known.highest, last), floor=max(known.floor, last))
    save(state, key, replace(raised, pruned=last, leaves_pruned=leaves))


def _opened(known: InLane, peer: Peer, port: tuple[str, Mode], index: int) -> tuple[InLane, Peer]:
    """Lane and peer once something was taken on the lane by this leaf."""
    if port in peer.incoming:
        return known, peer
    left = tuple(other for other in peer.left if other != port)
    return replace(known, opened=index), replace(peer, incoming=(*peer.incoming, port), left=left)


def _check_sequence(state: LaneState, key: bytes, known: InLane, message: Message) -> None:
    """Whether this message is the one its lane may take now."""
    sequence, lane = message.sequence, message.lane
    if sequence <= known.received or state.get(receipt_key(key, sequence)) is not None:
        raise LaneRefused(Refusal.ALREADY_RECEIVED, f"sequence {sequence} of lane {lane} has its receipt")
    if lane.mode is Mode.ORDERED and sequence != known.received + 1:
        raise LaneRefused(
            Refusal.SEQUENCE_GAP, f"sequence {sequence} of lane {lane}, the next is {known.received + 1}"
        )
    if message.acked_floor > known.received:
        raise LaneRefused(
            Refusal.FLOOR_AHEAD,
            f"lane {lane} is said to be acknowledged up to {message.acked_floor}, received is "
            f"{known.received}",
        )


@dataclass(frozen=True, slots=True)
class _Incoming:
    """A message that is proven and next, with the records that its receipt changes."""

    message: Message
    proof: OutboxProof
    key: bytes
    lane: InLane
    peer: Peer
    dispute: Dispute | None

    @property
    def port(self) -> tuple[str, Mode]:
        """The lane, as its peer's record lists it."""
        return (self.message.lane.port, self.message.lane.mode)


def _proven_message(state: LaneState, block: OwnBlock, view: AnchoredView, arrival: Arrival) -> _Incoming:
    """Everything that `receive` and `expire` check alike."""
    try:
        message = Message.decode(arrival.leaf)
    except CodecError as error:
        raise LaneRefused(Refusal.MALFORMED_LEAF, str(error)) from error
    lane = message.lane
    if lane.source != view.cluster_id or lane.destination != block.cluster_id:
        raise LaneRefused(Refusal.WRONG_LANE, f"lane {lane} does not lead from the given cluster to here")
    peer = usable_peer(state, view)
    if message.incarnation > view.incarnation:
        raise LaneRefused(
            Refusal.UNKNOWN_INCARNATION,
            f"a message of incarnation {message.incarnation}, anchored is {view.incarnation}",
        )
    check_proof(view, block.cluster_id, arrival)
    key = in_key(lane)
    known = load(state, key, InLane.from_value) or InLane(opened=arrival.proof.index)
    _check_sequence(state, key, known, message)
    check_room(lane, peer.incoming)
    dispute = disputes_of(state, key).of(message.sequence, message.hash)
    return _Incoming(message, arrival.proof, key, known, peer, dispute)


def _run_handler(state: LaneState, incoming: _Incoming, handler: Handler) -> tuple[Result, bytes]:
    """Receipt, then handler, then the receipt's last word."""
    _write_receipt(state, incoming, Result.ERROR)
    writes = WriteSet(state)
    try:
        answer = handler(writes, incoming.message)
    except (HandlerFailed, LaneRefused) as failure:
        return Result.ERROR, failed_answer(failure)
    if len(answer) > ANSWER_BYTES_MAX:
        return Result.ERROR, ANSWER_TOO_LONG
    writes.commit()
    save(state, receipt_key(incoming.key, incoming.message.sequence), _receipt(incoming, Result.OK))
    return Result.OK, answer


def _write_receipt(state: LaneState, incoming: _Incoming, result: Result) -> None:
    """The receipt, and the lane as it stands with it."""
    key, message = incoming.key, incoming.message
    known, peer = _opened(incoming.lane, incoming.peer, incoming.port, incoming.proof.index)
    if peer is not incoming.peer:
        save(state, peer_key(message.lane.source), peer)
    note_heard(state, message.lane.source, incoming.proof.log)
    save(state, receipt_key(key, message.sequence), _receipt(incoming, result))
    received = known.received
    while state.get(receipt_key(key, received + 1)) is not None:
        received += 1
    floor = max(known.floor, message.acked_floor)
    pruned, leaves = known.pruned, known.leaves_pruned
    for sequence in range(pruned + 1, min(floor - TAIL, pruned + PRUNED_PER_STEP_MAX) + 1):
        forgotten = load(state, receipt_key(key, sequence), Receipt.from_value)
        leaves = leaves if forgotten is None else max(leaves, forgotten.leaf_index + 1)
        state.delete(receipt_key(key, sequence))
        pruned = sequence
    highest = max(known.highest, message.sequence)
    counted = replace(known, received=received, highest=highest, floor=floor)
    save(state, key, replace(counted, pruned=pruned, leaves_pruned=leaves))


def _receipt(incoming: _Incoming, result: Result) -> Receipt:
    return Receipt(incoming.message.hash, result, incoming.proof.index)


def _answer(state: LaneState, message: Message, result: Result, answer: bytes) -> Received:
    acknowledgement = Acknowledgement.make(message, result, answer)
    state.say(message.lane.source, acknowledgement.encoded)
    return Received(message, result, acknowledgement)


def _recognise(state: LaneState, incoming: _Incoming, dispute: Dispute) -> Received:
    """The recovered branch says the very message that was handled before: its receipt stands again. A crowded
    list keeps the dispute: what was left out of it could take effect once there is room."""
    _write_receipt(state, incoming, dispute.result)
    if not disputes_of(state, incoming.key).is_crowded:
        settle_dispute(state, incoming.key, dispute, None)
    return Received(incoming.message, dispute.result, None)
