"""What a ledger keeps of its lanes: the records.

Everything a lane must remember is a canonical value under a key of its own, so that it is proven, copied
and rolled back like all other state. A lane is one record on either side and at most `window`-many small
ones beside it; nothing grows with the number of messages ever sent:

    lanes/PEER/peer                [status, incarnation, [[port, mode] out, ...], [[port, mode] in, ...]]
    lanes/PEER/out/PORT/o|u        [sent, floor, pruned, leaves pruned]
    ...                  /c/SEQ    [H(message), deadline_ms, height]           until acknowledged
    ...                  /s/SEQ    [H(message), result, leaf index, callback]  TAIL longer
    lanes/PEER/in/PORT/o|u         [received, highest, floor, pruned, leaves pruned]
    ...                 /r/SEQ     [H(message), result, leaf index]            TAIL below the acked floor
    .../disputed                   [complete, [[seq, incarnation, H(message), result, contradiction], ...]]

Exactly-once needs nothing below the acked floor. The tail is kept so that a recovery can tell what rested
on the branch that was dropped (F6): a leaf index at or above the common prefix of both branches.
"""

from dataclasses import dataclass
from enum import IntEnum

from consensus import Digest, Value, as_array, as_bytes, as_int, as_text, as_tuple
from node.anchoring.lanes.messages import PORT_CHARACTERS_MAX, WINDOW, Mode, Result

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
DISPUTES_MAX = 4 * RECEIPTS_MAX
"""Disputed sequences a lane lists, those of four recoveries that each dispute all that a lane can hold; the
oldest go first, and the list then says that it is incomplete."""


class PeerStatus(IntEnum):
    """Whether lanes with a cluster run, or wait for its recovery."""

    LIVE = 1
    PARKED = 2


Ports = tuple[tuple[str, Mode], ...]


@dataclass(frozen=True, slots=True)
class Peer:
    """One other cluster: the incarnation its lanes follow, and the lanes there are, in order of first use."""

    status: PeerStatus
    incarnation: int
    outgoing: Ports = ()
    incoming: Ports = ()

    def to_value(self) -> Value:
        """`[status, incarnation, [[port, mode], ...], [[port, mode], ...]]`."""
        return (int(self.status), self.incarnation, _ports_value(self.outgoing), _ports_value(self.incoming))

    @staticmethod
    def from_value(value: Value) -> "Peer":
        """The inverse of `to_value`; raises CodecError."""
        status, incarnation, outgoing, incoming = as_tuple(value, 4, "peer")
        return Peer(
            PeerStatus(as_int(status, "peer status", low=1, high=2)),
            as_int(incarnation, "incarnation"),
            _ports(outgoing),
            _ports(incoming),
        )


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
    were proven by leaves below `leaves_pruned`.
    """

    received: int = 0
    highest: int = 0
    floor: int = 0
    pruned: int = 0
    leaves_pruned: int = 0

    def to_value(self) -> Value:
        """`[received, highest, floor, pruned, leaves pruned]`."""
        return (self.received, self.highest, self.floor, self.pruned, self.leaves_pruned)

    @staticmethod
    def from_value(value: Value) -> "InLane":
        """The inverse of `to_value`; raises CodecError."""
        fields = as_tuple(value, 5, "incoming lane")
        received, highest, floor, pruned, leaves_pruned = (as_int(field, "incoming lane") for field in fields)
        return InLane(received, highest, floor, pruned, leaves_pruned)


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
        return Commitment(_hash(message_hash), as_int(deadline_ms, "deadline_ms"), as_int(height, "height"))


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
        return Receipt(_hash(message_hash), _result(result), as_int(leaf_index, "leaf index"))


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
            _hash(message_hash),
            _result(result),
            as_int(leaf_index, "leaf index"),
            as_int(failed, "callback", high=1) == 1,
        )


@dataclass(frozen=True, slots=True)
class Dispute:
    """A sequence whose outcome rested on a branch that a recovery dropped; `incarnation` is that branch's.

    `contradiction`: what the recovered branch said of the same message instead, outgoing lanes only.
    """

    sequence: int
    incarnation: int
    message_hash: Digest
    result: Result
    contradiction: Result | None = None


@dataclass(frozen=True, slots=True)
class Disputes:
    """All disputes of a lane, oldest first; not `is_complete` when some could not be told or kept."""

    is_complete: bool = True
    listed: tuple[Dispute, ...] = ()

    def of(self, sequence: int, message_hash: bytes) -> Dispute | None:
        """The dispute about exactly this message, if there is one."""
        for dispute in self.listed:
            if dispute.sequence == sequence and dispute.message_hash == message_hash:
                return dispute
        return None

    def adding(self, new: tuple[Dispute, ...], is_complete: bool) -> "Disputes":
        """With `new` at the end, the oldest dropped beyond the bound."""
        listed = (*self.listed, *new)
        is_whole = self.is_complete and is_complete and len(listed) <= DISPUTES_MAX
        return Disputes(is_whole, listed[-DISPUTES_MAX:])

    def replacing(self, old: Dispute, new: Dispute | None) -> "Disputes":
        """With `old` settled (None) or changed."""
        changed = (new if item == old else item for item in self.listed)
        return Disputes(self.is_complete, tuple(item for item in changed if item is not None))

    def to_value(self) -> Value:
        """`[complete, [[seq, incarnation, H(message), result, contradiction | 0], ...]]`."""
        return (
            int(self.is_complete),
            tuple(
                (d.sequence, d.incarnation, d.message_hash, int(d.result), int(d.contradiction or 0))
                for d in self.listed
            ),
        )

    @staticmethod
    def from_value(value: Value) -> "Disputes":
        """The inverse of `to_value`; raises CodecError."""
        complete, listed = as_tuple(value, 2, "disputes")
        items = []
        for item in as_array(listed, DISPUTES_MAX, "disputes"):
            sequence, incarnation, message_hash, result, contradiction = as_tuple(item, 5, "dispute")
            other = as_int(contradiction, "contradiction", high=3)
            items.append(
                Dispute(
                    as_int(sequence, "sequence", low=1),
                    as_int(incarnation, "incarnation"),
                    _hash(message_hash),
                    _result(result),
                    Result(other) if other else None,
                )
            )
        return Disputes(as_int(complete, "complete", high=1) == 1, tuple(items))


def _ports_value(ports: Ports) -> Value:
    return tuple((port, int(mode)) for port, mode in ports)


def _ports(value: Value) -> Ports:
    ports = []
    for item in as_array(value, LANES_PER_PEER_MAX, "lanes"):
        port, mode = as_tuple(item, 2, "lane")
        text = as_text(port, "port", max_length=PORT_CHARACTERS_MAX)
        ports.append((text, Mode(as_int(mode, "mode", low=1, high=2))))
    return tuple(ports)


def _hash(value: Value) -> Digest:
    return Digest(as_bytes(value, "message hash", length=32))


def _result(value: Value) -> Result:
    return Result(as_int(value, "result", low=1, high=3))
