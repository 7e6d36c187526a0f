"""What stands behind empty lines, however they come apart on their way."""

import pytest
import trio.testing
from starlette.types import Receive, Scope, Send

from node.api.emptylines import EMPTY_BYTES_MAX, EmptyLines
from node.api.limits import ApiLimits
from tests.node.api.one_connection import REQUEST, connected, head, piece

NEVER_MS = 600_000


@pytest.mark.parametrize(
    ("parts", "behind"),
    [
        ((b"GET /",), b"GET /"),
        ((b"\r\nGET /",), b"GET /"),
        ((b"\nGET /",), b"GET /"),
        ((b"\r\n\r\n\nGET /",), b"GET /"),
        ((b"\r", b"\nGET /"), b"GET /"),
        ((b"\r\n\r", b"\n", b"GET /"), b"GET /"),
        ((b"\r\n",), b""),
        ((b"\r",), b""),
        ((b"\r", b"GET /"), b"\rGET /"),
        ((b"\r\rGET /",), b"\r\rGET /"),
        ((b" \r\nGET /",), b" \r\nGET /"),
        ((b"\n" * EMPTY_BYTES_MAX,), b""),
        ((b"\n" * (EMPTY_BYTES_MAX + 1),), b"\n" * (EMPTY_BYTES_MAX + 1)),
    ],
)
def test_what_stands_behind_empty_lines(parts: tuple[bytes, ...], behind: bytes) -> None:
    lines = EmptyLines()
    assert b"".join(lines.behind(part) for part in parts) == behind


def test_each_request_may_have_as_many_before_it() -> None:
    lines = EmptyLines()
    for _ in range(3):
        assert lines.behind(b"\n" * EMPTY_BYTES_MAX) == b""
        assert lines.behind(b"GET /") == b"GET /"
        lines.begin()
    for _ in range(EMPTY_BYTES_MAX):
        assert lines.behind(b"\n") == b""
    assert lines.behind(b"\n") == b"\n", "whoever sends nothing else is refused"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    await send(head(len(body) + 1))
    await send(piece(b"=" + body))


POST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"


@pytest.mark.parametrize(
    "parts",
    [
        (b"\r\n" + POST, b"\r\n" + POST + b"\r\n"),
        (POST + b"\r\n" + POST + b"\r\n\r\n",),
        (POST + b"\r\n", POST),
        (POST + b"\r", b"\n" + POST),
        (b"\r\n", POST + b"\r\n\r\n", POST),
        (b"\r", b"\n" + POST, b"\n", POST),
    ],
)
async def test_empty_lines_before_a_request_are_passed_over(parts: tuple[bytes, ...]) -> None:
    async with connected(echo, ApiLimits(half_closed_ms=NEVER_MS)) as ends:
        for part in parts:
            await ends.client.send_all(part)
            await trio.testing.wait_all_tasks_blocked(0.01)
        await ends.client.send_eof()
        answers = await ends.receive_all()
    assert answers.count(b"HTTP/1.1 200 ") == 2
    assert answers.count(b"=abc") == 2


async def test_who_sends_empty_lines_only_is_refused() -> None:
    async with connected(echo, ApiLimits()) as ends:
        await ends.client.send_all(b"\r\n" * (1 + EMPTY_BYTES_MAX // 2))
        assert (await ends.receive_all()).startswith(b"HTTP/1.1 400 ")


async def test_an_empty_line_behind_a_request_is_no_header_that_is_late() -> None:
    async with connected(echo, ApiLimits(header_timeout_ms=NEVER_MS, idle_timeout_ms=100)) as ends:
        await ends.client.send_all(REQUEST + b"\r\n")
        assert (await ends.receive_all()).endswith(b"\r\n\r\n=")
