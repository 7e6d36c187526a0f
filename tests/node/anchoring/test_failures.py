"""The page on twenty failures of other systems names tests that there are; two of them stand here."""

import ast
import re
from pathlib import Path

from node.anchoring.lanes.messages import Mode, Result
from node.ledger.codes import Code
from node.ledger.federation.changes import SetLanePolicy
from node.ledger.federation.records import LanePolicy
from tests.node.ledger.federation.cluster import Cluster, federate, settle
from tests.node.ledger.federation.test_sharing import outcome, two

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "node/anchoring/FAILURES.md").read_text()


def names_in(path: str) -> set[str]:
    """The names of the tests in a file."""
    tree = ast.parse((ROOT / path).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, functions)}


def test_each_of_the_twenty_is_shown_by_a_test_that_exists() -> None:
    rows = [line.split("|") for line in PAGE.splitlines() if re.match(r"\| \d", line)]
    assert [int(row[1]) for row in rows] == list(range(1, 21))
    for row in rows:
        assert "::test_" in row[4], row[1]
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE):
        assert name in names_in(path), f"{path} has no {name}"


def test_two_holders_come_to_the_same_client_of_a_third() -> None:
    """Whatever else they hold and however they came there: nothing about a client is anybody's choice."""
    clusters = a, b, c = Cluster("ports.alpha"), Cluster("ports.beta"), Cluster("ports.gamma")
    federate(*clusters)
    b.pull(a)
    for _ in range(3):
        a.put("port/manifest")
        c.pull(a)
    b.pull(a)
    assert b.client(a).last.height == c.client(a).last.height > 3
    assert b.client(a) == c.client(a)


def test_what_failed_at_the_other_side_is_still_sent_here_and_what_failed_here_was_never_said() -> None:
    a, b = two()
    a.put("port/manifest")
    forbidden = SetLanePolicy(b.id, "records", Mode.UNORDERED, LanePolicy(False, True))
    assert a.govern(forbidden).ok
    said = len(a.said.get(b.id, []))
    assert a.share("port/manifest", b).status == Code.LANE_FORBIDDEN
    assert len(a.said.get(b.id, [])) == said
    assert a.govern(SetLanePolicy(b.id, "records", Mode.UNORDERED, LanePolicy(True, True))).ok
    assert b.govern(SetLanePolicy(a.id, "records", Mode.UNORDERED, LanePolicy(True, False))).ok
    assert a.share("port/manifest", b).ok
    assert len(a.said[b.id]) == said + 1
    settle(a, b, rounds=2)
    assert outcome(a, b, "port/manifest").result is Result.ERROR
    assert len(a.said[b.id]) == said + 1
