"""A node that stops holds nobody, and nobody holds it: what waits is answered at once with the way on.

No timeout of these doors is ever over, so a server that ends has waited for none of them.
"""

import json
from dataclasses import replace

import httpx2
import pytest
import trio
import trio.testing

from consensus import encode
from node.api.app import build_api
from node.api.limits import ApiLimits
from tests.node.api.fake_backend import FakeBackend, put_record
from tests.node.api.live import RawAnswer, read_answer, serving

NEVER_MS = 600_000
PATIENT = ApiLimits(
    header_timeout_ms=NEVER_MS,
    idle_timeout_ms=NEVER_MS,
    body_timeout_ms=NEVER_MS,
    write_timeout_ms=NEVER_MS,
    linger_ms=NEVER_MS,
    keep_alive_ms=NEVER_MS,
    wait_max_ms=NEVER_MS,
    shutdown_grace_ms=NEVER_MS,
)
HEAD = b"host: 127.0.0.1\r\ncontent-type: application/msgpack\r\n"


def post(body: bytes, *, path: bytes = b"/v1/tx", announced: int | None = None) -> bytes:
    size = len(body) if announced is None else announced
    return b"POST %s HTTP/1.1\r\n%scontent-length: %d\r\n\r\n%s" % (path, HEAD, size, body)


def get(path: bytes) -> bytes:
    return b"GET %s HTTP/1.1\r\n%s\r\n" % (path, HEAD)


async def answer_at_the_end(backend: FakeBackend, request: bytes) -> RawAnswer:
    """What comes of a request that is under way when the node stops."""
    async with (
        serving(backend, PATIENT) as live,
        await trio.open_tcp_stream("127.0.0.1", live.port) as stream,
    ):
        await stream.send_all(request)
        await trio.testing.wait_all_tasks_blocked(0.05)
        live.shutdown.set()
        return await read_answer(stream)


def expect_sent_on(answer: RawAnswer) -> None:
    assert answer.status == 503
    assert (answer.json()["code"], answer.json()["name"]) == (9021, "shutting-down")
    assert "Ask another node" in str(answer.json()["hint"])
    assert "retry-after: 1" in answer.headers
    assert "connection: close" in answer.headers


@pytest.mark.parametrize("path", [b"/v1/tx", b"/v1/txs"])
async def test_who_waits_for_a_certificate_is_told_that_it_was_taken_and_to_ask_another_node(
    path: bytes,
) -> None:
    backend = FakeBackend()
    backend.hold = True
    transaction = put_record(backend.genesis, "docs/a", 1)
    body = transaction.encoded if path == b"/v1/tx" else encode((transaction.encoded,))
    answer = await answer_at_the_end(backend, post(body, path=path))
    told = json.loads(answer.body)
    outcome = told if path == b"/v1/tx" else told[0]
    assert (answer.status, outcome["state"]) == (202 if path == b"/v1/tx" else 200, "admitted")
    assert "this node is stopping. Ask another node" in outcome["message"]
    assert "connection: close" in answer.headers
    backend.commit()
    assert (await backend.wait_certified((transaction.id,), 0))[0] is not None


@pytest.mark.parametrize(
    "request_bytes",
    [
        get(b"/v1/receipts/" + b"00" * 32 + b"?timeout_ms=600000"),
        get(b"/v1/headers/latest?min_height=9&timeout_ms=600000"),
        get(b"/v1/headers/latest?min_height=9&timeout_ms=600000&level=committed"),
        post(b"half of it", announced=4_000),
        post(b"half of it", path=b"/v1/txs?wait=admitted", announced=8_000_000),
    ],
    ids=["receipt", "height", "committed height", "half a body", "half a bulk body"],
)
async def test_who_waits_or_has_not_sent_all_of_it_is_sent_on(request_bytes: bytes) -> None:
    expect_sent_on(await answer_at_the_end(FakeBackend(), request_bytes))


async def test_an_event_stream_ends_with_the_reason_and_the_place_to_resume_from() -> None:
    answer = await answer_at_the_end(FakeBackend(), get(b"/v1/events"))
    assert b"event: end" in answer.body
    assert b'"name":"shutting-down"' in answer.body
    assert b'"resume_from":' in answer.body


async def test_an_event_stream_that_waits_for_a_busy_database_ends_as_well() -> None:
    backend = FakeBackend()
    backend.snapshots_refused = 2**30
    limits = replace(PATIENT, retry_after_ms=NEVER_MS)
    async with serving(backend, limits) as live, await trio.open_tcp_stream("127.0.0.1", live.port) as stream:
        await stream.send_all(get(b"/v1/events?from=0:0"))
        await trio.testing.wait_all_tasks_blocked(0.05)
        live.shutdown.set()
        assert b"event: end" in (await read_answer(stream)).body


async def test_half_a_header_is_refused_and_an_idle_connection_closed() -> None:
    async with (
        serving(FakeBackend(), PATIENT) as live,
        await trio.open_tcp_stream("127.0.0.1", live.port) as idle,
        await trio.open_tcp_stream("127.0.0.1", live.port) as half,
    ):
        await half.send_all(b"GET /v1/status HTTP/1.1\r\nhost:")
        await trio.testing.wait_all_tasks_blocked(0.05)
        live.shutdown.set()
        assert await idle.receive_some() == b""
        answer = await read_answer(half)
    assert answer.status == 503
    assert answer.json()["name"] == "shutting-down"


async def test_a_refused_body_that_goes_on_coming_is_not_lingered_over_when_the_node_stops() -> None:
    async with (
        serving(FakeBackend(), PATIENT) as live,
        await trio.open_tcp_stream("127.0.0.1", live.port) as stream,
    ):
        await stream.send_all(post(b"", announced=2**30))
        assert b" 413 " in await stream.receive_some()
        live.shutdown.set()


async def test_what_needs_no_waiting_is_answered_when_the_node_stops_and_what_does_is_not_begun() -> None:
    """A connection may bring one more request before it ends."""
    shutdown = trio.Event()
    api = build_api(FakeBackend(), shutdown=shutdown)
    shutdown.set()
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=api.app), base_url="http://localhost"
    ) as http:
        assert (await http.get("/v1/status")).status_code == 200
        for answer in (
            await http.post("/v1/txs", json={"transactions": []}),
            await http.get("/v1/events"),
            await http.get("/v1/headers/latest", params={"min_height": 1}),
        ):
            assert (answer.status_code, answer.json()["name"]) == (503, "shutting-down")
