"""What a stranger can do to the door with a raw socket: each ends in a stated limit, none ends the server."""

import logging
import socket
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from node.api.app import build_api
from node.api.faults import PortInUse
from node.api.limits import ApiLimits
from node.api.server import bind_listener, serve_api
from node.config import ConfigError
from tests.node.api.fake_backend import FakeBackend, put_record
from tests.node.api.live import Live, ask_raw, read_answer, serving

HOST = b"host: 127.0.0.1\r\n"
POST = b"POST /v1/tx HTTP/1.1\r\n" + HOST + b"content-type: application/msgpack\r\n"
GET = b"GET /livez HTTP/1.1\r\n" + HOST


@asynccontextmanager
async def door(limits: ApiLimits | None = None) -> AsyncIterator[Live]:
    """A running door that must still answer when the abuse is over."""
    async with serving(FakeBackend(), limits) as live:
        yield live
        answer = await ask_raw(live.port, GET + b"connection: close\r\n\r\n")
        assert answer.status == 200


async def test_a_body_announced_too_large_is_refused_before_it_is_read() -> None:
    async with door() as live:
        answer = await ask_raw(live.port, POST + b"content-length: 99999999999\r\n\r\n")
    assert answer.status == 413
    assert answer.json()["name"] == "body-too-large"
    assert "takes at most 135168 bytes" in str(answer.json()["message"])


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (GET + b"connection: close\r\n\r\n", 200),
        (b"GET /nothing HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n", 404),
        (b"GET /livez HTTP/1.1\r\nhost: evil.example\r\n\r\n", 403),
        (b"GET /explorer HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n", 200),
        (POST + b"content-length: 99999999999\r\n\r\n", 413),
    ],
    ids=["an answer", "no route", "another host", "a page", "refused before the application"],
)
async def test_no_browser_may_guess_what_an_answer_is(request_bytes: bytes, status: int) -> None:
    async with door() as live:
        answer = await ask_raw(live.port, request_bytes)
    assert answer.status == status
    assert answer.headers.count("x-content-type-options: nosniff") == 1


@pytest.mark.parametrize("length", [b"-1", b"1_0", b"abc", b"9" * 400])
async def test_a_senseless_length_is_refused(length: bytes) -> None:
    async with door() as live:
        answer = await ask_raw(live.port, POST + b"content-length: " + length + b"\r\n\r\n")
    assert 400 <= answer.status < 500


async def test_a_body_without_end_costs_its_limit_and_no_more() -> None:
    async with (
        door(ApiLimits(linger_ms=50)) as live,
        await trio.open_tcp_stream("127.0.0.1", live.port) as stream,
        trio.open_nursery() as nursery,
    ):

        async def pour() -> None:
            await stream.send_all(POST + b"transfer-encoding: chunked\r\n\r\n")
            try:
                while True:
                    await stream.send_all(b"4000\r\n" + bytes(0x4000) + b"\r\n")
            except trio.BrokenResourceError:
                pass

        nursery.start_soon(pour)
        answer = await stream.receive_some()
        while b"body-too-large" not in answer:
            answer += await stream.receive_some()
        assert answer.startswith(b"HTTP/1.1 413")
        # What still comes is read and thrown away for a moment; then the cut connection ends `pour`.
    assert live.api.gauges.bodies_bytes == 0


async def test_a_slow_body_is_given_up_and_told_so() -> None:
    async with door(ApiLimits(body_timeout_ms=50)) as live:
        answer = await ask_raw(live.port, POST + b"content-length: 100\r\n\r\nabc")
    assert answer.status == 408
    assert "did not arrive within 50 ms; 3 bytes came" in str(answer.json()["message"])


async def test_a_body_cut_short_leaves_nothing_behind() -> None:
    async with door() as live:
        async with await trio.open_tcp_stream("127.0.0.1", live.port) as stream:
            await stream.send_all(POST + b"content-length: 100\r\n\r\nabc")
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert live.api.gauges.bodies_bytes == 0


