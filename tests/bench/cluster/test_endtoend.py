"""The whole command with real daemons, for a moment each: its JSON, a cluster of others, and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from bench.cluster.command import command
from bench.results import read_history
from node.client import Client
from node.local.testnet import Testnet
from tests.endtoend.running import RunningCluster, reap, write_cluster

BENCH = (sys.executable, "-c", "from bench.main import main; main()", "cluster")
TWO_S = ("--seconds", "1", "--warmup", "0.5")


def started(*arguments: str) -> "subprocess.Popen[str]":
    """The command in a process group of its own, whose members can be counted at its end."""
    pipe = subprocess.PIPE
    return subprocess.Popen((*BENCH, *arguments), stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def descendants(text: str) -> list[int]:
    """The processes of the machine whose command line holds a text."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and text in (entry / "cmdline").read_bytes().decode(errors="replace"):
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def test_one_object_with_all_figures_and_nothing_left_behind(tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    record = tmp_path / "history.jsonl"
    kept = ("--keep", str(keep), "--record", str(record))
    process = started("--rate", "40", "--clients", "3", *TWO_S, "--json", *kept)
    told, said = process.communicate(timeout=120)
    figures: dict[str, Any] = json.loads(told)
    assert process.returncode == (0 if figures["success"] else 1), said
    assert figures["scenario"] == "steady-40 seconds=1.0 warmup_seconds=0.5 clients=3"
    assert figures["latency_ms"]["count"] == 40
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p90"] <= figures["latency_ms"]["p99"]
    assert figures["failed"] == {}
    assert figures["throughput_tps"] > 0
    assert {"node0", "node3", "load0", "bench"} <= set(figures["cpu_seconds"]) & set(figures["rss_bytes"])
    assert set(figures["node_work"]) == {f"node{number}" for number in range(4)}
    assert set(figures["node_work"]["node0"]["link_bytes"]) == {"node1", "node2", "node3"}
    assert all(count > 0 for count in figures["node_work"]["node0"]["link_bytes"].values())
    assert (keep / "net" / "node0").is_dir()
    (recorded,) = read_history(record)
    assert (recorded.bench, recorded.scenario) == ("cluster", figures["scenario"])
    assert recorded.figures["throughput_tps"] == figures["throughput_tps"]
    assert reap(process.pid) == []
    assert descendants(str(keep)) == []


def attach(testnet: Testnet, *arguments: str) -> dict[str, Any]:
    """What the command prints about a cluster that runs already."""
    urls = ",".join(node.url for node in testnet.nodes)
    where = ("--attach", urls, "--key", str(testnet.client_key_file))
    ended = CliRunner().invoke(command, [*where, *arguments, "--json"])
    figures: dict[str, Any] = json.loads(ended.stdout)
    assert "latency_ms" in figures, figures["problems"]
    assert ended.exit_code == (0 if figures["success"] else 1), ended.output
    return figures


def test_a_running_cluster_is_driven_twice_and_left_running(tmp_path: Path) -> None:
    cluster = RunningCluster(write_cluster(tmp_path / "net", nodes=1))
    try:
        cluster.start_missing()
        with Client([cluster.testnet.nodes[0].url]) as client:
            client.wait_ready(60_000)
        lone = attach(cluster.testnet, "--scenario", "lone", *TWO_S)
        rates = attach(cluster.testnet, "--rates", "20,40", *TWO_S)
        assert cluster.running() == ("node0",)
    finally:
        cluster.close()
    assert (lone["attached"], lone["nodes"], lone["failed"]) == (True, 1, {})
    assert lone["latency_ms"]["count"] > 0
    assert set(lone["cpu_seconds"]) == {"load0", "bench"}
    assert lone["cpu_us_per_transaction"] is None
    assert [trial["load"]["rate"] for trial in rates["trials"]] == [20, 40]
    assert all(trial["failed"] == {} for trial in rates["trials"])


def test_nobody_at_the_url_is_one_sentence(tmp_path: Path) -> None:
    key = write_cluster(tmp_path / "net", nodes=1).client_key_file
    ended = CliRunner().invoke(command, ["--attach", "http://127.0.0.1:9", "--key", str(key)])
    assert ended.exit_code == 1
    assert "Error: there are no figures: No node answers at http://127.0.0.1:9" in ended.stderr


def test_ctrl_c_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        (*BENCH, "--nodes", "1", "--rate", "20", "--seconds", "300"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment,
    )
    assert process.stderr is not None
    while "warming up" not in (line := process.stderr.readline()):
        assert line, "it ended before it measured"
    (folder,) = tmp_path.glob("isthmus-cluster-*")
    assert descendants(str(folder))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in said
    assert descendants(str(folder)) == []
    assert reap(process.pid) == []
    assert not folder.exists()
