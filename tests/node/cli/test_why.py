"""`isthmus why` and `isthmus peers`, asked of a node that answers and of homes whose node does not."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from node.cli.exits import Exit
from node.cli.main import run
from node.daemon.durability import BLOCK_BYTES
from node.daemon.segment import DATA_START, FORMAT, read_header
from node.daemon.startup import open_home
from node.daemon.store import verify_files
from node.diagnosis import NodeFacts, PeerFacts
from node.local.ports import free_ports
from node.local.testnet import Testnet, write_testnet
from tests.node.api.fake_backend import FakeBackend
from tests.node.api.live import serving
from tests.node.daemon.running import config_of
from tests.node.diagnosis.scene import A_CONDITION


class TroubledBackend(FakeBackend):
    """The fake node, with one peer away."""

    def look(self) -> tuple[NodeFacts, tuple[PeerFacts, ...]]:
        node, (first, second, third) = super().look()
        away = replace(second, connected=False, last_error="node-2: no route to host")
        return replace(node, reachable_weight=3), (first, away, third)


async def ask(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = await trio.to_thread.run_sync(run, list(words))
    return code, capsys.readouterr().out


async def test_a_cluster_in_order_has_a_line_for_everybody_and_exit_code_0(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with serving(FakeBackend()) as live:
        code, out = await ask(capsys, "why", "--url", live.url, "--json")
        assert code == Exit.OK
        answer = json.loads(out)
        assert [item["about"] for item in answer["diagnoses"]] == [
            "cluster",
            *(f"node-{number}" for number in range(4)),
        ]
        assert {item["verdict"] for item in answer["diagnoses"]} == {"good"}
        code, out = await ask(capsys, "peers", "--url", live.url)
        assert code == Exit.OK
        assert "node-3" in out


class TellingBackend(FakeBackend):
    """The fake node, one of whose peers says that it lacks batches and room."""

    def look(self) -> tuple[NodeFacts, tuple[PeerFacts, ...]]:
        node, (first, second, third) = super().look()
        said = replace(A_CONDITION, disk_free_bytes=2**27, is_disk_low=True, missing_batches=17)
        return node, (first, replace(second, told=said), replace(third, told=None, told_ms_ago=None))


async def test_one_node_tells_what_the_others_say_of_themselves(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with serving(TellingBackend()) as live:
        code, out = await ask(capsys, "why", "--url", live.url)
        assert code == Exit.NEGATIVE
        assert "node-2 says that 128 MiB are free on its disk: it refuses clients  (says-disk-full)" in out
        assert "batches missing" in out
        assert "node-2 │ 2.0 s ago │ 0.1 GB │ 1.0 % │ 17 │" in " ".join(out.split())
        for command in ("why", "peers"):
            code, out = await ask(capsys, command, "--url", live.url, "--json")
            answer = json.loads(out)
            peers = answer["peers"] if command == "peers" else answer["nodes"][0]["peers"]
            assert [peer["told"] and peer["told"]["missing_batches"] for peer in peers] == [0, 17, None]
            assert [peer["told_ms_ago"] for peer in peers] == [2_000, 2_000, None]


class FollowingBackend(FakeBackend):
    """The fake node as an observer, with `linked` of its three peers."""

    linked = 1

    def look(self) -> tuple[NodeFacts, tuple[PeerFacts, ...]]:
        node, peers = super().look()
        seen = (replace(peer, connected=place < self.linked) for place, peer in enumerate(peers))
        return replace(node, weight=0, reachable_weight=self.linked), tuple(seen)


async def test_an_observer_needs_one_link_and_not_all(capsys: pytest.CaptureFixture[str]) -> None:
    backend = FollowingBackend()
    async with serving(backend) as live:
        for command in ("why", "peers"):
            assert (await ask(capsys, command, "--url", live.url))[0] == Exit.OK
        backend.linked = 0
        for command in ("why", "peers"):
            assert (await ask(capsys, command, "--url", live.url))[0] == Exit.NEGATIVE


async def test_a_missing_validator_is_named_with_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(TroubledBackend()) as live:
        code, out = await ask(capsys, "why", "--url", live.url)
        assert code == Exit.NEGATIVE
        assert "the cluster commits without node-2" in out
        assert "no route to host  (unreachable)" in out
        assert "does a firewall stand between?" in out
        code, out = await ask(capsys, "peers", "--url", live.url, "--json")
        assert code == Exit.NEGATIVE
        assert [peer["connected"] for peer in json.loads(out)["peers"]] == [True, False, True]


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """(exit code, the only diagnosis) of a node that is down."""
    code = run(["why", *words, "--json"])
    (diagnosis,) = json.loads(capsys.readouterr().out)["diagnoses"]
    return code, diagnosis


@pytest.fixture
def testnet(tmp_path: Path) -> Testnet:
    return write_testnet(tmp_path / "net", "down", free_ports(1), time.time_ns() // 1_000_000, os.urandom)


def test_a_node_that_is_down_is_explained_from_its_home(
    testnet: Testnet, capsys: pytest.CaptureFixture[str]
) -> None:
    net, home = str(testnet.directory), testnet.nodes[0].home
    assert told(capsys, net)[1]["code"] == "never-started"
    opened = open_home(config_of(testnet))
    code, found = told(capsys, net)
    assert (code, found["code"]) == (Exit.NOT_REACHABLE, "runs-and-is-mute")
    opened.close()
    assert told(capsys, "--home", str(home.path))[1]["code"] == "stopped"
    assert verify_files(home.data_dir) == [], "looking changes nothing"
    home.node_key_file.chmod(0o644)
    _, found = told(capsys, net)
    assert found["code"] == "would-not-start"
    assert "chmod 600" in found["words"]


def test_a_killed_node_is_told_with_the_end_of_its_log(
    testnet: Testnet, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of(testnet)
    open_home(config).close()
    segment = max(config.home.journal_dir.glob("journal-*.seg"))
    closed = segment.read_bytes()
    opened = open_home(config)
    killed = segment.read_bytes()  # as a crash leaves it: a start's record, and no mark behind it
    opened.close()
    assert killed != closed
    segment.write_bytes(killed)
    testnet.nodes[0].log_file.parent.mkdir(exist_ok=True)
    testnet.nodes[0].log_file.write_text("disk_low\nthe last words\n\n")
    _, found = told(capsys, str(testnet.directory))
    assert found["code"] == "ended-abruptly"
    assert "its log ends: the last words" in found["words"]


def test_damaged_data_is_not_told_as_a_node_that_only_has_to_be_started(
    testnet: Testnet, capsys: pytest.CaptureFixture[str]
) -> None:
    home = testnet.nodes[0].home
    for _ in range(3):
        open_home(config_of(testnet)).close()
    (segment,) = home.journal_dir.glob("journal-*.seg")
    whole = segment.read_bytes()
    with segment.open("r+b") as file:
        file.seek(DATA_START)
        file.write(b"rot")
    code, found = told(capsys, "--home", str(home.path))
    assert (code, found["code"]) == (Exit.NOT_REACHABLE, "would-not-start")
    assert "intact ones follow" in found["words"]
    assert "never keys" in found["words"]
    segment.write_bytes(whole)
    assert told(capsys, "--home", str(home.path))[1]["code"] == "stopped"
    with (home.state_dir / "data.mdb").open("r+b") as file:
        file.truncate(BLOCK_BYTES)
    assert told(capsys, "--home", str(home.path))[1]["code"] == "would-not-start"


def test_the_journal_of_a_newer_release_is_not_told_as_damaged(
    testnet: Testnet, capsys: pytest.CaptureFixture[str]
) -> None:
    home = testnet.nodes[0].home
    open_home(config_of(testnet)).close()
    (segment,) = home.journal_dir.glob("journal-*.seg")
    whole = segment.read_bytes()
    with segment.open("rb") as file:
        newer = replace(read_header(file.fileno()), format=FORMAT + 1)
    segment.write_bytes(newer.encode() + whole[DATA_START:])
    code, found = told(capsys, "--home", str(home.path))
    assert (code, found["code"]) == (Exit.NOT_REACHABLE, "would-not-start")
    assert "nothing is damaged" in found["words"]
    assert "install the release that wrote it" in found["words"]
    assert "move" not in found["words"]


def test_a_missing_genesis_and_a_wrong_address_are_told(
    testnet: Testnet, capsys: pytest.CaptureFixture[str]
) -> None:
    testnet.nodes[0].home.genesis_file.unlink()
    _, found = told(capsys, str(testnet.directory))
    assert found["code"] == "would-not-start"
    assert "genesis.json is missing" in found["words"]
    code, found = told(capsys, "--url", "http://127.0.0.1:9")
    assert (code, found["code"]) == (Exit.NOT_REACHABLE, "no-answer")
