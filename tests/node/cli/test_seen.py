"""A row of `isthmus peers` says what is so now."""

from dataclasses import replace

import pytest

from node.cli.seen import PEER_HEADINGS, peer_row
from tests.node.diagnosis.scene import A_PEER


@pytest.mark.parametrize(
    ("timeout_round", "shown"),
    [
        (None, "-"),
        (1, "-"),
        (998, "-"),
        (999, "999 proposal_refused"),
        (1_000, "1000 proposal_refused"),
        (1_001, "1001 proposal_refused"),
    ],
)
def test_a_round_that_a_peer_gave_up_is_shown_while_the_node_is_in_it_or_the_next(
    timeout_round: int | None, shown: str
) -> None:
    reason = "" if timeout_round is None else "proposal_refused"
    row = peer_row(replace(A_PEER, timeout_round=timeout_round, timeout_reason=reason), 1_000)
    assert row[PEER_HEADINGS.index("gave up")] == shown
