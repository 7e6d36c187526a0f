"""Both clusters of a lane fork and are recovered, through whole ledgers and couriers: the lane goes on."""

import pytest

from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.lanes import Result
from node.anchoring.lanes import destination as lane_destination
from node.anchoring.lanes import source as lane_source
from node.ledger.federation import queries
from node.ledger.federation.delivering import CLOSING_TAKEN, GAP_TAKEN
from node.ledger.receipts import Receipt
from tests.node.ledger.federation.cluster import Cluster, federate, settle
from tests.node.ledger.federation.test_judging import accuse
from tests.node.ledger.federation.test_recovering import Island, apply, standing
from tests.node.ledger.federation.test_sharing import outcome

FIRST, SECOND = (0, 1, 2), (1, 2, 3)


def share(source: Cluster, to: Cluster, *names: str) -> None:
    for name in names:
        source.put(name)
        receipt = source.share(name, to, lasting_ms=600_000)
        assert receipt.ok, receipt.explanation


def recovered(at: Cluster, island: Island, successor: Cluster) -> None:
    """`at` hears of the fork and goes on with the branch that was not forked off."""
    assert accuse(at, island.evidence(FIRST, SECOND)).ok
    receipt = apply(at, island.recovery(successor, (1, 2), (0, 3)))
    assert receipt.ok, receipt.explanation
    assert standing(at, successor) == (1, ClientStatus.ACTIVE)


def outcomes(receipt: Receipt | None) -> list[str]:
    assert receipt is not None
    assert receipt.ok, receipt.explanation
    return [word for _, word in receipt.result[2]]  # type: ignore[index, union-attr, misc]  # a tuple


def test_a_closing_of_a_dropped_branch_wedges_no_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is acknowledged is forgotten at once, so that few messages make a deep fork."""
    monkeypatch.setattr(lane_destination, "TAIL", 0)
    monkeypatch.setattr(lane_source, "TAIL", 0)
    a, b = Cluster("ports.alpha"), Cluster("ports.beta")
    federate(a, b)
    share(a, b, "port/before")
    settle(a, b, rounds=2)
    of_a, of_b = Island(a), Island(b)
    a_dropped, b_dropped = of_a.fork, of_b.fork
    for turn in range(3):
        share(a_dropped, b_dropped, *(f"port/dropped-{turn}-{number}" for number in range(4)))
        settle(a_dropped, b_dropped, rounds=2)
    a_lives, b_lives = a.recovered(1), b.recovered(1)
    recovered(b_dropped, of_a, a_lives)
    share(a_lives, b_dropped, "port/waits-1", "port/waits-2")
    assert CLOSING_TAKEN in outcomes(a_lives.pull(b_dropped))
    share(a_lives, b_dropped, "port/above")
    recovered(a_lives, of_b, b_lives)
    recovered(b_lives, of_a, a_lives)
    words = outcomes(b_lives.pull(a_lives))
    assert GAP_TAKEN in words
    settle(a_lives, b_lives, rounds=4)
    share(a_lives, b_lives, "port/after")
    settle(a_lives, b_lives, rounds=2)
    # What waited heard of the branch that was dropped later that its places were closed.
    for name, result in (
        ("waits-1", Result.EXPIRED),
        ("waits-2", Result.EXPIRED),
        ("above", Result.OK),
        ("after", Result.OK),
    ):
        assert outcome(a_lives, b_lives, f"port/{name}").result is result
    for cluster, peer in ((a_lives, b_lives), (b_lives, a_lives)):
        lanes = queries.lanes(cluster.state, cluster.id, peer.id)
        assert all(lane.pending == 0 for lane in lanes if lane.is_outgoing)
