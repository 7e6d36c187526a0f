"""How little a host must offer for lanes to run in a transaction of its ledger, and where records stand.

Keys are readable and begin with `lanes/`, so that a lane can be inspected and proven like any other state.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from consensus import CodecError, LocalError, Value, decode, encode_trusted
from node.anchoring.lanes.messages import Lane, Mode

Record = TypeVar("Record")


class LaneState(Protocol):
    """The state inside one transaction, and the outbox of the block: all that lanes and handlers touch."""

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, own writes included."""
        ...

    def put(self, key: bytes, value: bytes) -> None:
        """Write a non-empty value."""
        ...

    def delete(self, key: bytes) -> None:
        """Remove `key`; removing what is absent changes nothing."""
        ...

    def say(self, destination: bytes, leaf: bytes) -> None:
        """Append `leaf` to the outbox log of `destination`, behind all that was said before."""
        ...


class WriteSet:
    """Writes above another state, which happen all at once by `commit` or, forgotten, never."""

    __slots__ = ("_below", "_said", "_writes")

    def __init__(self, below: LaneState) -> None:
        self._below = below
        self._writes: dict[bytes, bytes | None] = {}
        self._said: list[tuple[bytes, bytes]] = []

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, own writes first."""
        return self._writes[key] if key in self._writes else self._below.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Write, in here only."""
        self._writes[key] = value

    def delete(self, key: bytes) -> None:
        """Remove, in here only."""
        self._writes[key] = None

    def say(self, destination: bytes, leaf: bytes) -> None:
        """Append, in here only."""
        self._said.append((destination, leaf))

    def commit(self) -> None:
        """Hand everything to the state below, in the order it was done; the set is empty afterwards."""
        for key, value in self._writes.items():
            if value is None:
                self._below.delete(key)
            else:
                self._below.put(key, value)
        for destination, leaf in self._said:
            self._below.say(destination, leaf)
        self._writes.clear()
        self._said.clear()


class Stored(Protocol):
    """Any of the records above."""

    def to_value(self) -> Value:
        """The value that is stored."""
        ...


def load(state: LaneState, key: bytes, read: Callable[[Value], Record]) -> Record | None:
    """The record under `key`; LocalError when it cannot be one, for nobody but this program writes here."""
    data = state.get(key)
    if data is None:
        return None
    try:
        return read(decode(data))
    except CodecError as error:
        raise LocalError(f"the lane record {key!r} cannot be read: {error}") from error


def save(state: LaneState, key: bytes, record: Stored) -> None:
    """Write a record."""
    state.put(key, encode_trusted(record.to_value()))


def peer_key(peer: bytes) -> bytes:
    """Where a `Peer` stands."""
    return b"lanes/%s/peer" % peer.hex().encode()


def heard_key(peer: bytes) -> bytes:
    """Where a `Heard` stands."""
    return b"lanes/%s/heard" % peer.hex().encode()


def out_key(lane: Lane) -> bytes:
    """Where the `OutLane` of a lane that we send on stands."""
    return _lane_key(lane.destination, b"out", lane)


def in_key(lane: Lane) -> bytes:
    """Where the `InLane` of a lane that we receive on stands."""
    return _lane_key(lane.source, b"in", lane)


def commitment_key(lane_key: bytes, sequence: int) -> bytes:
    """Where a `Commitment` stands, below `out_key`."""
    return b"%s/c/%016x" % (lane_key, sequence)


def settled_key(lane_key: bytes, sequence: int) -> bytes:
    """Where a `Settled` stands, below `out_key`."""
    return b"%s/s/%016x" % (lane_key, sequence)


def receipt_key(lane_key: bytes, sequence: int) -> bytes:
    """Where a `Receipt` stands, below `in_key`."""
    return b"%s/r/%016x" % (lane_key, sequence)


def closed_key(lane_key: bytes) -> bytes:
    """Where a `Closed` stands, below `out_key`."""
    return lane_key + b"/closed"


def passed_key(lane_key: bytes) -> bytes:
    """Where the `Passed` gaps of a lane stand, below `in_key`."""
    return lane_key + b"/passed"


def disputes_key(lane_key: bytes) -> bytes:
    """Where the `Disputes` of a lane stand, below `out_key` or `in_key`."""
    return lane_key + b"/disputed"


def _lane_key(peer: bytes, direction: bytes, lane: Lane) -> bytes:
    mode = b"o" if lane.mode is Mode.ORDERED else b"u"
    return b"lanes/%s/%s/%s/%s" % (peer.hex().encode(), direction, lane.port.encode(), mode)
