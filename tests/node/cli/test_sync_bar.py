"""How far a node that catches up has come, in one line."""

import pytest

from node.api.backend import NodeStatus
from node.cli.commands.status import sync_bar


def status(stored: int, start: int, target: int) -> NodeStatus:
    return NodeStatus(
        "n",
        b"",
        False,
        "c",
        b"",
        "0",
        0,
        0,
        0,
        0,
        "",
        stored,
        stored,
        stored,
        False,
        0,
        (),
        "",
        0,
        start,
        target,
    )


@pytest.mark.parametrize(
    ("stored", "start", "target", "words"),
    [
        (0, 0, 50_000, "[------------------------------] 0 %, height 0 of 50000"),
        (25_000, 0, 50_000, "[###############---------------] 50 %, height 25000 of 50000"),
        (150, 100, 200, "[###############---------------] 50 %, height 150 of 200"),
        (90, 100, 200, "[------------------------------] 0 %, height 100 of 200"),
        (200, 100, 200, "[##############################] 100 %, height 200 of 200"),
    ],
)
def test_the_bar_goes_from_where_the_run_began_to_its_target(
    stored: int, start: int, target: int, words: str
) -> None:
    assert sync_bar(status(stored, start, target)) == f"catching up {words}"
