"""A feature comes into force under load: nothing is lost, and older software stops at the border."""

from functools import partial

import pytest

from bench.sim.operators import Operators
from bench.sim.remembered import remembered
from bench.sim.setting import make_setting
from bench.sim.world import World
from node.ledger.codes import Code
from node.ledger.features import REVOCABLE_APPROVALS, UpgradeNeeded
from node.ledger.governance.changes import EnableFeature
from node.ledger.transactions import Transaction
from node.validator import Refusal

HEAL_MS = 30_000


def make_world(seed: int) -> tuple[World, Operators, list[Transaction]]:
    """Four validators that run, with clients that go on for two seconds."""
    world = World(make_setting(4, remembered()), seed)
    for host in world.hosts:
        host.start()
    load: list[Transaction] = []

    def submit(number: int) -> None:
        host = world.hosts[number % 3]
        if host.up:
            load.extend(world.submit(host.place))
        if number < 30:
            world.after(20, partial(submit, number + 1))

    assert world.stored(world.submit(0), 5_000, 0)
    submit(0)
    return world, Operators(world), load


def test_a_feature_comes_into_force_everywhere_under_load_and_nothing_is_lost() -> None:
    world, operators, load = make_world(1)
    assert operators.decide(EnableFeature(REVOCABLE_APPROVALS)) == 1
    assert world.run(HEAL_MS, lambda: world.everywhere(load))
    world.settle(HEAL_MS)
    assert [host.validator.data.line.features for host in world.hosts] == [(REVOCABLE_APPROVALS,)] * 4
    assert {host.validator.term.epoch for host in world.hosts} == {1}
    world.checkers.check_blame()


def test_older_software_stops_at_the_border_and_newer_takes_its_place() -> None:
    world, operators, load = make_world(2)
    old = world.hosts[3]
    old.validator.data.line._ledger._known_features = ()  # what an older release knows
    proposed, proposal_id = operators.propose((EnableFeature(REVOCABLE_APPROVALS),))
    assert world.stored([proposed], 5_000, 0)
    operators.approve(proposal_id)
    with pytest.raises(UpgradeNeeded, match=REVOCABLE_APPROVALS):
        world.run(5_000, lambda: False)
    border = old.validator.data.line.executed_height
    record = old.validator.replica.view()
    assert (record.epoch, old.validator.term.epoch) == (0, 0)
    old.crash()
    assert world.run(HEAL_MS, lambda: world.hosts[0].validator.term.epoch == 1)
    assert world.stored(world.submit(0), HEAL_MS, 0)
    assert world.hosts[0].height > border
    old.start()
    assert world.run(HEAL_MS, lambda: world.everywhere(load))
    world.settle(HEAL_MS)
    assert {host.validator.term.epoch for host in world.hosts} == {1}
    world.checkers.check_blame()


def test_the_door_refuses_what_this_release_does_not_know_and_what_is_not_in_force() -> None:
    world, operators, _ = make_world(3)
    first, *_ = operators.roster(world.hosts[0]).validators
    later = operators.sign(first.operator_key, "propose", ((16, "of-a-later-release"),), 0)
    early = operators.sign(first.operator_key, "revoke", bytes(32))
    ticket = world.hosts[0].submit(later, early)
    assert world.run(HEAL_MS, lambda: ticket in world.hosts[0].answers)
    outcomes = world.hosts[0].answers[ticket]
    assert [o.code for o in outcomes if isinstance(o, Refusal)] == [Code.FEATURE_UNKNOWN, Code.UNKNOWN_METHOD]
