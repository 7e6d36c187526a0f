"""What happens to lanes when the other cluster dies, and when it comes back on one branch of two.

A frozen or retired cluster's lanes are parked: nothing moves, commitments are UNRESOLVED and listed, and
none is ever refunded, because nobody knows what became of them. Recovery raises the incarnation, chooses a
branch, and keeps every lane and sequence. What rested on leaves of the dropped branch alone is DISPUTED:

    messages we received   leave their receipts for the list; their sequences are free again for what the
                           recovered branch says there. If it says the very same message, the receipt
                           returns and nothing runs twice. Sequences whose receipts are forgotten already
                           are closed, and the recovered branch is told so, once.
    closings we were told  bind no longer. Where we went on above one, a gap said so at once, so that every
                           branch of the other cluster comes over it (`messages.Gap`).
    answers we were given  stand, since their callbacks ran; the recovered branch confirms or contradicts
                           them when it answers the same message.

Sources: federation 3.3 (DEAD) and 3.6 (Recover) with F6.
"""

from dataclasses import dataclass, replace

from consensus import Digest
from node.anchoring.lanes.disputes import Dispute, Disputes, disputes_of
from node.anchoring.lanes.messages import Closing, Lane
from node.anchoring.lanes.progress import progress_with
from node.anchoring.lanes.records import (
    LEFT_MAX,
    Closed,
    Commitment,
    Heard,
    InLane,
    OutLane,
    Passed,
    Peer,
    PeerStatus,
    Receipt,
    Settled,
)
from node.anchoring.lanes.refusals import LaneRefused, Refusal
from node.anchoring.lanes.state import (
    LaneState,
    closed_key,
    commitment_key,
    disputes_key,
    heard_key,
    in_key,
    load,
    out_key,
    passed_key,
    peer_key,
    receipt_key,
    save,
    settled_key,
)


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A message whose outcome nobody can know while its destination is parked."""

    lane: Lane
    sequence: int
    commitment: Commitment


@dataclass(frozen=True, slots=True)
class Disputed:
    """The disputes of one lane; `is_incoming` where we had received, else where we had been answered."""

    lane: Lane
    is_incoming: bool
    disputes: Disputes


def park(state: LaneState, cluster_id: bytes, incarnation: int) -> None:
    """Stop all lanes with a cluster that was frozen or retired. Idempotent; one write, however many lanes."""
    peer = load(state, peer_key(cluster_id), Peer.from_value) or Peer(PeerStatus.LIVE, incarnation)
    save(state, peer_key(cluster_id), replace(peer, status=PeerStatus.PARKED))


def heard_of(state: LaneState, cluster_id: bytes) -> Heard | None:
    """The log of a cluster in which all that we took of it was proven; None when we took nothing."""
    return load(state, heard_key(cluster_id), Heard.from_value)


def resume(
    state: LaneState,
    own_id: bytes,
    cluster_id: bytes,
    incarnation: int,
    common_size: int,
    common_root: Digest | None = None,
) -> None:
    """Go on with a recovered cluster in its next incarnation.

    `common_size`: the leading leaves of its log to us that the chosen branch shares with the one we had
    anchored, and their root, as `outbox.CommonPrefix` proves; 0 when they share none. Reads and writes every
    record of its lanes above what is pruned. Raises LaneRefused unless `incarnation` is the next one.
    """
    peer = load(state, peer_key(cluster_id), Peer.from_value)
    if peer is None:
        return
    if incarnation != peer.incarnation + 1:
        raise LaneRefused(
            Refusal.UNKNOWN_INCARNATION,
            f"the lanes follow incarnation {peer.incarnation}, a recovery to {incarnation} is not the next",
        )
    for port, mode in peer.outgoing:
        key = out_key(Lane(own_id, cluster_id, port, mode))
        _dispute_answers(state, key, peer.incarnation, common_size)
        closed = load(state, closed_key(key), Closed.from_value)
        if closed is not None:
            save(state, closed_key(key), closed.after_recovery(common_size))
    left = []
    for port, mode in peer.incoming:
        lane = Lane(cluster_id, own_id, port, mode)
        if _dispute_receipts(state, lane, peer.incarnation, common_size):
            left.append((port, mode))
    _keep_heard(state, cluster_id, common_size, common_root)
    going_on = replace(
        peer,
        status=PeerStatus.LIVE,
        incarnation=incarnation,
        incoming=tuple(port for port in peer.incoming if port not in left),
        left=(*peer.left, *left)[-LEFT_MAX:],
    )
    save(state, peer_key(cluster_id), going_on)
    progress = progress_with(state, own_id, cluster_id)
    beyond = progress.count + progress.besides + peer.lost - common_size
    save(state, peer_key(cluster_id), replace(going_on, lost=max(peer.lost, beyond)))


def unresolved(state: LaneState, own_id: bytes, cluster_id: bytes) -> tuple[Unresolved, ...]:
    """What was sent to a parked cluster and not answered, by lane and sequence; nothing while it is live."""
    peer = load(state, peer_key(cluster_id), Peer.from_value)
    if peer is None or peer.status is not PeerStatus.PARKED:
        return ()
    found = []
    for port, mode in peer.outgoing:
        lane = Lane(own_id, cluster_id, port, mode)
        closed = load(state, closed_key(out_key(lane)), Closed.from_value) or Closed()
        found += [Unresolved(lane, sequence, commitment) for sequence, commitment in closed.waiting]
        known = load(state, out_key(lane), OutLane.from_value) or OutLane()
        for sequence in range(known.floor + 1, known.sent + 1):
            commitment = load(state, commitment_key(out_key(lane), sequence), Commitment.from_value)
            if commitment is not None:
                found.append(Unresolved(lane, sequence, commitment))
    return tuple(found)


def disputed(state: LaneState, own_id: bytes, cluster_id: bytes) -> tuple[Disputed, ...]:
    """The lanes with a cluster on which something is disputed, or may be without being listed."""
    peer = load(state, peer_key(cluster_id), Peer.from_value)
    if peer is None:
        return ()
    outgoing = (Lane(own_id, cluster_id, port, mode) for port, mode in peer.outgoing)
    incoming = (Lane(cluster_id, own_id, port, mode) for port, mode in (*peer.incoming, *peer.left))
    found = [(lane, False, out_key(lane)) for lane in outgoing]
    found += [(lane, True, in_key(lane)) for lane in incoming]
    lists = [(lane, is_in, disputes_of(state, key)) for lane, is_in, key in found]
    return tuple(
        Disputed(lane, is_incoming, disputes)
        for lane, is_incoming, disputes in lists
        if disputes.listed or not disputes.is_complete
    )


def _dispute_answers(state: LaneState, key: bytes, incarnation: int, common_size: int) -> None:
    """List every result that rests on a leaf beyond the common prefix, and is not listed yet: of an earlier
    recovery's disputes none was confirmed since, or it would not be there."""
    lane = load(state, key, OutLane.from_value) or OutLane()
    disputes = disputes_of(state, key)
    known = {(dispute.sequence, dispute.message_hash) for dispute in disputes.listed}
    new = []
    for sequence in range(lane.pruned + 1, lane.sent + 1):
        settled = load(state, settled_key(key, sequence), Settled.from_value)
        if settled is None or (sequence, settled.message_hash) in known:
            continue
        if settled.leaf_index >= common_size:
            new.append(Dispute(sequence, incarnation, settled.message_hash, settled.result))
    _add(state, key, tuple(new), lane.leaves_pruned <= common_size)


