"""What a ledger keeps of its lanes: the records.

Everything a lane must remember is a canonical value under a key of its own, so that it is proven, copied
and rolled back like all other state. A lane is one record on either side and at most `window`-many small
ones beside it; nothing grows with the number of messages ever sent:

    lanes/PEER/peer                [status, incarnation, [[port, mode] out, ...], [[port, mode] in, ...],
                                    [[port, mode] left, ...], lost, closings]
    lanes/PEER/heard               [size, root]
    lanes/PEER/out/PORT/o|u        [sent, floor, pruned, leaves pruned]
    ...                  /c/SEQ    [H(message), deadline_ms, height]           until acknowledged
    ...                  /s/SEQ    [H(message), result, leaf index, callback]  TAIL longer
    ...                  /closed   [closed, reopened, leaf index, taken, [[first, last], ...],
                                    [[seq, H(message), deadline_ms, height], ...]]
    lanes/PEER/in/PORT/o|u         [received, highest, floor, pruned, leaves pruned, closed, reopened, opened]
    ...                 /r/SEQ     [H(message), result, leaf index]            TAIL below the acked floor
    ...                 /passed    [taken, [[first, last], ...]]
    .../disputed                   [complete, [[seq, incarnation, H(message), result, contradiction], ...]]

Exactly-once needs nothing below the acked floor. The tail is kept so that a recovery can tell what rested
on the branch that was dropped (F6): a leaf index at or above the common prefix of both branches. Disputes:
`disputes.py`.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import IntEnum

from consensus import Digest, Value, as_array, as_bytes, as_int, as_text, as_tuple
from node.anchoring.lanes.messages import GAPS_MAX, PORT_CHARACTERS_MAX, WINDOW, Gaps, Mode, Result, read_gaps

LANES_PER_PEER_MAX = 64
"""Lanes to one other cluster, and as many from it; both sides hold to it."""
TAIL = 256
"""Sequences below the acked floor whose receipts and results are kept for a recovery."""
PRUNED_PER_STEP_MAX = 4
"""Records one operation may prune: what it writes stays bounded, and pruning still outruns growth."""
RECEIPTS_MAX = 2 * WINDOW + TAIL
"""Receipts a lane may hold: the window, the tail, and what pruning may lag behind after the floor jumped."""
COMMITMENTS_MAX = WINDOW
SETTLED_MAX = 2 * WINDOW + TAIL
CLOSED_WAITING_MAX = 4 * WINDOW
"""Messages that wait below closed sequences; no further closing is taken while there are so many."""
LEFT_MAX = 4 * LANES_PER_PEER_MAX
"""Lanes listed of those that only dropped branches had opened; the oldest go first."""


class PeerStatus(IntEnum):
    """Whether lanes with a cluster run, or wait for its recovery."""

    LIVE = 1
    PARKED = 2


Ports = tuple[tuple[str, Mode], ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """One other cluster: the incarnation its lanes follow, and the lanes there are, in order of first use.

    `left` are lanes from it that only a dropped branch had opened; they count against no bound, and are
    opened anew by their next message. How many leaves of its log to us are taken is what the lanes say,
    without those `lost` with dropped branches, and with the `closings` among them.
    """

    status: PeerStatus
    incarnation: int
    outgoing: Ports = ()
    incoming: Ports = ()
    left: Ports = ()
    lost: int = 0
    closings: int = 0

    def to_value(self) -> Value:
        """`[status, incarnation, out, in, left, lost, closings]`, with lanes as `[[port, mode], ...]`."""
        ports = (_ports_value(self.outgoing), _ports_value(self.incoming), _ports_value(self.left))
        return (int(self.status), self.incarnation, *ports, self.lost, self.closings)

    @staticmethod
    def from_value(value: Value) -> "Peer":
        """The inverse of `to_value`; raises CodecError."""
        status, incarnation, outgoing, incoming, left, lost, closings = as_tuple(value, 7, "peer")
        return Peer(
            PeerStatus(as_int(status, "peer status", low=1, high=2)),
            as_int(incarnation, "incarnation"),
            _ports(outgoing, LANES_PER_PEER_MAX),
            _ports(incoming, LANES_PER_PEER_MAX),
            _ports(left, LEFT_MAX),
            as_int(lost, "lost"),
            as_int(closings, "closings"),
        )


@dataclass(frozen=True, slots=True)
class Heard:
    """The largest log of another cluster to us in which a leaf that we took was proven."""

    size: int
    root: Digest

    def to_value(self) -> Value:
        """`[size, root]`."""
        return (self.size, self.root)

    @staticmethod
    def from_value(value: Value) -> "Heard":
        """The inverse of `to_value`; raises CodecError."""
        size, root = as_tuple(value, 2, "heard")
        return Heard(as_int(size, "log size", low=1), Digest(as_bytes(root, "log root", length=32)))


@dataclass(frozen=True, slots=True)
class OutLane:
    """Our side of a lane that we send on: `floor < seq <= sent` may wait for acknowledgement.

    Every sequence up to `floor` is acknowledged; results up to `pruned` are forgotten, and all of those
    were proven by leaves below `leaves_pruned`.
    """

    sent: int = 0
    floor: int = 0
    pruned: int = 0
    leaves_pruned: int = 0

    def to_value(self) -> Value:
        """`[sent, floor, pruned, leaves pruned]`."""
        return (self.sent, self.floor, self.pruned, self.leaves_pruned)

    @staticmethod
    def from_value(value: Value) -> "OutLane":
        """The inverse of `to_value`; raises CodecError."""
        fields = as_tuple(value, 4, "outgoing lane")
        sent, floor, pruned, leaves_pruned = (as_int(field, "outgoing lane") for field in fields)
        return OutLane(sent, floor, pruned, leaves_pruned)


@dataclass(frozen=True, slots=True)
class InLane:
    """Our side of a lane that we receive on.

    Every sequence up to `received` has its receipt, none above `highest` has; the source has told that all
    up to `floor` are acknowledged there; receipts up to `pruned` are forgotten, and all of those messages
    were proven by leaves below `leaves_pruned`. A recovery has closed all up to `closed`, and all that one
    ever opened again are up to `reopened`. Leaf `opened` brought the first message.
    """

    received: int = 0
    highest: int = 0
    floor: int = 0
    pruned: int = 0
    leaves_pruned: int = 0
    closed: int = 0
    reopened: int = 0
    opened: int = 0

    def to_value(self) -> Value:
        """`[received, highest, floor, pruned, leaves pruned, closed, reopened, opened]`."""
        numbers = (self.received, self.highest, self.floor, self.pruned, self.leaves_pruned)
        return (*numbers, self.closed, self.reopened, self.opened)

    @staticmethod
    def from_value(value: Value) -> "InLane":
        """The inverse of `to_value`; raises CodecError."""
        return InLane(*(as_int(field, "incoming lane") for field in as_tuple(value, 8, "incoming lane")))


@dataclass(frozen=True, slots=True)
class Commitment:
    """A message that was sent, at our `height`, and waits for its acknowledgement."""

    message_hash: Digest
    deadline_ms: int
    height: int

    def to_value(self) -> Value:
        """`[H(message), deadline_ms, height]`."""
        return (self.message_hash, self.deadline_ms, self.height)

    @staticmethod
    def from_value(value: Value) -> "Commitment":
        """The inverse of `to_value`; raises CodecError."""
        message_hash, deadline_ms, height = as_tuple(value, 3, "commitment")
        return Commitment(hash_of(message_hash), as_int(deadline_ms, "deadline_ms"), as_int(height, "height"))


Waiting = tuple[tuple[int, Commitment], ...]


@dataclass(frozen=True, slots=True)
class Closed:
    """What the destination has closed of a lane that we send on.

    The branch of it that lives has closed all up to `closed` by leaf `leaf_index`, nothing where that is 0;
    for `reopened` see `messages.Closing`. So many closings were `taken` since it was recovered last. In the
    `gaps`, ascending, we never said a message. `waiting` are our messages in closed places, also those of
    branches that a recovery has dropped, by sequence, until an acknowledgement says what became of the place.
    """

    closed: int = 0
    reopened: int = 0
    leaf_index: int = 0
    taken: int = 0
    gaps: Gaps = ()
    waiting: Waiting = ()

    def of(self, sequence: int) -> Commitment | None:
        """The message of ours that waits in this place."""
        for number, commitment in self.waiting:
            if number == sequence:
                return commitment
        return None

    def is_shut(self, sequence: int) -> bool:
        """Whether an answer to another message in this place says that ours is never taken."""
        return self.reopened < sequence <= self.closed

    def is_told_by(self, closed: int) -> bool:
        """Whether a closing up to here says of a message that waits what no closing that stands has said."""
        return any(self.closed < sequence <= closed for sequence, _ in self.waiting)

    def without(self, sequence: int) -> "Closed":
        """Once that message has its outcome."""
        return replace(self, waiting=tuple(item for item in self.waiting if item[0] != sequence))

    def after_recovery(self, common_size: int) -> "Closed":
        """Once the destination goes on from a log of so many of its leaves: a closing that only the dropped
        branch said binds nobody."""
        if self.leaf_index >= common_size:
            return Closed(gaps=self.gaps, waiting=self.waiting)
        return replace(self, taken=0)

    def to_value(self) -> Value:
        """`[closed, reopened, leaf index, taken, [[first, last], ...], [[seq, H(message), deadline_ms,
        height], ...]]`."""
        waiting = ((number, c.message_hash, c.deadline_ms, c.height) for number, c in self.waiting)
        numbers = (self.closed, self.reopened, self.leaf_index, self.taken)
        return (*numbers, self.gaps, tuple(waiting))

    @staticmethod
    def from_value(value: Value) -> "Closed":
        """The inverse of `to_value`; raises CodecError."""
        *numbers, gaps, waiting = as_tuple(value, 6, "closed sequences")
        items = []
        for item in as_array(waiting, CLOSED_WAITING_MAX, "closed sequences"):
            number, *commitment = as_tuple(item, 4, "closed sequence")
            sequence = as_int(number, "sequence", low=1)
            items.append((sequence, Commitment.from_value(tuple(commitment))))
        closed, reopened, leaf_index, taken = (as_int(number, "closed") for number in numbers)
        return Closed(closed, reopened, leaf_index, taken, read_gaps(gaps), tuple(items))


@dataclass(frozen=True, slots=True)
class Passed:
    """The gaps of a lane that we receive on: nothing is acknowledged there any more. `taken` of them since
    its source was recovered last."""

    taken: int = 0
    gaps: Gaps = ()

    def adding(self, first: int, last: int) -> "Passed":
        """With one more, above all others."""
        return Passed(self.taken + 1, (*self.gaps, (first, last)))

    def without(self, answered: Collection[int]) -> Gaps:
        """The gaps but for sequences that were answered before a recovery opened them again: a branch that
        said those messages is to hear those answers. Of more pieces than a closing holds the highest."""
        ascending = sorted(answered)
        pieces = []
        for first, last in self.gaps:
            begin = first
            for number in ascending:
                if begin <= number <= last:
                    pieces.append((begin, number - 1))
                    begin = number + 1
            pieces.append((begin, last))
        return tuple(piece for piece in pieces if piece[0] <= piece[1])[-GAPS_MAX:]

    def to_value(self) -> Value:
        """`[taken, [[first, last], ...]]`."""
        return (self.taken, self.gaps)

    @staticmethod
    def from_value(value: Value) -> "Passed":
        """The inverse of `to_value`; raises CodecError."""
        taken, gaps = as_tuple(value, 2, "passed gaps")
        return Passed(as_int(taken, "taken"), read_gaps(gaps))


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message here (incoming), proven by leaf `leaf_index` of the source's log."""

    message_hash: Digest
    result: Result
    leaf_index: int

    def to_value(self) -> Value:
        """`[H(message), result, leaf index]`."""
        return (self.message_hash, int(self.result), self.leaf_index)

    @staticmethod
    def from_value(value: Value) -> "Receipt":
        """The inverse of `to_value`; raises CodecError."""
        message_hash, result, leaf_index = as_tuple(value, 3, "receipt")
        return Receipt(hash_of(message_hash), result_of(result), as_int(leaf_index, "leaf index"))


