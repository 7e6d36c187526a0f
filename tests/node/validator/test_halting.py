"""A halt height: all execute, sign and store up to it and nothing beyond, and go on when it is gone."""

from bench.sim.remembered import remembered
from bench.sim.setting import make_setting
from bench.sim.world import World
from node.validator import Refusal, Tuning

HALT = 12
HEAL_MS = 30_000


def make_world(seed: int, halting: tuple[int, ...] = (0, 1, 2, 3)) -> World:
    """Four validators, those of `halting` with a halt height, under transactions that do not end."""
    world = World(make_setting(4, remembered()), seed)
    for host in world.hosts:
        world.tuning = Tuning(halt_height=HALT if host.place in halting else 0)
        host.start()
    submit_for_ever(world)
    return world


def submit_for_ever(world: World) -> None:
    host = next(host for host in world.hosts if host.up)
    host.submit(*(world.transaction() for _ in range(2)))
    world.after(50, lambda: submit_for_ever(world))


def heights(world: World) -> list[int]:
    return [host.height for host in world.hosts]


def test_everybody_stores_the_halt_height_and_nothing_beyond_is_executed() -> None:
    world = make_world(1)
    assert world.run(HEAL_MS, lambda: heights(world) == [HALT] * 4)
    world.run(5_000, lambda: False)
    assert heights(world) == [HALT] * 4
    assert [host.validator.data.line.executed_height for host in world.hosts] == [HALT] * 4
    assert max(world.checkers.headers) == HALT


def test_clients_are_told_where_to_go() -> None:
    world = make_world(2)
    assert world.run(HEAL_MS, lambda: heights(world) == [HALT] * 4)
    ticket = world.hosts[2].submit(world.transaction())
    assert world.run(HEAL_MS, lambda: ticket in world.hosts[2].answers)
    (outcome,) = world.hosts[2].answers[ticket]
    assert isinstance(outcome, Refusal)
    assert f"halts at height {HALT}; use another node" in outcome.sentence
    world.hosts[2].disk_low(False)
    assert world.hosts[2].validator.data.desk.closed is not None


def test_after_the_upgrade_the_cluster_goes_on_where_it_halted_and_loses_nothing() -> None:
    world = make_world(3)
    assert world.run(HEAL_MS, lambda: heights(world) == [HALT] * 4)
    world.run(1_000, lambda: False)
    world.tuning = Tuning()
    for host in world.hosts:
        host.crash()
    for host in world.hosts:
        host.start()
    assert world.run(HEAL_MS, lambda: min(heights(world)) > HALT + 5)
    world.checkers.check_blame()


def test_one_that_was_away_comes_to_the_halt_height_from_the_others_and_no_further() -> None:
    world = make_world(4, halting=(3,))
    world.hosts[3].crash()
    assert world.run(HEAL_MS, lambda: world.hosts[0].height > 2 * HALT)
    world.tuning = Tuning(halt_height=HALT)
    world.hosts[3].start()
    assert world.run(HEAL_MS, lambda: world.hosts[3].height == HALT)
    world.run(3_000, lambda: False)
    assert world.hosts[3].validator.data.line.executed_height == HALT
    assert world.hosts[0].height > 3 * HALT
