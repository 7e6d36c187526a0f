"""The history: one line an operation, what nobody waited for is marked, and the floor of fresh reads."""

import io
import json

from bench.chaos.history import History, Kind, Outcome, Request, Result

READ = Request("a", "node0", Kind.READ, "k/1", min_height=3, linearizable=True)
WRITE = Request("a", "node0", Kind.PUT, "k/1", value=7, tx_id=b"\x01" * 32, linearizable=True)


def test_every_operation_is_one_line_with_request_and_outcome() -> None:
    file, now = io.StringIO(), iter(range(100, 1000, 100))
    history = History(lambda: next(now), file)
    begun = history.begin()
    history.end(begun, WRITE, 2, Outcome(Result.OK, height=9, index=1, version=1), waited=True)
    line = json.loads(file.getvalue())
    assert (line["number"], line["invoked_us"], line["completed_us"], line["life"]) == (1, 200, 300, 2)
    assert (line["kind"], line["tx_id"], line["told_result"]) == ("put", "01" * 32, "ok")
    assert (line["told_height"], line["told_index"], line["told_version"]) == (9, 1, 1)
    assert history.operations[0].is_executed


def test_an_operation_nobody_waited_for_has_no_end() -> None:
    file = io.StringIO()
    history = History(lambda: 5, file)
    history.end(history.begin(), WRITE, None, Outcome(Result.UNKNOWN), waited=False)
    assert history.operations[0].completed_us is None
    assert json.loads(file.getvalue())["completed_us"] is None


def test_the_told_height_is_the_highest_that_anybody_heard_of() -> None:
    history = History(lambda: 5, io.StringIO())
    for height in (4, 9, None, 7):
        history.end(history.begin(), READ, 1, Outcome(Result.OK, height=height), waited=True)
    assert history.told_height == 9
