"""Who tells of rounds far ahead raises nobody's round, also where a wiped validator is needed (P1, E17)."""

from bench.sim.keyedhash import KEYED_HASH
from bench.sim.network import Quality
from bench.sim.setting import CREATED_MS, make_setting
from bench.sim.world import World
from node.ledger.params import Params
from tests.byzantine.flooding import round_flood

LIAR, WIPED, CLIENT = 3, 1, 0


def test_rounds_told_ahead_raise_nobody_and_a_wiped_validator_is_back_beside_the_liar() -> None:
    """It tells of up to 200 rounds ahead, fifty times a second, and else does its part."""
    params = Params(created_ms=CREATED_MS, idle_interval_ms=2_000)
    driver = round_flood(1)
    world = World(
        make_setting(4, KEYED_HASH, params=params),
        11,
        quality=Quality((1_000, 3_000)),
        behaviours={LIAR: driver},
    )
    world.start()
    for _ in range(10):
        world.submit(CLIENT)
        world.run(100)
    wiped = world.hosts[WIPED]
    wiped.crash()
    guard, wiped.disk = wiped.disk.guard, world.new_disk()
    wiped.disk.guard = guard
    before = max(host.validator.replica.view().round for host in world.honest if host.up)
    world.run(3_000)
    wiped.start()
    assert world.stored(world.submit(CLIENT), 30_000, 0, 1, 2)
    assert driver.strikes["rounds"] > 50
    for host in world.honest:
        view = host.validator.replica.view()
        assert view.round <= before + 8, "each took a quorum"
    world.checkers.check_blame()
