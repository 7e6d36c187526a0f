"""`isthmus observe` makes an observer once, says what others need, and refuses in words."""

import json
import os
from pathlib import Path

import pytest

from node.cli.main import run
from node.config import load_config
from node.home import Home
from node.local.ports import NodePorts
from node.local.testnet import Testnet, write_testnet

KEY = "ab" * 32


@pytest.fixture(scope="module")
def testnet(tmp_path_factory: pytest.TempPathFactory) -> Testnet:
    ports = tuple(NodePorts(27600 + number, 27700 + number) for number in range(4))
    directory = tmp_path_factory.mktemp("cluster") / "net"
    return write_testnet(directory, "demo", ports, 1_700_000_000_000, os.urandom)


def made(testnet: Testnet, home: Path, *more: str) -> int:
    genesis = ["--genesis", str(testnet.genesis_file)]
    return run(["observe", "--home", str(home), *genesis, "--no-start", "--json", *more])


def test_the_observer_is_made_with_its_peers_and_without_a_key_that_signs(
    testnet: Testnet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path / "watcher")
    options = ("--peer", "node0=127.0.0.1:27600", "--peer", f"{KEY}=[::1]:27650", "--allow", "cd" * 32)
    assert made(testnet, home.path, *options) == 0
    told = json.loads(capsys.readouterr().out)
    config = load_config(home, {}).config
    assert (config.role, told["role"]) == ("observer", "observer")
    assert [(peer.name, peer.host, peer.port) for peer in config.p2p.peers] == [
        ("node0", "127.0.0.1", 27600),
        (f"peer-{KEY[:12]}", "::1", 27650),
    ]
    assert config.p2p.allowed == (bytes.fromhex("cd" * 32),)
    assert not home.validator_key_file.exists()
    assert len(bytes.fromhex(told["node_key"])) == 32
    assert run(["observe", "--home", str(home.path), "--no-start", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == told, "a home that exists is left as it is"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "at least one --peer"),
        (("--peer", "node9=127.0.0.1:1"), "node0, node1, node2, node3"),
        (("--peer", "node0=127.0.0.1"), "no NODE=HOST:PORT"),
        (("--peer", "node0=127.0.0.1:99999"), "no NODE=HOST:PORT"),
        (("--peer", "abcd=127.0.0.1:1"), "64 hexadecimal digits"),
        (("--peer", "node0=127.0.0.1:1", "--allow", "zz"), "64 hexadecimal digits"),
    ],
)
def test_what_cannot_work_is_refused_and_nothing_is_made(
    testnet: Testnet,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    words: str,
) -> None:
    assert made(testnet, tmp_path / "watcher", *options) == 2
    assert words in capsys.readouterr().out
    assert not (tmp_path / "watcher").exists()


def test_the_home_of_another_node_is_refused(testnet: Testnet, capsys: pytest.CaptureFixture[str]) -> None:
    home = testnet.nodes[0].home.path
    assert made(testnet, home, "--peer", "node1=127.0.0.1:1") == 2
    assert "home already" in capsys.readouterr().out
    assert run(["observe", "--home", str(home), "--no-start"]) == 2
    assert "no observer's home" in capsys.readouterr().err