async def test_bodies_together_have_one_budget() -> None:
    limits = ApiLimits(bodies_bytes_max=1_000)
    async with (
        door(limits) as live,
        await trio.open_tcp_stream("127.0.0.1", live.port) as first,
    ):
        await first.send_all(POST + b"content-length: 900\r\n\r\n" + bytes(800))
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert live.api.gauges.bodies_bytes == 800
        answer = await ask_raw(
            live.port, POST + b"connection: close\r\ncontent-length: 300\r\n\r\n" + bytes(300)
        )
        assert answer.status == 429
        assert "fill the 1000 bytes" in str(answer.json()["message"])
        assert "retry-after: 1" in answer.headers


async def test_a_slow_header_is_given_up_and_told_so() -> None:
    async with door(ApiLimits(header_timeout_ms=50)) as live:
        answer = await ask_raw(live.port, b"GET /livez HTTP/1.1\r\nhost: 127.")
    assert answer.status == 408
    assert answer.json()["name"] == "header-too-slow"


async def test_a_header_dripping_in_does_not_move_its_deadline() -> None:
    async with (
        door(ApiLimits(header_timeout_ms=100)) as live,
        await trio.open_tcp_stream("127.0.0.1", live.port) as stream,
        trio.open_nursery() as nursery,
    ):

        async def drip() -> None:
            try:
                await stream.send_all(b"GET /livez HTTP/1.1\r\n")
                while True:
                    await stream.send_all(b"x-drip: 1\r\n")
                    await trio.sleep(0.01)
            except trio.BrokenResourceError:
                pass

        nursery.start_soon(drip)
        assert b"header-too-slow" in await stream.receive_some()
        nursery.cancel_scope.cancel()


async def test_a_header_too_large_is_refused_with_the_limit() -> None:
    async with door(ApiLimits(header_bytes_max=4_096)) as live:
        answer = await ask_raw(live.port, GET + b"x-long: " + b"a" * 9_000)
    assert answer.status == 431
    assert answer.json()["message"] == "The request header exceeds the limit of 4096 bytes."


async def test_half_a_header_that_came_before_its_turn_has_no_longer_than_another() -> None:
    async with door(ApiLimits(header_timeout_ms=50, idle_timeout_ms=400)) as live:
        answer = await ask_raw(live.port, GET + b"\r\n" + GET)
        assert answer.status == 200
        assert b"header-too-slow" in answer.body


@pytest.mark.parametrize(
    "offer",
    [
        b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
        b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
        b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
    ],
    ids=["h2c", "websocket"],
)
async def test_who_offers_another_protocol_is_answered_in_this_one(offer: bytes) -> None:
    """RFC 9110 section 7.8. Java's client offers HTTP/2 with its first request unless it is told not to."""
    async with door() as live, await trio.open_tcp_stream("127.0.0.1", live.port) as stream:
        for _ in range(2):
            await stream.send_all(GET + offer + b"\r\n")
            answer = await stream.receive_some()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.endswith(b"alive\n")
        await stream.send_all(GET + offer + b"\r\n" + GET + b"connection: close\r\n\r\n")
        assert (await read_answer(stream)).body.count(b"alive") == 2


async def test_who_offers_another_protocol_and_goes_away_ends_its_wait() -> None:
    backend = FakeBackend()
    backend.hold = True
    transaction = put_record(backend.genesis, "docs/a", 1)
    length = str(len(transaction.encoded)).encode()
    async with serving(backend, ApiLimits(half_closed_ms=20)) as live:
        async with await trio.open_tcp_stream("127.0.0.1", live.port) as stream:
            offer = b"connection: upgrade\r\nupgrade: h2c\r\n"
            await stream.send_all(
                POST + offer + b"content-length: " + length + b"\r\n\r\n" + transaction.encoded
            )
            await backend.wait_submission()
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert live.api.gauges.waits == 1
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert live.api.gauges.waits == 0


