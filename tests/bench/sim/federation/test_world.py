"""Federations that are hurt: what must be true in the end, and that the same seed is the same run."""

import json
from dataclasses import asdict, replace

import pytest
from click.testing import CliRunner

from bench.sim.command import command
from bench.sim.federation import app
from bench.sim.federation.mesh import command as mesh_command
from bench.sim.federation.mesh import measure
from bench.sim.federation.scenario import (
    DOWN_MS,
    KINDS,
    SHIPPED_KINDS,
    Fault,
    FederationScenario,
    generate,
    mesh,
)
from bench.sim.federation.world import Federation, run
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.lanes import Lane, Mode

CALM_KINDS = tuple(kind for kind in SHIPPED_KINDS if kind != "cluster-down")


@pytest.mark.parametrize("seed", range(4))
def test_nothing_breaks_in_drawn_federations(seed: int) -> None:
    outcome = run(generate(seed, clusters=3, ms=40_000))
    assert outcome.violation is None
    assert outcome.happened["handled"]
    assert outcome.results["OK"]


@pytest.mark.parametrize("seed", [1, 3])
def test_nothing_breaks_in_federations_of_the_shipped_ledger(seed: int) -> None:
    outcome = run(generate(seed, clusters=3, ms=12_000, kinds=CALM_KINDS, is_shipped=True))
    assert outcome.violation is None
    assert outcome.happened["handled"]
    assert outcome.results["OK"]
    assert outcome.struck


def test_a_cluster_with_the_shipped_ledger_is_away_for_ten_minutes_and_nothing_is_lost() -> None:
    faults = (Fault("cluster-down", 8_000, DOWN_MS, 1, 0),)
    scenario = FederationScenario(5, 2, 4, 20_000, mesh(2), faults, pace_ms=6_000, is_shipped=True)
    federation = Federation(scenario)
    outcome = federation.run()
    assert outcome.violation is None
    assert outcome.virtual_ms > DOWN_MS
    assert outcome.results["EXPIRED"]
    living = {cluster.cluster_id: cluster.main.ledger for cluster in federation.clusters}
    assert federation.checkers.open_messages(living) == []


def test_the_shipped_ledger_and_the_model_show_the_same_face() -> None:
    """What couriers, roads, faults and checkers use of a ledger, both have."""
    used = {"cluster_id", "now_ms", "get", "view_of", "held", "admit", "execute", "replayed", "history"}
    used |= {"outbox", "clients", "refused", "blocks", "cache", "watcher", "serving"}
    scenario = FederationScenario(1, 2, 4, 1, mesh(2), ())
    for is_shipped in (False, True):
        ledger = Federation(replace(scenario, is_shipped=is_shipped)).clusters[0].main.ledger
        assert used <= {name for name in dir(ledger) if not name.startswith("_")}


def test_every_kind_of_fault_is_drawn_and_strikes() -> None:
    drawn = {fault.kind for seed in range(40) for fault in generate(seed).faults}
    assert drawn == set(KINDS)
    struck = {kind for seed in range(5) for kind in run(generate(seed, clusters=2, ms=12_000)).struck}
    assert len(struck) >= len(KINDS) - 2


def test_the_same_seed_is_the_same_run() -> None:
    scenario = generate(3, clusters=3, ms=30_000)
    first, second = Federation(scenario), Federation(scenario)
    assert asdict(first.run()) == asdict(second.run())
    for one, other in zip(first.clusters, second.clusters, strict=True):
        assert one.main.ledger.history.leaves == other.main.ledger.history.leaves


def test_a_cluster_away_for_ten_minutes_comes_back_and_nothing_is_lost() -> None:
    faults = (Fault("cluster-down", 10_000, DOWN_MS, 1, 0),)
    federation = Federation(FederationScenario(5, 3, 4, 30_000, mesh(3), faults, pace_ms=4_000))
    outcome = federation.run()
    assert outcome.violation is None
    assert outcome.virtual_ms > DOWN_MS
    assert outcome.results["EXPIRED"]
    living = {cluster.cluster_id: cluster.main.ledger for cluster in federation.clusters}
    assert federation.checkers.open_messages(living) == []


def test_epochs_change_while_others_anchor_and_every_link_is_followed() -> None:
    faults = tuple(Fault("epoch", 4_000 + 3_000 * n, 1_500, 0, 1) for n in range(5))
    federation = Federation(FederationScenario(6, 3, 4, 30_000, mesh(3), faults, pace_ms=300))
    assert federation.run().violation is None
    history = federation.clusters[0].main.ledger.history
    assert history.epoch == 10
    for peer in federation.clusters[1:]:
        client = peer.main.ledger.clients[history.cluster_id]
        assert client.epoch >= 9
        assert client.status is ClientStatus.ACTIVE


def test_a_line_of_clusters_forwards_from_end_to_end() -> None:
    """A, B, C: no road between A and C; what A sends through B is minted at C."""
    scenario = FederationScenario(7, 3, 4, 30_000, ((0, 1), (1, 2)), ())
    federation = Federation(scenario)
    assert federation.run().violation is None
    ends = (federation.clusters[0], federation.clusters[2])
    for one, other in (ends, ends[::-1]):
        assert other.cluster_id not in one.main.ledger.clients
    middle, last = federation.clusters[1].cluster_id, federation.clusters[2].main.ledger
    lanes = [Lane(middle, last.cluster_id, app.PORT, mode) for mode in Mode]
    assert sum(app.amount(last, app.minted_key(lane)) for lane in lanes)


@pytest.mark.parametrize("is_shipped", [False, True], ids=["model", "shipped"])
def test_two_clusters_that_say_nothing_anchor_once_a_heartbeat(is_shipped: bool) -> None:
    scenario = FederationScenario(8, 2, 4, 300_000, mesh(2), (), pace_ms=10_000_000, is_shipped=is_shipped)
    outcome = run(scenario)
    assert outcome.violation is None
    heartbeats = 1 + outcome.virtual_ms // 60_000
    assert outcome.happened["anchored"] <= 2 * heartbeats
    # One header that says it lives, one that anchors the other, and those in which operators admitted it.
    assert all(made <= 2 * heartbeats + 4 for made in outcome.headers.values())
    assert outcome.bundles <= 2 * heartbeats


def test_the_command_explains_one_seed_and_refuses_what_means_nothing() -> None:
    shown = CliRunner().invoke(command, ["--federation", "2", "--seed", "3", "--minutes", "0.2"])
    assert shown.exit_code == 0, shown.output
    assert "nothing broke" in shown.output
    refused = CliRunner().invoke(command, ["--federation", "2", "--seed", "3", "--trace", "x"])
    assert refused.exit_code == 2
    assert "means nothing with --federation" in refused.output


def test_a_round_in_full_mesh_is_counted_and_run_and_both_agree_in_bytes() -> None:
    costs = measure(clusters=6, nodes=7, rounds=2)
    assert costs.anchored == 5
    assert costs.quorum == 5
    assert costs.certified_bytes <= 790
    assert costs.counted_bytes == 5 * costs.certified_bytes
    assert costs.counted_bytes < costs.carried_bytes < 2 * costs.counted_bytes
    assert measure(clusters=2, nodes=4, rounds=1).certified_bytes <= 660


def test_the_mesh_command_prints_what_the_design_expects_beside_what_it_found() -> None:
    shown = CliRunner().invoke(mesh_command, ["--clusters", "3", "--nodes", "4", "--rounds", "1", "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.output)["reference"]["kilobytes"] == 60
