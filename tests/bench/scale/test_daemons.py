"""Real processes with empty rounds: what is told of them, and that nothing of them is left."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from bench.report.reading import ScaleRun, read_runs
from bench.scale.arithmetic import predict
from bench.scale.command import command
from bench.yardstick import SignatureCost
from tests.endtoend.running import reap

BENCH = (sys.executable, "-c", "from bench.main import main; main()", "scale", "--nodes", "none")


def test_two_daemons_tell_their_rounds_and_the_report_reads_them(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    asked = ["--nodes", "none", "--processes", "2", "--seconds", "1", "--json", "--record", str(history)]
    ended = CliRunner().invoke(command, asked)
    assert ended.exit_code == 0, ended.output
    (row,) = json.loads(ended.stdout)["processes"]
    assert (row["nodes"], row["fsync"], row["problems"]) == (2, True, [])
    assert row["rounds"] > 0
    assert row["rounds_per_second"] > 0
    assert row["bytes"] > 0
    assert row["headers"] == 0, "an empty block has none"
    predicted = predict(2, 0.0, SignatureCost(row["verify_us"], 0.0))
    assert row["predicted"]["verifies"] == predicted.verifies
    assert row["predicted"]["bytes"] == predicted.bytes <= row["bytes"]
    assert row["predicted"]["crypto_us"] > predicted.crypto_us > 0
    (run,) = read_runs(history)
    assert isinstance(run, ScaleRun)
    (size,) = run.real
    assert (size.nodes, size.cpu_us) == (2, row["cpu_us"])
    assert size.predicted_us == row["predicted"]["crypto_us"]
    assert run.record.scenario == "scale nodes=none processes=2 seconds=1"


def test_ctrl_c_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    process = subprocess.Popen(
        (*BENCH, "--processes", "2", "--seconds", "300"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stderr is not None
    while "measuring" not in (line := process.stderr.readline()):
        assert line, "it ended before it measured"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; there are no figures" in said
    assert reap(process.pid) == []
    assert list(tmp_path.iterdir()) == []
