"""Every metric that an alert or a dashboard names is exported by a node from its start."""

import re
from pathlib import Path

import httpx2
import trio

from node.client import AsyncClient
from tests.deploy.tools import PROMTOOL
from tests.endtoend.running import RunningCluster, write_cluster

DEPLOY = Path(__file__).parents[2] / "deploy"
READY_MS = 60_000


async def test_a_running_node_exports_what_alerts_and_dashboards_name(tmp_path: Path) -> None:
    files = (DEPLOY / "prometheus" / "rules.yaml", DEPLOY / "grafana" / "isthmus.json")
    named = {name for file in files for name in re.findall(r"isthmus_[a-z0-9_]+", file.read_text())}
    assert len(named) > 20
    running = RunningCluster(write_cluster(tmp_path / "cluster", 2))
    try:
        running.start_missing()
        url = running.node("node0").url
        async with AsyncClient([url], timeout_ms=READY_MS) as client:
            await client.wait_ready(READY_MS)
        async with httpx2.AsyncClient(trust_env=False) as http:
            text = (await http.get(f"{url}/metrics")).text
    finally:
        running.close()
    exported = set(re.findall(r"^(isthmus_[a-z0-9_]+)", text, re.MULTILINE))
    assert named - exported == set()
    # Alerts and dashboard leave out the same rows of what is bounded, and each of them exists.
    (names,) = {names for file in files for names in re.findall(r'name!~\\*"([a-z0-9_|]+)', file.read_text())}
    rows = set(re.findall(r'^isthmus_bounded_items\{name="([a-z0-9_]+)"\}', text, re.MULTILINE))
    assert len(rows) > 50
    assert set(names.split("|")) - rows == set()
    if PROMTOOL is not None:
        complaints = await trio.run_process(
            [PROMTOOL, "check", "metrics"], stdin=text.encode(), capture_stderr=True, check=False
        )
        # Our times are in milliseconds, which every name says; nothing else is against the field's habit.
        allowed = "metric names should not contain abbreviated units"
        assert [line for line in complaints.stderr.decode().splitlines() if allowed not in line] == []
