"""What several trials are called together: figures of one label can be compared, and no others."""

from pathlib import Path

import pytest

from bench.cluster.command import command as cluster
from bench.cluster.knee import Knee
from bench.cluster.options import scenario_of
from bench.cluster.scenarios import BY_NAME
from bench.cluster.task import Done, figures_of, task_of
from tests.bench.cluster.made_up import LOUD, outcome_of, trial_at


def labelled(*arguments: str) -> str:
    """The label of what these arguments measure."""
    with cluster.make_context("cluster", list(arguments)) as context:
        task = task_of(context.params, scenario_of(context.params), Path("nowhere"))
    outcome = outcome_of(task.scenario, trial_at(100))
    knee = None if task.search is None else Knee(100, 120, ((100, True),))
    label = figures_of(task, Done((outcome,), knee))["scenario"]
    assert isinstance(label, str)
    return label


def test_noise_that_was_found_later_marks_every_trial() -> None:
    quiet = Done((outcome_of(BY_NAME["lone"], trial_at(100)),) * 2, None)
    assert not any(outcome.noise.is_noisy for outcome in quiet.outcomes)
    assert all(outcome.to_json()["noise"]["is_noisy"] for outcome in quiet.on(LOUD).outcomes)


@pytest.mark.parametrize(
    ("arguments", "label"),
    [
        ("--knee", "knee"),
        ("--knee --mode opaque", "knee"),
        ("--knee --scenario large", "knee large"),
        ("--knee --scenario opaque-60k-committed", "knee opaque-60k-committed"),
        ("--knee --p99-ms 500", "knee"),
        ("--knee --p99-ms 50.5 --nodes 7", "knee p99_ms=50.5 nodes=7"),
        ("--knee --per-request 1 --no-fsync", "knee per_request=1 fsync=False"),
        ("--rates 100,200", "rates-100-200"),
        ("--rates 100,200 --scenario idle-rounds", "rates-100-200 idle-rounds"),
        ("--rates 100 --per-request 7", "rates-100 per_request=7"),
        ("--rate 100 --per-request 7", "steady-100 per_request=7"),
    ],
)
def test_whatever_differs_stands_in_the_label(arguments: str, label: str) -> None:
    assert labelled(*arguments.split()) == label