@dataclass(frozen=True, slots=True)
class Settled:
    """What the destination answered (outgoing), proven by leaf `leaf_index` of its log to us.

    `callback_failed`: the application refused the news; its writes were rolled back, the result stands.
    """

    message_hash: Digest
    result: Result
    leaf_index: int
    callback_failed: bool

    def to_value(self) -> Value:
        """`[H(message), result, leaf index, 0 | 1]`."""
        return (self.message_hash, int(self.result), self.leaf_index, int(self.callback_failed))

    @staticmethod
    def from_value(value: Value) -> "Settled":
        """The inverse of `to_value`; raises CodecError."""
        message_hash, result, leaf_index, failed = as_tuple(value, 4, "settled")
        return Settled(
            hash_of(message_hash),
            result_of(result),
            as_int(leaf_index, "leaf index"),
            as_int(failed, "callback", high=1) == 1,
        )


def _ports_value(ports: Ports) -> Value:
    return tuple((port, int(mode)) for port, mode in ports)


def _ports(value: Value, bound: int) -> Ports:
    ports = []
    for item in as_array(value, bound, "lanes"):
        port, mode = as_tuple(item, 2, "lane")
        text = as_text(port, "port", max_length=PORT_CHARACTERS_MAX)
        ports.append((text, Mode(as_int(mode, "mode", low=1, high=2))))
    return tuple(ports)


def hash_of(value: Value) -> Digest:
    """A stored message hash; raises CodecError."""
    return Digest(as_bytes(value, "message hash", length=32))


def result_of(value: Value) -> Result:
    """A stored result; raises CodecError."""
    return Result(as_int(value, "result", low=1, high=3))
