"""Who closes its side behind a request may wait for the answer, or be gone: TCP says the same of both."""

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing
from starlette.types import ASGIApp, Receive, Scope, Send

from node.api.limits import ApiLimits
from tests.node.api.fake_backend import FakeBackend, put_record
from tests.node.api.live import Live, read_answer, serving
from tests.node.api.one_connection import REQUEST, Ends, connected, head, piece

NEVER_MS = 600_000
PATIENT = ApiLimits(half_closed_ms=NEVER_MS, write_timeout_ms=NEVER_MS, idle_timeout_ms=NEVER_MS)
BRIEF = ApiLimits(half_closed_ms=20, write_timeout_ms=NEVER_MS, idle_timeout_ms=NEVER_MS)
HOST = b"host: 127.0.0.1\r\n"


def answering(body: bytes) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(head(len(body)))
        await send(piece(body))

    return app


async def test_a_request_that_is_whole_is_answered_and_its_connection_ends() -> None:
    async with connected(answering(b"good"), PATIENT) as ends:
        await ends.client.send_all(REQUEST)
        await ends.client.send_eof()
        answer = await ends.receive_all()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"\r\n\r\ngood")
        await ends.ended.wait()


async def test_an_answer_that_takes_time_is_waited_for_and_says_that_it_is_the_last() -> None:
    ready = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await ready.wait()
        await answering(b"late")(scope, receive, send)

    async with connected(app, PATIENT) as ends:
        await ends.client.send_all(REQUEST)
        await ends.client.send_eof()
        await trio.testing.wait_all_tasks_blocked(0.02)
        ready.set()
        answer = await ends.receive_all()
        assert answer.endswith(b"\r\n\r\nlate")
        assert answer.lower().count(b"connection: close\r\n") == 1


async def test_all_requests_that_were_sent_ahead_are_answered() -> None:
    async with connected(answering(b"good"), PATIENT) as ends:
        await ends.client.send_all(REQUEST * 3)
        await ends.client.send_eof()
        assert (await ends.receive_all()).count(b"good") == 3


async def test_a_large_answer_is_taken_to_its_end_however_long_that_takes() -> None:
    body = bytes(8 * 1024 * 1024)
    async with connected(answering(body), BRIEF, receive_buffer=4_096) as ends:
        await ends.client.send_all(REQUEST)
        await ends.client.send_eof()
        await trio.testing.wait_all_tasks_blocked(0.05)  # longer than what has not begun is waited for
        assert (await ends.receive_all()).endswith(body)


@asynccontextmanager
async def waited_for(limits: ApiLimits) -> AsyncIterator[tuple[Ends, trio.Event]]:
    """A client whose answer never comes, and the end of the application's work on it."""
    asked, left = trio.Event(), trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        try:
            while (await receive())["more_body"]:
                pass
            await trio.sleep_forever()
        finally:
            left.set()

    async with connected(app, limits) as ends:
        yield ends, left


async def test_who_never_is_answered_is_not_waited_for_longer_than_the_limit() -> None:
    async with waited_for(BRIEF) as (ends, left):
        await ends.client.send_all(REQUEST)
        await ends.client.send_eof()
        assert await ends.receive_all() == b"", "an error would be believed"
        assert left.is_set()


async def test_who_closed_both_ways_is_not_waited_for_longer_than_the_limit() -> None:
    async with waited_for(BRIEF) as (ends, left):
        await ends.client.send_all(REQUEST)
        await trio.testing.wait_all_tasks_blocked(0.02)
        await ends.client.aclose()
        await ends.ended.wait()
        assert left.is_set()


def reset(stream: trio.SocketStream) -> None:
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


async def test_who_resets_its_connection_is_not_waited_for() -> None:
    async with waited_for(PATIENT) as (ends, left):
        await ends.client.send_all(REQUEST)
        await trio.testing.wait_all_tasks_blocked(0.02)
        reset(ends.client)
        await ends.ended.wait()
        assert left.is_set()


AHEAD = pytest.mark.parametrize(
    "ahead", [b"\r\n", REQUEST, REQUEST[:9]], ids=["an empty line", "a request", "half a request"]
)


@AHEAD
async def test_who_goes_away_behind_what_it_sent_ahead_is_seen_to_go(ahead: bytes) -> None:
    async with waited_for(BRIEF) as (ends, left):
        await ends.client.send_all(REQUEST + ahead)
        await trio.testing.wait_all_tasks_blocked(0.02)
        await ends.client.aclose()
        await ends.ended.wait()
        assert left.is_set()


