"""What the HTTP door tells of the federation: clusters, lanes, evidence, and what a message waits for."""

import httpx2
import pytest

from node.anchoring.lanes.messages import Mode
from node.api import federation_queries
from node.api.faults import ApiFault
from node.api.federation_queries import FederationAnswer
from node.api.federation_talk import explanation_of, federation, forks_of, lanes_of
from node.client import AsyncClient
from tests.node.api.fake_backend import FakeBackend
from tests.node.api.live import serving
from tests.node.ledger.federation.cluster import Cluster, federate, settle

UNKNOWN = b"\xcd" * 32


def two() -> tuple[Cluster, Cluster]:
    a, b = Cluster("ports.alpha"), Cluster("ports.beta")
    federate(a, b)
    settle(a, b, rounds=1)
    return a, b


def seen(at: Cluster) -> FederationAnswer:
    with at.store.snapshot() as snapshot:
        return federation_queries.federation(snapshot)


def explained(at: Cluster, other: bytes, sequence: int, port: str = "records") -> tuple[str, str | None]:
    with at.store.snapshot() as snapshot:
        found = federation_queries.explain(snapshot, other, port, Mode.UNORDERED, sequence)
    assert (found.destination, found.sequence) == (other, sequence)
    return found.step, found.result


def test_a_cluster_is_shown_as_the_state_holds_it() -> None:
    a, b = two()
    answer = seen(a)
    (shown,) = answer.clusters
    assert answer.height == a.ledger.tip.height
    assert (shown.cluster_id, shown.name, shown.status) == (b.id, "ports.beta", "active")
    assert 0 < shown.height <= b.ledger.tip.height
    assert shown.header_hash == b.executions[shown.height - 1].header.hash
    assert shown.age_ms == answer.time_ms - shown.time_ms
    assert 0 < shown.anchored_height <= answer.height
    assert (shown.said, shown.accused, shown.is_parked) == (0, (), False)
    assert answer.heartbeat_ms < answer.stale_after_ms


def test_a_lane_and_its_message_are_followed_from_sent_to_acknowledged() -> None:
    a, b = two()
    assert a.put("port/manifest").ok
    assert explained(a, b.id, 1) == ("not-sent", None)
    assert a.share("port/manifest", b).ok
    with a.store.snapshot() as snapshot:
        (lane,) = federation_queries.lanes(snapshot, b.id).lanes
    assert (lane.source, lane.destination, lane.port, lane.mode) == (a.id, b.id, "records", "unordered")
    assert (lane.is_outgoing, lane.sent, lane.acked, lane.pending, lane.oldest) == (True, 1, 0, 1, 1)
    assert lane.oldest_height == a.ledger.tip.height
    assert lane.oldest_deadline_ms is not None
    assert explained(a, b.id, 1)[0] != "nothing"
    b.pull(a)
    with b.store.snapshot() as snapshot:
        (arrived,) = federation_queries.lanes(snapshot, a.id).lanes
    assert (arrived.is_outgoing, arrived.received, arrived.oldest) == (False, 1, None)
    a.pull(b)
    assert explained(a, b.id, 1) == ("nothing", "ok")
    assert seen(a).clusters[0].said == 1


def test_what_can_be_no_lane_is_the_callers_mistake() -> None:
    a, b = two()
    for other, port in ((a.id, "records"), (b.id, "No Port")):
        with pytest.raises(ApiFault, match="There is no such lane"):
            explained(a, other, 1, port)


async def test_a_cluster_alone_answers_with_nothing_and_a_client_can_ask_all_of_it() -> None:
    backend = FakeBackend()
    async with (
        serving(backend) as live,
        AsyncClient([live.url], trust=backend.genesis.cluster_id) as client,
        httpx2.AsyncClient(base_url=live.url) as http,
    ):
        assert (await client.look(federation())).clusters == ()
        assert (await client.look(lanes_of(UNKNOWN))).lanes == ()
        assert (await client.look(forks_of(UNKNOWN))).forks == ()
        explanation = await client.look(explanation_of(UNKNOWN, 7, port="app.port", mode=Mode.ORDERED))
        assert (explanation.step, explanation.sequence, explanation.mode) == ("not-sent", 7, "ordered")
        for path in (
            "/v1/federation/abc/lanes",
            f"/v1/federation/{UNKNOWN.hex()}/explain/0",
            f"/v1/federation/{UNKNOWN.hex()}/explain/1?mode=both",
            f"/v1/federation/{UNKNOWN.hex()}/explain/1?port=",
            f"/v1/federation/{UNKNOWN.hex()}/explain/1?port=NO",
            f"/v1/federation/{backend.genesis.cluster_id.hex()}/explain/1",
        ):
            assert (await http.get(path)).status_code == 400, path