async def test_who_asked_for_a_tunnel_and_sends_nothing_more_is_idle() -> None:
    async with door(ApiLimits(header_timeout_ms=30, idle_timeout_ms=200)) as live:
        answer = await ask_raw(live.port, b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.json()["name"] == "unknown-route"
        assert live.api.gauges.refused_total["too-slow"] == 0


async def test_a_header_that_came_before_its_turn_is_no_larger_than_another() -> None:
    large = GET + b"x-long: " + b"a" * 100_000 + b"\r\n\r\n"
    async with door() as live, await trio.open_tcp_stream("127.0.0.1", live.port) as stream:
        await stream.send_all(POST + b"content-length: 2\r\n\r\n\xc1")
        await trio.testing.wait_all_tasks_blocked(0.02)
        await stream.send_all(b"\xc1" + large)
        answer = await read_answer(stream)
        assert answer.status == 400
        assert b"HTTP/1.1 431 " in answer.body
        assert live.api.gauges.refused_total["too-large"] == 1


async def test_an_idle_connection_is_closed_silently() -> None:
    async with (
        door(ApiLimits(idle_timeout_ms=30)) as live,
        await trio.open_tcp_stream("127.0.0.1", live.port) as stream,
    ):
        assert await stream.receive_some() == b""


async def test_a_kept_connection_serves_many_requests_then_idles_out() -> None:
    async with (
        door(ApiLimits(idle_timeout_ms=200)) as live,
        await trio.open_tcp_stream("127.0.0.1", live.port) as stream,
    ):
        for _ in range(3):
            await stream.send_all(GET + b"\r\n")
            answer = b""
            while not answer.endswith(b"alive\n"):
                answer += await stream.receive_some()
        assert await stream.receive_some() == b""


async def test_requests_sent_ahead_are_answered_in_turn() -> None:
    async with door() as live:
        answer = await ask_raw(live.port, (GET + b"\r\n") * 4 + GET + b"connection: close\r\n\r\n")
    assert answer.body.count(b"alive") == 5


@pytest.mark.parametrize(("path", "status"), [(b"/v1/none", 404), (b"/v1/status", 405)])
async def test_who_sends_a_body_where_none_is_taken_is_told_that_the_connection_ends(
    path: bytes, status: int
) -> None:
    async with door() as live:
        for header in (b"content-length: 9\r\n", b"transfer-encoding: chunked\r\n"):
            answer = await ask_raw(live.port, b"POST " + path + b" HTTP/1.1\r\n" + HOST + header + b"\r\n")
            assert answer.status == status
            assert "connection: close" in answer.headers.lower()
        answer = await ask_raw(live.port, b"GET /v1/none HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n")
        assert answer.status == 404


async def test_one_connection_too_many_is_told_so() -> None:
    async with (
        door(ApiLimits(connections_max=1)) as live,
        await trio.open_tcp_stream("127.0.0.1", live.port) as first,
    ):
        await first.send_all(GET + b"\r\n")
        await first.receive_some()
        answer = await ask_raw(live.port, GET + b"\r\n")
        assert answer.status == 503
        assert answer.json()["name"] == "too-many-connections"
        await first.aclose()
        await trio.testing.wait_all_tasks_blocked(0.05)


async def test_a_reader_that_takes_nothing_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    backend = FakeBackend()
    for number in range(1, 60):
        await backend.submit(
            [put_record(backend.genesis, f"docs/{number}-{n}", 1000 * number + n).encoded for n in range(40)]
        )
    limits = ApiLimits(write_timeout_ms=100)
    with caplog.at_level(logging.WARNING, "isthmus.api"):
        async with serving(backend, limits) as live:
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            raw.connect(("127.0.0.1", live.port))
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(raw))
            async with stream:
                await stream.send_all(b"GET /v1/events?from=0:0 HTTP/1.1\r\n" + HOST + b"\r\n")
                with trio.fail_after(20):
                    while live.api.gauges.refused_total["slow-reader"] == 0:
                        await trio.testing.wait_all_tasks_blocked(0.02)
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert live.api.gauges.streams == 0
    assert "took nothing for 100 ms" in caplog.text


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        (b"host: evil.example\r\n", b"host-not-allowed"),
        (b"host: 127.0.0.1.evil.example\r\n", b"host-not-allowed"),
        (b"host: user@evil.example\r\n", b"host-not-allowed"),
        (b"host: [::1\r\n", b"host-not-allowed"),
        (b"host: [fe80::2%eth0]\r\n", b"host-not-allowed"),
        (b"host: [::ffff:10.0.0.6]\r\n", b"host-not-allowed"),
        (HOST + b"origin: http://evil.example\r\n", b"origin-not-allowed"),
        (HOST + b"origin: null\r\n", b"origin-not-allowed"),
    ],
)
async def test_another_host_or_origin_is_refused(headers: bytes, name: bytes) -> None:
    async with door() as live:
        answer = await ask_raw(
            live.port, b"GET /v1/status HTTP/1.1\r\n" + headers + b"connection: close\r\n\r\n"
        )
    assert answer.status in (400, 403)
    assert answer.status == 400 or name in answer.body


