"""The cables between nodes: one forwarding TCP port for each ordered pair, with a pair of pliers.

Node i is told that node j listens where the proxy (i, j) does. Below TLS, so that the nodes' own
transport is exercised: what a proxy withholds or ends looks like any other bad network. Faults are set per
direction of the data, whoever dialled: bytes from i to j also flow in connections that j made.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import trio

_CHUNK_BYTES = 64 * 1024
_CHUNKS_WAITING_MAX = 256
_ACCEPT_PAUSE_SECONDS = 0.05
LOOPBACK = "127.0.0.1"
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Way:
    """One direction of one cable. `is_held`: bytes wait until it is over, as with every packet lost."""

    is_cut: bool = False
    is_held: bool = False
    delay_ms: int = 0
    changed: trio.Event = field(default_factory=trio.Event)

    def set(self, *, is_cut: bool = False, is_held: bool = False, delay_ms: int = 0) -> None:
        """From now on; everything not named is good."""
        self.is_cut, self.is_held, self.delay_ms = is_cut, is_held, delay_ms
        self.changed.set()
        self.changed = trio.Event()


@dataclass(slots=True)
class MeshCounts:
    """What the proxies did."""

    connections: int = 0
    refused: int = 0
    severed: int = 0
    held_chunks: int = 0
    delayed_chunks: int = 0
    bytes: int = 0


class Mesh:
    """All cables of a cluster. `bind` first, then start the nodes, and `run` while they live."""

    def __init__(self, p2p_ports: tuple[int, ...]) -> None:
        """`p2p_ports[j]` is where node j really listens."""
        self._ports = p2p_ports
        self._listeners: dict[tuple[int, int], trio.SocketListener] = {}
        self._open: dict[tuple[int, int], set[trio.CancelScope]] = {}
        self.ways = {pair: Way() for pair in self.pairs()}
        self.counts = MeshCounts()

    def pairs(self) -> Iterator[tuple[int, int]]:
        """All ordered pairs of different nodes."""
        size = len(self._ports)
        return ((i, j) for i in range(size) for j in range(size) if i != j)

    async def bind(self) -> None:
        """Take a free port for each pair; raises OSError."""
        for pair in self.pairs():
            (self._listeners[pair],) = await trio.open_tcp_listeners(0, host=LOOPBACK)
            self._open[pair] = set()

    def port(self, dialler: int, target: int) -> int:
        """Where `dialler` finds `target`."""
        number: int = self._listeners[dialler, target].socket.getsockname()[1]
        return number

    async def run(self) -> None:
        """Forward until cancelled; the ports are given back then."""
        try:
            async with trio.open_nursery() as nursery:
                for pair, listener in self._listeners.items():
                    nursery.start_soon(self._serve, pair, listener, nursery)
        finally:
            for listener in self._listeners.values():
                listener.socket.close()

    def cut(self, one: int, other: int) -> None:
        """End all connections between two nodes and refuse new ones."""
        for pair in ((one, other), (other, one)):
            self.ways[pair].set(is_cut=True)
            for scope in tuple(self._open[pair]):
                self.counts.severed += 1
                scope.cancel()

    def hold(self, source: int, target: int) -> None:
        """Withhold what `source` says to `target`."""
        self.ways[source, target].set(is_held=True)

    def delay(self, source: int, target: int, delay_ms: int) -> None:
        """Deliver what `source` says to `target` later, in order."""
        self.ways[source, target].set(delay_ms=delay_ms)

    def heal(self) -> None:
        """Make all cables good; what was withheld is delivered."""
        for way in self.ways.values():
            way.set()

    async def _serve(
        self, pair: tuple[int, int], listener: trio.SocketListener, nursery: trio.Nursery
    ) -> None:
        while True:
            try:
                client = await listener.accept()
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                await trio.sleep(_ACCEPT_PAUSE_SECONDS)
                continue
            nursery.start_soon(self._carry, pair, client)

    async def _carry(self, pair: tuple[int, int], client: trio.SocketStream) -> None:
        dialler, target = pair
        server: trio.SocketStream | None = None
        with trio.CancelScope() as scope:
            self._open[pair].add(scope)
            try:
                if self.ways[pair].is_cut:
                    self.counts.refused += 1
                    return
                server = await trio.open_tcp_stream(LOOPBACK, self._ports[target])
                self.counts.connections += 1
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, client, server, self.ways[dialler, target], scope)
                    nursery.start_soon(self._pump, server, client, self.ways[target, dialler], scope)
            except OSError:
                self.counts.refused += 1  # the node is down: the dialler sees its connection end
            finally:
                self._open[pair].discard(scope)
                for stream in (client, server):
                    if stream is not None:
                        _close(stream, at_once=scope.cancel_called)

    async def _pump(
        self, source: trio.SocketStream, sink: trio.SocketStream, way: Way, connection: trio.CancelScope
    ) -> None:
        """Carry one direction until its end; an error ends the whole connection."""
        sender, receiver = trio.open_memory_channel[tuple[float, bytes]](_CHUNKS_WAITING_MAX)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver, receiver, sink, way, connection)
            async with sender:
                try:
                    while chunk := await source.receive_some(_CHUNK_BYTES):
                        await sender.send((trio.current_time(), chunk))
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    connection.cancel()

    async def _deliver(
        self,
        chunks: trio.MemoryReceiveChannel[tuple[float, bytes]],
        sink: trio.SocketStream,
        way: Way,
        connection: trio.CancelScope,
    ) -> None:
        async with chunks:
            try:
                async for came_at, chunk in chunks:
                    if way.is_held:
                        self.counts.held_chunks += 1
                    while way.is_held:
                        await way.changed.wait()
                    if way.delay_ms:
                        self.counts.delayed_chunks += 1
                        await trio.sleep_until(came_at + way.delay_ms / 1000)
                    await sink.send_all(chunk)
                    self.counts.bytes += len(chunk)
                await sink.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                connection.cancel()


def _close(stream: trio.SocketStream, *, at_once: bool) -> None:
    """Close; at once means that unread or unsent bytes are lost, as when a cable is cut."""
    if at_once:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    stream.socket.close()
