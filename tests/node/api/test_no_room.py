"""Who is refused for want of room is answered a moment later, and holds nothing of this node meanwhile.

Time is virtual: it goes on when everybody waits.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx2
import pytest
import trio
import trio.testing

from consensus import encode
from node.api.app import Api, build_api
from node.api.backend import Busy, Rejected, Submitted
from node.api.limits import ApiLimits
from node.genesis import Genesis
from node.ledger.codes import Code
from node.ledger.params import OPAQUE
from tests.node.api.fake_backend import FakeBackend, make_genesis, put_record

PAUSE_S = 0.25
MSGPACK = {"content-type": "application/msgpack"}
OCTETS = {"content-type": "application/octet-stream"}


class OneFits(FakeBackend):
    """It has room for the first of each request."""

    async def submit(self, transactions: Sequence[bytes]) -> tuple[Submitted | Rejected, ...]:
        taken = await super().submit(transactions[:1])
        return (*taken, *(no_room() for _ in transactions[1:]))

    async def submit_chunks(
        self, chunks: Sequence[bytes], transaction_bytes: int, timeout_ms: int
    ) -> tuple[Submitted | Rejected, ...]:
        taken = await super().submit_chunks(chunks[:1], transaction_bytes, timeout_ms)
        return (*taken, *(no_room() for _ in chunks[1:]))


class NothingFits(FakeBackend):
    """It looks around whenever it refuses."""

    glance: Callable[[], None]

    async def submit(self, transactions: Sequence[bytes]) -> tuple[Submitted | Rejected, ...]:
        self.glance()
        self.busy = Busy("full", 1_000)
        return await super().submit(transactions)


def no_room() -> Rejected:
    return Rejected(Code.POOL_FULL.value, Code.POOL_FULL.label, "no room")


def opaque_genesis() -> Genesis:
    plain = make_genesis()
    params = replace(plain.params, apps=(OPAQUE,))
    return Genesis.new(plain.name, params, plain.validators, plain.members)


@asynccontextmanager
async def asking(backend: FakeBackend) -> AsyncIterator[tuple[Api, httpx2.AsyncClient]]:
    api = build_api(backend, shutdown=trio.Event())
    transport = httpx2.ASGITransport(app=api.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield api, http


def bulk(backend: FakeBackend, count: int) -> bytes:
    return encode(tuple(put_record(backend.genesis, f"docs/{n}", n).encoded for n in range(1, count + 1)))


async def test_whose_request_is_refused_waits_a_moment_for_the_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = FakeBackend()
    backend.busy = Busy("full", 1_000)
    async with asking(backend) as (_, http):
        for path in ("/v1/txs", "/v1/txs?wait=admitted"):
            began = trio.current_time()
            answer = await http.post(path, content=bulk(backend, 3), headers=MSGPACK)
            assert (answer.status_code, answer.json()["name"]) == (429, "busy")
            assert trio.current_time() - began == pytest.approx(PAUSE_S)


async def test_whose_request_is_refused_in_part_waits_as_long_and_whose_is_taken_does_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = OneFits()
    async with asking(backend) as (_, http):
        for count, pause_s in ((3, PAUSE_S), (1, 0.0)):
            began = trio.current_time()
            answer = await http.post("/v1/txs", content=bulk(backend, count), headers=MSGPACK)
            assert [row["state"] for row in answer.json()] == ["certified"] + ["rejected"] * (count - 1)
            assert trio.current_time() - began == pytest.approx(pause_s)


async def test_while_the_answer_waits_its_body_and_its_place_are_free_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    backend = NothingFits()
    seen: list[tuple[int, int, bool]] = []
    answers: list[httpx2.Response] = []
    async with asking(backend) as (api, http), trio.open_nursery() as nursery:
        body, gauges = bulk(backend, 50), api.gauges
        backend.glance = lambda: seen.append((gauges.bodies_bytes, gauges.waits, not answers))

        async def look() -> None:
            await backend.wait_submission()
            await trio.sleep(PAUSE_S / 2)
            backend.glance()

        nursery.start_soon(look)
        answers.append(await http.post("/v1/txs", content=body, headers=MSGPACK))
    assert answers[0].status_code == 429
    assert seen == [(len(body), 1, True), (0, 0, True)]


@pytest.mark.parametrize("timeout_ms", [10, 200, 10_000])
async def test_opaque_bytes_that_find_no_room_are_told_so_however_short_the_client_waits(
    autojump_clock: trio.testing.MockClock, timeout_ms: int
) -> None:
    backend = OneFits(opaque_genesis())
    path = f"/v1/opaque?transaction_bytes=512&timeout_ms={timeout_ms}"
    async with asking(backend) as (_, http):
        began = trio.current_time()
        answer = await http.post(path, content=bytes(600_064), headers=OCTETS)
        assert trio.current_time() - began == pytest.approx(PAUSE_S)
    assert answer.status_code == 200
    assert [row["state"] for row in answer.json()] == ["certified", "rejected", "rejected"]
    assert {row["code"] for row in answer.json()[1:]} == {Code.POOL_FULL.value}


async def test_a_node_that_stops_answers_without_the_pause(autojump_clock: trio.testing.MockClock) -> None:
    backend = OneFits()
    shutdown = trio.Event()
    api = build_api(backend, shutdown=shutdown, limits=ApiLimits(no_room_pause_ms=600_000))
    transport = httpx2.ASGITransport(app=api.app)
    async with (
        httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http,
        trio.open_nursery() as nursery,
    ):

        async def stop() -> None:
            await backend.wait_submission()
            await trio.sleep(1)
            shutdown.set()

        nursery.start_soon(stop)
        answer = await http.post("/v1/txs", content=bulk(backend, 2), headers=MSGPACK)
        assert answer.status_code == 200
        assert trio.current_time() < 60