@AHEAD
async def test_who_resets_its_connection_behind_what_it_sent_ahead_is_not_waited_for(ahead: bytes) -> None:
    async with waited_for(PATIENT) as (ends, left):
        await ends.client.send_all(REQUEST + ahead)
        await trio.testing.wait_all_tasks_blocked(0.02)
        reset(ends.client)
        await ends.ended.wait()
        assert left.is_set()


async def test_what_comes_piece_by_piece_before_its_turn_is_answered_in_its_turn() -> None:
    gates = [trio.Event() for _ in range(3)]
    turns = iter(gates)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await next(turns).wait()
        await answering(b"good")(scope, receive, send)

    async with connected(app, PATIENT) as ends:
        ahead = b"\r\n" + REQUEST + b"\r\n" + REQUEST + b"\r\n"
        await ends.client.send_all(REQUEST)
        for at in range(0, len(ahead), 7):
            await ends.client.send_all(ahead[at : at + 7])
            await trio.testing.wait_all_tasks_blocked(0.001)
        await ends.client.send_eof()
        for gate in gates:
            await trio.testing.wait_all_tasks_blocked(0.01)
            gate.set()
        assert (await ends.receive_all()).count(b"good") == 3


async def test_of_what_comes_before_its_turn_no_more_is_read_than_is_kept() -> None:
    async with waited_for(PATIENT) as (ends, left), trio.open_nursery() as nursery:
        sent = trio.Event()

        async def send() -> None:
            await ends.client.send_all(REQUEST + bytes(64 * 1024 * 1024))
            sent.set()

        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked(0.2)
        assert not sent.is_set()
        assert not left.is_set()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"GET / HTTP/1.1\r\nhost:",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
    ids=["nothing", "half a header", "half a body", "a body without its end"],
)
async def test_what_will_never_be_whole_is_not_waited_for(half: bytes) -> None:
    async with waited_for(PATIENT) as (ends, _):
        await ends.client.send_all(half)
        await ends.client.send_eof()
        assert await ends.receive_all() == b""
        await ends.ended.wait()


async def expect_end(live: Live, request: bytes, has_begun: Callable[[], Awaitable[None]]) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", live.port) as stream:
        await stream.send_all(request)
        await has_begun()
    await trio.testing.wait_all_tasks_blocked(0.1)
    assert (live.api.gauges.waits, live.api.gauges.streams, live.api.gauges.connections) == (0, 0, 0)


def submission(transaction: bytes) -> bytes:
    header = b"content-type: application/msgpack\r\ncontent-length: %d\r\n\r\n" % len(transaction)
    return b"POST /v1/tx HTTP/1.1\r\n" + HOST + header + transaction


async def test_a_wait_and_a_stream_of_who_is_gone_end_within_the_limit() -> None:
    backend = FakeBackend()
    backend.hold = True
    transaction = put_record(backend.genesis, "docs/a", 1).encoded
    async with serving(backend, BRIEF) as live:
        await expect_end(live, submission(transaction), backend.wait_submission)
        quiet = partial(trio.testing.wait_all_tasks_blocked, 0.02)
        await expect_end(live, b"GET /v1/events HTTP/1.1\r\n" + HOST + b"\r\n", quiet)


async def test_a_submission_is_answered_with_its_certificate_where_that_comes_in_time() -> None:
    backend = FakeBackend()
    backend.hold = True
    transaction = put_record(backend.genesis, "docs/a", 1).encoded
    async with (
        serving(backend, PATIENT) as live,
        await trio.open_tcp_stream("127.0.0.1", live.port) as stream,
    ):
        await stream.send_all(submission(transaction))
        await stream.send_eof()
        await backend.wait_submission()
        await trio.testing.wait_all_tasks_blocked(0.02)
        backend.commit()
        answer = await read_answer(stream)
        assert (answer.status, answer.json()["state"]) == (200, "certified")


async def test_who_waits_with_its_side_closed_is_told_like_all_others_when_the_node_stops() -> None:
    backend = FakeBackend()
    backend.hold = True
    transaction = put_record(backend.genesis, "docs/a", 1).encoded
    async with (
        serving(backend, PATIENT) as live,
        await trio.open_tcp_stream("127.0.0.1", live.port) as stream,
    ):
        await stream.send_all(submission(transaction))
        await stream.send_eof()
        await backend.wait_submission()
        await trio.testing.wait_all_tasks_blocked(0.02)
        live.shutdown.set()
        answer = await read_answer(stream)
        assert (answer.status, answer.json()["state"]) == (202, "admitted")
