"""When a node counts as following: in a world of virtual time, restarted while clients go on."""

import pytest

from bench.sim.keyedhash import KEYED_HASH
from bench.sim.setting import CREATED_MS, make_setting
from bench.sim.world import Pace, World
from consensus import Status, ValidatorIndex
from node.daemon.nearness import NEAR_HEIGHTS, Nearness, vouched_height
from node.ledger.params import Params
from node.wire import Code, agreement_message
from tests.consensus.forge import VALIDATORS

FAR_HEIGHTS = 32


def loaded(seed: int = 1) -> World:
    """A started cluster that is given a transaction each 20 ms, and whose databases are slow."""
    params = Params(created_ms=CREATED_MS, idle_interval_ms=20, certification_lag_max=FAR_HEIGHTS)
    world = World(make_setting(4, KEYED_HASH, params=params), seed, pace=Pace(flush_us=40_000)).start()

    def ask() -> None:
        world.hosts[world.elapsed_ms % 3].submit(world.transaction())
        world.after(20, ask)

    ask()
    assert world.run(5_000, lambda: world.hosts[0].height > 5)
    return world


def follow(world: World, nearness: Nearness, duration_ms: int) -> list[str | None]:
    """What host 3 says each 10 ms. It is never told near while it is far or has no part in agreement."""
    victim, said = world.hosts[3], list[str | None]()
    for _ in range(duration_ms // 10):
        world.run(10)
        reason = nearness.reason(victim.validator, victim.height)
        said.append(reason)
        if reason is None:
            view = victim.validator.replica.view()
            assert world.hosts[0].height - victim.height <= FAR_HEIGHTS + NEAR_HEIGHTS
            assert view.behind_height is None
            assert view.committed_height >= view.certified_height - FAR_HEIGHTS
    return said


@pytest.mark.parametrize("away_ms", [200, 2_000])
def test_a_restarted_node_follows_soon_and_is_told_so_once(away_ms: int) -> None:
    world = loaded()
    world.hosts[3].crash()
    world.run(away_ms)
    world.hosts[3].start()
    said = follow(world, Nearness(FAR_HEIGHTS), 2_000)
    first = said.index(None)
    assert first < 100, said[:100]
    assert said[first:] == [None] * len(said[first:])
    before = world.hosts[3].validator.replica.view().last_voted_round
    world.run(500)
    assert world.hosts[3].validator.replica.view().last_voted_round > before


def test_links_alone_do_not_make_a_node_near_which_has_heard_of_nobody() -> None:
    world = loaded()
    world.partition((0, 1, 2), (3,))
    world.run(500)
    nearness = Nearness(FAR_HEIGHTS)
    world.heal()
    assert world.hosts[3].validator.reachable_weight() == 4
    reason = nearness.reason(world.hosts[3].validator, world.hosts[3].height)
    assert reason is not None
    assert "of weight 1 of 4" in reason
    assert follow(world, nearness, 1_000)[-1] is None


def test_who_others_say_is_far_behind_is_not_near_although_it_has_no_certificate_of_it() -> None:
    world = loaded()
    world.partition((0, 1, 2), (3,))
    world.run(1_500)
    world.heal()
    world.network.filter = lambda source, target, topic, body: (
        topic == Code.AGREEMENT and isinstance(agreement_message(topic, body), Status)
    )
    said = follow(world, Nearness(FAR_HEIGHTS), 500)
    view = world.hosts[3].validator.replica.view()
    assert view.behind_height is None
    assert view.certified_height < world.hosts[0].height - FAR_HEIGHTS
    assert None not in said
    assert said[-1] is not None
    assert "it is behind" in said[-1]


def test_who_is_near_stays_so_within_the_longer_distance() -> None:
    world = loaded()
    victim, nearness = world.hosts[3].validator, Nearness(FAR_HEIGHTS)
    world.run(1_000)
    known = victim.replica.view().certified_height
    assert nearness.reason(victim, known - NEAR_HEIGHTS - 2) is not None
    assert nearness.reason(victim, known) is None
    assert nearness.reason(victim, known - FAR_HEIGHTS + 2) is None
    assert nearness.reason(victim, known - FAR_HEIGHTS - 2) is not None
    assert nearness.reason(victim, known - FAR_HEIGHTS + 2) is not None


def test_who_fell_behind_is_let_in_by_the_shorter_distance_again_whenever_it_was_asked() -> None:
    world = loaded(seed=3)
    victim, nearness = world.hosts[3], Nearness(FAR_HEIGHTS)
    world.run(500)
    assert nearness.reason(victim.validator, victim.height) is None
    world.partition((0, 1, 2), (3,))
    world.run(2_500)
    world.heal()
    while nearness.reason(victim.validator, victim.height) is not None:
        world.run(5)
    assert world.hosts[0].validator.replica.view().certified_height - victim.height <= NEAR_HEIGHTS


def test_a_height_is_vouched_for_by_a_blocking_set_and_by_nobody_less() -> None:
    a, b, c = (ValidatorIndex(index) for index in range(3))
    assert len(VALIDATORS) == 4
    assert vouched_height([], VALIDATORS) == 0
    assert vouched_height([(9_999, a)], VALIDATORS) == 0
    assert vouched_height([(9_999, a), (70, b), (60, c)], VALIDATORS) == 70
