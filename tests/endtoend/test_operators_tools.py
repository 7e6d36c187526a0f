"""Operators' tools on real daemons: a stall explained, a live backup put back, a node key rotated."""

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio

from node.cli.exits import Exit
from node.client import AsyncClient
from tests.endtoend.running import RunningCluster
from tests.endtoend.talk import (
    PATIENCE_SECONDS,
    Acknowledged,
    all_agree,
    all_ready,
    client_of,
    put_one,
    reasons_where,
    writing,
)
from tests.endtoend.test_lost_data import VICTIM, guard_of, reserve_ahead, signs_only_above

OTHERS = ("node0", "node1", "node2")


def isthmus(*words: object) -> subprocess.CompletedProcess[str]:
    """A command line of its own process, as operators run it."""
    command = (sys.executable, "-m", "node.cli.main", *map(str, words))
    return subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_SECONDS)


async def answer_of(*words: object) -> tuple[int, Any]:
    """(exit code, the document) of a command under --json."""
    ended = await trio.to_thread.run_sync(isthmus, *words, "--json")
    return ended.returncode, json.loads(ended.stdout)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again, for as long as patience lasts."""
    with trio.fail_after(PATIENCE_SECONDS):
        while True:
            if await condition():
                return
            await trio.sleep(0.05)


async def says_no_quorum(net: Path) -> bool:
    code = (await answer_of("why", net))[1]["diagnoses"][0]["code"]
    return bool(code == "no-quorum")


async def is_proposed(client: AsyncClient) -> bool:
    return bool((await client.governance()).proposals)


async def epoch_has_begun(client: AsyncClient) -> bool:
    return (await client.validators()).epoch > 0


async def test_a_lost_quorum_is_explained_with_names_and_heals_by_itself(cluster: RunningCluster) -> None:
    await all_ready(cluster)
    net = cluster.testnet.directory
    code, answer = await answer_of("why", net)
    assert (code, answer["diagnoses"][0]["code"]) == (Exit.OK, "commits"), answer
    cluster.kill("node1", "node2")
    await reasons_where(cluster, "node0", lambda code, _: code == 503)
    await until(lambda: says_no_quorum(net))
    code, answer = await answer_of("why", net)
    assert code == Exit.NEGATIVE
    told = {item["about"]: item for item in answer["diagnoses"]}
    assert told["cluster"]["words"].endswith("missing are node1, node2")
    assert told["node1"]["code"] == "ended-abruptly"
    cluster.start_missing()
    await all_ready(cluster)


async def test_a_backup_of_a_running_node_put_back_later_signs_only_above_the_guards_bound(
    cluster: RunningCluster, tmp_path: Path
) -> None:
    await all_ready(cluster)
    acknowledged, home = Acknowledged(), cluster.node(VICTIM).home
    async with writing(cluster, acknowledged):
        await acknowledged.grow_by(3)
        code, manifest = await answer_of("db", "backup", tmp_path / "backup", "--home", home.path)
        assert code == Exit.OK
        await acknowledged.grow_by(6)
    assert manifest["height"] < acknowledged.height
    cluster.kill(VICTIM)
    reserve_ahead(cluster)
    code, restored = await answer_of("db", "restore", tmp_path / "backup", "--home", home.path)
    assert (code, restored["height"]) == (Exit.OK, manifest["height"])
    assert guard_of(cluster).height_bound >= acknowledged.height
    await signs_only_above(cluster, acknowledged, "The data is older than what this key has signed")


async def test_a_node_key_is_rotated_under_way_and_the_node_is_let_in_with_the_new_one(
    cluster: RunningCluster,
) -> None:
    await all_ready(cluster)
    net, home = cluster.testnet.directory, cluster.node(VICTIM).home
    keys = net / "keys"
    old = home.node_key_file.read_bytes()

    async def approve() -> None:
        async with client_of(cluster, "node0") as client:
            await until(lambda: is_proposed(client))
            proposals = (await client.governance()).proposals
        for name in ("node0", "node1"):
            key = keys / f"operator-{name}.key"
            words = ("governance", "approve", proposals[0].proposal_id.hex(), "--net", net, "--key", key)
            assert (await answer_of(*words))[0] == Exit.OK
        async with client_of(cluster, VICTIM) as client:
            await until(lambda: epoch_has_begun(client))
        assert await trio.to_thread.run_sync(cluster.stop, VICTIM) == 0

    async with trio.open_nursery() as nursery:
        nursery.start_soon(approve)
        words = ("key", "rotate", "node", "--home", home.path, "--key", keys / f"operator-{VICTIM}.key")
        code, answer = await answer_of(*words, "--timeout", PATIENCE_SECONDS)
        assert code == Exit.OK, answer
    assert home.node_key_file.read_bytes() != old
    assert (await answer_of("doctor", "--home", home.path, "--no-peers"))[0] == Exit.OK
    cluster.start(VICTIM)
    acknowledged = Acknowledged()
    await all_ready(cluster)
    cluster.kill("node1")
    await put_one(cluster, acknowledged, VICTIM)
    cluster.start("node1")
    await all_ready(cluster)
    await all_agree(cluster, acknowledged)
