"""What one HTTP connection makes of the application's messages: heads, bodies, and what ends between them."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio
import trio.testing
from starlette.types import ASGIApp, Receive, Scope, Send

from node.api.departure import Departure
from node.api.gauges import Gauges
from node.api.limits import ApiLimits
from node.api.server import bind_listener, serve_api
from node.api.visitors import Visitors
from tests.node.api.one_connection import RECEIVE_BYTES, REQUEST, head, piece


@asynccontextmanager
async def asking(
    app: ASGIApp, shutdown: trio.Event | None = None, *, patience_s: int = 20, receive_buffer: int = 0
) -> AsyncIterator[trio.SocketStream]:
    """A client of an application that answers as it likes; its first request is on its way. The server ends
    with `shutdown`, or with the block."""
    limits, gauges = ApiLimits(shutdown_grace_ms=100), Gauges()
    shutdown = trio.Event() if shutdown is None else shutdown
    listener = bind_listener("127.0.0.1", 0)
    port = listener.getsockname()[1]
    serve = partial(
        serve_api,
        app,
        [listener],
        departure=Departure(shutdown, limits.retry_after_ms),
        limits=limits,
        gauges=gauges,
        visitors=Visitors(limits, gauges),
    )
    with trio.fail_after(patience_s):
        async with trio.open_nursery() as nursery:
            await nursery.start(serve)
            raw = socket.socket()
            if receive_buffer:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            raw.connect(("127.0.0.1", port))
            async with trio.SocketStream(trio.socket.from_stdlib_socket(raw)) as stream:
                await stream.send_all(REQUEST)
                yield stream
            shutdown.set()


@pytest.mark.parametrize("size", [4, 20_000])
async def test_an_answer_of_known_length_arrives_in_one_piece(size: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(head(size))
        await send(piece(bytes(size)))

    async with asking(app) as client:
        for _ in range(3):
            answer = await client.receive_some(RECEIVE_BYTES)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.endswith(b"\r\n\r\n" + bytes(size))
            await client.send_all(REQUEST)


async def test_an_answer_without_a_body_arrives() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(head(0))
        await send(piece(b""))

    async with asking(app) as client:
        for _ in range(2):
            answer = await client.receive_some(RECEIVE_BYTES)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.endswith(b"\r\n\r\n")
            await client.send_all(REQUEST)


async def test_the_head_of_a_stream_does_not_wait_for_its_first_event() -> None:
    told = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(head(None))
        await told.wait()
        await send(piece(b"event", more=True))
        await send(piece(b""))

    async with asking(app) as client:
        answer = await client.receive_some(RECEIVE_BYTES)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"\r\n\r\n")
        told.set()
        assert (await client.receive_some(RECEIVE_BYTES)).startswith(b"5\r\nevent\r\n")


async def test_of_an_answer_whose_body_never_comes_the_head_leaves_and_the_connection_ends() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(head(4))

    async with asking(app) as client:
        answer = b""
        while part := await client.receive_some(RECEIVE_BYTES):
            answer += part
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"\r\n\r\n")


async def test_a_body_larger_than_any_buffer_arrives_whole_and_in_order() -> None:
    body = os.urandom(8 * 1024 * 1024)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(head(len(body)))
        await send(piece(body[:1_000_000], more=True))
        await send(piece(body[1_000_000:]))

    async with asking(app) as client:
        answer = bytearray()
        while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < len(body):
            answer += await client.receive_some(RECEIVE_BYTES)
        assert answer.partition(b"\r\n\r\n")[2] == body


async def test_a_body_comes_piece_by_piece_and_no_faster_than_it_is_taken() -> None:
    body = os.urandom(1024 * 1024)
    pieces: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        taken, more = b"", True
        while more:
            await trio.testing.wait_all_tasks_blocked(0.005)
            message = await receive()
            pieces.append(len(message["body"]))
            taken, more = taken + message["body"], message["more_body"]
        await send(head(1))
        await send(piece(b"=" if taken == body else b"#"))

    async with asking(app) as client:
        assert (await client.receive_some(RECEIVE_BYTES)).endswith(b"\r\n\r\n#")
        await client.send_all(b"POST / HTTP/1.1\r\ncontent-length: %d\r\nhost: a\r\n\r\n" % len(body) + body)
        assert (await client.receive_some(RECEIVE_BYTES)).endswith(b"\r\n\r\n=")
    assert max(pieces) <= 2 * ApiLimits().body_piece_bytes


@pytest.mark.parametrize("has_begun", [False, True])
async def test_who_fails_in_the_middle_of_an_answer_ends_its_connection_and_no_other(
    has_begun: bool, caplog: pytest.LogCaptureFixture
) -> None:
    asked = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            if has_begun:
                await send(head(None))
            raise ZeroDivisionError
        await send(head(4))
        await send(piece(b"good"))

    async with asking(app) as client:
        answer = b""
        while part := await client.receive_some(RECEIVE_BYTES):
            answer += part
        assert answer.startswith(b"HTTP/1.1 200 ") == has_begun
        name = client.socket.getpeername()
        async with await trio.open_tcp_stream(*name) as other:
            await other.send_all(REQUEST)
            assert (await other.receive_some(RECEIVE_BYTES)).endswith(b"good")
    assert "a connection failed inside this node" in caplog.text


async def test_who_answers_without_a_look_at_a_body_that_goes_on_is_heard() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(head(2))
        await send(piece(b"no"))

    async with asking(app) as client:
        assert (await client.receive_some(RECEIVE_BYTES)).endswith(b"no")
        await client.send_all(
            b"POST / HTTP/1.1\r\ncontent-length: 9000000\r\nhost: a\r\n\r\n" + bytes(600_000)
        )
        answer = b""
        while part := await client.receive_some(RECEIVE_BYTES):
            answer += part
        assert answer.endswith(b"no")
        assert b"connection: close\r\n" in answer.lower(), "its next request would find the connection ended"


async def test_whose_answer_is_not_there_when_the_server_ends_is_told_nothing() -> None:
    """A connection that ends without an answer is tried again at another node; an error would be believed."""
    arrived, shutdown = trio.Event(), trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        arrived.set()
        await trio.sleep_forever()

    async with asking(app, shutdown) as client:
        await arrived.wait()
        shutdown.set()
        answer = b""
        try:
            while part := await client.receive_some(RECEIVE_BYTES):
                answer += part
        except trio.BrokenResourceError:
            pass
        assert answer == b""


async def test_a_reader_that_is_slow_and_goes_on_is_no_reader_that_stopped(
    mock_clock: trio.testing.MockClock,
) -> None:
    size = 8 * 1024 * 1024
    per_turn, turn_s = 32 * 1024, 6

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(head(size))
        await send(piece(bytes(size)))

    async with asking(app, patience_s=10_000, receive_buffer=4_096) as client:
        await trio.testing.wait_all_tasks_blocked(0.01)  # what the system's buffers take has left
        for _ in range(40):
            taken = 0
            while taken < per_turn:
                part = await client.receive_some(per_turn - taken)
                assert part, "it was cut off between two pieces, each of which it took in time"
                taken += len(part)
            await trio.testing.wait_all_tasks_blocked(0.005)
            mock_clock.jump(turn_s)
        left = size - 40 * per_turn
        while left > 0 and (part := await client.receive_some(RECEIVE_BYTES)):
            left -= len(part)
        assert left <= 0


async def test_an_answer_that_is_the_last_is_not_cut_by_a_request_behind_it() -> None:
    size = 8 * 1024 * 1024

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(head(size) | {"headers": [(b"content-length", b"%d" % size), (b"connection", b"close")]})
        await send(piece(bytes(size)))

    async with asking(app, receive_buffer=4_096) as client:
        await trio.testing.wait_all_tasks_blocked(0.01)  # the answer fills all buffers, and its reader waits
        await client.send_all(REQUEST)
        answer = bytearray()
        while part := await client.receive_some(RECEIVE_BYTES):
            answer += part
        assert len(answer.partition(b"\r\n\r\n")[2]) == size


async def test_what_is_no_http_in_the_middle_of_a_stream_is_no_failure_of_this_node(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Two tasks had sent at once, the one data and the other their end; of 40 such streams, some 16 times."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(head(None))
        while True:
            await send(piece(bytes(70_000), more=True))

    async with asking(app) as first:
        name = first.socket.getpeername()
        await first.aclose()
        for _ in range(40):
            async with await trio.open_tcp_stream(*name) as client:
                await client.send_all(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
                for _ in range(3):
                    await client.receive_some(100_000)
                await client.send_all(b"zz\r\n")
                with suppress(trio.BrokenResourceError):
                    while await client.receive_some(RECEIVE_BYTES):
                        pass
    assert "a connection failed inside this node" not in caplog.text
