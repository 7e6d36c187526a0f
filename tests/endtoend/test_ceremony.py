"""Four organisations make a cluster without sharing a key, start it, and a member of one writes to it."""

import os
from pathlib import Path

from consensus import SigningKey
from node.cli.main import run
from node.client import AsyncClient
from node.home import Home
from node.local.ports import LOOPBACK
from node.local.testnet import LocalNode, Testnet
from node.wallet import Wallet
from tests.endtoend.running import RunningCluster, ports_of_our_own
from tests.endtoend.talk import content_of

READY_MS = 60_000


def ok(*arguments: object) -> None:
    assert run([str(argument) for argument in arguments]) == 0


async def test_a_cluster_made_by_its_organisations_runs(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    ok("genesis", "new", "together", "--out", plan)
    nodes, entries = [], []
    ana = SigningKey(os.urandom(32))
    for number, ports in enumerate(ports_of_our_own(4)):
        home, entry = tmp_path / f"node{number}", tmp_path / f"node{number}.entry.json"
        ok("init", "--home", home, "--name", f"node{number}", "--port", ports.p2p, "--api-port", ports.api)
        members = ["--member", f"ana:client:{ana.public_key.hex()}"] if number == 2 else []
        arguments = ("--home", home, "--organisation", f"org{number}", "--host", LOOPBACK)
        ok("genesis", "join", plan, *arguments, "--out", entry, *members)
        nodes.append(LocalNode(f"node{number}", Home(home), ports))
        entries.append(entry)
    for node in nodes:
        ok("genesis", "collect", plan, *entries, "--home", node.home.path)
    testnet = Testnet(tmp_path, "together", b"", tuple(nodes))
    running = RunningCluster(testnet)
    try:
        running.start_missing()
        for node in nodes:
            async with AsyncClient([node.url], timeout_ms=READY_MS) as client:
                await client.wait_ready(READY_MS)
        async with AsyncClient([nodes[0].url], timeout_ms=READY_MS) as client:
            status = await client.status()
            receipt = await client.submit(Wallet(ana, status.cluster_id).put("ward/first", content_of(b"x")))
        assert receipt.ok
    finally:
        running.close()
