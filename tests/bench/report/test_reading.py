"""Lines become typed runs with their marks, or are refused by number."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.cluster.scenarios import BY_NAME
from bench.report.reading import (
    ClusterRun,
    MicroRun,
    OtherRun,
    ProfileRun,
    ScaleRun,
    read_runs,
    run_of,
)
from bench.results import HistoryError, append
from tests.bench.cluster.made_up import LOUD, MACHINE
from tests.bench.report.made_up import cluster_run, everything, rates_run, record_of, scale_run, written

LONE = BY_NAME["lone"]


def test_every_command_s_lines_become_runs_of_their_kind(tmp_path: Path) -> None:
    runs = read_runs(written(tmp_path / "history.jsonl", everything()))
    kinds = [ClusterRun] * 6 + [ScaleRun, MicroRun, ProfileRun, OtherRun]
    assert [type(run) for run in runs] == kinds


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"throughput_tps": "many"}, "figures.throughput_tps must be a number, not 'many'"),
        ({"throughput_tps": True}, "figures.throughput_tps must be a number, not True"),
        ({"mode": None}, "figures.mode must be text"),
        ({"latency_ms": {"p50": 1.0, "p90": 2.0}}, "figures.latency_ms.p99 is missing"),
        ({"distribution_ms": [[0.5, 1.0], [0.9]]}, r"figures.distribution_ms\[1\] must be a pair"),
        ({"distribution_ms": [[0.5, "slow"]]}, r"distribution_ms\[0\].ms must be a number"),
        ({"series": [7]}, r"figures.series\[0\] must be an object"),
        ({"fault": {"words": "gone"}}, "figures.fault.at_s is missing"),
        ({"trials": {}}, "figures.trials must be a list"),
        ({"trials": [{}]}, r"figures.trials\[0\]"),
        ({"problems": [1]}, "figures.problems must be a list of texts"),
    ],
)
def test_a_figure_of_the_wrong_type_names_its_line_and_place(
    tmp_path: Path, changed: dict[str, Any], sentence: str
) -> None:
    history = written(tmp_path / "history.jsonl", [cluster_run(LONE), cluster_run(LONE, **changed)])
    with pytest.raises(HistoryError, match=f"history.jsonl, line 2: .*{sentence}"):
        read_runs(history)


def test_a_bad_line_of_another_command_is_refused_too(tmp_path: Path) -> None:
    history = written(tmp_path / "history.jsonl", [scale_run()])
    append(record_of("micro", "micro", {"subjects": [{"name": "x"}]}), history)
    with pytest.raises(HistoryError, match=r"line 2: figures.subjects\[0\].unit is missing"):
        read_runs(history)


def test_what_is_not_like_other_runs_is_marked() -> None:
    assert run_of(cluster_run(LONE)).marks == ()
    assert run_of(cluster_run(LONE, LOUD)).marks == ("NOISY MACHINE",)
    unlike = cluster_run(LONE, mode="opaque", fsync=False, proxied=True, attached=True, success=False)
    told = ("OPAQUE", "NO FSYNC", "through proxies", "cluster elsewhere", "NOT CARRIED")
    assert run_of(unlike).marks == told
    assert run_of(cluster_run(LONE, promise="committed")).marks == ("COMMITTED, not certified",)
    assert run_of(cluster_run(LONE, namespaced=True)).marks == ("through namespaces",)
    older = cluster_run(LONE)
    del older.figures["promise"]  # type: ignore[attr-defined]  # a line from before there was a choice
    del older.figures["namespaced"]  # type: ignore[attr-defined]  # and from before packets could be lost
    assert run_of(older) == replace(run_of(cluster_run(LONE)), record=older)
    dirty = replace(cluster_run(LONE), machine=replace(MACHINE, commit=None, dirty=True))
    assert run_of(dirty).marks == ("changed sources", "no commit")


def test_a_run_that_verified_and_did_not_execute_is_marked() -> None:
    signed = run_of(cluster_run(LONE, mode="signed"))
    assert signed.marks == ("SIGNED, NOT EXECUTED",)


def test_an_opaque_profile_is_marked_and_an_older_line_is_honest() -> None:
    older = next(record for record in everything() if record.bench == "profile")
    opaque = replace(older, figures={**older.figures, "mode": "opaque"})
    assert run_of(older).marks == ()
    assert run_of(opaque).marks == ("OPAQUE",)


def test_a_profile_of_a_scenario_has_the_marks_of_its_trial() -> None:
    trial = cluster_run(LONE, mode="opaque", promise="committed", success=False).figures
    older = next(record for record in everything() if record.bench == "profile")
    profile = run_of(replace(older, figures={**trial, **older.figures}))
    assert isinstance(profile, ProfileRun)
    assert profile.phases_us == {"crypto": 600.0, "ledger": 400.0, "HTTP": 0.0}
    assert profile.marks == ("OPAQUE", "COMMITTED, not certified", "NOT CARRIED")


def test_a_row_of_rates_keeps_its_trials() -> None:
    run = run_of(rates_run())
    assert isinstance(run, ClusterRun)
    assert [trial.throughput_tps for trial in run.trials] == [100.0, 200.0, 300.0]
    assert [trial.success for trial in run.trials] == [True, True, False]


@pytest.mark.parametrize(
    ("label", "is_usual"),
    [
        ("lone", True),
        ("lone seconds=8.0 warmup_seconds=1.0", True),
        ("lone nodes=7", False),
        ("saturate batch_bytes=65536", False),
    ],
)
def test_a_run_with_other_options_is_no_answer_to_a_goal(label: str, is_usual: bool) -> None:
    run = run_of(cluster_run(LONE, scenario=label))
    assert isinstance(run, ClusterRun)
    assert run.trial.is_usual is is_usual
