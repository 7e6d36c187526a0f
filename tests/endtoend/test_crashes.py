"""Killed, stopped and torn: nothing acknowledged is lost, and nobody has to do anything but start again.

One cluster for all of it, hurt again and again: what a test leaves broken, the next one finds.
"""

import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

from node.daemon.durability import BLOCK_BYTES
from node.daemon.failpoints import NAMES, VARIABLE
from node.daemon.journal import Journal
from node.daemon.segment import DATA_START, encode_group, padded_group_bytes, read_header, scan_groups
from tests.endtoend.running import OWN_MACHINES, STOP_SECONDS, RunningCluster
from tests.endtoend.talk import (
    PATIENCE_SECONDS,
    Acknowledged,
    all_agree,
    all_ready,
    log_where,
    put_one,
    reasons_where,
    status_where,
    writing,
)

FILLING_SEGMENTS = ("journal-before-name", "journal-after-retire")
ROOM_LEFT_BYTES = 16 * BLOCK_BYTES
FEW = 6
"""Receipts that show that the cluster goes on."""


@pytest.fixture(scope="module")
def environment() -> Mapping[str, str]:
    """Verification workers, which are not to outlive a daemon either."""
    return OWN_MACHINES


@pytest.fixture(scope="module")
def acknowledged() -> Acknowledged:
    """Everything any test of this module was told: it must outlive all of them."""
    return Acknowledged()


async def ended(cluster: RunningCluster, name: str) -> int:
    """The exit code of a node that ends by itself."""
    with trio.fail_after(PATIENCE_SECONDS):
        # A plain process, so that a module can share it: nothing tells Trio of its end.
        while (code := cluster.exit_code(name)) is None:  # noqa: ASYNC110
            await trio.sleep(0.02)
    return code


async def test_a_killed_node_is_not_missed_and_comes_back(
    cluster: RunningCluster, acknowledged: Acknowledged
) -> None:
    await all_ready(cluster)
    async with writing(cluster, acknowledged):
        await acknowledged.grow_by(FEW)
        cluster.kill("node1")
        await acknowledged.grow_by(FEW)
        cluster.start("node1")
        await acknowledged.grow_by(FEW)
        await all_ready(cluster)
    await put_one(cluster, acknowledged, "node1")
    await all_agree(cluster, acknowledged)


async def test_without_a_quorum_writes_wait_and_the_reason_names_the_weight(
    cluster: RunningCluster, acknowledged: Acknowledged
) -> None:
    await all_ready(cluster)
    async with writing(cluster, acknowledged, "node0", "node1"):
        await acknowledged.grow_by(FEW)
        cluster.kill("node2", "node3")
        for name in ("node0", "node1"):
            told = await reasons_where(cluster, name, lambda code, _: code == 503)
            assert "weight 2 of 4" in told
            assert "quorum needs more than two thirds" in told
        height = (await status_where(cluster, "node0", lambda _: True)).certified_height
        cluster.start_missing()
        await all_ready(cluster)
        await acknowledged.grow_by(FEW)
    assert acknowledged.height > height
    await all_agree(cluster, acknowledged)


async def test_validators_that_are_connected_and_silent_make_the_others_not_ready(
    cluster: RunningCluster, acknowledged: Acknowledged
) -> None:
    await all_ready(cluster)
    async with writing(cluster, acknowledged, "node0"):
        await acknowledged.grow_by(FEW)
        cluster.pause("node2")
        cluster.pause("node3")
        try:
            silent = "nothing is heard of node2, node3"
            await reasons_where(cluster, "node0", lambda code, text: code == 503 and silent in text)
        finally:
            cluster.resume("node2")
            cluster.resume("node3")
        await acknowledged.grow_by(FEW)
    await all_ready(cluster)
    await all_agree(cluster, acknowledged)


async def test_all_four_killed_at_once_under_load_recover_together(
    cluster: RunningCluster, acknowledged: Acknowledged
) -> None:
    await all_ready(cluster)
    async with writing(cluster, acknowledged, writers=8, thinking_seconds=0):
        await acknowledged.grow_by(4 * FEW)
        cluster.kill(*cluster.names)
        cluster.start_missing()
        await acknowledged.grow_by(FEW)
    await all_ready(cluster)
    await all_agree(cluster, acknowledged)


