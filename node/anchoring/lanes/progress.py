"""How far each lane has come, in the form that couriers exchange: two clusters compare numbers, not logs.

progress  [port, mode, done, bitmap]   every sequence up to `done`; bit i (lowest first): done + 2 + i
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from consensus import CodecError, Digest, Value, as_bytes, as_int, as_text, as_tuple
from node.anchoring.lanes.disputes import disputes_of
from node.anchoring.lanes.messages import PORT_CHARACTERS_MAX, SEQUENCE_MAX, Gaps, Lane, Mode
from node.anchoring.lanes.records import RECEIPTS_MAX, Closed, InLane, OutLane, Peer, Receipt
from node.anchoring.lanes.state import (
    LaneState,
    closed_key,
    commitment_key,
    in_key,
    load,
    out_key,
    peer_key,
    receipt_key,
)

BITMAP_BYTES_MAX = RECEIPTS_MAX // 8


@dataclass(frozen=True, slots=True)
class Progress:
    """What is held of one lane: every sequence up to `done`, and `above`, ascending, from done + 2 on."""

    port: str
    mode: Mode
    done: int = 0
    above: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """How many sequences are held."""
        return self.done + len(self.above)

    def to_value(self) -> Value:
        """`[port, mode, done, bitmap]`; sequences too far above to tell are left out, and may come again."""
        bits = 0
        for sequence in self.above:
            bits |= 1 << sequence - self.done - 2
        bits &= (1 << 8 * BITMAP_BYTES_MAX) - 1
        return (self.port, int(self.mode), self.done, bits.to_bytes(-(-bits.bit_length() // 8), "little"))

    @staticmethod
    def from_value(value: Value) -> "Progress":
        """The inverse of `to_value`; raises CodecError."""
        port, mode, done, bitmap = as_tuple(value, 4, "progress")
        held = as_int(done, "done", high=SEQUENCE_MAX)
        data = as_bytes(bitmap, "bitmap", max_length=BITMAP_BYTES_MAX)
        if data and not data[-1]:
            raise CodecError("the bitmap has empty bytes at its end")
        bits = int.from_bytes(data, "little")
        above = tuple(held + 2 + place for place in range(bits.bit_length()) if bits >> place & 1)
        text = as_text(port, "port", max_length=PORT_CHARACTERS_MAX)
        return Progress(text, Mode(as_int(mode, "mode", low=1, high=2)), held, above)


@dataclass(frozen=True, slots=True)
class PeerProgress:
    """All lanes with one cluster, in order of first use: what came from it, what it has answered, what was
    sent to it (`done` is the last sequence), what only dropped branches of it had opened, and the lanes from
    it that we closed (`done` is up to where). `gaps` are those of the lanes to it that have some.
    `besides` are leaves of its log to us that count as taken and are not seen in lanes, or, below zero, seen
    in lanes and not in that log: a recovery dropped them."""

    received: tuple[Progress, ...] = ()
    answered: tuple[Progress, ...] = ()
    sent: tuple[Progress, ...] = ()
    left: tuple[Progress, ...] = ()
    closed: tuple[Progress, ...] = ()
    gaps: Mapping[tuple[str, Mode], Gaps] = field(default_factory=dict)
    besides: int = 0

    @property
    def answers(self) -> tuple[Progress, ...]:
        """The lanes from it on which there are answers to bring."""
        return (*self.received, *self.left)

    @property
    def count(self) -> int:
        """How many sequences are received or answered."""
        return sum(progress.count for progress in (*self.received, *self.answered))


def progress_with(state: LaneState, own_id: bytes, cluster_id: bytes) -> PeerProgress:
    """The lanes with a cluster as our state holds them; a few reads for every sequence in flight."""
    peer = load(state, peer_key(cluster_id), Peer.from_value)
    if peer is None:
        return PeerProgress()
    incoming = [Lane(cluster_id, own_id, port, mode) for port, mode in peer.incoming]
    outgoing = [Lane(own_id, cluster_id, port, mode) for port, mode in peer.outgoing]
    answers = tuple(answered(state, lane) for lane in outgoing)
    gaps = {(lane.port, lane.mode): _gaps(state, lane) for lane in outgoing}
    uncounted = sum(_uncounted(each, gaps[each.port, each.mode]) for each in answers)
    return PeerProgress(
        tuple(received(state, lane) for lane in incoming),
        answers,
        tuple(sent(state, lane) for lane in outgoing),
        tuple(received(state, Lane(cluster_id, own_id, port, mode)) for port, mode in peer.left),
        tuple(_closed(state, own_id, cluster_id, peer)),
        {lane: found for lane, found in gaps.items() if found},
        peer.closings - peer.lost + uncounted,
    )


def _gaps(state: LaneState, lane: Lane) -> Gaps:
    return (load(state, closed_key(out_key(lane)), Closed.from_value) or Closed()).gaps


def _uncounted(answers: Progress, gaps: Gaps) -> int:
    """How many sequences of gaps the answers of a lane do not count. All of them were answered, on the branch
    of the destination that closed the lane."""
    held = sum(max(0, min(last, answers.done) - first + 1) for first, last in gaps)
    held += sum(any(first <= number <= last for first, last in gaps) for number in answers.above)
    return sum(last - first + 1 for first, last in gaps) - held


def _closed(state: LaneState, own_id: bytes, cluster_id: bytes, peer: Peer) -> Iterator[Progress]:
    for port, mode in (*peer.incoming, *peer.left):
        known = load(state, in_key(Lane(cluster_id, own_id, port, mode)), InLane.from_value)
        if known is not None and known.closed:
            yield Progress(port, mode, known.closed)


def received(state: LaneState, lane: Lane) -> Progress:
    """The receipts of a lane that we receive on."""
    key = in_key(lane)
    known = load(state, key, InLane.from_value) or InLane()
    beyond = range(known.received + 2, known.highest + 1)
    above = tuple(number for number in beyond if state.get(receipt_key(key, number)) is not None)
    return Progress(lane.port, lane.mode, known.received, above)


def receipt_of(state: LaneState, lane: Lane, sequence: int) -> Receipt | None:
    """The receipt of one message of a lane that we receive on; None where there is none any more."""
    return load(state, receipt_key(in_key(lane), sequence), Receipt.from_value)


def disputed_at(state: LaneState, lane: Lane, sequence: int) -> tuple[Digest, ...]:
    """The messages that dropped branches said in this place of a lane that we receive on."""
    listed = disputes_of(state, in_key(lane)).listed
    return tuple(dispute.message_hash for dispute in listed if dispute.sequence == sequence)


def answered(state: LaneState, lane: Lane) -> Progress:
    """The results of a lane that we send on; what a recovery disputes counts as open until it is answered
    again, and what waits in a closed place until it is told what was there. Sequences too far above the first
    open one to be told are left out."""
    key = out_key(lane)
    known = load(state, key, OutLane.from_value) or OutLane()
    disputed = {item.sequence for item in disputes_of(state, key).listed if item.contradiction is None}
    closed = load(state, closed_key(key), Closed.from_value) or Closed()
    open_again = disputed | {sequence for sequence, _ in closed.waiting}
    done = min(known.floor, min(open_again, default=known.sent + 1) - 1)
    above = tuple(
        number
        for number in range(done + 2, min(known.sent, done + 1 + 8 * BITMAP_BYTES_MAX) + 1)
        if number not in open_again and state.get(commitment_key(key, number)) is None
    )
    return Progress(lane.port, lane.mode, done, above)


def sent(state: LaneState, lane: Lane) -> Progress:
    """The sequences of a lane that we send on."""
    known = load(state, out_key(lane), OutLane.from_value) or OutLane()
    return Progress(lane.port, lane.mode, known.sent)
