"""Lanes: messages between clusters, each with exactly one outcome, whatever couriers and networks do.

    send         a sequence number, a leaf in the outbox, a commitment that waits
    receive      the leaf is proven in the anchored outbox: receipt first, then the handler
    expire       the same proofs, too late by this cluster's clock: a positive receipt says so (F7)
    acknowledge  the destination's answer is proven: commitment deleted first, then the callback

Each is a pure function of a transaction's state, the block under execution and what is anchored of the
other cluster. Everything is checked before anything is written, and a refusal (`LaneRefused`) leaves no
trace; so duplicates, replays and lost couriers change nothing. There is no handshake, no close, no refund
for silence: what became of a message is only ever the destination's own word. A handler or callback that
fails is rolled back alone; the receipt or result stays.
Sources: federation 3.3 with F6, F7 and F10; section 2, failures 4, 5, 8, 14, 15.
"""

from dataclasses import dataclass

from node.anchoring.lanes.messages import ANSWER_BYTES_MAX, Lane, Mode
from node.anchoring.lanes.outbox import LogProof, OutboxProof
from node.anchoring.lanes.records import LANES_PER_PEER_MAX, Heard, Peer, PeerStatus
from node.anchoring.lanes.refusals import LaneRefused, Refusal
from node.anchoring.lanes.state import LaneState, heard_key, load, peer_key, save
from node.anchoring.lanes.views import AnchoredView, OwnBlock
from node.proofs import ProofError

SEQUENCES_PER_INCARNATION = 2**40
"""More than a lane can use for real: how far closings and gaps lead, for each branch that there ever was."""


class HandlerFailed(Exception):
    """An application refuses a message or an acknowledgement; what it wrote is rolled back.

    `answer` goes back to the sender (cut at 4 KiB). Any other exception is a bug and stops the process.
    """

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer)
        self.answer = answer[:ANSWER_BYTES_MAX]


def failed_answer(failure: HandlerFailed | LaneRefused) -> bytes:
    """What the other side hears of an application that failed; one that may not send has failed as well."""
    return failure.answer if isinstance(failure, HandlerFailed) else failure.refusal.label.encode()


@dataclass(frozen=True, slots=True)
class Arrival:
    """A leaf of another cluster's outbox to us, as a courier brings it."""

    leaf: bytes
    proof: OutboxProof


def usable_peer(state: LaneState, view: AnchoredView) -> Peer:
    """The peer's record, where lanes with it may run: neither frozen nor ahead or behind in incarnation."""
    name = view.cluster_id.hex()[:8]
    if not view.is_active:
        raise LaneRefused(Refusal.CLIENT_NOT_ACTIVE, f"the client of cluster {name} is not active")
    peer = load(state, peer_key(view.cluster_id), Peer.from_value)
    if peer is None:
        return Peer(PeerStatus.LIVE, view.incarnation)
    if peer.status is PeerStatus.PARKED:
        raise LaneRefused(Refusal.PEER_PARKED, f"the lanes with cluster {name} are parked")
    if view.incarnation > peer.incarnation:
        raise LaneRefused(
            Refusal.RECOVERY_PENDING,
            f"cluster {name} is in incarnation {view.incarnation}, its lanes in {peer.incarnation}",
        )
    if view.incarnation < peer.incarnation:
        raise LaneRefused(
            Refusal.UNKNOWN_INCARNATION,
            f"a header of incarnation {view.incarnation} of cluster {name}, whose lanes follow "
            f"{peer.incarnation}",
        )
    return peer


def check_proof(view: AnchoredView, own_id: bytes, arrival: Arrival) -> None:
    """LaneRefused unless the leaf stands in what the other cluster says to us under the anchored root."""
    try:
        arrival.proof.verify(view.outbox_root, own_id, arrival.leaf)
    except ProofError as error:
        raise LaneRefused(Refusal.PROOF_FAILED, str(error)) from error


def note_heard(state: LaneState, peer: bytes, log: LogProof) -> None:
    """A leaf was taken from a log of this size and root: what a recovery's common prefix is held against."""
    known = load(state, heard_key(peer), Heard.from_value)
    if known is None or known.size < log.size:
        save(state, heard_key(peer), Heard(log.size, log.root))


def check_jump(block: OwnBlock, view: AnchoredView, lane: Lane, sequence: int) -> None:
    """LaneRefused for a closing or gap up to where no branch of either cluster has come.

    Who forked may lie about it as far as this, and each recovery raises the bound, so that what both sides
    have come to hold is always believed by the other one, and no lie uses up a lane's numbers.
    """
    most = (block.incarnation + view.incarnation + 1) * SEQUENCES_PER_INCARNATION
    if sequence > most:
        raise LaneRefused(
            Refusal.UNKNOWN_SEQUENCE, f"no branch has used {sequence} of lane {lane}, at most {most}"
        )


def check_room(lane: Lane, ports: tuple[tuple[str, Mode], ...]) -> None:
    """LaneRefused when one more lane beside `ports` would pass the bound that both sides hold to."""
    if (lane.port, lane.mode) not in ports and len(ports) >= LANES_PER_PEER_MAX:
        raise LaneRefused(
            Refusal.LANES_FULL, f"lane {lane} would be one more than {LANES_PER_PEER_MAX} in its direction"
        )
