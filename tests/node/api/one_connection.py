"""One connection of an application that answers as it likes, with both its ends in a test's hands."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio
from starlette.types import ASGIApp

from node.api.connection import Connection
from node.api.departure import Departure
from node.api.gauges import Gauges
from node.api.limits import ApiLimits

REQUEST = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
RECEIVE_BYTES = 1024 * 1024


def head(length: int | None) -> dict[str, object]:
    """The first message of an answer; without a length it is a stream."""
    headers = [] if length is None else [(b"content-length", str(length).encode())]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def piece(data: bytes, *, more: bool = False) -> dict[str, object]:
    """A message with some of an answer's body."""
    return {"type": "http.response.body", "body": data, "more_body": more}


@dataclass(frozen=True, slots=True)
class Ends:
    """The two ends of a connection, and when the one of the server is through with it."""

    client: trio.SocketStream
    served: trio.SocketStream
    ended: trio.Event

    async def receive_all(self) -> bytes:
        """What comes until the server ends the connection."""
        data = bytearray()
        while part := await self.client.receive_some(RECEIVE_BYTES):
            data += part
        return bytes(data)


@asynccontextmanager
async def connected(app: ASGIApp, limits: ApiLimits, *, receive_buffer: int = 0) -> AsyncIterator[Ends]:
    """A connection that is served in the background; it ends with the block at the latest."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        calling = socket.socket()
        if receive_buffer:
            calling.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        calling.connect(listener.getsockname())
        accepted, _ = listener.accept()
    client = trio.SocketStream(trio.socket.from_stdlib_socket(calling))
    served = trio.SocketStream(trio.socket.from_stdlib_socket(accepted))
    ends = Ends(client, served, trio.Event())
    departure = Departure(trio.Event(), limits.retry_after_ms)
    connection = Connection(served, app, departure, limits, Gauges())

    async def serve() -> None:
        await connection.run()
        ends.ended.set()

    with trio.fail_after(20):
        async with client, trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield ends
            nursery.cancel_scope.cancel()
