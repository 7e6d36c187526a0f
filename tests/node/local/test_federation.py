"""Local federations: written and read again, started by real daemons, ended by Ctrl-C, found again."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from node.anchoring.cluster.identity import ClusterIdentity
from node.api.federation_queries import FederationAnswer
from node.api.federation_talk import federation
from node.genesis import Genesis
from node.ledger.apps.sharing import REQUEST_PORT, SHARE_PORT
from node.ledger.federation.changes import AdmitCluster, SetLanePolicy
from node.local.federation import (
    MANIFEST,
    LocalFederation,
    addresses_of,
    admission_of,
    client_of,
    free_federation_ports,
    look_around,
    plan_ports,
    read_federation,
    write_federation,
)
from node.local.ports import LOOPBACK
from node.local.testnet import TestnetError
from tests.node.local.test_supervisor import logged

PATIENCE_SECONDS = 120


def written(directory: Path, clusters: int = 2, nodes: int = 1) -> LocalFederation:
    created_ms = time.time_ns() // 1_000_000  # an old genesis would be held as stale
    return write_federation(directory, free_federation_ports(clusters, nodes), created_ms, os.urandom)


@asynccontextmanager
async def up(directory: Path, log: Path) -> AsyncIterator[trio.Process]:
    """`isthmus federation up` as a person would run it."""
    command = [sys.executable, "-m", "node.cli.main", "federation", "up", "--out", str(directory)]
    with log.open("wb") as file:
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        with trio.fail_after(PATIENCE_SECONDS):
            yield process
    finally:
        process.kill()
        await process.wait()


async def seen_from(local: LocalFederation, number: int) -> FederationAnswer:
    async with client_of(local.testnets[number]) as client:
        return await client.look(federation())


def test_a_federation_that_was_written_is_read_again(tmp_path: Path) -> None:
    local = written(tmp_path / "fed", clusters=3, nodes=2)
    assert read_federation(tmp_path / "fed") == local
    assert [testnet.name for testnet in local.testnets] == ["local.a", "local.b", "local.c"]
    assert len({testnet.cluster_id for testnet in local.testnets}) == 3
    names = [program.name for program in local.programs()]
    assert len(names) == len(set(names)) == 6


@pytest.mark.parametrize("clusters", [1, 9])
def test_a_federation_has_two_to_eight_clusters(tmp_path: Path, clusters: int) -> None:
    with pytest.raises(TestnetError, match="2 to 8 clusters"):
        written(tmp_path / "fed", clusters)
    assert not (tmp_path / "fed").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(TestnetError, match="not empty"):
        written(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}', '{"version": 1, "clusters": 7}'])
def test_a_damaged_manifest_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(TestnetError, match="damaged"):
        read_federation(tmp_path)


def test_a_manifest_of_other_software_and_a_missing_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(TestnetError, match="federation up --out"):
        read_federation(tmp_path)
    (tmp_path / MANIFEST).write_text(json.dumps({"version": 2, "clusters": []}))
    with pytest.raises(TestnetError, match="other software"):
        read_federation(tmp_path)


def test_ports_are_those_that_people_remember_or_free_ones_when_one_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind((LOOPBACK, 0))
        base = taken.getsockname()[1]
        monkeypatch.setattr("node.local.federation.DEFAULT_BASE_PORT", base)
        monkeypatch.setattr("node.local.federation.PORTS_PER_CLUSTER", 20)
        planned = plan_ports(2, 1)
        assert all(port.p2p != base for ports in planned for port in ports)
    monkeypatch.setattr("node.local.federation.first_busy", lambda ports: None)
    assert [ports[0].p2p for ports in plan_ports(2, 1)] == [base, base + 20]


def test_an_admission_names_all_nodes_and_lets_records_pass_only_if_wanted(tmp_path: Path) -> None:
    testnet = written(tmp_path / "fed", nodes=2).testnets[0]
    genesis = Genesis.from_json(testnet.genesis_file.read_text())
    places = addresses_of(testnet, genesis)
    assert [(place.host, place.port) for place in places] == [
        (LOOPBACK, node.ports.p2p) for node in testnet.nodes
    ]
    assert [place.node_key for place in places] == [v.node_key for v in genesis.validators]
    admitted = AdmitCluster(genesis.body, places, ClusterIdentity.from_body(genesis.body))
    assert admission_of(genesis.body, places, shares_records=False) == (admitted,)
    first, *policies = admission_of(genesis.body, places, shares_records=True)
    assert first == admitted
    opened = [change.port for change in policies if isinstance(change, SetLanePolicy)]
    assert opened == [SHARE_PORT, REQUEST_PORT]


async def test_who_does_not_answer_is_shown_as_such(tmp_path: Path) -> None:
    local = written(tmp_path / "fed")
    clients = [client_of(testnet, timeout_ms=200) for testnet in local.testnets]
    sights = await look_around(local, clients)
    assert [(sight.name, sight.holder) for sight in sights] == [
        ("local.a", "local.b"),
        ("local.b", "local.a"),
    ]
    assert all((sight.height, sight.held, sight.lag) == (None, None, None) for sight in sights)
    for client in clients:
        await client.aclose()


async def test_clusters_admit_each_other_and_a_second_start_finds_everything(tmp_path: Path) -> None:
    local = written(tmp_path / "fed")
    first, second = local.testnets
    async with up(local.directory, tmp_path / "first.log") as process:
        await logged(tmp_path / "first.log", "have admitted each other")
        text = await logged(tmp_path / "first.log", "anchored at")
        assert text.count("active") == 2
        assert [c.cluster_id for c in (await seen_from(local, 0)).clusters] == [second.cluster_id]
        before = await seen_from(local, 1)
        assert [(c.name, c.status) for c in before.clusters] == [("local.a", "active")]
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert "All nodes are stopped." in (tmp_path / "first.log").read_text()
    async with up(local.directory, tmp_path / "second.log") as process:
        await logged(tmp_path / "second.log", "have admitted each other")
        after = await seen_from(local, 1)
        assert after.height >= before.height
        assert [c.cluster_id for c in after.clusters] == [first.cluster_id]
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
