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
def asked_for_means(through: tuple[str, ...] = ()) -> str:
    """Why it is the proxy, empty when it is not; asked in a process of its own, which may go where it likes,
    started `through` another program."""
    command = (*through, sys.executable, "-c", _ASK)
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    return asked.stdout.strip()


def require_namespaces() -> None:
    """Skip the test, saying why, where the proxy would be taken."""
    if reason := asked_for_means():
        pytest.skip(f"no packets can be lost here: {reason}")
