"""Homes that must not start: one sentence with the way out, a stable exit code, no traceback."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from node.cli.exits import Exit
from node.cli.main import run
from node.genesis import Genesis
from node.local.ports import LOOPBACK
from node.local.testnet import LocalNode, Testnet
from tests.endtoend.running import RunningCluster, ports_of_our_own, write_cluster
from tests.endtoend.talk import PATIENCE_SECONDS, Acknowledged, all_ready, log_where, put_one

CLI = (sys.executable, "-m", "node.cli.main")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """A cluster of one, which runs."""
    running = RunningCluster(write_cluster(tmp_path_factory.mktemp("one") / "cluster", 1))
    try:
        running.start_missing()
        yield running
    finally:
        running.close()


@pytest.fixture
def node(tmp_path: Path) -> LocalNode:
    """A home that was never started."""
    return write_cluster(tmp_path / "cluster", 1).nodes[0]


async def refused(node: LocalNode, **environment: str) -> tuple[int, str]:
    """Exit code and words of a start that ends by itself."""
    with trio.fail_after(PATIENCE_SECONDS):
        done = await trio.run_process(
            [*CLI, "start", "--home", str(node.home.path)],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env={**os.environ, **environment},
        )
    words = done.stderr.decode()
    assert "Traceback" not in words
    return done.returncode, words


def refused_here(node: LocalNode, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The same of a start that ends before anything runs, without an interpreter of its own."""
    code = run(["start", "--home", str(node.home.path)])
    words = capsys.readouterr().err
    assert "Traceback" not in words
    return code, words


def other_ports() -> dict[str, str]:
    """Overrides that let a second process get past the ports of the first."""
    (ports,) = ports_of_our_own(1)
    return {"ISTHMUS_P2P__PORT": str(ports.p2p), "ISTHMUS_API__PORT": str(ports.api)}


def change_genesis(node: LocalNode) -> None:
    """Another cluster with the same members: the genesis differs in one parameter."""
    genesis = Genesis.from_json(node.home.genesis_file.read_text())
    later = replace(genesis.params, created_ms=genesis.params.created_ms + 1)
    node.home.genesis_file.write_text(replace(genesis, params=later).to_json())


@pytest.mark.parametrize("ports", ["its own ports", "other ports"])
async def test_a_second_process_with_the_same_keys_is_refused_and_the_first_goes_on(
    alone: RunningCluster, ports: str
) -> None:
    await all_ready(alone)
    code, words = await refused(alone.node("node0"), **(other_ports() if ports == "other ports" else {}))
    assert code == Exit.KEYS
    assert f"already used by process {alone.process('node0').pid}" in words
    assert "stop it first" in words
    await put_one(alone, Acknowledged())


@pytest.mark.parametrize("which", ["p2p", "api"])
async def test_a_port_in_use_is_one_sentence(node: LocalNode, which: str) -> None:
    port = getattr(node.ports, which)
    with socket.socket() as taken:
        taken.bind((LOOPBACK, port))
        taken.listen()
        code, words = await refused(node)
    assert code == Exit.PORT_IN_USE
    assert str(port) in words
    assert "in use" in words or "is taken by another program" in words
    assert len(words.strip().splitlines()) <= 2


async def test_a_genesis_of_another_cluster_in_a_home_with_data_is_refused(tmp_path: Path) -> None:
    running = RunningCluster(write_cluster(tmp_path / "cluster", 1))
    try:
        running.start_missing()
        await all_ready(running)
        assert await trio.to_thread.run_sync(running.stop, "node0") == 0
        change_genesis(running.node("node0"))
        code, words = await refused(running.node("node0"))
        assert code == Exit.CONFIGURATION
        assert "belongs to another cluster than genesis.json" in words
        assert "never the keys" in words
    finally:
        running.close()


def test_an_unknown_setting_is_an_error_with_a_suggestion(
    node: LocalNode, capsys: pytest.CaptureFixture[str]
) -> None:
    text = node.home.config_file.read_text()
    node.home.config_file.write_text(text + "\n[storage]\nkeep_block = 1000\n")
    code, words = refused_here(node, capsys)
    assert code == Exit.CONFIGURATION
    assert "did you mean 'keep_blocks'?" in words


@pytest.mark.parametrize("name", ["node.key", "validator.key"])
def test_a_key_that_others_can_read_is_refused(
    node: LocalNode, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = node.home.keys_dir / name
    path.chmod(0o644)
    code, words = refused_here(node, capsys)
    assert code == Exit.KEYS
    assert f"run: chmod 600 {path}" in words


def test_a_missing_genesis_is_refused(node: LocalNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.home.genesis_file.unlink()
    code, words = refused_here(node, capsys)
    assert code == Exit.CONFIGURATION
    assert "copy the cluster's genesis.json there" in words


async def test_nodes_of_different_genesis_tell_each_other_so_in_words(tmp_path: Path) -> None:
    running = RunningCluster(write_cluster(tmp_path / "cluster", 2))
    change_genesis(running.node("node1"))
    try:
        running.start_missing()
        for name in running.names:
            words = await log_where(running, name, "it belongs to another cluster: its genesis is")
            assert "ours is" in words
    finally:
        running.close()


async def test_a_killed_testnet_command_leaves_no_daemon(tmp_path: Path) -> None:
    testnet: Testnet = write_cluster(tmp_path / "cluster", 2)
    running = RunningCluster(testnet)
    command = [*CLI, "testnet", "--out", str(testnet.directory), "--start"]
    try:
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            await all_ready(running)
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        running.adopt(int(node.home.lock_file.read_text()) for node in testnet.nodes)
    finally:
        running.close()


def test_an_empty_folder_is_no_home(
    tmp_path: Path, node: LocalNode, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(node.home.path)
    code, words = refused_here(node, capsys)
    assert code in (Exit.CONFIGURATION, Exit.USAGE)
    assert "isthmus init" in words or "does not exist" in words
