"""A validator joins a running cluster and another leaves, on real daemons, while clients write."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from consensus import PublicKey, SigningKey
from node.config import PeerConfig
from node.home import Home, read_key
from node.ledger.governance.changes import AddValidator, RemoveValidator
from node.ledger.governance.proposals import ready_digest
from node.ledger.receipts import Receipt
from node.ledger.roster import ValidatorRecord
from node.local.newnode import NodeSetup, add_peers, create_keys, write_setup
from node.local.ports import LOOPBACK
from node.local.testnet import LocalNode, write_testnet
from p2p import NodeIdentity
from tests.endtoend.running import RunningCluster, ports_of_our_own
from tests.endtoend.talk import Acknowledged, all_agree, all_ready, client_of, put_one, status_where, writing
from tests.endtoend.test_governance import govern

NEWCOMER = "node4"
OPERATOR = SigningKey(b"\x6b" * 32)
FEW = 6
"""Receipts that show that the cluster goes on."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """Four validators of the genesis and one node that is to join them; all know each other's addresses."""
    folder = tmp_path_factory.mktemp("net") / "cluster"
    ports = ports_of_our_own(5)
    testnet = write_testnet(folder, "growing", ports[:4], time.time_ns() // 1_000_000, os.urandom)
    newcomer = LocalNode(NEWCOMER, Home(folder / NEWCOMER), ports[4])
    keys = create_keys(newcomer.home, "joining", os.urandom)
    known = tuple(_address(node) for node in testnet.nodes)
    setup = NodeSetup(NEWCOMER, "joining", newcomer.ports.p2p, newcomer.ports.api, peers=known)
    write_setup(newcomer.home, setup, testnet.genesis_file.read_text(encoding="utf-8"))
    for node in testnet.nodes:
        add_peers(node.home, (PeerConfig(NEWCOMER, keys.node_key, LOOPBACK, newcomer.ports.p2p),))
    running = RunningCluster(replace(testnet, nodes=(*testnet.nodes, newcomer)))
    try:
        running.start_missing()
        yield running
    finally:
        running.close()


def _address(node: LocalNode) -> PeerConfig:
    identity = NodeIdentity.from_seed(read_key(node.home.node_key_file))
    return PeerConfig(node.name, identity.peer_id, LOOPBACK, node.ports.p2p)


def newcomers_key(cluster: RunningCluster) -> SigningKey:
    return SigningKey(read_key(cluster.node(NEWCOMER).home.validator_key_file))


async def prove_ready(cluster: RunningCluster, proposal_id: bytes) -> Receipt:
    """The newcomer signs the newest header it stores; node0's operator sends the proof."""
    async with client_of(cluster, NEWCOMER) as client:
        header = await client.header()
    signed = ready_digest(cluster.testnet.cluster_id, proposal_id, header.height, header.hash)
    key = newcomers_key(cluster)
    arguments = (proposal_id, key.public_key, header.height, header.hash, key.sign(signed))
    return await govern(cluster, "node0", "ready", *arguments)


async def test_a_fifth_validator_joins_under_load_signs_and_survives_a_kill(cluster: RunningCluster) -> None:
    await all_ready(cluster)
    acknowledged = Acknowledged()
    home = cluster.node(NEWCOMER).home
    node_key = PublicKey(NodeIdentity.from_seed(read_key(home.node_key_file)).peer_id)
    consensus_key = newcomers_key(cluster).public_key
    record = ValidatorRecord(NEWCOMER, "newcomers", consensus_key, node_key, 1, OPERATOR.public_key)
    assert not (await status_where(cluster, NEWCOMER, lambda _: True)).is_validator
    async with writing(cluster, acknowledged, "node0", "node2", NEWCOMER):
        await acknowledged.grow_by(FEW)
        receipt = await govern(cluster, "node0", "propose", (AddValidator(record).to_value(),), 0)
        assert receipt.ok, receipt.explanation
        assert type(receipt.result) is tuple
        proposal_id = receipt.result[0]
        assert isinstance(proposal_id, bytes)
        for name in ("node1", "node2"):
            receipt = await govern(cluster, name, "approve", proposal_id)
            assert receipt.ok, receipt.explanation
        receipt = await prove_ready(cluster, proposal_id)
        assert receipt.ok, receipt.explanation
        for name in cluster.names:
            await status_where(cluster, name, lambda status: status.epoch == 1 and status.is_validator)
        await acknowledged.grow_by(FEW)
        cluster.kill("node1")  # four of five are a quorum only with the newcomer
        await acknowledged.grow_by(FEW)
        cluster.kill(NEWCOMER)
        cluster.start("node1")
        await acknowledged.grow_by(FEW)
        cluster.start(NEWCOMER)
        await acknowledged.grow_by(FEW)
        await all_ready(cluster)
    await all_agree(cluster, acknowledged)


async def test_a_validator_that_left_follows_and_serves_history(cluster: RunningCluster) -> None:
    await all_ready(cluster)
    acknowledged = Acknowledged()
    async with writing(cluster, acknowledged, "node1", "node3"):
        await acknowledged.grow_by(FEW)
        receipt = await govern(cluster, "node0", "propose", (RemoveValidator("node3").to_value(),), 0)
        assert receipt.ok, receipt.explanation
        assert type(receipt.result) is tuple
        for name in ("node1", "node2", "node3"):  # three of five are no two thirds
            approved = await govern(cluster, name, "approve", receipt.result[0])
            assert approved.ok, approved.explanation
        for name in cluster.names:
            await status_where(cluster, name, lambda status: status.epoch == 2)
        assert not (await status_where(cluster, "node3", lambda _: True)).is_validator
        await acknowledged.grow_by(FEW)
    await put_one(cluster, acknowledged, "node3")
    await all_agree(cluster, acknowledged)
    cluster.kill("node3")
    cluster.start("node3")
    await all_ready(cluster)
    await put_one(cluster, acknowledged, "node3")
    await all_agree(cluster, acknowledged, anew=True)
