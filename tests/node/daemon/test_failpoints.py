"""Failpoints: refused when they would never fire, nothing at all when off."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.daemon.failpoints import NAMES, VARIABLE

ROOT = Path(__file__).parents[3]


def _import_with(setting: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "import node.daemon.failpoints"],
        cwd=ROOT,
        env={**os.environ, VARIABLE: setting},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("setting", ["nowhere", f"{NAMES[0]}:0", f"{NAMES[0]}:x", f"{NAMES[0]}:-1", ""])
def test_a_setting_that_would_never_fire_is_refused_at_import(setting: str) -> None:
    child = _import_with(setting)
    assert child.returncode == 1
    assert f"UnknownFailpoint: {VARIABLE}={setting}" in child.stderr


def test_a_known_place_is_accepted_and_does_not_fire_by_itself() -> None:
    assert _import_with(NAMES[0]).returncode == 0
