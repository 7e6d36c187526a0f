"""What a running node tells of the others, in a world of virtual time: who leads no rounds and why."""

from bench.sim.keyedhash import KEYED_HASH
from bench.sim.setting import CREATED_MS, make_setting
from bench.sim.world import World
from consensus import MEMORY_ROUNDS
from node.daemon.looking import left_out
from node.ledger.params import Params


def test_a_dead_leader_is_told_with_the_round_it_failed_in_and_told_no_more_once_it_votes() -> None:
    world = World(make_setting(4, KEYED_HASH, params=Params(created_ms=CREATED_MS, idle_interval_ms=20)), 1)
    world.start()

    def ask() -> None:
        world.hosts[0].submit(world.transaction())
        world.after(40, ask)

    ask()
    world.run(1_000)
    watching = world.hosts[1].validator
    assert left_out(watching) == ()
    world.hosts[3].crash()
    assert world.run(5_000, lambda: bool(left_out(watching)))
    (found,) = left_out(watching)
    assert found.name == watching.term.roster.validators[3].name
    assert found.is_silent
    assert found.strikes == 1
    assert 0 < found.since_round <= watching.replica.view().round
    assert found.again_round == found.since_round + MEMORY_ROUNDS
    world.hosts[3].start()
    assert world.run(8_000, lambda: left_out(watching) == ())
