"""One HTTP connection: h11's machine between a bounded socket and the application.

Each phase has its own deadline: between requests, in a request's header, in a send, and in a close (the peer
is read and thrown away for a moment, because closing with unread bytes resets the connection and destroys the
answer, RFC 9112 section 9.6). Bodies have theirs where they are read (`bodies.py`).

Whoever goes away ends what it asked for: by a reset at once. Who closes its side may still take the answer,
or be gone: TCP tells the one from the other only when something is sent. So what is whole by then goes on for
`half_closed_ms`, and an answer that is whole by then to its end; what can never be whole ends at once.

An answer leaves in one write, without a turn of the scheduler, where the socket takes it: under load each
turn costs its client the time of everything else that this node has to do. For the same reason there is no
server of somebody else's between h11 and the application: a submission's way through one cost as much as all
that agreement had to do for a transaction.
"""

import json
import logging
import math
import os
import re
from enum import Enum

import h11
import trio
from starlette.types import ASGIApp

from node.api.asgi import NO_GUESSING, BadTarget, Exchange, scope_of
from node.api.departure import Departure
from node.api.emptylines import EmptyLines
from node.api.faults import Fault
from node.api.gauges import Gauges
from node.api.limits import ApiLimits

_TAKEN_BYTES = 8 * 1024
"""So much a reader for whom we wait has to take within the write timeout: slower is as good as never. Who is
slow and goes on is told so where it matters (`events.py`)."""
_VERSIONS = (b"1.0", b"1.1")
_LENGTHS = {b"content-length", b"transfer-encoding"}
"""Whoever stands before this node may believe the one of which h11 makes nothing, and find other requests in
the same bytes (RFC 9112 section 6.1)."""
_TWO_LENGTHS = "A body has a Content-Length or a Transfer-Encoding, not both."
_HEADER_END = re.compile(rb"\n\r?\n")  # as h11 has it
_log = logging.getLogger("isthmus.api")


class _Phase(Enum):
    """What the peer is expected to do now."""

    IDLE = "between requests"
    HEADER = "sending a header"
    BUSY = "sending a body or waiting for the answer"
    CLOSING = "taking the answer"


