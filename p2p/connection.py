"""One authenticated connection: a reader, a writer, and the signs of life in between.

One task reads a socket and one writes to it. What the socket takes at once need not wait for the writer's
turn (`write_now`); the writer goes on where that could not. Whatever goes wrong on a connection ends that
connection, with a reason in words, and nothing else.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import trio

from p2p.config import Topic
from p2p.errors import (
    ConnectionLost,
    MalformedFrame,
    P2PError,
    PeerError,
    PeerSilent,
    RefusedByPeer,
    SlowReader,
)
from p2p.frames import CONTROL, Frame, FrameParser, FrameRule, encode
from p2p.hello import HELLO_MAX_BYTES, Hello, decode
from p2p.identity import PeerId
from p2p.peers import Pace
from p2p.queues import SendQueue
from p2p.tls import describe
from p2p.tlsstream import RECEIVE_BYTES, TlsStream

READ_BYTES = RECEIVE_BYTES
AT_ONCE_BYTES = 512 * 1024
"""Written in one go at most, however fast the peer reads: others have their turn then."""
CONTROL_MAX_BYTES = 16 * 1024
GOODBYE_MAX_BYTES = 256
KEY_TWICE = "another process links with this node's key"
"""What the process is told whose place another one with its key takes. A restarted node's old one is gone
and hears nothing, so who hears this runs beside another one."""

HELLO, GOODBYE, PING, PONG, ANNOUNCE, PULL = range(1, 7)
"""First byte of a control frame's body."""

Handler: TypeAlias = "Callable[[Connection, Frame], Awaitable[None] | None]"
"""Takes one frame; answers something to await when the reader must wait before the next."""

_HELLO_RULES = {CONTROL: FrameRule("the hello", HELLO_MAX_BYTES + 1, 0)}


async def exchange_hello(
    stream: trio.abc.Stream, ours: Hello, who: str, *, speaks_first: bool
) -> tuple[Hello, bytes]:
    """Sends our hello, reads theirs; answers it and the bytes that already followed it.

    The listener speaks first. A dialler whose key was refused in TLS 1.3 learns of it at its first read
    only, so it reads before it writes, and no byte of its own can turn the alert into a reset.
    Only a hello-sized frame is accepted. The caller sets the deadline. Raises PeerError.
    """
    try:
        if speaks_first:
            await stream.send_all(control(HELLO, ours.encode()))
        body, rest = await _read_first_frame(stream, who)
        if body[0] == GOODBYE:
            raise RefusedByPeer(goodbye_text(body[1:]), who)
        if body[0] != HELLO:
            raise MalformedFrame("its first frame is not a hello", who)
        theirs = decode(body[1:], who)
        if not speaks_first:
            await stream.send_all(control(HELLO, ours.encode()))
    except trio.BrokenResourceError as error:
        raise RefusedByPeer(describe(error), who) from error
    return theirs, rest


async def _read_first_frame(stream: trio.abc.Stream, who: str) -> tuple[bytes, bytes]:
    """The body of the first frame, and the bytes that came with it behind it."""
    buffered = b""
    while True:
        data = await stream.receive_some(READ_BYTES)
        if not data:
            raise RefusedByPeer("it closed the connection during the handshake", who)
        buffered += data
        size = 4 + int.from_bytes(buffered[:4], "big")
        try:
            frames = FrameParser(_HELLO_RULES).feed(buffered[:size])
        except MalformedFrame as error:
            raise error.blamed_on(who) from error
        if frames:
            return frames[0].body, buffered[size:]


def control(kind: int, body: bytes) -> bytes:
    """A control frame, encoded."""
    return encode(CONTROL, bytes([kind]) + body)[0]


def goodbye_text(body: bytes) -> str:
    """The reason a peer gave for closing, printable and short."""
    text = body[:GOODBYE_MAX_BYTES].decode("utf-8", "replace")
    return "it closed the connection: " + "".join(char if char.isprintable() else "?" for char in text)


