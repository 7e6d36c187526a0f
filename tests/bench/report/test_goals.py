"""Which run answers which goal, and with what verdict."""

from dataclasses import replace
from typing import Any

import pytest

from bench.cluster.scenarios import BY_NAME
from bench.report.goals import GOALS, Found, Goal, all_answers, latest
from bench.report.reading import Run, run_of
from tests.bench.report.made_up import GOSSIP, cluster_run, everything, record_of, scale_run

LONE = BY_NAME["lone"]
RUNS = [run_of(record) for record in everything()]


def goal(beginning: str) -> Goal:
    (found,) = (goal for goal in GOALS if goal.name.startswith(beginning))
    return found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("one client", 10.0),
        ("gossip", 6_000.0),
        ("empty rounds", 20.0),
        ("CPU a round", 20.285),
    ],
)
def test_the_latest_run_answers(name: str, value: float) -> None:
    answer = latest(goal(name), RUNS)
    assert answer is not None
    assert answer.found.value == value


def lone_run(p50_ms: float, commit: str | None = None) -> Run:
    record = cluster_run(LONE)
    latency = record.figures["latency_ms"] | {"p50": p50_ms}
    machine = record.machine if commit is None else replace(record.machine, commit=commit)
    return run_of(replace(record, machine=machine, figures={**record.figures, "latency_ms": latency}))


@pytest.mark.parametrize(
    ("values", "median"), [((9.0,), 9.0), ((30.0, 10.0), 30.0), ((30.0, 10.0, 20.0), 20.0)]
)
def test_of_several_runs_of_one_revision_the_median_answers(values: tuple[float, ...], median: float) -> None:
    runs = [lone_run(1.0, "another" * 6), *map(lone_run, values)]
    answer = latest(goal("one client"), runs)
    assert answer is not None
    assert answer.found.value == median


def test_runs_that_carried_too_little_are_the_worst_of_several() -> None:
    runs = [lone_run(10.0), *[run_of(cluster_run(LONE, success=False))] * 2]
    answer = latest(goal("one client"), runs)
    assert answer is not None
    assert answer.found.value is None


@pytest.mark.parametrize(
    "name", ["opaque 512 B, cert", "opaque 512 B at", "committed alone", "honest, certified", "honest at 3"]
)
def test_a_goal_that_nobody_measured_has_no_answer(name: str) -> None:
    # the saturated run did not sync, so it is none of the honest figure
    assert latest(goal(name), RUNS) is None


def test_all_answers_stand_in_the_order_of_the_history() -> None:
    answers = all_answers(goal("one client"), RUNS)
    assert [answer.run.record.is_noisy for answer in answers] == [False, True]


def test_the_pause_that_counts_is_the_one_after_the_fault() -> None:
    answer = latest(goal("leader killed"), RUNS)
    assert answer is not None
    assert answer.found.value == RUNS[2].record.figures["fault"]["pause_ms"]


@pytest.mark.parametrize(
    ("count", "verdict"),
    [
        (0, "aim reached"),
        (1, "aim reached"),
        (2, "below the floor: 2 pauses longer than 250 ms"),
        (None, "aim reached"),
    ],
)
def test_a_killed_leader_may_cost_one_pause(count: int | None, verdict: str) -> None:
    fault = dict(RUNS[2].record.figures["fault"]) | {"pause_count": count}
    run = run_of(cluster_run(BY_NAME["leader-killed"], fault=fault))
    answer = latest(goal("leader killed"), [run])
    assert answer is not None
    assert goal("leader killed").verdict(answer.found) == verdict


@pytest.mark.parametrize(
    ("changed", "value"),
    [
        ({"mode": "opaque", "transaction_bytes": 512}, 120_000.0),
        ({"mode": "opaque", "transaction_bytes": 512, "nodes": 7}, None),
        ({"mode": "opaque", "transaction_bytes": 256}, None),
        ({"mode": "opaque", "transaction_bytes": 512, "scenario": "outstanding-1"}, None),
        ({"mode": "honest", "transaction_bytes": 512}, None),
        ({"mode": "opaque", "transaction_bytes": 512, "promise": "committed"}, None),
    ],
)
def test_opaque_counts_only_as_it_is_meant(changed: dict[str, Any], value: float | None) -> None:
    load = {"kind": "closed", "words": "", "outstanding": 2_000, "per_request": 50}
    told = {"load": load, "scenario": "opaque-saturate", "throughput_tps": 120_000.0}
    run = run_of(cluster_run(LONE, **(told | changed)))
    answer = latest(goal("opaque 512 B, certified"), [run])
    assert (None if answer is None else answer.found.value) == value
    assert latest(goal("one client"), [run]) is None


def test_what_was_verified_and_not_executed_answers_no_goal() -> None:
    for name in ("saturate", "signed-saturate"):
        run = run_of(cluster_run(LONE, scenario=name, mode="signed", transaction_bytes=512))
        assert [each.name for each in GOALS if latest(each, [run])] == []


def test_what_was_only_committed_answers_the_goal_that_says_so_and_no_other() -> None:
    told = {"transaction_bytes": 512, "scenario": "opaque-60k-committed", "mode": "opaque"}
    names = [
        [each.name for each in GOALS if latest(each, [run_of(cluster_run(LONE, **told, promise=promise))])]
        for promise in ("committed", "certified")
    ]
    assert names == [["committed alone: opaque 512 B at 60,000 tx/s, p50"], []]


def test_a_rate_that_was_not_carried_is_no_latency() -> None:
    load = {"kind": "open", "words": "", "rate": 3_000, "per_request": 30, "in_flight": 512}
    changed: dict[str, Any] = {"success": False, "throughput_tps": 1_480.0, "load": load}
    changed["scenario"] = "steady-3000"
    answer = latest(goal("honest at 3,000"), [run_of(cluster_run(LONE, **changed))])
    assert answer is not None
    assert answer.found == Found(None, "not carried: 1,480 of 3,000 tx/s")
    assert goal("honest at 3,000").verdict(answer.found) == "not carried: 1,480 of 3,000 tx/s"


@pytest.mark.parametrize(
    ("name", "value", "verdict"),
    [
        ("honest, certified", 5_500.0, "aim reached"),
        ("honest, certified", 3_000.0, "floor reached"),
        ("honest, certified", 2_999.0, "below the floor"),
        ("one client", 6.0, "aim reached"),
        ("one client", 12.0, "floor reached"),
        ("one client", 12.1, "below the floor"),
    ],
)
def test_verdicts_know_which_way_is_good(name: str, value: float, verdict: str) -> None:
    assert goal(name).verdict(Found(value)) == verdict


def test_every_goal_has_a_floor_that_is_easier_than_its_aim() -> None:
    for each in GOALS:
        assert each.verdict(Found(each.aim)) == "aim reached"
        assert each.verdict(Found(each.floor)) == "floor reached"


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, Found(6_000.0)),
        ({"lost": 7}, Found(None, "7 lost")),
        ({"peers": 5}, None),
        ({"message_bytes": 64}, None),
    ],
)
def test_gossip_counts_as_it_is_meant(changed: dict[str, Any], found: Found | None) -> None:
    answer = latest(goal("gossip"), [run_of(record_of("gossip", "gossip", GOSSIP | changed))])
    assert (None if answer is None else answer.found) == found


def test_an_empty_round_of_a_hundred_is_not_the_figure() -> None:
    figures = dict(scale_run().figures)
    figures["simulated"] = [row for row in figures["simulated"] if row["load"] == "empty"]
    assert latest(goal("CPU a round"), [run_of(record_of("scale", "scale", figures))]) is None