@pytest.mark.parametrize(
    "headers",
    [
        b"host: localhost:27601\r\n",
        b"host: [::1]:27601\r\n",
        b"host: LOCALHOST\r\n",
        b"host: ledger.example:80\r\norigin: https://ledger.example\r\n",
        b"host: 10.0.0.5:27601\r\n",
        b"host: [fd00::7]:27601\r\norigin: http://[fd00::7]:27601\r\n",
        b"host: [FD00:0::0007]:27601\r\n",
        b"host: [::ffff:10.0.0.5]:27601\r\n",
        b"host: [::ffff:127.0.0.1]:27601\r\n",
        b"host: [fe80::1]:27601\r\n",
        b"host: [fe80::1%25eth0]:27601\r\n",
    ],
)
async def test_our_own_names_are_let_in(headers: bytes) -> None:
    names = ("ledger.example", "10.0.0.5", "[fd00::7]", "[fe80::1%eth0]")
    async with serving(FakeBackend(), allowed_hosts=names) as live:
        answer = await ask_raw(live.port, b"GET /livez HTTP/1.1\r\n" + headers + b"connection: close\r\n\r\n")
    assert answer.status == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x00" * 64 + b"\r\n\r\n",
        b"GET /%ff%fe HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        POST + b"connection: close\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_what_is_no_request_of_ours_ends_its_connection_and_nothing_else(request_bytes: bytes) -> None:
    async with door() as live, await trio.open_tcp_stream("127.0.0.1", live.port) as stream:
        await stream.send_all(request_bytes)
        data = b""
        while part := await stream.receive_some():
            data += part
        assert b" 200 " not in data.split(b"\r\n", 1)[0]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET\r\n\r\n",
        b"GET /%f HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /%ff%fe HTTP/1.1\r\n" + HOST + b"\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n",
        POST + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n" + GET + b"\r\n",
    ],
    ids=["no version", "half an escape", "no text", "behind a good piece of a body", "two lengths"],
)
async def test_what_is_no_http_is_told_so_and_what_it_began_ends(request_bytes: bytes) -> None:
    async with door() as live:
        answer = await ask_raw(live.port, request_bytes)
        assert answer.status == 400
        assert answer.json()["name"] == "malformed-request"
        assert live.api.gauges.bodies_bytes == 0
        assert live.api.gauges.refused_total["crash"] == 0


async def test_who_asks_first_sends_its_body_when_it_is_wanted_and_not_otherwise() -> None:
    asking = b"expect: 100-continue\r\ncontent-length: "
    async with door() as live:
        async with await trio.open_tcp_stream("127.0.0.1", live.port) as stream:
            await stream.send_all(POST + asking + b"1\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 100 ")
            await stream.send_all(b"\xc1")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 400 ")
        answer = await ask_raw(live.port, POST + asking + b"99999999\r\n\r\n")
        assert answer.status == 413


async def test_a_head_has_the_length_of_the_answer_and_no_body() -> None:
    async with door() as live:
        answer = await ask_raw(live.port, b"HEAD /livez HTTP/1.1\r\n" + HOST + b"connection: close\r\n\r\n")
    assert (answer.status, answer.body) == (200, b"")


async def test_the_last_request_of_a_connection_is_told_that_it_is() -> None:
    async with door(ApiLimits(connection_requests_max=2)) as live:
        answer = await ask_raw(live.port, (GET + b"\r\n") * 3)
    assert answer.body.count(b"alive") == 2
    assert (answer.headers + str(answer.body).lower()).count("connection: close") == 1


