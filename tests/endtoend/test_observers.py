"""Real observers: let in without a restart, fed by one another, killed and back, and of use to clients."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from node.cli.main import run
from node.client import AsyncClient
from node.home import Home, read_key
from node.local.ports import LOOPBACK
from node.local.testnet import LocalNode, Testnet
from p2p import NodeIdentity
from tests.endtoend.running import RunningCluster, ports_of_our_own, write_cluster
from tests.endtoend.talk import (
    Acknowledged,
    all_ready,
    client_of,
    log_where,
    put_one,
    reasons_where,
    status_where,
)

VALIDATORS = ("node0", "node1", "node2", "node3")
NEAR, FAR = "near", "far"
"""Two observers: the first follows node0, the second only the first."""


def with_observers(testnet: Testnet) -> Testnet:
    """The same, and two homes made by `isthmus observe`; nobody lets the first one in yet."""
    first, (near, far) = testnet.nodes[0], ports_of_our_own(2)
    nodes = tuple(
        LocalNode(name, Home(testnet.directory / name), ports) for name, ports in ((NEAR, near), (FAR, far))
    )
    observe(testnet, nodes[1], f"{'00' * 32}={LOOPBACK}:1")  # its key is needed before its peer has one
    key = key_of(nodes[1])
    observe(testnet, nodes[0], f"{first.name}={LOOPBACK}:{first.ports.p2p}", "--allow", key)
    config = nodes[1].home.config_file
    text = (
        config.read_text().replace("00" * 32, key_of(nodes[0])).replace("port = 1\n", f"port = {near.p2p}\n")
    )
    config.write_text(text)
    return replace(testnet, nodes=(*testnet.nodes, *nodes))


def observe(testnet: Testnet, node: LocalNode, peer: str, *more: str) -> None:
    ports = ("--port", str(node.ports.p2p), "--api-port", str(node.ports.api))
    made = ("--home", str(node.home.path), "--genesis", str(testnet.genesis_file), "--name", node.name)
    assert run(["observe", *made, *ports, "--peer", peer, "--no-start", *more]) == 0


def key_of(node: LocalNode) -> str:
    return NodeIdentity.from_seed(read_key(node.home.node_key_file)).peer_id.hex()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """Four validators and two observers."""
    running = RunningCluster(with_observers(write_cluster(tmp_path_factory.mktemp("net") / "cluster")))
    try:
        running.start_missing()
        yield running
    finally:
        running.close()


async def test_an_observer_is_let_in_feeds_another_and_clients_are_served_by_both(
    cluster: RunningCluster,
) -> None:
    acknowledged = Acknowledged()
    await log_where(cluster, NEAR, "it does not know our node key")
    await reasons_where(cluster, NEAR, lambda code, text: code == 503 and "sends it new heights" in text)
    first = cluster.node("node0")
    text = first.home.config_file.read_text()
    allowed = f"[p2p]\nallowed = {json.dumps([key_of(cluster.node(NEAR))])}\n"
    first.home.config_file.write_text(text.replace("[p2p]\n", allowed, 1))
    await all_ready(cluster)
    await put_one(cluster, acknowledged, FAR)
    height = acknowledged.height
    for name in cluster.names:
        await status_where(cluster, name, lambda status: status.stored_height >= height)
    trust = cluster.testnet.cluster_id
    async with AsyncClient((cluster.node(FAR).url,), trust=trust) as client:
        assert (await client.header(height, verify=True)).height == height
        assert not (await client.status()).is_validator


async def test_a_killed_observer_comes_back_by_itself_and_so_does_whom_it_fed(
    cluster: RunningCluster,
) -> None:
    await all_ready(cluster)
    acknowledged = Acknowledged()
    cluster.kill(NEAR)
    for name in VALIDATORS:
        await put_one(cluster, acknowledged, name)
    height = acknowledged.height
    async with client_of(cluster, FAR) as client:
        assert (await client.status()).stored_height < height
    cluster.start(NEAR)
    await status_where(cluster, FAR, lambda status: status.stored_height >= height)
    await all_ready(cluster)
    assert "peer_fault" not in "".join(cluster.log(name) for name in cluster.names)
