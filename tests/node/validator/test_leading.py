"""C12 in whole worlds, under all checkers: dead, slow and lying leaders, returns, restarts, borders."""

from collections import Counter

import pytest

from bench.sim.absence import be_absent, spread
from bench.sim.host import Host
from bench.sim.keyedhash import KEYED_HASH
from bench.sim.operators import Operators
from bench.sim.setting import CREATED_MS, make_setting
from bench.sim.world import World
from consensus import MessageKind, ReplicaView
from node import wire
from node.ledger.governance.changes import Reweigh
from node.ledger.params import Params
from tests.byzantine.silence import leader_but_to_its_successor, leader_to_one, silent_leader

FAST = Params(created_ms=CREATED_MS, idle_interval_ms=20)


def busy(world: World, *places: int) -> World:
    """Started, with a transaction every 40 ms at one of these places."""
    world.start()

    def ask() -> None:
        world.hosts[world.random.choice(places)].submit(world.transaction())
        world.after(40, ask)

    ask()
    return world


def view(host: Host) -> ReplicaView:
    return host.validator.replica.view()


def given_up(host: Host) -> int:
    return sum(count for _, count in view(host).timeouts_by_reason)


# --- dead and back --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("nodes", "dead", "ms"), [(4, 1, 4_000), (7, 2, 5_000), (10, 3, 5_000)])
def test_dead_validators_cost_their_rounds_once_and_lead_again_when_they_are_back(
    nodes: int, dead: int, ms: int
) -> None:
    found = be_absent(nodes, spread(nodes, dead), ms)
    found.judge()
    assert found.rounds > 2 * nodes
    assert found.lost_late == 0


def test_who_was_cut_off_for_long_agrees_on_the_leader_as_soon_as_it_holds_the_chain() -> None:
    """It catches up by headers, holds one block of the last minute, and knows who is left out: itself."""
    world = busy(World(make_setting(4, KEYED_HASH, params=FAST), 1), 0, 1, 2)
    world.run(1_000)
    world.hosts[3].crash()
    world.run(6_000)
    assert view(world.hosts[0]).left_out == (3,)
    heights = world.hosts[0].height - world.hosts[3].height
    assert heights > FAST.certification_lag_max, "or it would walk the blocks"
    world.hosts[3].start()
    assert world.run(3_000, lambda: view(world.hosts[3]).round >= view(world.hosts[0]).round > 0)
    assert world.run(3_000, lambda: view(world.hosts[3]).leader == 3)
    world.checkers.check_blame()


def test_all_restarted_hosts_know_who_is_dead() -> None:
    world = busy(World(make_setting(4, KEYED_HASH, params=FAST), 2), 0, 1, 3)
    world.run(1_000)
    world.hosts[2].crash()
    world.run(2_000)
    alive = [world.hosts[place] for place in (0, 1, 3)]
    assert [view(host).left_out for host in alive] == [(2,)] * 3
    for host in alive:
        host.crash()
    for host in alive:
        host.start()
    world.run(2_000)
    before = [given_up(host) for host in alive]
    world.run(3_000)
    assert [view(host).left_out for host in alive] == [(2,)] * 3
    assert [given_up(host) for host in alive] == before


def test_a_new_epoch_begins_with_everybody_and_finds_out_again() -> None:  # C4
    world = busy(World(make_setting(4, KEYED_HASH, params=FAST), 3), 0, 1, 2)
    world.run(1_000)
    world.hosts[3].crash()
    world.run(2_000)
    assert view(world.hosts[0]).left_out == (3,)
    operators = Operators(world)
    chosen = operators.roster(world.hosts[0]).validators[0]
    _, proposal_id = operators.propose([Reweigh(chosen.name, 2)], 0)
    world.run(500)
    operators.approve(proposal_id, 0)
    assert world.run(5_000, lambda: view(world.hosts[0]).epoch == 1)
    assert world.run(5_000, lambda: view(world.hosts[0]).left_out == (3,))
    world.hosts[3].start()
    assert world.run(8_000, lambda: view(world.hosts[3]).epoch == 1 and view(world.hosts[3]).leader == 3)
    world.checkers.check_blame()


