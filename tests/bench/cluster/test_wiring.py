"""What this machine can do is found out by trying, and nothing of the trial is left behind."""

import os
import shutil
from pathlib import Path

import pytest

from bench.cluster.links import Links, Means
from bench.cluster.scenarios import BY_NAME
from bench.cluster.wiring import look_around, open_wiring
from tests.bench.namespaced import asked_for_means, require_namespaces

LOSSY = BY_NAME["lossy-link"]


def test_without_tools_it_is_the_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert look_around().missing == ("ip", "nft", "nsenter", "sh")
    with open_wiring(LOSSY) as (links, wiring):
        assert links.means is Means.PROXIES
        assert wiring is None


@pytest.mark.parametrize("lacking", ["sys_admin", "net_admin"])
def test_a_root_that_may_not_is_the_reason(lacking: str) -> None:
    """As in a container; what may not make a namespace may not enter its own either."""
    require_namespaces()
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    asked = asked_for_means(("setpriv", "--bounding-set", f"-{lacking}", "--inh-caps", f"-{lacking}"))
    assert asked.endswith("Operation not permitted")


def test_what_the_kernel_refuses_is_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    require_namespaces()
    refusing = tmp_path / "nft"
    refusing.write_text("#!/bin/sh\necho 'no such expression' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    before, open_before = os.readlink("/proc/thread-self/ns/net"), len(os.listdir("/proc/self/fd"))
    with open_wiring(LOSSY) as (links, wiring):
        assert links == Links(Means.PROXIES, "nft: no such expression")
        assert wiring is None
        assert os.readlink("/proc/thread-self/ns/net") == before
        assert len(os.listdir("/proc/self/fd")) == open_before


def test_a_tool_that_could_not_tell_what_was_lost_is_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    require_namespaces()
    without_json = tmp_path / "nft"
    without_json.write_text(
        f'#!/bin/sh\n[ "$1" != -j ] || {{ echo "JSON support not compiled-in" >&2; exit 1; }}\n'
        f'exec {shutil.which("nft")} "$@"\n'
    )
    without_json.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with open_wiring(LOSSY) as (links, wiring):
        assert links == Links(Means.PROXIES, "nft: JSON support not compiled-in")
        assert wiring is None
