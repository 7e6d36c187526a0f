"""The lossy link by namespaces, with real daemons: its figures, and that nothing outlives the command."""

import json
import os
import select
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.bench.cluster.test_endtoend import TWO_S, descendants, started
from tests.bench.namespaced import require_namespaces

GONE_SECONDS = 60


@pytest.fixture(autouse=True)
def able() -> None:
    require_namespaces()


def namespaces() -> dict[int, str]:
    """The network namespace that each process is in, but for our own and for processes we may not look at."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                found[int(entry.name)] = os.readlink(entry / "ns" / "net")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    ours = os.readlink("/proc/self/ns/net")
    return {pid: namespace for pid, namespace in found.items() if namespace != ours}


def wait_until_gone(pids: Iterable[int]) -> None:
    """Until all of these processes have ended, which somebody else waits for."""
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            ended, _, _ = select.select([handle], [], [], GONE_SECONDS)
            assert ended, f"process {pid} is still there"
        finally:
            os.close(handle)


def interfaces() -> list[str]:
    """Of our own namespace."""
    return sorted(os.listdir("/sys/class/net"))


def test_packets_are_lost_and_told(tmp_path: Path) -> None:
    before = interfaces()
    scenario = ("--rate", "40", "--clients", "3", "--fault", "lossy-link")
    process = started(*scenario, *TWO_S, "--json", "--keep", str(tmp_path / "kept"))
    said, complaints = process.communicate(timeout=120)
    figures: dict[str, Any] = json.loads(said)
    assert process.returncode == (0 if figures["success"] else 1), complaints
    assert figures["scenario"].endswith("fault=lossy-link namespaces")
    assert figures["namespaced"]
    assert figures["fault"]["packets"]["sent"] > 0, figures["problems"]
    assert figures["latency_ms"]["count"] == 40
    assert set(figures["node_work"]) == {f"node{number}" for number in range(4)}
    assert "The lossy link: through namespaces" in complaints
    assert descendants(str(tmp_path)) == []
    assert interfaces() == before


def test_a_killed_command_leaves_no_process_and_no_namespace(tmp_path: Path) -> None:
    before = interfaces()
    process = started("--scenario", "lossy-link", "--seconds", "300", "--keep", str(tmp_path / "kept"))
    assert process.stderr is not None
    while "warming up" not in (line := process.stderr.readline()):
        assert line, "it ended before it measured"
    inside = namespaces()
    theirs = {inside[pid] for pid in descendants(str(tmp_path))}
    assert len(theirs) == 5, "one for each node, one for the rest"
    process.kill()
    process.communicate(timeout=60)
    wait_until_gone(pid for pid, namespace in inside.items() if namespace in theirs)
    assert theirs.isdisjoint(namespaces().values()), "a namespace without a process or a name is no more"
    assert interfaces() == before
