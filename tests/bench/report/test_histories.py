"""Figures over the commits: what was taken twice has a picture, noise and changed sources are visible."""

from dataclasses import replace

from bench.cluster.scenarios import BY_NAME
from bench.report.histories import histories
from bench.report.picture import Picture
from bench.report.reading import run_of
from bench.results import Record
from tests.bench.cluster.made_up import LOUD, MACHINE
from tests.bench.report.made_up import cluster_run, micro_run, profile_run

LONE = BY_NAME["lone"]


def pictures_of(*records: Record) -> dict[str, Picture]:
    return {picture.lines[0].label: picture for picture in histories([run_of(record) for record in records])}


def test_a_goal_has_its_picture_from_the_first_run_with_floor_and_aim() -> None:
    (picture,) = pictures_of(cluster_run(LONE)).values()
    assert picture.horizontals == ((12, "floor 12 ms"), (6, "aim 6 ms"))
    assert picture.lines[0].points == ((0.0, 10.0),)


def test_other_figures_need_two_runs_of_one_label() -> None:
    once = pictures_of(cluster_run(LONE), profile_run())
    assert len(once) == 1
    twice = pictures_of(cluster_run(LONE), profile_run(), cluster_run(LONE), profile_run())
    cpu = twice["honest lone: CPU a transaction, daemons"]
    daemons_us = cluster_run(LONE).figures["cpu_us_per_transaction"]["daemons"]
    assert cpu.lines[0].points == ((0.0, daemons_us), (1.0, daemons_us))
    assert twice["bulk: profile: CPU"].lines[0].points == ((0.0, 1_000.0), (1.0, 1_000.0))


def test_noisy_runs_are_hollow_and_changed_sources_have_a_plus() -> None:
    changed = replace(cluster_run(LONE), machine=replace(MACHINE, dirty=True))
    picture = next(iter(pictures_of(cluster_run(LONE), cluster_run(LONE, LOUD), changed).values()))
    assert picture.lines[0].hollow == {1}
    assert [name for _, name in picture.x_ticks] == ["0123456", "0123456", "0123456+"]
    assert "changed sources" in picture.title


def test_a_rate_that_was_not_carried_is_no_point() -> None:
    assert pictures_of(cluster_run(LONE, success=False)) == {}


def test_operations_are_relative_to_their_first_figure() -> None:
    first, second = micro_run(), micro_run()
    subjects = [dict(row) for row in second.figures["subjects"]]
    subjects[1]["median_us"] = 28.7
    second = replace(second, figures={"subjects": subjects})
    (picture,) = histories([run_of(first), run_of(second)])
    assert picture.title == "single operations: ed25519"
    lines = {line.label: line.points for line in picture.lines}
    assert lines == {
        "ed25519/verify": ((0.0, 1.0), (1.0, 0.5)),
        "ed25519/sign": ((0.0, 1.0), (1.0, 1.0)),
    }


def test_an_operation_that_was_measured_once_has_no_history() -> None:
    assert histories([run_of(micro_run())]) == []
