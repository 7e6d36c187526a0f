"""The example for a job engine: the shell lines in it do what the page says, shard by shard."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from bench.sim.sweep import merge, read_results

ROOT = Path(__file__).resolve().parents[3]
MANIFEST = ROOT / "deploy" / "kubernetes" / "sim-sweep.yaml"


def script() -> str:
    """What a pod of the sweep runs."""
    found = re.search(r"args:\n +- \|\n((?: {14}.*\n)+)", MANIFEST.read_text(encoding="utf-8"))
    assert found is not None
    return textwrap.dedent(found[1])


def test_shards_of_the_example_follow_each_other_and_merge(tmp_path: Path) -> None:
    command = tmp_path / "isthmus-bench"
    command.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "from bench.main import main; main()" "$@"\n', encoding="utf-8"
    )
    command.chmod(0o755)
    short = script().replace("--minutes 0.5", "--minutes 0.02").replace("--jobs 2", "--jobs 1")
    for index in (0, 1):
        environment = {
            **os.environ,
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "JOB_COMPLETION_INDEX": str(index),
            "SEEDS": "2",
            "RESULTS": str(tmp_path),
        }
        done = subprocess.run(
            ["/bin/sh", "-ec", short], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    results = [r for path in sorted(tmp_path.glob("shard-*.jsonl")) for r in read_results(path)]
    totals = merge(results)
    assert (totals.first, totals.last, totals.failed) == (0, 3, ())


def test_the_example_retries_what_was_evicted_and_nothing_that_was_found() -> None:
    text = MANIFEST.read_text(encoding="utf-8")
    assert re.search(r"action: FailJob.*\n.*\n.*\n.*\n +values: \[1, 2\]", text)
    assert "completionMode: Indexed" in text
    seeds, completions = re.search(r'"(\d+)"', text), re.search(r"completions: (\d+)", text)
    assert seeds is not None
    assert completions is not None
    assert int(seeds[1]) * int(completions[1]) == 10_000
