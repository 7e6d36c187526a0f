"""One HTTP connection: anycorn's protocol machine between a bounded socket and the application.

anycorn's own connection loop shields every send from cancellation, so that one reader who stops reading
holds a task for ever, through a shutdown even; its read timeout also ends requests that rightly wait for
an answer. So its HTTP/1.1 machine is driven from here, where each phase has its own deadline: between
requests, in a request's header, in a send, and in a close (the peer is read and thrown away for a moment,
because closing with unread bytes resets the connection and destroys the answer, RFC 9112 section 9.6).
Bodies have theirs where they are read (`bodies.py`).

An answer leaves in one write, without a turn of the scheduler, where the socket takes it: under load each
turn costs its client the time of everything else that this node has to do.
"""

import json
import logging
import math
import os
from collections.abc import Callable
from enum import Enum

import trio
from anycorn.app_wrappers import ASGIWrapper
from anycorn.config import Config
from anycorn.events import Closed, Event, RawData, Updated
from anycorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError, H11Protocol
from anycorn.task_group import TaskGroup
from anycorn.typing import (
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    ConnectionState,
    Scope,
)
from anycorn.worker_context import WorkerContext

from node.api.faults import Fault
from node.api.gauges import Gauges
from node.api.limits import ApiLimits

NO_GUESSING = ("x-content-type-options", "nosniff")
"""Sent with every answer: what members wrote is never run as a page or a script (WHATWG Fetch, nosniff)."""
_TAKEN_BYTES = 8 * 1024
"""So much a reader for whom we wait has to take within the write timeout: slower is as good as never. Who is
slow and goes on is told so where it matters (`events.py`)."""
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
        app: ASGIWrapper,
        config: Config,
        context: WorkerContext,
        limits: ApiLimits,
        gauges: Gauges,
    ) -> None:
        self._stream = stream
        self._app = app
        self._config = config
        self._context = context
        self._limits = limits
        self._gauges = gauges
        self._scope = trio.CancelScope()
        self._reading = trio.CancelScope()
        self._writing = trio.Lock()
        self._phase = _Phase.IDLE
        self._phase_seconds = {
            _Phase.IDLE: limits.idle_timeout_ms / 1000,
            _Phase.HEADER: limits.header_timeout_ms / 1000,
            _Phase.BUSY: math.inf,
            _Phase.CLOSING: limits.linger_ms / 1000,
        }
        self._header_bytes = 0
        self._head_waits = False
        self._head = b""

    async def run(self) -> None:
        """Serve requests until the connection ends; the stream is closed afterwards."""
        self._set_phase(_Phase.IDLE)
        try:
            with self._scope:
                async with TaskGroup() as group:
                    protocol = H11Protocol(
                        self._call,
                        self._config,
                        self._context,
                        group,
                        ConnectionState({}),
                        _address(self._stream.socket.getpeername()),
                        _address(self._stream.socket.getsockname()),
                        self._handle_output,
                        None,
                    )
                    await self._read(protocol)
                    await protocol.handle(Closed())
                    self._scope.cancel()
        finally:
            await trio.aclose_forcefully(self._stream)

    def retire(self) -> None:
        """The server stops: end now if no request has come with its whole header; otherwise the answer is the
        last one, and nobody lingers over it."""
        self._phase_seconds[_Phase.CLOSING] = self._limits.shutdown_linger_ms / 1000
        self._reading.deadline = self._deadline
        if self._phase is _Phase.HEADER:
            self._send_nowait(refusal_bytes(Fault.SHUTTING_DOWN, "This node is stopping."))
        if self._phase in (_Phase.IDLE, _Phase.HEADER):
            self._scope.cancel()

    async def _read(self, protocol: H11Protocol) -> None:
        while True:
            data = b""
            with trio.CancelScope(deadline=self._deadline) as self._reading:
                data = await self._stream.receive_some(self._piece_bytes)
            if self._reading.cancelled_caught:
                if self._phase is not _Phase.HEADER:
                    return
                await self._refuse_slow_header()
                continue
            if not data:
                return
            if self._phase is _Phase.CLOSING:
                continue
            if self._phase is _Phase.IDLE:
                self._header_bytes = 0
                self._set_phase(_Phase.HEADER)
            self._header_bytes += len(data)
            try:
                await protocol.handle(RawData(data))
            except (H2CProtocolRequiredError, H2ProtocolAssumedError):
                self._gauges.refuse("host")
                await self._refuse(Fault.HTTP_VERSION, "This node speaks HTTP/1.1 only.")
                continue
            if self._phase is _Phase.HEADER and self._header_bytes > self._limits.header_bytes_max:
                self._gauges.refuse("too-large")
                limit = self._limits.header_bytes_max
                await self._refuse(
                    Fault.HEADER_TOO_LARGE, f"The request header exceeds the limit of {limit} bytes."
                )

    @property
    def _piece_bytes(self) -> int:
        """Most to read now: a body comes in large pieces, of a header nobody takes more than its limit."""
        limits = self._limits
        return limits.body_piece_bytes if self._phase is _Phase.BUSY else limits.header_bytes_max

    async def _refuse_slow_header(self) -> None:
        self._gauges.refuse("too-slow")
        limit = self._limits.header_timeout_ms
        await self._refuse(Fault.HEADER_TOO_SLOW, f"The request header did not arrive within {limit} ms.")

    async def _call(
        self,
        scope: Scope,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
        sync_spawn: Callable[..., object],
        call_soon: Callable[..., object],
    ) -> None:
        """The application. The head of an answer of known length waits for its body, which comes at once; an
        event stream has no length, and its head does not wait."""

        async def send_joined(message: ASGISendEvent) -> None:
            self._head_waits = message["type"] == "http.response.start" and any(
                name == b"content-length" for name, _ in message["headers"]
            )
            await send(message)

        await self._app(scope, receive, send_joined, sync_spawn, call_soon)

    async def _handle_output(self, event: Event) -> None:
        """What the protocol machine wants done; called by the reader and by the application's task."""
        if isinstance(event, RawData):
            if self._head_waits:
                self._head += event.data
                return
            data, self._head = self._head + event.data, b""
            await self._send(data)
            return
        if self._head:
            head, self._head, self._head_waits = self._head, b"", False
            await self._send(head)
        if isinstance(event, Updated):
            self._set_phase(_Phase.IDLE if event.idle else _Phase.BUSY)
            if event.idle and self._context.terminated.is_set():
                self._scope.cancel()
        elif isinstance(event, Closed):
            await self._begin_close()

    async def _send(self, data: bytes) -> None:
        """Of what the socket does not take at once each piece must be taken within the write timeout, or the
        connection ends."""
        sent = 0 if self._writing.locked() else self._send_nowait(data)
        if sent == len(data):
            return
        async with self._writing:
            view = memoryview(data)[sent:]
            while view:
                piece, view = view[:_TAKEN_BYTES], view[_TAKEN_BYTES:]
                with trio.move_on_after(self._limits.write_timeout_ms / 1000) as scope:
                    try:
                        await self._stream.send_all(piece)
                    except (trio.BrokenResourceError, trio.ClosedResourceError):
                        self._scope.cancel()
                if scope.cancelled_caught:
                    self._gauges.refuse("slow-reader")
                    _log.warning(
                        "dropped a reader that took nothing for %d ms", self._limits.write_timeout_ms
                    )
                    self._scope.cancel()
                if self._scope.cancel_called:
                    await trio.lowlevel.checkpoint()
                    return

    def _send_nowait(self, data: bytes) -> int:
        """How many bytes the socket took without waiting. What is wrong with it shows at the next send. Who
        is being cancelled sends nothing: of a request whose answer never came to be that would be an error,
        and its client, which asks elsewhere when the connection ends, would believe it."""
        if trio.current_effective_deadline() == -math.inf:
            return 0
        try:
            return os.write(self._stream.socket.fileno(), data[: self._limits.write_piece_bytes])
        except OSError:
            return 0

    async def _begin_close(self) -> None:
        if self._phase is _Phase.CLOSING:
            return
        self._set_phase(_Phase.CLOSING)
        try:
            await self._stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
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
