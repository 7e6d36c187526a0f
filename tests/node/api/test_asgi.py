"""What of a body is read and handed over, and what an answer's head says."""

import fcntl
import struct
import sys
import termios

import pytest
import trio
import trio.testing
from starlette.types import Receive, Scope, Send

from node.api.limits import ApiLimits
from tests.node.api.one_connection import connected, head, piece


@pytest.mark.skipif(sys.platform != "linux", reason="what waits in a socket is asked of it as Linux has it")
async def test_of_a_body_that_nobody_takes_no_more_is_read_than_came_with_the_header() -> None:
    begun = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await trio.sleep_forever()

    limits = ApiLimits()
    header = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000\r\n\r\n"
    request = header + bytes(limits.header_bytes_max)
    more = bytes(100_000)
    async with connected(app, limits) as ends:
        await ends.client.send_all(request)
        await begun.wait()
        await ends.client.send_all(more)
        await trio.testing.wait_all_tasks_blocked(0.02)
        (unread,) = struct.unpack("i", fcntl.ioctl(ends.served.socket, termios.FIONREAD, bytes(4)))
        assert len(request) + len(more) - unread <= limits.header_bytes_max


@pytest.mark.skipif(sys.platform != "linux", reason="what waits in a socket is asked of it as Linux has it")
@pytest.mark.parametrize(
    ("framing", "body"),
    [(b"content-length: 1", b"x"), (b"transfer-encoding: chunked", b"1\r\nx\r\n0\r\n\r\n")],
    ids=["of a known length", "chunked"],
)
async def test_behind_a_body_no_more_of_the_next_one_is_read_than_is_kept(
    framing: bytes, body: bytes
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        await trio.sleep_forever()

    limits = ApiLimits()
    ahead = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000\r\n\r\n" + bytes(100_000)
    async with connected(app, limits) as ends:
        await ends.client.send_all(b"POST / HTTP/1.1\r\nhost: a\r\n" + framing + b"\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked(0.02)
        await ends.client.send_all(body + ahead)
        await trio.testing.wait_all_tasks_blocked(0.02)
        (unread,) = struct.unpack("i", fcntl.ioctl(ends.served.socket, termios.FIONREAD, bytes(4)))
        assert len(ahead) - unread <= 2 * limits.header_bytes_max


@pytest.mark.parametrize("body", [b"", b"content-length: 3\r\n\r\nabc"], ids=["none", "one that nobody took"])
async def test_who_goes_away_behind_a_body_that_is_whole_is_seen(body: bytes) -> None:
    begun, left = trio.Event(), trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            left.set()

    async with connected(app, ApiLimits(half_closed_ms=20)) as ends:
        await ends.client.send_all(b"POST / HTTP/1.1\r\nhost: a\r\n" + (body or b"\r\n"))
        await begun.wait()
        await ends.client.aclose()
        await left.wait()


async def test_small_pieces_of_a_body_are_handed_over_one_by_one() -> None:
    """However many came at once: what an application does with each has its turn between them."""
    sizes: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            sizes.append(len(message["body"]))
            more = message["more_body"]
        await send(head(2))
        await send(piece(b"ok"))

    async with connected(app, ApiLimits()) as ends:
        await ends.client.send_all(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        await ends.client.send_all(b"1\r\na\r\n" * 100 + b"0\r\n\r\n")
        assert (await ends.client.receive_some(1_000)).endswith(b"ok")
    assert (sum(sizes), max(sizes)) == (100, 1)


@pytest.mark.parametrize("is_whole", [True, False])
async def test_an_answer_says_once_that_it_is_the_last(is_whole: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        last = head(2)
        last["headers"] = [(b"content-length", b"2"), (b"connection", b"close")]
        await send(last)
        await send(piece(b"no"))

    async with connected(app, ApiLimits(connection_requests_max=1)) as ends:
        length = b"0" if is_whole else b"9"
        await ends.client.send_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: " + length + b"\r\n\r\n")
        assert (await ends.receive_all()).lower().count(b"connection: close") == 1


async def test_what_is_no_http_behind_a_piece_that_nobody_took_ends_its_connection() -> None:
    """Its end had waited for an application that was ended itself."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await trio.sleep_forever()

    async with connected(app, ApiLimits(linger_ms=20)) as ends:
        header = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        await ends.client.send_all(header + b"2\r\nab\r\nzz\r\n")
        assert (await ends.receive_all()).startswith(b"HTTP/1.1 400 ")
        await ends.ended.wait()
