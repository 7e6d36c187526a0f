"""One run: the same every time, the same when it was branched off another, and obedient to its plan."""

import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bench.sim.twins.branching import branch
from bench.sim.twins.executor import World, play
from bench.sim.twins.generate import Space, random_scenario
from bench.sim.twins.instance import Instance
from bench.sim.twins.oracles import Check, Violation
from bench.sim.twins.scenario import Image, Restart, RoundPlan, Scenario, normal, whole
from bench.sim.twins.sweep import FAULTS, Sweep, enumeration_of, play_range
from consensus import Message, Replica, SignatureCache, Vote

ALL = whole(4, 1)
QUIET = RoundPlan(1, (ALL, ALL, ALL))
WILD = Space(rounds=5, per_phase=True, firewalls=True, restarts=True)


def scenario(*plans: RoundPlan) -> Scenario:
    return Scenario(4, 1, plans)


def wild(number: int) -> Scenario:
    return random_scenario(WILD, Random(f"wild/{number}"))


def trace_of(played: Scenario) -> list[str]:
    trace: list[str] = []
    play(played, trace=trace)
    return trace


# --- the same every time ----------------------------------------------------------------------------

TELL = """
from hashlib import sha256
from tests.bench.twins.test_executor import trace_of, wild
print(sha256("".join(line for n in range(8) for line in trace_of(wild(n))).encode()).hexdigest())
"""


def test_a_run_does_not_depend_on_the_hash_seed() -> None:
    root = Path(__file__).parents[3]
    told = []
    for seed in ("0", "1", "4711"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        command = [sys.executable, "-c", TELL]
        done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True)
        told.append(done.stdout)
    assert len(set(told)) == 1


# --- branching --------------------------------------------------------------------------------------


def mutable_parts(value: object, seen: dict[int, object]) -> None:
    """Every mutable object that can be reached, by id; told apart without branching.py's own tables."""
    kind = type(value)
    if id(value) in seen or isinstance(value, int | str | bytes | type(None) | type | SignatureCache):
        return
    if isinstance(value, dict):
        seen[id(value)] = value
        for pair in value.items():
            for part in pair:
                mutable_parts(part, seen)
    elif isinstance(value, list | deque):
        seen[id(value)] = value
        for part in value:
            mutable_parts(part, seen)
    elif isinstance(value, tuple):
        for part in value:
            mutable_parts(part, seen)
    elif kind.__module__.startswith(("consensus", "bench")):
        if kind.__hash__ is None or kind.__hash__ is object.__hash__:
            seen[id(value)] = value
        for part in attributes(value):
            mutable_parts(part, seen)


def attributes(value: object) -> Iterator[object]:
    yield from getattr(value, "__dict__", {}).values()
    for base in type(value).__mro__:
        for name in getattr(base, "__slots__", ()):
            if hasattr(value, name):
                yield getattr(value, name)


def opened(played: Scenario, rounds: int) -> World:
    """A run that waits for the round after these."""
    world = World(played.nodes, played.twins, len(played.rounds), jitter=played.jitter)
    for plan in played.rounds[:rounds]:
        assert not world.run()
        world.open(plan)
    assert not world.run()
    return world


def test_a_branch_shares_nothing_that_can_change() -> None:
    world = opened(wild(1), 4)
    original: dict[int, object] = {}
    copied: dict[int, object] = {}
    mutable_parts(world, original)
    mutable_parts(branch(world), copied)
    assert len(original) == len(copied) > 200
    # what both reach: the keys and what is never written to after construction
    shared = {type(original[key]).__name__ for key in original.keys() & copied.keys()}
    assert shared <= {"dict", "KeyedHashKey"}, shared
    for key in original.keys() & copied.keys():
        if isinstance(original[key], dict):
            assert original[key] == world.cast.validators._index


def test_a_branched_run_goes_on_as_if_it_had_never_been_branched() -> None:
    for number in range(12):
        played = wild(number)
        expected = trace_of(played)
        world = World(4, 1, len(played.rounds), jitter=played.jitter)
        world.trace = []
        for round, plan in enumerate(played.rounds):
            assert not world.run()
            other = branch(world)
            other.open(played.rounds[round - 1])
            other.run()  # what a sibling does leaves no trace here
            world = branch(world)
            world.open(plan)
        assert world.run()
        assert world.trace == expected


class Odd:
    """A kind of state nobody has thought of."""


