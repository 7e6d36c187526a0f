"""`isthmus evidence list`: what a cluster keeps against another leaves it as files that convict offline."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from node.cli.exits import Exit
from node.cli.main import run
from tests.node.api.fake_backend import FakeBackend
from tests.node.api.live import serving
from tests.node.ledger.federation.cluster import Cluster
from tests.node.ledger.federation.test_judging import accuse, forked
from tests.node.ledger.federation.test_sharing import two


def held_by(cluster: Cluster) -> FakeBackend:
    """A door to what this cluster has stored."""
    backend = FakeBackend()
    backend.store = cluster.store
    return backend


async def ask(*arguments: object) -> int:
    return await trio.to_thread.run_sync(run, [str(argument) for argument in arguments])


async def test_kept_evidence_is_listed_exported_and_convicts_offline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = two()
    _, evidence = forked(a)
    assert accuse(b, evidence).ok
    async with serving(held_by(b)) as live:
        code = await ask("evidence", "list", "--out", tmp_path / "kept", "--url", live.url, "--json")
    (kept,) = json.loads(capsys.readouterr().out)["evidence"]
    assert (code, kept["cluster_id"], kept["status"]) == (0, a.id.hex(), "frozen")
    assert kept["evidence_id"] == evidence.id.hex()
    checking = ("evidence", "check", kept["file"], "--json", "--trust")
    assert await ask(*checking, a.id.hex()) == 0
    verdict: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (verdict["convicts"], verdict["evidence"]) == (True, evidence.id.hex())
    assert await ask(*checking, b.id.hex()) == Exit.NEGATIVE


async def test_of_an_honest_cluster_nothing_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    _, b = two()
    async with serving(held_by(b)) as live:
        assert await ask("evidence", "list", "--url", live.url) == 0
    assert "no evidence is kept" in capsys.readouterr().out
