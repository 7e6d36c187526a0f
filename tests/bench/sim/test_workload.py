"""Clients of a world: what they make, what must not be executed of it, and that nothing disturbs them."""

from dataclasses import replace

import pytest

from bench.sim.keyedhash import KEYED_HASH
from bench.sim.scenario import Options, Scenario, generate, world_of
from bench.sim.workload import Clients, Workload

BUSY = Workload(4, 40, 6, 300, 700, 300, 50, 50)


def busy_scenario(**changes: int) -> Scenario:
    """A short one without faults and with every kind of client."""
    drawn = generate(1, Options(faults=(), signatures=KEYED_HASH.name, rounds_per_second=10))
    return replace(drawn, workload=replace(BUSY, **changes))


def played(scenario: Scenario, ms: int = 4_000) -> Clients:
    """The clients after this time."""
    world = world_of(scenario).start()
    clients = Clients(world, scenario.workload, scenario.seed)
    clients.start()
    world.run(ms)
    return clients


def test_every_kind_is_made_and_what_must_not_be_is_never_certified() -> None:
    clients = played(busy_scenario())
    for kind in (
        "honest",
        "twice",
        "supersede",
        "forged",
        "expired",
        "foreign",
        "replayed",
        "garbage",
        "far",
    ):
        assert clients.made[kind] > 0, clients.made
    fates = clients.fates()
    assert 0 < fates["certified"] <= clients.made["honest"]
    for code in ("bad-signature", "expired", "wrong-cluster", "replayed", "malformed", "expiry-too-far"):
        assert fates[f"refused {code}"] > 0, fates


def test_clients_pause_and_stop() -> None:
    scenario = busy_scenario(busy_ms=500, pause_ms=9_500)
    world = world_of(scenario).start()
    clients = Clients(world, scenario.workload, scenario.seed)
    clients.start()
    world.run(600)
    made = clients.made.total()
    assert made > 0
    world.run(9_000)
    assert clients.made.total() == made
    world.run(700)
    assert clients.made.total() > made
    clients.stop()
    made = clients.made.total()
    world.run(300)
    assert clients.made.total() == made


def test_no_clients_make_nothing() -> None:
    assert played(busy_scenario(clients=0), 1_000).made.total() == 0
    assert played(busy_scenario(per_second=0), 1_000).made.total() == 0


def test_a_crash_changes_nothing_in_what_clients_make() -> None:
    scenario = busy_scenario()
    undisturbed = played(scenario).made
    world = world_of(scenario).start()
    clients = Clients(world, scenario.workload, scenario.seed)
    clients.start()
    world.after(300, world.hosts[1].crash)
    world.run(4_000)
    assert clients.made == undisturbed
    assert clients.unheard > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"clients": 5},
        {"clients": -1},
        {"per_second": 10_001},
        {"burst": 0},
        {"size_max": 1_001},
        {"busy_ms": 0},
        {"pause_ms": -1},
        {"twice_percent": 101},
        {"hostile_percent": -1},
    ],
)
def test_a_load_that_makes_no_sense_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        replace(BUSY, **changes)
