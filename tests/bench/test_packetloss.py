"""Packets are lost on the one link that is meant, while it is meant, one by one; real kernel, real TCP."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.bench.lossypair import BYTES, SEGMENT_MAX
from tests.bench.namespaced import require_namespaces


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    require_namespaces()
    command = (sys.executable, "-m", "tests.bench.lossypair")
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_packets_of_the_link_are_lost_and_sent_again(seen: dict[str, Any]) -> None:
    assert seen["calm"] is None
    assert 0.02 < seen["lost"] / seen["sent"] < 0.10
    assert seen["answer"] == "done"


def test_a_packet_is_what_one_would_be_on_a_wire(seen: dict[str, Any]) -> None:
    assert seen["sent"] > BYTES / SEGMENT_MAX, "the kernel handed over many segments as one"
    assert seen["sent"] < 2.5 * BYTES / SEGMENT_MAX, "another sender's packets are counted"


def test_after_the_loss_no_rule_is_left(seen: dict[str, Any]) -> None:
    assert seen["after"] == ["table ip api\n"] * 3
    assert seen["is_home"]
