"""A node of a real cluster, recorded under load, killed and started again: both runs replay identically."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.cli.exits import Exit
from node.daemon.recorder import recordings_dir, recordings_in
from tests.endtoend.running import RunningCluster, write_cluster
from tests.endtoend.talk import Acknowledged, all_agree, all_ready, put_one, writing

RECORDED = "node1"
VARIABLE = "ISTHMUS_STORAGE__RECORDING_BYTES_MAX"
BYTES_MAX = 256 * 1024 * 1024
FEW = 20


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RunningCluster]:
    """Four daemons, one of which records."""
    running = RunningCluster(write_cluster(tmp_path / "cluster"))
    try:
        for name in running.names:
            running.start(name, {VARIABLE: str(BYTES_MAX)} if name == RECORDED else None)
        yield running
    finally:
        running.close()


def replay(home: Path, *arguments: str) -> dict[str, object]:
    """What the command says, run as people run it, with another order of hashes than any daemon had."""
    code = f"from bench.main import main; main({['replay', '--home', str(home), '--json', *arguments]!r})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.OK, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


async def test_a_node_killed_under_load_and_its_next_life_replay_identically(cluster: RunningCluster) -> None:
    acknowledged = Acknowledged()
    home = cluster.node(RECORDED).home
    await all_ready(cluster)
    async with writing(cluster, acknowledged, writers=6):
        await acknowledged.grow_by(FEW)
        cluster.kill(RECORDED)
        await acknowledged.grow_by(FEW)
        cluster.start(RECORDED, {VARIABLE: str(BYTES_MAX)})
        await acknowledged.grow_by(FEW)
        await all_ready(cluster)
        running = replay(home.path)  # while it runs and writes
    await put_one(cluster, acknowledged, RECORDED)
    await all_agree(cluster, acknowledged)
    assert cluster.stop(RECORDED) in (0, -signal.SIGTERM)
    assert [number for number, _ in recordings_in(recordings_dir(home))] == [1, 2]
    killed, ended = replay(home.path, "--recording", "1"), replay(home.path, "--recording", "2")
    assert running["recording"] == 2
    assert [report["identical"] for report in (running, killed, ended)] == [True, True, True]
    assert (killed["ended"], ended["ended"]) == ("", "the node ended")
    assert killed["torn_bytes"] == 0
    for report in (killed, ended):
        assert isinstance(report["entries"], int)
        assert report["entries"] > FEW
    for name in cluster.names:
        if name != RECORDED:
            assert not recordings_dir(cluster.node(name).home).exists()
