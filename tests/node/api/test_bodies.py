"""A body where none is wanted: it is taken and forgotten, so that its client is seen to go away."""

import pytest
import trio
import trio.testing

from node.api.limits import ApiLimits
from tests.node.api.fake_backend import FakeBackend
from tests.node.api.live import read_answer, serving

NEVER_MS = 600_000
GET = b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n"
WAITING = b"GET /v1/headers/latest?min_height=9&timeout_ms=60000 HTTP/1.1\r\nhost: 127.0.0.1\r\n"
CLOSE = b"connection: close\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"content-length: 0\r\n\r\n",
        b"content-length: 5\r\n\r\nhello",
        b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"content-length: 4096\r\n\r\n" + bytes(4_096),
    ],
    ids=["empty", "small", "empty chunked", "small chunked", "as large as may be"],
)
async def test_a_small_body_where_none_is_wanted_is_forgotten_and_the_connection_goes_on(body: bytes) -> None:
    async with (
        serving(FakeBackend()) as live,
        await trio.open_tcp_stream("127.0.0.1", live.port) as stream,
    ):
        header, _, rest = body.partition(b"\r\n\r\n")
        await stream.send_all(GET + header + b"\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked(0.02)
        await stream.send_all(rest + GET + CLOSE + b"\r\n")
        answer = await read_answer(stream)
        assert (answer.status, answer.body.count(b"alive")) == (200, 2)
        assert live.api.gauges.bodies_bytes == 0


async def test_a_large_body_where_none_is_wanted_is_refused() -> None:
    async with serving(FakeBackend()) as live:
        for body in (
            b"content-length: 4097\r\n\r\n",
            b"transfer-encoding: chunked\r\n\r\n1001\r\n" + bytes(4_097),
        ):
            async with await trio.open_tcp_stream("127.0.0.1", live.port) as stream:
                await stream.send_all(WAITING + body)
                answer = await read_answer(stream)
            assert (answer.status, answer.json()["name"]) == (413, "body-too-large")
        assert live.api.gauges.bodies_bytes == 0


@pytest.mark.parametrize("came", [bytes(100), bytes(4_000)], ids=["some of it", "all of it"])
async def test_who_goes_away_behind_a_body_that_is_not_wanted_ends_its_wait(came: bytes) -> None:
    async with serving(FakeBackend(), ApiLimits(half_closed_ms=20)) as live:
        async with await trio.open_tcp_stream("127.0.0.1", live.port) as stream:
            await stream.send_all(WAITING + b"content-length: 4000\r\n\r\n" + came)
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert live.api.gauges.connections == 1
        await trio.testing.wait_all_tasks_blocked(0.1)
        assert (live.api.gauges.waits, live.api.gauges.connections) == (0, 0)


async def test_a_body_that_is_not_wanted_and_does_not_come_is_given_up() -> None:
    async with (
        serving(FakeBackend(), ApiLimits(body_timeout_ms=50, idle_timeout_ms=NEVER_MS)) as live,
        await trio.open_tcp_stream("127.0.0.1", live.port) as stream,
    ):
        await stream.send_all(WAITING + b"content-length: 9\r\n\r\nabc")
        answer = await read_answer(stream)
        assert (answer.status, answer.json()["name"]) == (408, "body-too-slow")