# --- clocks and back-off ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "skews_ms", [(0, 400, -400, 200), (0, 180_000, -3_600_000, 5_000), (20_000, 20_000, 20_000, 0)]
)
def test_all_hosts_restarted_with_skewed_clocks_commit_again_by_themselves(
    skews_ms: tuple[int, ...],
) -> None:
    world = World(make_setting(4, KEYED_HASH, params=FAST), 4).start()
    assert world.stored(world.submit(0), 2_000)
    for host in world.hosts:
        host.crash()
    world.run(5_000)
    for host, skew_ms in zip(world.hosts, skews_ms, strict=True):
        host.skew_ms = skew_ms
        host.start()
        world.run(150)
    right = skews_ms.index(0)
    assert world.stored(world.submit(right), 15_000)


def test_rounds_that_fail_for_minutes_last_no_longer_than_the_maximum_and_commits_shorten_them() -> None:
    """C11: all proposals are lost; timeouts and votes are not, so that every round ends by its TC."""
    world = World(make_setting(4, KEYED_HASH, params=FAST), 5).start()
    assert world.stored(world.submit(0), 2_000)
    world.network.filter = _without_proposals
    sent = world.submit(1)
    world.run(400_000)
    assert {view(host).round_timeout_ms for host in world.hosts} == {30_000}
    world.network.filter = lambda *frame: True
    later = world.submit(2)
    assert world.stored(later, 31_000), "one longest round at most"
    assert not world.stored(sent, 0), "what waited longer than it lived is not ordered any more"
    for _ in range(30):
        assert world.stored(world.submit(0), 2_000)
    assert all(view(host).failed_rounds == 0 for host in world.hosts)
    assert all(view(host).round_timeout_ms <= 4 * 600 for host in world.hosts)


def _without_proposals(source: Host, target: Host, topic: int, body: bytes) -> bool:
    return topic != wire.Code.AGREEMENT or body[1] != MessageKind.PROPOSAL


# --- liars ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", [silent_leader, leader_to_one])
def test_a_liar_that_votes_and_wastes_its_rounds_is_left_out_and_nobody_honest_with_it(
    driver: object,
) -> None:
    """n = 7, two liars: their rounds fail a few times, then the waits between their turns grow; whoever is
    honest leads in every cycle."""
    assert callable(driver)
    world = busy(
        World(make_setting(7, KEYED_HASH, params=FAST), 6, behaviours={3: driver(1), 5: driver(2)}), 0, 1, 2
    )
    led: Counter[int] = Counter()
    left_out: Counter[int] = Counter()

    def look() -> None:
        seen = view(world.hosts[0])
        led[seen.leader] += 1
        left_out.update(seen.left_out)
        world.after(5, look)

    look()
    world.run(7_000)
    assert given_up(world.hosts[0]) <= 16
    assert view(world.hosts[0]).round > 150
    assert set(left_out) <= {3, 5}
    assert all(led[place] for place in (0, 1, 2, 4, 6))


def test_a_leader_that_proposes_to_all_but_its_successor_costs_nobody_a_round() -> None:
    """The first validator, whom all would ask first if they asked in one order: its successor got a
    strike for each round that it could not propose in, and the cluster made four rounds a second."""
    liar = leader_but_to_its_successor(1)
    world = busy(World(make_setting(4, KEYED_HASH, params=FAST), 6, behaviours={0: liar}), 1, 2, 3)
    world.run(4_000)
    assert liar.strikes["withheld"] > 30
    assert [given_up(host) for host in world.hosts[1:]] == [0, 0, 0]
    assert view(world.hosts[1]).round > 150
    assert view(world.hosts[1]).left_out == ()
