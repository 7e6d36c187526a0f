"""Data or guard lost, rotted or rolled back: exactly rule C14, told in words, and nobody signs twice.

The cluster is shared and the victim is always node3. Whether it signs is read from the certificates the
others keep; whether it is back in consensus is shown by taking another node away, so that nothing commits
without it.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import trio

from consensus import GuardRecord, HeaderCertificate, Height, Round, bitmap_indices, decode, encode
from consensus.reservation import GUARD_HEIGHTS, GUARD_ROUNDS
from node.daemon.durability import BLOCK_BYTES
from node.daemon.guardfile import GuardFile
from node.genesis import Genesis
from tests.endtoend.running import RunningCluster
from tests.endtoend.talk import (
    PATIENCE_SECONDS,
    Acknowledged,
    all_agree,
    all_ready,
    client_of,
    log_where,
    put_one,
    reasons_where,
    status_where,
    writing,
)

VICTIM = "node3"
WITNESS = "node0"
OTHERS = ("node0", "node1", "node2")


def reserve_ahead(cluster: RunningCluster) -> None:
    """Only while the victim does not run: what its guard says under a load that cannot be followed guard by
    guard."""
    guard = GuardFile.open(cluster.node(VICTIM).home.guard_file)
    try:
        said = GuardRecord.from_value(decode(guard.payload))
        bound, height = Round(said.round_bound + GUARD_ROUNDS), Height(said.height_bound + GUARD_HEIGHTS)
        ahead = replace(said, round_bound=bound, height_bound=height, locked_round=Round(bound - 1))
        guard.store(encode(ahead.to_value()))
    finally:
        guard.close()


def guard_of(cluster: RunningCluster) -> GuardRecord:
    """What the victim reserved; only while it does not run."""
    guard = GuardFile.open(cluster.node(VICTIM).home.guard_file)
    try:
        return GuardRecord.from_value(decode(guard.payload))
    finally:
        guard.close()


async def signed_heights(cluster: RunningCluster, low: int, high: int) -> list[int]:
    """The heights from `low` to `high` in whose certificate, as the witness keeps it, the victim signed."""
    genesis = Genesis.from_json(cluster.testnet.genesis_file.read_text())
    key = next(v.consensus_key for v in genesis.validators if v.name == VICTIM)
    index = genesis.validator_set().index_of(key)
    assert index is not None
    signed = []
    await status_where(cluster, WITNESS, lambda status: status.stored_height >= high)
    async with client_of(cluster, WITNESS) as client:
        for height in range(low, high + 1):
            encoded = (await client.block(height)).header.certificate
            assert encoded is not None
            certificate = HeaderCertificate.from_value(decode(encoded))
            if certificate.height == height and index in bitmap_indices(certificate.signers):
                signed.append(height)
    return signed


async def reach(cluster: RunningCluster, acknowledged: Acknowledged, height: Height) -> None:
    """Write through the others until the chain is above `height`."""
    async with writing(cluster, acknowledged, *OTHERS, writers=1, thinking_seconds=0):
        with trio.fail_after(PATIENCE_SECONDS):
            while acknowledged.height <= height:
                await acknowledged.grow_by(1)


async def needed_for_a_quorum(cluster: RunningCluster, acknowledged: Acknowledged) -> None:
    """Commit with the victim and without one of the others."""
    cluster.kill("node1")
    await put_one(cluster, acknowledged, VICTIM)
    cluster.start("node1")
    await all_ready(cluster)


async def caught_up(cluster: RunningCluster, acknowledged: Acknowledged) -> None:
    """Until the victim has everything that was acknowledged."""
    height = acknowledged.height
    await status_where(cluster, VICTIM, lambda status: status.stored_height >= height)


async def test_one_rotted_slot_of_the_guard_is_survived(cluster: RunningCluster) -> None:
    await all_ready(cluster)
    acknowledged = Acknowledged()
    await put_one(cluster, acknowledged)
    cluster.kill(VICTIM)
    path = cluster.node(VICTIM).home.guard_file
    with path.open("r+b") as file:
        file.seek(GuardFile.open(path).counter % 2 * BLOCK_BYTES)
        file.write(b"\xff" * 64)
    said = len(cluster.log(VICTIM))
    cluster.start(VICTIM)
    await log_where(cluster, VICTIM, "guard_slot_damaged", said)
    await all_ready(cluster)
    await needed_for_a_quorum(cluster, acknowledged)
    await all_agree(cluster, acknowledged)


async def test_without_its_guard_a_validator_follows_and_never_signs(
    cluster: RunningCluster, tmp_path: Path
) -> None:
    await all_ready(cluster)
    acknowledged = Acknowledged()
    cluster.kill(VICTIM)
    await put_one(cluster, acknowledged, *OTHERS)
    guard, kept = cluster.node(VICTIM).home.guard_file, tmp_path / "guard"
    shutil.move(guard, kept)
    said = len(cluster.log(VICTIM))
    cluster.start(VICTIM)
    words = await log_where(cluster, VICTIM, "It will not sign again", said)
    assert "no-guard" in words
    told = await reasons_where(cluster, VICTIM, lambda _, text: "It will not sign again" in text)
    assert "rotate it through governance" in told
    first = acknowledged.height + 1
    async with writing(cluster, acknowledged):
        await acknowledged.grow_by(6)
    await caught_up(cluster, acknowledged)
    assert await signed_heights(cluster, first, acknowledged.height) == []
    assert not guard.exists(), "a guard was made anew for a key that has signed already"
    cluster.kill(VICTIM)
    shutil.move(kept, guard)
    cluster.start(VICTIM)
    await all_ready(cluster)
    await all_agree(cluster, acknowledged)


async def test_data_rolled_back_to_an_older_copysigns_only_above_the_guards_bound(
    cluster: RunningCluster, tmp_path: Path
) -> None:
    await all_ready(cluster)
    acknowledged = Acknowledged()
    await put_one(cluster, acknowledged)
    assert await trio.to_thread.run_sync(cluster.stop, VICTIM) == 0
    data = cluster.node(VICTIM).home.data_dir
    shutil.copytree(data, tmp_path / "copy")
    cluster.start(VICTIM)
    async with writing(cluster, acknowledged):
        await acknowledged.grow_by(6)
    await all_ready(cluster)
    cluster.kill(VICTIM)
    reserve_ahead(cluster)
    shutil.rmtree(data)
    shutil.move(tmp_path / "copy", data)
    await signs_only_above(cluster, acknowledged, "The data is older than what this key has signed")


async def test_wiped_data_is_fetched_again_and_its_validator_is_enough_for_a_quorum_at_once(
    cluster: RunningCluster,
) -> None:
    """One of the others is dead meanwhile: the guard says exactly what was signed (E17)."""
    await all_ready(cluster)
    acknowledged = Acknowledged()
    async with writing(cluster, acknowledged):
        await acknowledged.grow_by(6)
    cluster.kill("node1")
    cluster.kill(VICTIM)
    bound = guard_of(cluster).height_bound
    assert bound <= acknowledged.height + 2, "it reserves ahead, which takes more load than this"
    shutil.rmtree(cluster.node(VICTIM).home.data_dir)
    said = len(cluster.log(VICTIM))
    cluster.start(VICTIM)
    told = await log_where(cluster, VICTIM, "the data directory holds no signing record", said)
    assert f"height {bound}" in told
    await put_one(cluster, acknowledged, WITNESS)
    assert acknowledged.height > bound
    assert acknowledged.height in await signed_heights(cluster, bound, acknowledged.height)
    process = cluster.process(VICTIM)
    cluster.start("node1")
    await all_ready(cluster)
    assert cluster.process(VICTIM) is process
    await all_agree(cluster, acknowledged)


async def signs_only_above(cluster: RunningCluster, acknowledged: Acknowledged, words: str) -> None:
    """The victim, down, its data hurt and its guard ahead of it, starts: it follows at once, signs later,
    without a restart."""
    bound = guard_of(cluster).height_bound
    await put_one(cluster, acknowledged, *OTHERS)  # above all that the victim signed before its end
    first = acknowledged.height + 1
    assert first <= bound
    said = len(cluster.log(VICTIM))
    cluster.start(VICTIM)
    told = await log_where(cluster, VICTIM, words, said)
    assert "behind" in told
    assert f"height {bound}" in told
    await caught_up(cluster, acknowledged)
    await reasons_where(cluster, VICTIM, lambda code, text: code == 503 and "signs again only above" in text)
    await reach(cluster, acknowledged, bound)
    assert await signed_heights(cluster, first, bound) == []
    process = cluster.process(VICTIM)
    async with writing(cluster, acknowledged, *OTHERS, writers=1, thinking_seconds=0):
        await all_ready(cluster)  # rounds have a bound of their own
    await needed_for_a_quorum(cluster, acknowledged)
    assert cluster.process(VICTIM) is process
    await all_agree(cluster, acknowledged)
