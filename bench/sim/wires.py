"""Links that take time for bytes: the shipped send queues and frames between hosts whose uplinks are narrow.

A host's frames to one peer wait in the queue that a daemon has for that peer, and leave in the writes that
the queue makes of them; all links of a host share its uplink and take turns, a write at a time. So an urgent
frame waits here for what it waits for on a real wire, and in virtual time, whatever this machine is doing.
"""

from collections.abc import Callable
from functools import partial
from itertools import count

from bench.sim.clock import Clock
from node.wire import TOPICS
from p2p import P2PConfig, Priority
from p2p.frames import FrameParser, FrameRule, encode
from p2p.queues import SendQueue

_NUMBER_BYTES = 8
_LANES = {topic.code: int(topic.priority) for topic in TOPICS}
_RULES = {
    topic.code: FrameRule(topic.name, topic.max_bytes + _NUMBER_BYTES, topic.priority) for topic in TOPICS
}
Arrival = Callable[[], None]


class _Wire:
    """One direction of one link."""

    def __init__(self, lanes: list[tuple[int, int]]) -> None:
        self.queue = SendQueue(lanes)
        self.parser = FrameParser(_RULES)


class Wires:
    """The uplinks of all hosts. `priorities` False puts every frame into one queue, in order of arrival."""

    def __init__(self, clock: Clock, bytes_per_second: int, *, priorities: bool = True) -> None:
        self._clock = clock
        self._bytes_per_second = bytes_per_second
        self._priorities = priorities
        self._limits = _queue_limits()
        self._links: dict[int, dict[int, _Wire]] = {}
        self._busy: dict[int, None] = {}
        self._numbers = count()
        self._arrivals: dict[int, tuple[int, Arrival]] = {}
        self.bytes = 0
        """Sent over all uplinks."""

    @property
    def dropped(self) -> int:
        """Messages that a full queue dropped."""
        wires = [wire for links in self._links.values() for wire in links.values()]
        return sum(lane.dropped for wire in wires for lane in wire.queue.lanes)

    def carry(self, way: tuple[int, int], topic: int, body: bytes, delay_us: int, arrive: Arrival) -> None:
        """A frame is queued at its source; `arrive` is called `delay_us` after its last byte has left."""
        source, target = way
        wire = self._links.setdefault(source, {}).setdefault(target, _Wire(self._limits))
        number = next(self._numbers)
        self._arrivals[number] = (delay_us, arrive)
        frames = encode(topic, number.to_bytes(_NUMBER_BYTES, "big") + body)
        wire.queue.put(_LANES[topic] if self._priorities else 0, topic, frames)
        if source not in self._busy:
            self._busy[source] = None
            self._write(source)

    def _write(self, source: int) -> None:
        """The next link of this host that has something writes once; without any the uplink rests."""
        links = self._links[source]
        for target in tuple(links):
            wire = links.pop(target)
            links[target] = wire  # behind the others
            data = wire.queue.next_write()
            if data is not None:
                self.bytes += len(data)
                taken_us = -(-len(data) * 1_000_000 // self._bytes_per_second)
                self._clock.after(taken_us, partial(self._written, source, wire, data))
                return
        del self._busy[source]

    def _written(self, source: int, wire: _Wire, data: bytes) -> None:
        for frame in wire.parser.feed(data):
            delay_us, arrive = self._arrivals.pop(int.from_bytes(frame.body[:_NUMBER_BYTES], "big"))
            self._clock.after(delay_us, arrive)
        self._write(source)


def _queue_limits() -> list[tuple[int, int]]:
    """Those of a daemon's queues, one a class."""
    config = P2PConfig("", 0, bytes(32), 0, "", ())
    limits = [config.queue_limit(priority) for priority in Priority]
    return [(limit.items, limit.bytes) for limit in limits]
