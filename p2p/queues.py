"""What waits to be sent to one peer: one bounded lane per queue class, strictest first.

Never blocks and never grows: a message that replaces an older one of the same key takes its place in the
line (coalescing), and an overflow drops the oldest of the lane, counted. A message whose first chunk has
left is out of reach of both, because the receiver must get the rest of it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

COALESCE_BYTES = 64 * 1024
"""Small frames are joined into writes of about this size; one larger frame is written alone."""


@dataclass(slots=True)
class _Entry:
    topic: int
    key: bytes | None
    frames: tuple[bytes, ...]
    size: int


class Lane:
    """One class of one peer's send queue."""

    __slots__ = (
        "_entries",
        "_items_max",
        "_keyed",
        "_rest",
        "_rest_topic",
        "bytes",
        "bytes_max",
        "coalesced",
        "dropped",
    )

    def __init__(self, items_max: int, bytes_max: int) -> None:
        self._items_max = items_max
        self.bytes_max = bytes_max
        self.bytes = 0
        self.dropped = 0
        self.coalesced = 0
        self._entries: deque[_Entry] = deque()
        self._keyed: dict[tuple[int, bytes], _Entry] = {}
        self._rest: deque[bytes] = deque()
        self._rest_topic = 0

    def __len__(self) -> int:
        return len(self._entries) + bool(self._rest)

    def put(self, topic: int, frames: tuple[bytes, ...], key: bytes | None) -> None:
        """Queues one encoded message, or puts it in the place of the queued one with the same key."""
        size = len(frames[0]) if len(frames) == 1 else sum(map(len, frames))
        self.bytes += size
        queued = None if key is None else self._keyed.get((topic, key))
        if queued is not None:
            self.bytes -= queued.size
            queued.frames, queued.size = frames, size
            self.coalesced += 1
        else:
            entry = _Entry(topic, key, frames, size)
            self._entries.append(entry)
            if key is not None:
                self._keyed[topic, key] = entry
        while (self.bytes > self.bytes_max or len(self._entries) > self._items_max) and len(
            self._entries
        ) > 1:
            self._forget(self._entries.popleft())
            self.dropped += 1

    def next_frame(self) -> tuple[int, bytes] | None:
        """Takes the next frame to write, with its topic."""
        if self._rest:
            frame = self._rest.popleft()
            self.bytes -= len(frame)
            return self._rest_topic, frame
        if not self._entries:
            return None
        entry = self._entries.popleft()
        self._forget(entry)
        if len(entry.frames) > 1:
            self._rest.extend(entry.frames[1:])
            self._rest_topic = entry.topic
            self.bytes += entry.size - len(entry.frames[0])
        return entry.topic, entry.frames[0]

    def next_size(self) -> int:
        """Bytes of the frame `next_frame` would take; 0 when there is none."""
        if self._rest:
            return len(self._rest[0])
        return len(self._entries[0].frames[0]) if self._entries else 0

    def _forget(self, entry: _Entry) -> None:
        self.bytes -= entry.size
        if entry.key is not None:
            del self._keyed[entry.topic, entry.key]


class SendQueue:
    """The lanes of one peer. Lane 0 is always emptied first; see COALESCE_BYTES for how writes are cut."""

    def __init__(self, limits: Sequence[tuple[int, int]]) -> None:
        """`limits` holds (items, bytes) of each lane, in order of precedence."""
        self.lanes = tuple(Lane(items, size) for items, size in limits)
        self.bytes_by_topic: dict[int, int] = {}
        """Bytes handed to the writer so far, frame headers included."""

    def put(self, lane: int, topic: int, frames: tuple[bytes, ...], key: bytes | None = None) -> None:
        """Queues one message in its lane; never blocks, may drop the oldest message there."""
        self.lanes[lane].put(topic, frames, key)

    def next_write(self) -> bytes | None:
        """The bytes of the next write, at most COALESCE_BYTES or one larger frame; None when idle."""
        out: list[bytes] = []
        total = 0
        for lane in self.lanes:
            while size := lane.next_size():
                if out and total + size > COALESCE_BYTES:
                    return b"".join(out)
                taken = lane.next_frame()
                assert taken is not None
                topic, frame = taken
                self.bytes_by_topic[topic] = self.bytes_by_topic.get(topic, 0) + size
                out.append(frame)
                total += size
        if not out:
            return None
        return out[0] if len(out) == 1 else b"".join(out)
