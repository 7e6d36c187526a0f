"""The same blocks give the same bytes in another process, whatever its hash seed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.node.ledger import scenario

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_header_hashes_do_not_depend_on_the_hash_seed(seed: str) -> None:
    expected = [execution.header_hash.hex() for execution in scenario.run()[1]]
    finished = subprocess.run(
        [sys.executable, "-m", "tests.node.ledger.scenario"],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert finished.stdout.split() == expected
