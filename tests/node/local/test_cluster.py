"""Real daemons under the laptop's supervisor: they come up, serve, and never outlive whoever started them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from node.local.cluster import READY_SECONDS, open_cluster, tell_when_ready, wait_ready
from node.local.ports import first_busy, free_ports
from node.local.supervisor import ProgramDied
from node.local.testnet import Testnet, write_testnet
from tests.node.local.test_supervisor import is_alive, logged, until_gone

PATIENCE_SECONDS = 90
CREATED_MS = 1_750_000_000_000
CLI = (sys.executable, "-m", "node.cli.main")


def written(directory: Path, nodes: int) -> Testnet:
    return write_testnet(directory, "demo", free_ports(nodes), CREATED_MS, os.urandom)


@asynccontextmanager
async def started_testnet(testnet: Testnet, log: Path) -> AsyncIterator[trio.Process]:
    """`isthmus testnet --start` as a person would run it, until every node is ready."""
    with log.open("wb") as file:
        process = await trio.lowlevel.open_process(
            [*CLI, "testnet", "--out", str(testnet.directory), "--start"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_must_go_on, process, log)
                await wait_ready(testnet, PATIENCE_SECONDS * 1000)
                nursery.cancel_scope.cancel()
            yield process
    finally:
        process.kill()
        await process.wait()


async def _must_go_on(process: trio.Process, log: Path) -> None:
    await process.wait()
    raise AssertionError(f"the testnet ended while it was starting:\n{log.read_text()}")


def daemon_pids(testnet: Testnet) -> list[int]:
    """The processes that hold the nodes' key locks."""
    return [int(node.home.lock_file.read_text()) for node in testnet.nodes]


async def test_who_starts_slowly_is_told_so_and_told_once_it_is_ready(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    testnet = written(tmp_path / "net", 2)
    said: list[str] = []
    await tell_when_ready(testnet, partial(trio.sleep, READY_SECONDS - 1), said.append)
    assert [line.partition(".")[0] for line in said] == ["All 2 nodes are ready"]
    said.clear()
    await tell_when_ready(testnet, partial(trio.sleep, READY_SECONDS + 1), said.append)
    assert [line.split()[0] for line in said] == ["Not", "All"]
    said.clear()
    await tell_when_ready(testnet, trio.sleep_forever, said.append)
    assert [line.split()[0] for line in said] == ["Not"]


async def test_ctrl_c_stops_every_daemon_and_is_a_good_end(tmp_path: Path) -> None:
    testnet = written(tmp_path / "net", 2)
    log = tmp_path / "out.log"
    async with started_testnet(testnet, log) as process:
        pids = daemon_pids(testnet)
        assert all(is_alive(pid) for pid in pids)
        await logged(log, "All 2 nodes are ready")
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert not any(is_alive(pid) for pid in pids)
    assert first_busy(tuple(node.ports for node in testnet.nodes)) is None
    assert "All nodes are stopped." in log.read_text()


async def test_a_killed_testnet_leaves_no_daemon_and_no_port(tmp_path: Path) -> None:
    testnet = written(tmp_path / "net", 2)
    async with started_testnet(testnet, tmp_path / "out.log") as process:
        pids = daemon_pids(testnet)
        process.kill()
        await process.wait()
        for pid in pids:
            await until_gone(pid)
    assert first_busy(tuple(node.ports for node in testnet.nodes)) is None


async def test_a_dead_daemon_is_told_and_not_restarted(tmp_path: Path) -> None:
    testnet = written(tmp_path / "net", 2)
    log = tmp_path / "out.log"
    async with started_testnet(testnet, log) as process:
        pids = daemon_pids(testnet)
        os.kill(pids[0], signal.SIGKILL)
        text = await logged(log, "It is not restarted")
        assert "node0 was killed by SIGKILL; the end of" in text
        assert daemon_pids(testnet) == pids
        os.kill(pids[1], signal.SIGKILL)
        assert await process.wait() == 10


async def test_a_second_process_with_the_same_ports_or_the_same_key_is_one_sentence(tmp_path: Path) -> None:
    testnet = written(tmp_path / "net", 1)
    async with started_testnet(testnet, tmp_path / "out.log"):
        second = await trio.run_process(
            [*CLI, "testnet", "--out", str(testnet.directory), "--start"], capture_stderr=True, check=False
        )
        assert second.returncode == 9
        assert f"port {testnet.nodes[0].ports.p2p} is in use" in second.stderr.decode()
        (other,) = free_ports(1)
        third = await trio.run_process(
            [*CLI, "start", "--home", str(testnet.nodes[0].home.path)],
            capture_stderr=True,
            check=False,
            env={**os.environ, "ISTHMUS_API__PORT": str(other.api), "ISTHMUS_P2P__PORT": str(other.p2p)},
        )
        assert third.returncode == 6
        assert "is already used by process" in third.stderr.decode()


def refuse(death: ProgramDied) -> None:
    raise death


async def test_a_node_that_cannot_start_says_why_in_its_log(tmp_path: Path) -> None:
    testnet = written(tmp_path / "net", 1)
    testnet.nodes[0].home.validator_key_file.chmod(0o644)
    with pytest.RaisesGroup(ProgramDied, flatten_subgroups=True) as caught:
        async with open_cluster(testnet, refuse):
            with trio.fail_after(PATIENCE_SECONDS):
                await trio.sleep_forever()
    (death,) = caught.value.exceptions
    assert "ended with exit code 6" in str(death)
    assert "chmod 600" in str(death)


async def test_the_demo_publishes_a_folder_and_proves_every_promise(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in range(5):
        (data / f"{number}.txt").write_text(f"content {number}")
    with trio.fail_after(PATIENCE_SECONDS):
        done = await trio.run_process(
            [*CLI, "demo", "--data", str(data), "--out", str(tmp_path / "demo"), "--json"],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    assert (report["files"], report["records"], report["ok"]) == (5, 6, True)
    assert report["not_checked"]
    assert "Stopping all nodes" in done.stderr.decode()


async def test_a_demo_of_an_empty_folder_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = await trio.run_process(
        [*CLI, "demo", "--data", str(tmp_path / "empty"), "--out", str(tmp_path / "demo")],
        capture_stderr=True,
        check=False,
    )
    assert (done.returncode, (tmp_path / "demo").exists()) == (2, False)
    assert "has no files to publish" in done.stderr.decode()


async def test_ctrl_c_during_the_demo_stops_everything(tmp_path: Path) -> None:
    log = tmp_path / "out.log"
    with log.open("wb") as file:
        process = await trio.lowlevel.open_process(
            [*CLI, "demo", "--out", str(tmp_path / "demo")],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    with trio.fail_after(PATIENCE_SECONDS):
        text = await logged(log, "node3  http")
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
    pids = [int(line.split("process ")[1]) for line in text.splitlines() if "process " in line]
    assert pids
    assert not any(is_alive(pid) for pid in pids)
    assert "Traceback" not in log.read_text()
