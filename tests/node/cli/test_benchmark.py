"""`isthmus status` says of a benchmark cluster that it is no ledger."""

import json

import pytest
import trio

from node.cli.main import run
from tests.node.api.live import serving
from tests.node.api.test_opaque import opaque_backend


async def test_status_tells_a_benchmark_cluster_to_people_and_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with serving(opaque_backend()) as live:
        assert await trio.to_thread.run_sync(run, ["status", "--url", live.url]) == 0
        assert "node-0: a benchmark cluster (opaque); it is no ledger" in capsys.readouterr().out
        assert await trio.to_thread.run_sync(run, ["status", "--url", live.url, "--json"]) == 0
        (node,) = json.loads(capsys.readouterr().out)["nodes"]
        assert node["status"]["benchmark"] == "opaque"
