"""GET /v1/peers and /v1/why: every validator in both forms, and diagnoses for each of them."""

import json

import httpx2

from consensus import decode
from node.api.peer_queries import WhyAnswer
from node.api.shapes import from_value
from tests.node.api.fake_backend import NODE_KEYS, FakeBackend
from tests.node.api.live import serving

MSGPACK = {"accept": "application/msgpack"}


async def test_peers_are_listed_with_all_that_is_known_of_them() -> None:
    async with serving(FakeBackend()) as live, httpx2.AsyncClient(trust_env=False) as http:
        peers = json.loads((await http.get(f"{live.url}/v1/peers")).content)
    assert [peer["name"] for peer in peers] == ["node-1", "node-2", "node-3"]
    assert [bytes.fromhex(peer["node_key"]) for peer in peers] == [k.public_key for k in NODE_KEYS[1:]]
    wanted = {"connected", "round", "certified_height", "last_vote_round", "clock_skew_ms", "score"}
    assert all(wanted | {"queue_bytes", "bytes_in", "bytes_out", "last_error"} <= set(peer) for peer in peers)


async def test_why_gives_programs_and_people_the_same_diagnoses() -> None:
    async with serving(FakeBackend()) as live, httpx2.AsyncClient(trust_env=False) as http:
        shown = json.loads((await http.get(f"{live.url}/v1/why")).content)
        packed = (await http.get(f"{live.url}/v1/why", headers=MSGPACK)).content
    answer = from_value(WhyAnswer, decode(packed))
    assert [item.about for item in answer.diagnoses] == [item["about"] for item in shown["diagnoses"]]
    assert [item.about for item in answer.diagnoses[:2]] == ["cluster", answer.node.name]
    assert len(answer.diagnoses) == 2 + len(answer.peers) == 5


async def test_a_parameter_that_is_not_there_is_refused() -> None:
    async with serving(FakeBackend()) as live, httpx2.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"{live.url}/v1/why?all=1")).status_code == 400