def _dispute_receipts(state: LaneState, on: Lane, incarnation: int, common_size: int) -> bool:
    """List every receipt that rests on a leaf beyond the common prefix, and free its sequence; close those
    whose receipts are forgotten. Answers whether only the dropped branch ever said anything on the lane."""
    key = in_key(on)
    lane = load(state, key, InLane.from_value) or InLane()
    reopened_before = lane.reopened
    new = []
    highest = lane.pruned
    for sequence in range(lane.pruned + 1, lane.highest + 1):
        receipt = load(state, receipt_key(key, sequence), Receipt.from_value)
        if receipt is None:
            continue
        if receipt.leaf_index < common_size:
            highest = sequence
            continue
        new.append(Dispute(sequence, incarnation, receipt.message_hash, receipt.result))
        state.delete(receipt_key(key, sequence))
    if new:
        received = min(lane.received, new[0].sequence - 1)
        floor = min(lane.floor, received)
        reopened = max(lane.reopened, new[-1].sequence)
        lane = replace(lane, received=received, highest=highest, floor=floor, reopened=reopened)
    passed = load(state, passed_key(key), Passed.from_value)
    if passed is not None:
        save(state, passed_key(key), replace(passed, taken=0))
    is_whole = lane.leaves_pruned <= common_size
    if not is_whole and lane.closed < lane.pruned:
        answered = {dispute.sequence for dispute in disputes_of(state, key).listed}
        gaps = () if passed is None else passed.without(answered)
        state.say(on.source, Closing.make(on, lane.pruned, reopened_before, gaps).encoded)
        lane = replace(lane, closed=lane.pruned)
    save(state, key, lane)
    listed, is_all = disputes_of(state, key).choose(tuple(new))
    _add(state, key, listed, is_whole and is_all)
    return lane.opened >= common_size and highest == lane.pruned and bool(new or lane.pruned)


def _keep_heard(state: LaneState, cluster_id: bytes, size: int, root: Digest | None) -> None:
    """Of what we were proven only the common prefix is on the branch that goes on."""
    known = heard_of(state, cluster_id)
    if known is None or size >= known.size:
        return
    if size and root is not None:
        save(state, heard_key(cluster_id), Heard(size, root))
    else:
        state.delete(heard_key(cluster_id))


def _add(state: LaneState, key: bytes, new: tuple[Dispute, ...], is_complete: bool) -> None:
    if not new and is_complete:
        return
    disputes = disputes_of(state, key)
    save(state, disputes_key(key), disputes.adding(new, is_complete))
