"""The harness as scripts call it, once for a moment: the object's shape, and never a time."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.report.reading import ClusterRun, read_runs

BENCH = (sys.executable, "-c", "from bench.main import main; main()")
MINUTES_MAX = 3
NODES = ("node0", "node1", "node2", "node3")


@pytest.mark.parametrize(("mode", "transaction_bytes"), [("honest", 200), ("signed", 512), ("opaque", 512)])
def test_a_cluster_of_four_is_measured_for_two_seconds(
    mode: str, transaction_bytes: int, tmp_path: Path
) -> None:
    history = tmp_path / "history.jsonl"
    asked = ("cluster", "--mode", mode, "--nodes", "4", "--seconds", "2", "--warmup", "0.5", "--json")
    told = ("--record", str(history))
    ended = subprocess.run(
        (*BENCH, *asked, *told), capture_output=True, text=True, check=False, timeout=60 * MINUTES_MAX
    )
    lines = ended.stdout.splitlines()
    assert len(lines) == 1, ended.stderr
    figures: dict[str, Any] = json.loads(lines[0])
    assert ended.returncode == (0 if figures["success"] else 1), ended.stderr
    assert figures["success"] == (not figures["problems"])
    assert (figures["mode"], figures["nodes"], figures["seconds"], figures["fsync"]) == (mode, 4, 2.0, True)
    latency = figures["latency_ms"]
    if latency is None:  # a machine that is busy enough certifies nothing in two seconds, and that is told
        assert figures["problems"]
    else:
        assert latency["count"] > 0
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
        if mode != "honest":  # a sample is a request, and counts as all that it carries
            assert latency["count"] % figures["load"]["per_request"] == 0
    assert figures["throughput_tps"] >= 0
    assert figures["transaction_bytes"] >= transaction_bytes
    for by_process in (figures["cpu_seconds"], figures["rss_bytes"]):
        assert set(NODES) <= set(by_process)
        assert all(amount >= 0 for amount in by_process.values())
    assert {"commit", "cpu", "cores", "kernel", "python"} <= set(figures["machine"])
    assert figures["noise"]["is_noisy"] in (True, False)
    (run,) = read_runs(history)
    assert isinstance(run, ClusterRun)
    assert run.trial.throughput_tps == figures["throughput_tps"]
    assert run.trial.transaction_bytes == figures["transaction_bytes"]
    assert ("OPAQUE" in run.marks) == (mode == "opaque")
    assert ("SIGNED, NOT EXECUTED" in run.marks) == (mode == "signed")
