"""The doctor knocks at nodes that run: they answer, or say that they belong to another cluster."""

import os
import time
from pathlib import Path

from node.client import AsyncClient
from node.doctor.belongings import Belongings, look_at_home
from node.doctor.finding import Finding, Grade
from node.doctor.neighbours import look_at_neighbours
from node.genesis import Genesis
from node.home import Home
from node.local.testnet import write_testnet
from tests.endtoend.running import RunningCluster, ports_of_our_own, write_cluster

READY_MS = 60_000


async def knock(belongings: Belongings, genesis: Genesis) -> list[Finding]:
    config, identity = belongings.config, belongings.identity
    assert config is not None
    assert identity is not None
    return await look_at_neighbours(config, genesis, identity, is_running=False)


async def test_the_doctor_tells_neighbours_from_strangers(tmp_path: Path) -> None:
    testnet = write_cluster(tmp_path / "cluster", 4)
    running = RunningCluster(testnet)
    try:
        for name in ("node1", "node2", "node3"):
            running.start(name)
        async with AsyncClient([running.node("node1").url], timeout_ms=READY_MS) as client:
            await client.wait_ready(READY_MS)
        home: Home = running.node("node0").home
        belongings, _ = look_at_home(home, {})
        assert belongings.genesis is not None
        found = await knock(belongings, belongings.genesis)
        assert [finding.grade for finding in found] == 3 * [Grade.GOOD]
        other = write_testnet(
            tmp_path / "other", "other", ports_of_our_own(1), time.time_ns() // 1_000_000, os.urandom
        )
        found = await knock(belongings, Genesis.from_json(other.genesis_file.read_text()))
        assert [finding.grade for finding in found] == 3 * [Grade.FAULT]
        assert all("another cluster" in finding.words for finding in found)
    finally:
        running.close()
