"""How often one address may call: bounded by address, told with a time to come back, loopback left alone."""

import httpx2
import pytest

from consensus import encode
from node.api.gauges import Gauges
from node.api.limits import ApiLimits
from node.api.visitors import Visitors
from tests.node.api.fake_backend import FakeBackend, put_record
from tests.node.api.live import ask_raw, serving

GET = b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n"


def visitors(**limits: int) -> tuple[Visitors, Gauges]:
    gauges = Gauges()
    return Visitors(ApiLimits(**limits), gauges), gauges  # type: ignore[arg-type]  # each test names real fields


def test_an_address_that_asks_too_often_is_told_when_to_come_back_and_no_other_notices() -> None:
    door, gauges = visitors(requests_per_second=10, requests_burst=2)
    assert [door.refusal("10.0.0.1", 0) for _ in range(2)] == [None, None]
    refused = door.refusal("10.0.0.1", 0)
    assert refused is not None
    assert (refused.kind.code, refused.kind.status, refused.retry_after_ms) == (9023, 429, 100)
    assert door.refusal("10.0.0.2", 0) is None
    assert door.refusal("10.0.0.1", 100) is None
    assert (gauges.refused_total["rate"], gauges.addresses) == (1, 2)


def test_an_ipv6_network_counts_as_one_address() -> None:
    door, _ = visitors(requests_per_second=1, requests_burst=1)
    assert door.refusal("2001:db8::1", 0) is None
    assert door.refusal("2001:db8::2", 0) is not None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_free_unless_the_node_is_told_otherwise(host: str) -> None:
    free, _ = visitors(requests_per_second=1, requests_burst=1, connections_per_address=1)
    assert [free.refusal(host, 0) for _ in range(50)] == [None] * 50
    assert [free.enter(host) for _ in range(5)] == [True] * 5
    limited, gauges = visitors(
        requests_per_second=1, requests_burst=1, connections_per_address=1, limits_loopback=True
    )
    assert limited.refusal(host, 0) is None
    assert limited.refusal(host, 0) is not None
    assert [limited.enter(host) for _ in range(2)] == [True, False]
    assert gauges.refused_total["address"] == 1


def test_a_connection_that_ended_makes_room_for_its_address() -> None:
    door, _ = visitors(connections_per_address=2)
    assert [door.enter("10.0.0.1") for _ in range(3)] == [True, True, False]
    assert door.enter("10.0.0.2")
    door.leave("10.0.0.1")
    assert door.enter("10.0.0.1")


def test_addresses_that_fill_the_door_leave_room_for_loopback() -> None:
    door, gauges = visitors(connections_max=32, connections_per_address=8)
    entered = [door.enter(f"10.0.0.{number % 5}") for number in range(40)]
    assert entered.count(True) == 30
    assert gauges.refused_total["connections"] == 10
    assert [door.enter("127.0.0.1") for _ in range(2)] == [True, True]
    door.leave("10.0.0.1")
    assert door.enter("10.0.0.4")


def test_the_table_of_addresses_is_bounded() -> None:
    door, gauges = visitors(addresses_max=8)
    for number in range(100):
        assert door.refusal(f"10.0.0.{number}", 0) is None
    assert gauges.addresses == 8


async def test_too_many_requests_of_an_address_are_429_with_retry_after_and_end_the_connection() -> None:
    limits = ApiLimits(requests_per_second=1, requests_burst=3, limits_loopback=True)
    async with serving(FakeBackend(), limits) as live, httpx2.AsyncClient(base_url=live.url) as http:
        answers = [await http.get("/v1/status") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].json()["name"] == "rate-limited"
    assert answers[-1].headers["connection"] == "close"
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert "1 requests a second" in answers[-1].json()["message"]
    assert live.api.gauges.refused_total["rate"] == 2


async def test_forged_transactions_cost_their_address_its_requests() -> None:
    limits = ApiLimits(requests_per_second=1, requests_burst=10, limits_loopback=True)
    backend = FakeBackend()
    good = [put_record(backend.genesis, f"docs/{number}", number).encoded for number in range(20)]
    forged = encode(tuple(data[:-1] + bytes([data[-1] ^ 1]) for data in good))
    headers = {"content-type": "application/msgpack"}
    async with (
        serving(backend, limits) as live,
        httpx2.AsyncClient(base_url=live.url, headers=headers) as http,
    ):
        assert (await http.post("/v1/txs", content=encode(tuple(good)))).status_code == 200
        assert (await http.get("/v1/status")).status_code == 200
        taken = await http.post("/v1/txs", content=forged)
        refused = await http.get("/v1/status")
    assert {outcome["name"] for outcome in taken.json()} == {"bad-signature"}
    assert refused.status_code == 429
    assert 10 < int(refused.headers["retry-after"]) <= 60


async def test_one_connection_too_many_of_an_address_is_told_so() -> None:
    limits = ApiLimits(connections_per_address=1, limits_loopback=True)
    async with serving(FakeBackend(), limits) as live:
        async with httpx2.AsyncClient(base_url=live.url) as http:
            assert (await http.get("/livez")).status_code == 200  # and keeps its connection
            answer = await ask_raw(live.port, GET + b"connection: close\r\n\r\n")
        assert (answer.status, answer.json()["name"]) == (503, "too-many-connections")
        assert "One address may hold 1" in str(answer.json()["message"])