def test_state_of_an_unknown_kind_is_refused() -> None:
    world = opened(wild(0), 1)
    world.trace = {1, 2}  # type: ignore[assignment]  # what a later version might hold
    with pytest.raises(TypeError, match="set cannot be branched"):
        branch(world)


def test_a_walk_finds_what_single_runs_find() -> None:
    sweep = Sweep(Space(rounds=3))
    enumeration = enumeration_of(sweep.space, True)
    walked = play_range(sweep, 5_000, 5_060)
    assert walked.failure is None
    single = play_range(sweep, 5_000, 5_000).tally
    for number in range(5_000, 5_060):
        single.add_run(play(enumeration.scenario(number), sweep.world()), enumeration.orbit(number))
    assert walked.tally == single


# --- what a plan does -------------------------------------------------------------------------------


def test_quiet_rounds_commit_and_nobody_is_accused() -> None:
    world = play(scenario(QUIET, replace(QUIET, leader=2), replace(QUIET, leader=3)))
    assert len(world.oracles.chain) > 3
    assert not world.oracles.accused
    assert (world.counters.healed, world.counters.tail_rounds) == (0, 3)


def test_twin_leaders_equivocate_and_are_accused() -> None:
    world = play(scenario(replace(QUIET, leader=0), QUIET))
    assert world.oracles.equivocated == {0: 1}
    assert list(world.oracles.accused) == [0]


def test_a_round_without_a_quorum_is_healed() -> None:
    split = normal([[0, 1, 4], [2, 3]])
    world = play(scenario(replace(QUIET, partitions=(split, split, split)), QUIET))
    assert world.counters.healed == 1


def test_a_muted_leader_costs_the_round() -> None:
    muted = replace(QUIET, firewall=((1, (0, 2, 3, 4)),))
    lines = trace_of(scenario(muted, replace(QUIET, leader=2)))
    assert any("0 sends timeout 1" in line for line in lines)
    assert not any("sends vote 1 " in line and line.split()[1] != "1" for line in lines)


@pytest.mark.parametrize("image", [Image.LOST, Image.WRITTEN, Image.SENT])
def test_a_crash_at_a_write_leaves_what_its_image_says(image: Image) -> None:
    crash = replace(QUIET, restarts=(Restart(2, 1, image),))
    lines = trace_of(scenario(crash, QUIET))
    crashed = next(n for n, line in enumerate(lines) if "2 crashes" in line)
    back = next(n for n, line in enumerate(lines) if "2 starts again" in line)
    voted = [n for n, line in enumerate(lines) if line.split(maxsplit=1)[1].startswith("2 sends vote 1 ")]
    assert any(n < crashed for n in voted) == (image is Image.SENT)
    again = any("2 sends vote 1 " in line for line in lines[back:])
    assert again or image is not Image.WRITTEN, "what is on the disk is sent after the start"


def test_a_wiped_node_votes_in_no_round_again_and_soon_in_others() -> None:
    """The twins are silent in the tail: without it nothing would be committed (E17)."""
    crash = replace(QUIET, restarts=(Restart(2, 1, Image.WIPED),))
    played = scenario(crash, *(replace(QUIET, leader=1 + n % 3) for n in range(5)))
    world = World(4, 1, 6)
    trace: list[str] = []
    play(played, world, trace)
    crashed = next(n for n, line in enumerate(trace) if "2 crashes" in line)
    voted = re.compile(r" 2 sends vote (\d+) ")
    before, after = (
        [int(found[1]) for line in lines if (found := voted.search(line))]
        for lines in (trace[:crashed], trace[crashed:])
    )
    assert max(before) < min(after)


# --- watching ---------------------------------------------------------------------------------------


def test_only_watched_promises_end_a_run() -> None:
    world = World(4, 1, 1, watched=(Check.ONE_QC,))
    world.oracles.broken(Check.AGREEMENT, "not looked at")
    with pytest.raises(Violation, match="one-qc-a-round: two") as found:
        world.oracles.broken(Check.ONE_QC, "two")
    assert found.value.check is Check.ONE_QC
    assert isinstance(found.value, FAULTS)


def test_a_liar_that_nobody_believes_breaks_nothing() -> None:
    def forge(instance: Instance, message: Message) -> Message:
        if isinstance(message, Vote):
            return replace(message, block_id=message.parent_id, signature=message.signature[::-1])  # type: ignore[arg-type]  # garbage on purpose
        return message

    world = World(4, 1, 2, byzantine=forge)
    play(scenario(replace(QUIET, leader=2), QUIET), world)
    assert all(isinstance(instance.replica, Replica) for instance in world.instances)
    assert not world.oracles.accused
