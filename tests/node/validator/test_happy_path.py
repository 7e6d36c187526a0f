"""What a healthy cluster does, and how little of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.sim.host import Host
from node import wire
from tests.node.validator.world import world_of

ROOT = Path(__file__).parents[3]
HOP_MS = 10
LOCAL_MS = 10
"""Journal writes, workers and two flushes on the way, at one millisecond each."""


@pytest.mark.parametrize("index", range(4))
def test_a_lone_transaction_is_stored_after_six_message_delays(index: int) -> None:
    world = world_of(latency_ms=(HOP_MS, HOP_MS), flush_ms=1, worker_ms=(1, 1)).start()
    world.run(3_000)
    begun = world.elapsed_ms
    sent = world.submit(index)
    assert world.stored(sent, 5_000)
    # push to the leader (none at the leader itself), proposal, votes, empty child, its votes, signatures
    assert 5 * HOP_MS <= world.elapsed_ms - begun <= 6 * HOP_MS + LOCAL_MS
    assert world.network.sent.get(wire.Code.DATA, 0) == 0  # inline: nobody acknowledged a batch
    world.settle(1_000)


def test_hundreds_of_transactions_travel_in_batches() -> None:
    world = world_of(1).start()
    world.run(500)
    sent = [t for turn in range(6) for t in world.submit(turn % 4, 100, size=100)]
    assert world.stored(sent, 5_000)
    world.settle(1_000)
    assert max(node.height for node in world.hosts) <= 12
    assert world.network.sent[wire.Code.BATCHES] >= 12  # at least four batches, each to three others
    assert len(world.checkers.acknowledged) == 600


def test_an_idle_cluster_is_quiet() -> None:
    world = world_of(2).start()
    world.run(60_000)
    frames = [node.frames for node in world.hosts]
    appends = [node.appends for node in world.hosts]
    minutes = 5
    world.run(minutes * 60_000)
    for node in world.hosts:
        # a status a second to each of three, and an empty block about every ten seconds
        assert node.frames - frames[node.index] < minutes * 240
        assert node.appends - appends[node.index] < minutes * 12
        assert node.height == pytest.approx(minutes + 1, abs=1)  # heartbeats
    world.settle(1_000)


def test_clocks_that_differ_within_the_precision_change_nothing() -> None:
    world = world_of(3)
    for node, skew_ms in zip(world.hosts, (-200, 0, 150, 240), strict=True):
        node.skew_ms = skew_ms
    world.start()
    world.run(500)
    for index in range(4):
        assert world.stored(world.submit(index), 2_000)
    world.settle(1_000)


def test_every_bound_is_told_and_kept() -> None:
    world = world_of(3).start()
    world.submit(0, 20)
    world.run(1_000)
    for node in world.hosts:
        limits = node.validator.limits()
        assert len({name for name, _, _ in limits}) == len(limits)
        assert all(bound > 0 for _, _, bound in limits)
        assert node.validator.reachable_weight() == 4


def test_a_lost_link_lowers_the_reachable_weight() -> None:
    world = world_of(3).start()
    world.hosts[2].crash()
    assert [node.validator.reachable_weight() for node in world.hosts if node.up] == [3, 3, 3]
    world.partition((0, 1), (3,))
    assert [node.validator.reachable_weight() for node in world.hosts if node.up] == [2, 2, 1]


def eventful(seed: int) -> str:
    """A run with all sorts of trouble, as a fingerprint of every frame."""
    world = world_of(seed, latency_ms=(1, 9), loss_percent=3).start()
    world.run(300)
    for turn in range(6):
        world.submit(turn % 4, 10)
        world.run(80)
    victim: Host = world.hosts[seed % 4]
    victim.crash()
    world.run(700)
    victim.start()
    world.partition((0, 1, 2), (3,))
    world.submit(0, 40)
    world.run(900)
    world.heal()
    world.run(900)
    return world.fingerprint


def test_the_same_seed_is_the_same_run() -> None:
    assert eventful(5) == eventful(5)
    assert eventful(5) != eventful(6)


def test_the_same_seed_is_the_same_run_under_any_hash_seed() -> None:
    program = "from tests.node.validator.test_happy_path import eventful; print(eventful(7))"
    prints = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert prints[0] == prints[1]
    assert prints[0].strip() == eventful(7)
