"""Whether this machine can lose real packets: what tests that need it ask first."""

import subprocess
import sys
from functools import cache

import pytest

_ASK = """
from bench.cluster.scenarios import BY_NAME
from bench.cluster.wiring import open_wiring
with open_wiring(BY_NAME["lossy-link"]) as (links, wiring):
    print("" if wiring else links.why)
"""


@cache
def _obstacle() -> str:
    """Asked in a process of its own, which may go where it likes."""
    asked = subprocess.run((sys.executable, "-c", _ASK), capture_output=True, text=True, check=True)
    return asked.stdout.strip()


def require_namespaces() -> None:
    """Skip the test, saying why, where the proxy would be taken."""
    if reason := _obstacle():
        pytest.skip(f"no packets can be lost here: {reason}")
