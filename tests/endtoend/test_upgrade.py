"""What operators do to upgrade: nodes restarted one by one under load, or all halted at one height."""

import time
from contextlib import suppress
from pathlib import Path

from bench.local import running_cluster
from bench.rolling import rehearse
from consensus import SigningKey
from node.client import Client, ClientError, Wallet
from node.daemon.halting import farewell
from node.home import read_key
from node.ledger.apps.records import Content
from tests.endtoend.running import RunningCluster, write_cluster

HALT = 4
_PATIENCE_SECONDS = 60


async def test_nodes_are_restarted_in_turn_under_load_and_nothing_is_lost(tmp_path: Path) -> None:
    """Two of four: `isthmus-bench rolling` restarts them all."""
    async with running_cluster(4, tmp_path / "net") as cluster:
        found = await rehearse(cluster, 20, cluster.testnet.nodes[:2])
    assert [(turn.node, turn.exit_code) for turn in found.turns] == [("node0", 0), ("node1", 0)]
    kept = found.account
    assert kept.failed == ()
    assert (kept.missing, kept.held_back, kept.certified) == (0, 0, kept.sent)
    assert kept.heads_agree


def test_a_node_leaves_at_its_halt_height_and_leaves_at_once_when_started_there(tmp_path: Path) -> None:
    testnet = write_cluster(tmp_path / "cluster", 1)
    running = RunningCluster(testnet)
    wallet = Wallet(SigningKey(read_key(testnet.client_key_file)), testnet.cluster_id)
    try:
        running.start("node0", {"ISTHMUS__HALT_HEIGHT": str(HALT)})
        with Client((running.node("node0").url,), timeout_ms=2_000) as client:
            client.wait_ready(1_000 * _PATIENCE_SECONDS)
            heights = publish_until_it_leaves(running, client, wallet)
        assert running.end_of("node0") == 0
        assert max(heights) <= HALT
        assert farewell(HALT, HALT) in running.log("node0")
        running.start("node0", {"ISTHMUS__HALT_HEIGHT": str(HALT)})
        assert running.end_of("node0") == 0
        assert running.log("node0").count("this node has left as it was told") == 2
    finally:
        running.close()


def content() -> Content:
    return Content(bytes(32), 1, schema="", location="", links=(), labels=())


def publish_until_it_leaves(running: RunningCluster, client: Client, wallet: Wallet) -> list[int]:
    """Publish one record after the other; the heights of those that were certified."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    heights: list[int] = []
    while running.running():
        assert time.monotonic() < deadline, f"it goes on at heights {heights}"
        with suppress(ClientError):  # refused, or not answered, once it is about to leave
            heights.append(client.submit(wallet.put(f"halt/{len(heights)}", content()), 1_000).height)
    return heights
