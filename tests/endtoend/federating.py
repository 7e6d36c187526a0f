"""Clusters of real daemons in a federation, in the hands of a test: admitted, spoken through, counted.

Whatever is killed, partitioned or late: each message has one outcome at its source, and its destination has
taken it once.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

import trio

from consensus import SigningKey
from node.anchoring.cluster.identity import ClusterIdentity
from node.anchoring.lanes.messages import Mode
from node.api.federation_queries import ClusterAnswer, LaneAnswer
from node.api.federation_talk import explanation_of, federation, lanes_of
from node.client import ClientError, NotReachable
from node.genesis import Genesis
from node.home import read_key
from node.ledger.federation.changes import AdmitCluster, FederationChange, SetLanePolicy
from node.ledger.federation.records import Address, LanePolicy
from node.ledger.receipts import Receipt
from node.local.ports import LOOPBACK
from node.local.testnet import write_testnet
from node.wallet import Wallet
from tests.endtoend.running import RunningCluster, ports_of_our_own
from tests.endtoend.talk import PATIENCE_SECONDS, client_of, new_record, wallet_of

DEADLINE_MS = 3_600_000
_LOOK_AGAIN_SECONDS = 0.05


def write(directory: Path, name: str, nodes: int) -> RunningCluster:
    """A new cluster of a federation, not started."""
    created_ms = time.time_ns() // 1_000_000
    return RunningCluster(
        write_testnet(directory / name, name, ports_of_our_own(nodes), created_ms, os.urandom)
    )


def genesis_of(cluster: RunningCluster) -> Genesis:
    return Genesis.from_json(cluster.testnet.nodes[0].home.genesis_file.read_text(encoding="utf-8"))


async def decide(cluster: RunningCluster, *changes: FederationChange) -> None:
    """Operators agree until it takes effect."""
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
        proposal_id, is_executed = receipt.result[:2]
        if is_executed:
            return


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


async def share(
    source: RunningCluster, destination: RunningCluster, lasts_ms: int = DEADLINE_MS
) -> tuple[int, int]:
    """A new record, and its share: the height at which it was sent, and its sequence."""
    wallet = wallet_of(source.testnet)
    record_id, transaction = new_record(wallet)
    async with client_of(source) as client:
        assert (await client.submit(transaction)).ok
        until_ms = time.time_ns() // 1_000_000 + lasts_ms
        args = (record_id, destination.testnet.cluster_id, until_ms)
        receipt: Receipt = await client.submit(wallet.sign("records", "share", args))
    assert receipt.ok, receipt.explanation
    assert type(receipt.result) is int
    return receipt.height, receipt.result


async def lane_from(source: RunningCluster, destination: RunningCluster, height: int = 0) -> LaneAnswer:
    """The lane as its sender tells from `height` on; it has sent something."""
    async with client_of(source) as client:
        listed = (await client.look(lanes_of(destination.testnet.cluster_id, min_height=height))).lanes
    (outgoing,) = (lane for lane in listed if lane.is_outgoing)
    return outgoing


async def outcome(source: RunningCluster, destination: RunningCluster, sequence: int) -> str | None:
    """What the source knows became of a message."""
    question = explanation_of(destination.testnet.cluster_id, sequence)
    async with client_of(source) as client:
        return (await client.look(question)).result


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
        listed = (await client.look(lanes_of(source.testnet.cluster_id))).lanes
    (arrived,) = (lane for lane in listed if not lane.is_outgoing)
    assert (arrived.is_outgoing, arrived.received, arrived.highest) == (False, count, count)


async def held(at: RunningCluster) -> tuple[ClusterAnswer, ...]:
    """How the others are held, in the order of their admission: as far as any node that is up shows, so that
    what one of them told before is in it."""
    heights: list[int] = []
    for name in at.names:
        with suppress(NotReachable):
            async with client_of(at, name) as client:
                heights.append((await client.status()).certified_height)
    async with client_of(at) as client:
        return (await client.look(federation(min_height=max(heights)))).clusters