async def test_a_client_that_goes_away_ends_its_wait() -> None:
    backend = FakeBackend()
    backend.hold = True
    transaction = put_record(backend.genesis, "docs/a", 1)
    async with serving(backend, ApiLimits(half_closed_ms=20)) as live:
        async with await trio.open_tcp_stream("127.0.0.1", live.port) as stream:
            length = str(len(transaction.encoded)).encode()
            await stream.send_all(POST + b"content-length: " + length + b"\r\n\r\n" + transaction.encoded)
            await backend.wait_submission()
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert live.api.gauges.waits == 1
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert live.api.gauges.waits == 0


async def test_who_resets_its_connection_before_it_is_accepted_ends_nothing_else() -> None:
    async with door() as live:
        for _ in range(3):
            gone = socket.create_connection(("127.0.0.1", live.port))
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.close()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert live.api.gauges.refused_total["crash"] == 0
        assert live.api.gauges.connections == 0


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("more", [b"\r\n", GET + b"\r\n", b"\x00" * 40_000])
async def test_what_comes_behind_the_last_request_of_a_connection_does_not_end_it(
    version: bytes, more: bytes
) -> None:
    last = GET.replace(b"1.1", version) + b"connection: close\r\n\r\n"
    async with door() as live:
        answer = await ask_raw(live.port, last + more)
    assert answer.status == 200
    assert answer.body.endswith(b"alive\n")


async def test_a_line_behind_the_last_submission_of_a_connection_does_not_deny_that_it_was_taken() -> None:
    backend = FakeBackend()
    backend.hold = True
    transaction = put_record(backend.genesis, "docs/a", 1).encoded
    length = str(len(transaction)).encode()
    async with serving(backend) as live, await trio.open_tcp_stream("127.0.0.1", live.port) as stream:
        await stream.send_all(
            POST + b"connection: close\r\ncontent-length: " + length + b"\r\n\r\n" + transaction
        )
        await backend.wait_submission()
        await stream.send_all(b"\r\n")
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert live.api.gauges.waits == 1


def test_a_busy_port_is_one_sentence() -> None:
    with bind_listener("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=f"Port {port} on 127.0.0.1 is taken by another program"):
            bind_listener("127.0.0.1", port)


async def test_a_port_that_is_bound_and_not_served_yet_refuses_instead_of_keeping_clients_waiting() -> None:
    with bind_listener("127.0.0.1", 0) as bound, pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream("127.0.0.1", bound.getsockname()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the second bind is refused already")
async def test_of_two_nodes_that_bind_one_port_at_once_the_second_says_so_when_it_serves() -> None:
    with bind_listener("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        second = bind_listener("127.0.0.1", port)
        first.listen()
        api, limits = build_api(FakeBackend(), shutdown=trio.Event(), limits=ApiLimits()), ApiLimits()
        with pytest.raises(PortInUse, match=f"Port {port} on 127.0.0.1 is taken by another program"):
            await serve_api(
                api.app,
                [second],
                departure=api.departure,
                limits=limits,
                gauges=api.gauges,
                visitors=api.visitors,
            )
        assert second.fileno() == -1


async def test_stopping_does_not_wait_for_a_reader_that_takes_nothing() -> None:
    backend = FakeBackend()
    for number in range(1, 60):
        await backend.submit(
            [put_record(backend.genesis, f"docs/{number}-{n}", 1000 * number + n).encoded for n in range(40)]
        )
    async with serving(backend, ApiLimits(shutdown_grace_ms=100, write_timeout_ms=600_000)) as live:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        raw.connect(("127.0.0.1", live.port))
        raw.sendall(b"GET /v1/events?from=0:0 HTTP/1.1\r\n" + HOST + b"\r\n")
        await trio.testing.wait_all_tasks_blocked(0.1)
        live.shutdown.set()
    raw.close()


def test_an_address_that_is_not_of_this_machine_is_a_sentence() -> None:
    with pytest.raises(
        ConfigError, match=r"the API cannot listen on 203.0.113.5:27601: .*; correct api.host"
    ):
        bind_listener("203.0.113.5", 27_601)