class Connection:
    """Drives one accepted stream until either side ends it. Errors of the peer end only this."""

    def __init__(
        self,
        stream: trio.SocketStream,
        app: ASGIApp,
        departure: Departure,
        limits: ApiLimits,
        gauges: Gauges,
    ) -> None:
        self._stream = stream
        self._app = app
        self._departure = departure
        self._limits = limits
        self._gauges = gauges
        self._machine = _machine(limits)
        self._client = _address(stream.socket.getpeername())
        self._server = _address(stream.socket.getsockname())
        self._exchange: Exchange | None = None
        self._requests = 0
        self._turned = trio.Event()
        self._scope = trio.CancelScope()
        self._reading = trio.CancelScope()
        self._pausing = trio.CancelScope()
        self._writing = trio.Lock()
        self._phase = _Phase.IDLE
        self._phase_seconds = _phase_seconds(limits)
        self._header_bytes = 0
        self._empty_lines = EmptyLines()
        self._is_half_closed = False

    async def run(self) -> None:
        """Serve requests until the connection ends; the stream is closed afterwards."""
        self._set_phase(_Phase.IDLE)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    await self._read(nursery)
                    self._scope.cancel()
        finally:
            await trio.aclose_forcefully(self._stream)

    def retire(self) -> None:
        """The server stops: end now if no request has come with its whole header; otherwise the answer is the
        last one, and nobody lingers over it."""
        self._phase_seconds[_Phase.CLOSING] = self._limits.shutdown_linger_ms / 1000
        self._reading.deadline = self._deadline
        if self._phase is _Phase.HEADER:
            _write_now(self._stream, refusal_bytes(Fault.SHUTTING_DOWN, "This node is stopping."))
        if self._phase in (_Phase.IDLE, _Phase.HEADER):
            self._scope.cancel()

    async def _read(self, nursery: trio.Nursery) -> None:
        while True:
            if self._phase is _Phase.BUSY and self._exchange is not None:
                await self._exchange.has_room()  # what nobody takes stays where its sender pays for it
            with trio.CancelScope(deadline=self._deadline) as self._reading:
                await trio.lowlevel.wait_readable(self._stream.socket)
            if self._reading.cancelled_caught:
                if self._phase is not _Phase.HEADER:
                    return
                await self._refuse_slow_header()
                continue
            data = self._take_read()
            if data is None:
                continue
            if not data:
                await self._finish_half_closed()
                return
            if self._phase is _Phase.CLOSING or self._machine.their_state is h11.MUST_CLOSE:
                continue  # behind the last request of a connection comes nothing (RFC 9112 section 9.6)
            if self._phase is _Phase.IDLE:
                data = self._empty_lines.behind(data)
                if not data:
                    continue
                self._header_bytes = 0
                self._set_phase(_Phase.HEADER)
            self._header_bytes += len(data)
            self._machine.receive_data(data)
            await self._take_events(nursery)
            if self._phase is _Phase.HEADER and self._header_bytes > self._limits.header_bytes_max:
                await self._refuse_large_header()

    def _take_read(self) -> bytes | None:
        """What the socket has, as much as is read at once; empty at its end, None if nothing. A peer that is
        gone for certain ends all that it asked for."""
        try:
            return os.read(self._stream.socket.fileno(), self._piece_bytes)
        except BlockingIOError:
            return None  # readable no more: the kernel may say so in vain
        except OSError:
            self._scope.cancel()
            return b""

    async def _finish_half_closed(self) -> None:
        """Nothing more comes, and all requests before the last one are answered: that one's answer is still
        waited for. Nothing is sent where none comes in time: a peer that takes it would believe it."""
        exchange = self._exchange
        if exchange is None or self._phase is not _Phase.BUSY:
            return
        if exchange.is_whole or exchange.is_answered:
            self._is_half_closed, self._turned = True, trio.Event()
            await self._wait_half_closed(exchange)

    async def _wait_half_closed(self, exchange: Exchange | None) -> None:
        """Nothing more comes: the answer is waited for as long as it may take, and taken to its end."""
        with trio.move_on_after(self._limits.half_closed_ms / 1000):
            await self._turned.wait()
        if exchange is None or not exchange.is_answered:
            self._scope.cancel()
        await self._turned.wait()  # what is on its way ends, or whoever takes none of it is found out there

    async def _wait_turn(self) -> None:
        """The next request came before this one is answered. A header's worth of what comes is kept: behind
        what is not read nobody is seen to go away, not even behind an empty line."""
        self._turned, exchange = trio.Event(), self._exchange
        limit = self._limits.header_bytes_max
        while not self._turned.is_set() and len(self._machine.trailing_data[0]) < limit:
            with trio.CancelScope() as self._pausing:
                await trio.lowlevel.wait_readable(self._stream.socket)
            data = None if self._turned.is_set() else self._take_read()
            if data:
                self._machine.receive_data(data)
            elif data is not None:
                await self._wait_half_closed(exchange)
        await self._turned.wait()

    async def _take_events(self, nursery: trio.Nursery) -> None:
        """What the machine makes of what was read, until it needs more or the connection closes."""
        while self._phase is not _Phase.CLOSING and self._machine.their_state is not h11.MUST_CLOSE:
            try:
                event = self._machine.next_event()
            except h11.RemoteProtocolError as error:
                await self._reject(error)
                return
            if isinstance(event, h11.Request):
                await self._begin(event, nursery)
            elif isinstance(event, h11.Data):
                await self._feed(event.data)
            elif isinstance(event, h11.EndOfMessage):
                if self._exchange is not None:
                    self._exchange.end()
            elif event is h11.PAUSED and self._machine.trailing_data[0]:
                await self._wait_turn()
                if self._phase is _Phase.IDLE:
                    await self._take_turn()
            else:
                return

    async def _take_turn(self) -> None:
        """The header that came before its turn, perhaps half of it, is one like any other from now on."""
        came = self._machine.trailing_data[0]
        here = self._empty_lines.behind(came)
        if len(here) < len(came):  # the machine takes empty lines for a request, and cannot give them up
            self._machine = _machine(self._limits)
            if not here:
                return
            self._machine.receive_data(here)
        self._header_bytes = len(here)
        self._set_phase(_Phase.HEADER)
        limit = self._limits.header_bytes_max
        if self._header_bytes > limit and _HEADER_END.search(here, 0, limit) is None:
            await self._refuse_large_header()

    async def _begin(self, request: h11.Request, nursery: trio.Nursery) -> None:
        """A request has come with its whole header: the application answers it in a task of its own, so that
        this one sees the peer go away."""
        self._set_phase(_Phase.BUSY)
        self._empty_lines.begin()
        if request.http_version not in _VERSIONS:  # who offers another protocol is answered in this one
            self._gauges.refuse("host")
            await self._refuse(Fault.HTTP_VERSION, "This node speaks HTTP/1.1 only.")
            return
        if {name for name, _ in request.headers} >= _LENGTHS:
            await self._refuse(Fault.MALFORMED_REQUEST, _TWO_LENGTHS)
            return
        try:
            scope = scope_of(request, self._client, self._server)
        except BadTarget as error:
            await self._refuse(Fault.MALFORMED_REQUEST, str(error))
            return
        self._requests += 1
        self._exchange = Exchange(scope, self._machine, self._send, self._on_answered, self._is_last)
        nursery.start_soon(self._answer, self._exchange)

    async def _feed(self, piece: bytes | bytearray) -> None:
        exchange = self._exchange
        if exchange is not None:
            await exchange.has_room()
            exchange.feed(piece)

    async def _answer(self, exchange: Exchange) -> None:
        with exchange.cut:
            await self._app(exchange.scope, exchange.receive, exchange.send)
            if not exchange.is_answered:  # nothing can follow what was left unfinished
                await exchange.give_up()
                await self._begin_close()

    def _is_last(self) -> bool:
        return (
            self._departure.has_begun
            or self._is_half_closed
            or self._requests >= self._limits.connection_requests_max
        )

    async def _on_answered(self) -> None:
        """All of an answer was sent: the next request has its turn, or the connection ends."""
        machine, self._exchange = self._machine, None
        self._turned.set()
        self._pausing.cancel()
        if self._phase is _Phase.CLOSING:
            return
        if machine.our_state is h11.DONE is machine.their_state and not self._is_last():
            machine.start_next_cycle()
            self._set_phase(_Phase.IDLE)
            return
        await self._begin_close()

    async def _reject(self, error: h11.RemoteProtocolError) -> None:
        """What came is no HTTP: say so, unless an answer is on its way."""
        if self._exchange is not None and self._exchange.has_begun:
            await self._begin_close()
            return
        if self._exchange is not None:
            self._exchange.cut.cancel()
        is_large = error.error_status_hint == Fault.HEADER_TOO_LARGE.value.status
        await self._refuse(Fault.HEADER_TOO_LARGE if is_large else Fault.MALFORMED_REQUEST, f"{error}.")

    @property
    def _piece_bytes(self) -> int:
        """Most to read now: a body comes in large pieces where somebody waits for them. Of a header, and of
        what comes behind a body, nobody takes more than its limit."""
        asked = 0 if self._exchange is None else self._exchange.asked_bytes()
        return min(self._limits.body_piece_bytes, asked + self._limits.header_bytes_max)

    async def _refuse_large_header(self) -> None:
        self._gauges.refuse("too-large")
        limit = self._limits.header_bytes_max
        await self._refuse(Fault.HEADER_TOO_LARGE, f"The request header exceeds the limit of {limit} bytes.")

    async def _refuse_slow_header(self) -> None:
        self._gauges.refuse("too-slow")
        limit = self._limits.header_timeout_ms
        await self._refuse(Fault.HEADER_TOO_SLOW, f"The request header did not arrive within {limit} ms.")

    async def _send(self, data: bytes) -> None:
        """Of what the socket does not take at once each piece must be taken within the write timeout, or the
        connection ends."""
        limits = self._limits
        sent = 0 if self._writing.locked() else _write_now(self._stream, data[: limits.write_piece_bytes])
        if sent == len(data):
            return
        async with self._writing:
            view = memoryview(data)[sent:]
            while view:
                piece, view = view[:_TAKEN_BYTES], view[_TAKEN_BYTES:]
                with trio.move_on_after(limits.write_timeout_ms / 1000) as scope:
                    try:
                        await self._stream.send_all(piece)
                    except (trio.BrokenResourceError, trio.ClosedResourceError):
                        self._scope.cancel()
                if scope.cancelled_caught:
                    self._gauges.refuse("slow-reader")
                    _log.warning("dropped a reader that took nothing for %d ms", limits.write_timeout_ms)
                    self._scope.cancel()
                if self._scope.cancel_called:
                    await trio.lowlevel.checkpoint()
                    return

    async def _begin_close(self) -> None:
        if self._phase is _Phase.CLOSING:
            return
        self._set_phase(_Phase.CLOSING)
        self._turned.set()
        self._pausing.cancel()
        if self._writing.locked():  # an answer is on its way, of which nothing more is to leave
            self._scope.cancel()
            return
        try:
            async with self._writing:
                await self._stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._scope.cancel()

    async def _refuse(self, fault: Fault, message: str) -> None:
        """Answer below the application, where no request has come to be."""
        await self._send(refusal_bytes(fault, message))
        await self._begin_close()

    @property
    def _deadline(self) -> float:
        return self._phase_began + self._phase_seconds[self._phase]

    def _set_phase(self, phase: _Phase) -> None:
        self._phase = phase
        self._phase_began = trio.current_time()
        self._reading.deadline = self._deadline