async def test_a_stopped_leader_and_then_a_stopped_follower_are_passed_over(
    cluster: RunningCluster, acknowledged: Acknowledged
) -> None:
    await all_ready(cluster)
    leader = (await status_where(cluster, "node0", lambda _: True)).leader
    follower = next(name for name in cluster.names if name != leader)
    for victim in (leader, follower):
        others = [name for name in cluster.names if name != victim]
        cluster.pause(victim)
        try:
            async with writing(cluster, acknowledged, *others):
                await acknowledged.grow_by(FEW)
        finally:
            cluster.resume(victim)
    await all_ready(cluster)
    await all_agree(cluster, acknowledged)


async def test_sigterm_is_a_good_end_and_the_journal_is_closed_in_order(
    cluster: RunningCluster, acknowledged: Acknowledged
) -> None:
    await all_ready(cluster)
    async with writing(cluster, acknowledged, "node0", "node1", "node3"):
        await acknowledged.grow_by(1)
        code = await trio.to_thread.run_sync(cluster.stop, "node2")  # raises after STOP_SECONDS
        assert code == 0, f"not ended well within {STOP_SECONDS} s"
        said = len(cluster.log("node2"))
        cluster.start("node2")
        log = await log_where(cluster, "node2", "peer_connected", said)
        assert "journal_torn_tail" not in log
        assert "The journal is complete." in log
    await all_ready(cluster)
    await all_agree(cluster, acknowledged)


async def test_a_torn_tail_of_the_journal_is_cut_and_told(
    cluster: RunningCluster, acknowledged: Acknowledged
) -> None:
    await all_ready(cluster)
    async with writing(cluster, acknowledged):
        await acknowledged.grow_by(FEW)
        cluster.kill("node3")
        tear(max(cluster.node("node3").home.journal_dir.glob("journal-*.seg")))
        said = len(cluster.log("node3"))
        cluster.start("node3")
        await log_where(cluster, "node3", "journal_torn_tail", said)
        await all_ready(cluster)
        await acknowledged.grow_by(FEW)
    await all_agree(cluster, acknowledged)


def tear(segment: Path) -> None:
    """The next group is begun, and the file ends in its midst: as after a power cut, whatever came before."""
    with segment.open("r+b") as file:
        header = read_header(file.fileno())
        end, next_seq = DATA_START, header.first_seq
        for group in scan_groups(file.fileno(), header):
            end, next_seq = group.end, group.next_seq
        begun = b"".join(encode_group(header, next_seq, [bytes(BLOCK_BYTES)]))[:-BLOCK_BYTES]
        assert end + len(begun) <= header.size_bytes
        file.truncate(end)
        file.seek(end)
        file.write(begun)


def nearly_fill(directory: Path) -> None:
    """Rewrite a journal so that its one file is nearly full: the next groups need another file, and once
    the database has taken over what was in this one, it is given up."""
    old = Journal.open(directory)
    records, first_seq = [record for _, record in old.records()], old.first_seq
    old.close()
    shutil.rmtree(directory)
    size = DATA_START + sum(padded_group_bytes(1, len(record)) for record in records) + ROOM_LEFT_BYTES
    largest = max(map(len, records))
    new = Journal.open(
        directory, segment_bytes=size, max_record_bytes=largest, start_seq=first_seq, fsync=False
    )
    for record in records:
        new.append([record])
    new.close()


@pytest.mark.parametrize("place", NAMES)
async def test_a_death_between_two_writes_is_recovered_from(
    cluster: RunningCluster, acknowledged: Acknowledged, place: str
) -> None:
    await all_ready(cluster)
    if "node2" in cluster.running():
        cluster.kill("node2")
    if place in FILLING_SEGMENTS:
        nearly_fill(cluster.node("node2").home.journal_dir)
    async with writing(cluster, acknowledged):
        cluster.start("node2", {VARIABLE: place})
        assert await ended(cluster, "node2") == -signal.SIGKILL
        await acknowledged.grow_by(1)
        cluster.start("node2")
        await all_ready(cluster)
        await acknowledged.grow_by(1)
    await put_one(cluster, acknowledged, "node2")
    await all_agree(cluster, acknowledged)


async def test_after_all_of_this_every_node_has_everything_that_was_ever_acknowledged(
    cluster: RunningCluster, acknowledged: Acknowledged
) -> None:
    await all_ready(cluster)
    await all_agree(cluster, acknowledged, anew=True)
