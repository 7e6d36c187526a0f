"""When a trial looks at a cluster, on a clock that stands still until somebody sleeps."""

import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio.testing

from bench.cluster.ground import Ground
from bench.cluster.outcome import figures_of
from bench.cluster.readings import METRICS_SECONDS
from bench.cluster.scenarios import BY_NAME
from bench.cluster.trial import run_trial


class _Nobody:
    """Follows nothing."""

    def say(self, text: str) -> None:
        pass

    def phase(self, words: str, seconds: float) -> None:
        pass

    def second(self, process: str, heard: Mapping[str, Any]) -> None:
        pass


async def test_a_node_that_does_not_answer_does_not_move_the_window(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    scenario = replace(BY_NAME["idle"], seconds=1.0, warmup_seconds=0.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        ground = Ground({"node0": f"http://127.0.0.1:{mute.getsockname()[1]}"}, bytes(32), (), None)
        trial = await run_trial(ground, scenario, "test", tmp_path, _Nobody(), 0)
    assert trial.work.nodes == {}
    assert trial.work.seconds < METRICS_SECONDS, "CPU is of another time than what clients saw"
    assert figures_of(scenario, trial)["measured_seconds"] == trial.work.seconds
