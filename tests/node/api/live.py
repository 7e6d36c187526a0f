"""The real server on a loopback socket, for the length of a `with` block, and a raw socket to abuse it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import trio

from node.api.app import Api, build_api
from node.api.limits import ApiLimits
from node.api.server import bind_listener, serve_api
from tests.node.api.fake_backend import FakeBackend


@dataclass(frozen=True, slots=True)
class Live:
    """A running door."""

    port: int
    api: Api
    shutdown: trio.Event

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One HTTP response read from a raw socket until the peer closed it."""

    status: int
    headers: str
    body: bytes

    def json(self) -> dict[str, object]:
        content: dict[str, object] = json.loads(self.body)
        return content


@asynccontextmanager
async def serving(
    backend: FakeBackend,
    limits: ApiLimits | None = None,
    allowed_hosts: tuple[str, ...] = (),
    host: str = "127.0.0.1",
) -> AsyncIterator[Live]:
    """Serve `backend` on a free port of `host`; the server must have ended soon after the block did."""
    limits = limits or ApiLimits()
    shutdown = trio.Event()
    api = build_api(backend, shutdown=shutdown, limits=limits, allowed_hosts=allowed_hosts)
    listener = bind_listener(host, 0)
    serve = partial(
        serve_api,
        api.app,
        [listener],
        departure=api.departure,
        limits=limits,
        gauges=api.gauges,
        visitors=api.visitors,
    )
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            await nursery.start(serve)
            try:
                yield Live(listener.getsockname()[1], api, shutdown)
            finally:
                shutdown.set()


async def read_answer(stream: trio.SocketStream) -> RawAnswer:
    """Everything up to the end of the connection, as one response."""
    data = b""
    while part := await stream.receive_some():
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    return RawAnswer(int(head.split(b" ", 2)[1]), head.decode("latin-1").lower(), body)


async def ask_raw(port: int, request: bytes) -> RawAnswer:
    """Send these bytes and read until the server closes."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request)
        return await read_answer(stream)