class Connection:
    """A live connection to `peer`. `run` returns the reason it ended; `end` ends it from outside."""

    def __init__(
        self,
        stream: TlsStream,
        peer: PeerId,
        name: str,
        hello: Hello,
        *,
        protocol_version: int | None = None,
        dialled_by_us: bool,
        queue: SendQueue,
        rules: Mapping[int, FrameRule],
        forbidden: Mapping[int, str],
        pace: Pace | None,
        now_ms: int,
    ) -> None:
        self.peer = peer
        self.name = name
        self.hello = hello
        self.protocol_version = protocol_version
        """The highest that both sides speak; None between clusters, which do not compare."""
        self.dialled_by_us = dialled_by_us
        self.queue = queue
        self.since_ms = now_ms
        self.bytes_in: dict[int, int] = {}
        self.gone = trio.Event()
        """Set once the connection is over and its PeerDisconnected is in the inbox."""
        self._stream = stream
        self._parser = FrameParser(rules, forbidden)
        self._pace = pace
        self._wake = trio.Event()
        self._scope = trio.CancelScope()
        self._ended_by: P2PError | None = None
        self._heard_ms = now_ms
        self._pinged_ms = now_ms
        self._writing_since_ms: int | None = None
        self._held_back = False

    def send(self, lane: int, topic: int, frames: tuple[bytes, ...], key: bytes | None = None) -> None:
        """Queues an encoded message and wakes the writer; never blocks."""
        self.queue.put(lane, topic, frames, key)
        self.wake()

    def knows(self, topic: Topic) -> bool:
        """Whether who is at the other end has heard of the topic."""
        return not topic.since or (self.protocol_version or 0) >= topic.since

    def wake(self) -> None:
        """Has the writer look at `queue` in its next turn."""
        if not self._wake.is_set():
            self._wake.set()

    def write_now(self) -> None:
        """Writes what is queued as far as the socket takes it without waiting; the writer does the rest.

        Never raises for what is wrong with the link: that ends it.
        """
        written = 0
        while self._writing_since_ms is None and self._ended_by is None:
            data = self.queue.next_write() if written < AT_ONCE_BYTES else b""
            if data is None:
                return
            if not data:
                self._wake.set()
                return
            self._write_some(data)
            written += len(data)

    def _write_some(self, data: bytes) -> None:
        try:
            if self._stream.send_nowait(data):
                return
        except trio.BrokenResourceError as error:
            self.end(ConnectionLost(describe(error), self.name))
            return
        self._writing_since_ms = int(trio.current_time() * 1000)
        self._wake.set()

    def say_goodbye(self, words: str) -> None:
        """Tells the peer why this connection ends next, as far as the socket takes it at once."""
        self.send(0, CONTROL, (control(GOODBYE, words.encode()),))
        self.write_now()

    def end(self, reason: P2PError) -> None:
        """Ends the connection; the first reason given is the one that is told."""
        if self._ended_by is None:
            self._ended_by = reason
        self._scope.cancel()

    def check(self, now_ms: int, *, ping_ms: int, idle_ms: int, stall_ms: int) -> None:
        """Called regularly: ends a dead or stalled link and pings a silent one."""
        if self._writing_since_ms is not None and now_ms - self._writing_since_ms > stall_ms:
            self.end(SlowReader(f"it did not read for {stall_ms} ms", self.name))
        elif now_ms - self._heard_ms > idle_ms and not self._held_back:
            self.end(PeerSilent(f"nothing was heard for {idle_ms} ms", self.name))
        elif now_ms - self._heard_ms > ping_ms and now_ms - self._pinged_ms > ping_ms:
            self._pinged_ms = now_ms
            self.send(0, CONTROL, (control(PING, b""),), b"ping")

    async def run(self, handle: Handler, early: bytes) -> P2PError:
        """Reads and writes until the connection ends; answers why. `early` came behind the hello.

        Anything but a peer's fault or a broken stream is a bug of ours and is raised.
        """
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._guard, self._write)
                await self._guard(self._read, handle, early)
                nursery.cancel_scope.cancel()
        return self._ended_by or ConnectionLost("the connection was closed", self.name)

    async def _guard(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """Expected errors become the reason of the end; anything else is a bug and goes on up."""
        try:
            await task(*args)
        except PeerError as error:
            self.end(error if error.who else error.blamed_on(self.name))
        except trio.BrokenResourceError as error:
            self.end(ConnectionLost(describe(error), self.name))
        except trio.ClosedResourceError:
            self.end(ConnectionLost("the connection was closed", self.name))

    async def _read(self, handle: Handler, data: bytes) -> None:
        while True:
            for frame in self._parser.feed(data):
                topic = frame.topic
                self.bytes_in[topic] = self.bytes_in.get(topic, 0) + len(frame.body)
                if self._pace is not None:
                    await self._keep_pace(self._pace, len(frame.body))
                if topic == CONTROL and self._handle_control(frame.body):
                    continue
                waiting = handle(self, frame)
                if waiting is not None:
                    # Our application is slow: the peer is not silent, we do not listen.
                    self._held_back = True
                    await waiting
                    self._held_back = False
            data = bytes(await self._stream.receive_some(READ_BYTES))
            if not data:
                raise ConnectionLost("it closed the connection", self.name)
            self._heard_ms = int(trio.current_time() * 1000)

    async def _keep_pace(self, pace: Pace, size: int) -> None:
        """Waits as long as this peer is ahead of what is read of it; meanwhile its silence is ours."""
        wait_ms = pace.take(size, int(trio.current_time() * 1000))
        if wait_ms > 0:
            self._held_back = True
            await trio.sleep(wait_ms / 1000)
            self._held_back = False

    def _handle_control(self, body: bytes) -> bool:
        """Handles the control frames of the link itself; False for the ones of gossip."""
        kind = body[0]
        if kind == PING:
            self.send(0, CONTROL, (control(PONG, b""),), b"pong")
        elif kind == GOODBYE:
            raise RefusedByPeer(goodbye_text(body[1:]), self.name)
        elif kind == HELLO:
            raise MalformedFrame("it sent a second hello", self.name)
        return kind in (PING, PONG)

    async def _write(self) -> None:
        while True:
            self._wake = trio.Event()
            self.write_now()
            if self._writing_since_ms is None:
                await self._wake.wait()
            else:
                await self._stream.flush()
                self._writing_since_ms = None