def _machine(limits: ApiLimits) -> h11.Connection:
    """HTTP/1.1 before its first request. Of the next one as much may have come as is read at once; headers
    have a limit before that."""
    incomplete_max = limits.body_piece_bytes + 2 * limits.header_bytes_max
    return h11.Connection(h11.SERVER, max_incomplete_event_size=incomplete_max)


def _phase_seconds(limits: ApiLimits) -> dict[_Phase, float]:
    return {
        _Phase.IDLE: limits.idle_timeout_ms / 1000,
        _Phase.HEADER: limits.header_timeout_ms / 1000,
        _Phase.BUSY: math.inf,
        _Phase.CLOSING: limits.linger_ms / 1000,
    }


def _write_now(stream: trio.SocketStream, data: bytes) -> int:
    """How many bytes the socket took without waiting. What is wrong with it shows at the next send. Who is
    being cancelled sends nothing: of a request whose answer never came to be that would be an error, and its
    client, which asks elsewhere when the connection ends, would believe it."""
    if trio.current_effective_deadline() == -math.inf:
        return 0
    try:
        return os.write(stream.socket.fileno(), data)
    except OSError:
        return 0


def refusal_bytes(fault: Fault, message: str) -> bytes:
    """A whole HTTP/1.1 response with the JSON error, for connections that never reach the application."""
    kind = fault.value
    body = json.dumps({"code": kind.code, "name": kind.name, "message": message, "hint": kind.hint}).encode()
    head = (
        f"HTTP/1.1 {kind.status} {kind.name}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n{NO_GUESSING[0]}: {NO_GUESSING[1]}\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


def _address(name: object) -> tuple[str, int] | None:
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
