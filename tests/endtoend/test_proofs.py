"""What a user is promised: certified receipts, reads from any node with proof, proofs that hold offline."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
import trio

from node.cli.main import run
from node.client import AsyncClient, Client, NotTrusted
from tests.endtoend.running import RunningCluster
from tests.endtoend.talk import (
    PATIENCE_SECONDS,
    Acknowledged,
    all_agree,
    all_ready,
    client_of,
    content_of,
    new_record,
    put_one,
    status_where,
    wallet_of,
)
from tests.node.explorer.chromium import Browser, chromium

CLI = (sys.executable, "-m", "node.cli.main")


async def isthmus(*arguments: str) -> tuple[int, dict[str, object]]:
    """Exit code and JSON answer of a command line."""
    with trio.fail_after(PATIENCE_SECONDS):
        done = await trio.run_process(
            [*CLI, *arguments, "--json"], capture_stdout=True, stderr=subprocess.STDOUT, check=False
        )
    answer: dict[str, object] = json.loads(done.stdout)
    return done.returncode, answer


async def test_a_record_put_through_one_node_is_read_from_the_others_with_a_proof(
    cluster: RunningCluster,
) -> None:
    await all_ready(cluster)
    acknowledged = Acknowledged()
    record_id = await put_one(cluster, acknowledged, "node0")
    for name in cluster.names[1:]:
        async with client_of(cluster, name) as client:
            version = await client.record(record_id, min_height=acknowledged.height, verify=True)
            assert version.is_verified
            assert version.entry is not None
            assert version.entry.content == content_of(record_id.encode())
            answer = await client.transaction(acknowledged.receipts[record_id].tx_id, verify=True)
            assert answer.receipt == acknowledged.receipts[record_id].encoded
    await all_agree(cluster, acknowledged)


async def test_a_client_that_trusts_another_genesis_believes_nothing(cluster: RunningCluster) -> None:
    async with AsyncClient([cluster.node("node0").url], trust=bytes(32)) as client:
        with pytest.raises(NotTrusted, match="belongs to cluster"):
            await client.record("endtoend/any", verify=True)


async def test_versions_follow_each_other_and_absence_is_proven(cluster: RunningCluster) -> None:
    await all_ready(cluster)
    wallet = wallet_of(cluster.testnet)
    record_id, first = new_record(wallet)
    async with client_of(cluster, "node1") as client:
        await client.submit(first)
        receipt = await client.submit(wallet.supersede(record_id, 1, content_of(b"second")))
        assert receipt.ok
    async with client_of(cluster, "node3") as client:
        newest = await client.record(record_id, min_height=receipt.height, verify=True)
        assert newest.entry is not None
        assert (newest.entry.number, newest.entry.content) == (2, content_of(b"second"))
        versions = await client.history(record_id, verify=True)
        assert [version.entry.number for version in versions if version.entry] == [2, 1]
        nothing = await client.record("endtoend/never-put", verify=True)
        assert nothing.entry is None
        assert nothing.is_verified


def verified_here(
    path: Path, trust: str, capsys: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, object]]:
    """The command's exit code and answer, without an interpreter of its own."""
    code = run(["verify", str(path), "--trust", trust, "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert isinstance(answer, dict)
    return code, answer


async def test_a_bundle_verifies_offline_and_not_when_distrusted_or_tampered_with(
    cluster: RunningCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await all_ready(cluster)
    acknowledged = Acknowledged()
    record_id = await put_one(cluster, acknowledged)
    await status_where(cluster, "node2", lambda status: status.stored_height >= acknowledged.height)
    async with client_of(cluster, "node2") as client:
        bundles = {
            "tx.bundle": await client.prove_transaction(acknowledged.receipts[record_id].tx_id),
            "record.bundle": await client.prove_record(record_id),
        }
    trust = cluster.testnet.cluster_id.hex()
    for name, bundle in bundles.items():
        path = tmp_path / name
        path.write_bytes(bundle)
        code, answer = await isthmus("verify", str(path), "--trust", trust)
        assert (code, answer["verified"]) == (0, True)
        assert answer["not_checked"]
        code, answer = verified_here(path, "00" * 32, capsys)
        assert (code, answer["verified"]) == (1, False)
        for position in (len(bundle) // 4, len(bundle) // 2, len(bundle) - 1):
            changed = bytes((bundle[position] ^ 1,))
            path.write_bytes(bundle[:position] + changed + bundle[position + 1 :])
            code, answer = verified_here(path, trust, capsys)
            assert (code, answer["verified"]) == (1, False), position
            assert answer["reason"]


def test_the_blocking_client_writes_and_reads_as_well(cluster: RunningCluster) -> None:
    wallet = wallet_of(cluster.testnet)
    record_id, transaction = new_record(wallet)
    with Client([node.url for node in cluster.testnet.nodes], trust=cluster.testnet.cluster_id) as client:
        client.wait_ready(PATIENCE_SECONDS * 1000)
        receipt = client.submit(transaction)
        assert receipt.ok
        assert client.record(record_id, min_height=receipt.height, verify=True).is_verified


def shows(browser: Browser, wanted: tuple[str, ...]) -> bool:
    return all(words in browser.text("main") for words in wanted)


async def test_an_auditor_checks_a_proof_in_a_browser_on_a_node_of_a_running_cluster(
    cluster: RunningCluster, tmp_path: Path
) -> None:
    await all_ready(cluster)
    record_id = await put_one(cluster, Acknowledged(), "node0")
    with chromium(tmp_path / "profile") as browser:
        url = cluster.node("node2").url
        browser.visit(url, f"#/proofs/record/{quote(record_id, safe='')}")
        browser.until(lambda: browser.text(".verdict"))
        assert browser.text(".verdict strong") == "Verified"
        assert record_id in browser.text(".result")
        for fragment, expected in {
            "#/": ("node0", "node1", "node3", "this node", "connected"),
            f"#/record/{quote(record_id, safe='')}": (record_id, "Check the proof here"),
            "#/peers": ("What this node makes of it", "3 of 3 connected."),
            "#/metrics": ("isthmus_consensus_height", "Highest certified header height."),
        }.items():
            browser.visit(url, fragment)
            browser.until(partial(shows, browser, expected))
        assert browser.complaints() == []
