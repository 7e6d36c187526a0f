"""Two clusters of real daemons, started apart, federate: records cross, whatever is killed in between.

Nodes of beta are nowhere written down: they cannot be dialled, dial out, and are pulled from over the same
links.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import trio

from bench.ports import unused_ports
from consensus import Digest, SigningKey
from node.anchoring.cluster.identity import ClusterIdentity
from node.anchoring.lanes.messages import Mode
from node.api.federation_queries import ClusterAnswer, LaneAnswer
from node.api.federation_talk import federation, lanes_of
from node.client import ClientError
from node.genesis import Genesis
from node.home import read_key
from node.ledger.federation.changes import AdmitCluster, RetireCluster, SetLanePolicy
from node.ledger.federation.records import Address, LanePolicy
from node.local.ports import LOOPBACK
from node.local.testnet import write_testnet
from node.wallet import Wallet
from tests.endtoend.running import RunningCluster
from tests.endtoend.talk import PATIENCE_SECONDS, all_ready, client_of, log_where, new_record, wallet_of

DEADLINE_MS = 3_600_000
_LOOK_AGAIN_SECONDS = 0.05
Pair = tuple[RunningCluster, RunningCluster]


def write(directory: Path, name: str, nodes: int) -> RunningCluster:
    created_ms = time.time_ns() // 1_000_000
    return RunningCluster(write_testnet(directory / name, name, unused_ports(nodes), created_ms, os.urandom))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """alpha of two nodes and beta of one, started and strangers to each other."""
    directory = tmp_path_factory.mktemp("federation")
    alpha, beta = write(directory, "ports.alpha", 2), write(directory, "ports.beta", 1)
    try:
        alpha.start_missing()
        beta.start_missing()
        yield alpha, beta
    finally:
        alpha.close()
        beta.close()


def genesis_of(cluster: RunningCluster) -> Genesis:
    return Genesis.from_json(cluster.testnet.nodes[0].home.genesis_file.read_text(encoding="utf-8"))


async def decide(cluster: RunningCluster, *changes: AdmitCluster | SetLanePolicy | RetireCluster) -> None:
    """All operators agree."""
    proposal_id: object = None
    for name in cluster.names:
        key = SigningKey(read_key(cluster.testnet.directory / "keys" / f"operator-{name}.key"))
        wallet = Wallet(key, cluster.testnet.cluster_id)
        values = tuple(change.to_value() for change in changes)
        method, args = ("propose", (values, 0)) if proposal_id is None else ("approve", (proposal_id,))
        async with client_of(cluster, name) as client:
            receipt = await client.submit(wallet.sign("governance", method, args))  # type: ignore[arg-type]  # ids are bytes
        assert receipt.ok, receipt.explanation
        assert type(receipt.result) is tuple
        proposal_id = receipt.result[0]


def admission(other: RunningCluster, *, dialled: bool) -> tuple[AdmitCluster, SetLanePolicy]:
    """Another cluster admitted, with or without places to dial, and records may be shared with it."""
    genesis = genesis_of(other)
    places = tuple(
        Address(validator.node_key, LOOPBACK, node.ports.p2p)
        for validator, node in zip(genesis.validators, other.testnet.nodes, strict=True)
    )
    admitted = AdmitCluster(genesis.body, places if dialled else (), ClusterIdentity.from_body(genesis.body))
    policy = LanePolicy(may_send=True, may_receive=True)
    return admitted, SetLanePolicy(genesis.cluster_id, "records", Mode.UNORDERED, policy)


async def share(source: RunningCluster, destination: RunningCluster) -> int:
    """A new record, and its share; the height of that."""
    wallet = wallet_of(source.testnet)
    record_id, transaction = new_record(wallet)
    async with client_of(source) as client:
        assert (await client.submit(transaction)).ok
        until_ms = time.time_ns() // 1_000_000 + DEADLINE_MS
        args = (record_id, destination.testnet.cluster_id, until_ms)
        receipt = await client.submit(wallet.sign("records", "share", args))
        assert receipt.ok, receipt.explanation
    return receipt.height


async def lane_from(source: RunningCluster, destination: RunningCluster, height: int = 0) -> LaneAnswer:
    """The lane as its sender tells from `height` on; it has sent something."""
    async with client_of(source) as client:
        listed = (await client.look(lanes_of(destination.testnet.cluster_id, min_height=height))).lanes
    (outgoing,) = (lane for lane in listed if lane.is_outgoing)
    return outgoing


async def all_acknowledged(
    source: RunningCluster, destination: RunningCluster, count: int, height: int = 0
) -> None:
    """Until the sender holds an answer to each of `count` messages, the last of which it sent at `height`,
    and the receiver holds each of them once."""
    seen: LaneAnswer | None = None
    with trio.move_on_after(PATIENCE_SECONDS):
        while seen is None or seen.acked < count:
            try:
                seen = await lane_from(source, destination, height)
            except ClientError:
                assert not any(map(source.has_died, source.names)), source.last_words()
            await trio.sleep(_LOOK_AGAIN_SECONDS)
    assert seen is not None, source.last_words()
    words = f"{seen}\n{source.last_words()}\n{destination.last_words()}"
    assert (seen.sent, seen.acked, seen.pending) == (count, count, 0), words
    async with client_of(destination) as client:
        (arrived,) = (await client.look(lanes_of(source.testnet.cluster_id))).lanes[-1:]
    assert (arrived.is_outgoing, arrived.received, arrived.highest) == (False, count, count)


async def held(at: RunningCluster) -> ClusterAnswer:
    async with client_of(at, "node0") as client:
        (shown,) = (await client.look(federation())).clusters
    return shown


async def test_a_record_crosses_and_its_source_hears_that_it_arrived(pair: Pair) -> None:
    alpha, beta = pair
    await all_ready(alpha)
    await all_ready(beta)
    await decide(alpha, *admission(beta, dialled=False))
    await decide(beta, *admission(alpha, dialled=True))
    height = await share(alpha, beta)
    await all_acknowledged(alpha, beta, 1, height)
    for at, name in ((alpha, "ports.beta"), (beta, "ports.alpha")):
        shown = await held(at)
        assert (shown.name, shown.status) == (name, "active")
        assert shown.height > 0


async def test_messages_cross_both_ways_each_once(pair: Pair) -> None:
    alpha, beta = pair
    for _ in range(3):
        there, back = await share(alpha, beta), await share(beta, alpha)
    await all_acknowledged(alpha, beta, 4, there)
    await all_acknowledged(beta, alpha, 3, back)


async def test_what_was_sent_before_everything_was_killed_arrives_once_it_runs_again(pair: Pair) -> None:
    alpha, beta = pair
    beta.kill(*beta.names)
    for _ in range(3):
        height = await share(alpha, beta)
    assert (await lane_from(alpha, beta, height)).pending == 3
    alpha.kill(*alpha.names)
    beta.start_missing()
    await all_ready(beta)
    beta.kill(*beta.names)
    alpha.start_missing()
    beta.start_missing()
    await all_acknowledged(alpha, beta, 7, height)


async def test_metrics_tell_how_the_other_cluster_is_held(pair: Pair) -> None:
    alpha, _ = pair
    url, lines = f"{alpha.node('node0').url}/metrics", dict[str, str]()
    name = 'isthmus_federation_{}{{cluster="ports.beta"}}'.format
    # The other node may have carried it all: this one's link comes back when its back-off ends.
    async with httpx2.AsyncClient(trust_env=False) as http:
        with trio.move_on_after(PATIENCE_SECONDS):
            while lines.get(name("links")) != "1.0":
                text = (await http.get(url)).text
                lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if "ports.beta" in line)
                await trio.sleep(_LOOK_AGAIN_SECONDS)
    assert lines.get(name("links")) == "1.0", lines
    assert float(lines[name("frozen")]) == 0
    assert float(lines[name("anchor_height")]) > 0


async def test_a_retired_cluster_is_not_followed_any_more(pair: Pair) -> None:
    alpha, beta = pair
    await decide(alpha, RetireCluster(Digest(beta.testnet.cluster_id)))
    told = await log_where(alpha, "node0", "courier_ended")  # it saw the decision in what readers see
    assert (await held(alpha)).status == "retired"
    await log_where(alpha, "node0", "foreign_disconnected", told.index("courier_ended"))
