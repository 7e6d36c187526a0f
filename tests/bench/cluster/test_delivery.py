"""What becomes of one request: answers, refusals, silence and replays, played by hand."""

from collections.abc import Sequence

import pytest

from bench.cluster.delivery import Refusals, Signed, deliver
from bench.cluster.figures import PENDING, UNREACHABLE, UNREADABLE
from consensus import encode
from node.api.exchange import Answer, Cluster, NoReply, Pause, Reply, Send
from node.api.faults import Fault
from node.ledger.codes import Code

ONE = Signed(b"1" * 32, b"first")
TWO = Signed(b"2" * 32, b"second")
SILENCE = NoReply("refused")
BUSY = Reply(429, b'{"code": 9014, "name": "busy", "message": "Full.", "hint": "Wait."}', "1")


class Play:
    """Drives a flow with given answers; the clock goes on by what is paused and by `step_ms` an answer."""

    def __init__(self, answers: Sequence[Answer], step_ms: int = 10) -> None:
        self.now_ms = 0
        self.step_ms = step_ms
        self.answers = list(answers)
        self.sent: list[Send] = []
        self.refusals = Refusals()

    def run(self, *transactions: Signed, timeout_ms: int = 1_000) -> tuple[int, ...]:
        cluster = Cluster(("http://a", "http://b"), clock=lambda: self.now_ms, timeout_ms=500)
        flow = deliver(cluster, transactions, timeout_ms, self.refusals)
        answer: Answer = None
        while True:
            try:
                step = flow.send(answer)
            except StopIteration as end:
                codes: tuple[int, ...] = end.value
                return codes
            if isinstance(step, Pause):
                self.now_ms += step.pause_ms
                answer = None
            else:
                self.sent.append(step)
                self.now_ms += self.step_ms
                answer = self.answers.pop(0) if self.answers else SILENCE


def outcome(transaction: Signed, state: str, code: int = 0) -> tuple[object, ...]:
    receipt = b"a receipt" if state in ("certified", "committed") else None
    return (transaction.tx_id, state, int(code), "name", "message", None, None, receipt)


def reply(*outcomes: tuple[object, ...]) -> Reply:
    return Reply(200, encode(outcomes), None)  # type: ignore[arg-type]  # tuples of values


def test_outcomes_come_in_order() -> None:
    play = Play([reply(outcome(ONE, "certified"), outcome(TWO, "certified", Code.RECORD_EXISTS))])
    assert play.run(ONE, TWO) == (0, Code.RECORD_EXISTS)
    (sent,) = play.sent
    assert sent.url.startswith("http://a/v1/txs?wait=certified")


def test_one_alone_goes_through_the_door_for_one() -> None:
    play = Play([Reply(200, encode(outcome(ONE, "certified")), None)])  # type: ignore[arg-type]  # as above
    assert play.run(ONE) == (0,)
    assert play.sent[0].url.startswith("http://a/v1/tx?")
    assert play.sent[0].content == ONE.encoded


def test_what_is_open_is_sent_again_and_only_that() -> None:
    play = Play(
        [
            reply(outcome(ONE, "certified"), outcome(TWO, "rejected", Code.POOL_FULL)),
            Reply(202, encode(outcome(TWO, "admitted")), None),  # type: ignore[arg-type]  # as above
            Reply(200, encode(outcome(TWO, "certified")), None),  # type: ignore[arg-type]  # as above
        ]
    )
    assert play.run(ONE, TWO) == (0, 0)
    assert [send.content for send in play.sent[1:]] == [TWO.encoded, TWO.encoded]
    assert play.refusals.by_code == {Code.POOL_FULL: 1}


def test_what_stays_refused_or_pending_is_told_so_when_the_time_is_over() -> None:
    full = reply(outcome(ONE, "admitted"), outcome(TWO, "rejected", Code.POOL_FULL))
    play = Play([full] * 100)
    assert play.run(ONE, TWO) == (PENDING, Code.POOL_FULL)
    assert play.refusals.by_code[Code.POOL_FULL] == len(play.sent) > 5


def test_what_was_refused_unread_is_sent_again() -> None:
    unread = (None, "rejected", int(Code.POOL_FULL), "pool-full", "busy", None, None, None)
    three = Signed(b"3" * 32, b"third")
    again = reply(outcome(TWO, "certified"), outcome(three, "certified"))
    play = Play([reply(outcome(ONE, "certified"), unread, unread), again])
    assert play.run(ONE, TWO, three) == (0, 0, 0)
    assert play.refusals.by_code == {Code.POOL_FULL: 2}


@pytest.mark.parametrize("transactions", [(ONE,), (ONE, TWO)])
def test_a_request_of_which_nothing_was_taken_is_sent_again_until_the_time_is_over(
    transactions: tuple[Signed, ...],
) -> None:
    play = Play([BUSY] * 1_000)
    assert play.run(*transactions, timeout_ms=60_000) == (Fault.BUSY.value.code,) * len(transactions)
    assert play.now_ms >= 60_000
    assert play.refusals.by_code[Fault.BUSY.value.code] >= 2 * len(transactions)


def test_an_outcome_of_no_transaction_is_no_success() -> None:
    nameless = (None, "certified", 0, "ok", "message", None, None, None)
    assert Play([reply(nameless, outcome(TWO, "certified"))]).run(ONE, TWO) == (UNREADABLE, 0)


def test_only_what_is_certified_with_its_receipt_is_a_success() -> None:
    early, empty = outcome(ONE, "committed"), (TWO.tx_id, "certified", 0, "ok", "message", None, None, None)
    assert Play([reply(early, empty)]).run(ONE, TWO) == (UNREADABLE, UNREADABLE)
    assert Play([reply(outcome(ONE, "rejected"), outcome(TWO, "certified"))]).run(ONE, TWO) == (UNREADABLE, 0)


def test_a_silent_node_is_left_for_the_next() -> None:
    play = Play([SILENCE, reply(outcome(ONE, "certified"), outcome(TWO, "certified"))])
    assert play.run(ONE, TWO) == (0, 0)
    assert [send.url[:8] for send in play.sent] == ["http://a", "http://b"]


def test_nobody_answers() -> None:
    assert Play([]).run(ONE, TWO) == (UNREACHABLE, UNREACHABLE)


def test_a_refusal_of_one_alone_is_an_outcome() -> None:
    refusal = b'{"code": 101, "name": "unknown-sender", "message": "m", "hint": "h"}'
    assert Play([Reply(400, refusal, None)]).run(ONE) == (Code.UNKNOWN_SENDER,)


def test_a_replay_is_looked_up() -> None:
    replay = reply(outcome(ONE, "rejected", Code.REPLAYED), outcome(TWO, "certified"))
    play = Play([replay, Reply(404, b"", None), reply(outcome(ONE, "certified"))])
    play.run(ONE, TWO)
    assert play.sent[1].url == f"http://a/v1/receipts/{ONE.tx_id.hex()}"
    assert play.sent[2].content == ONE.encoded


@pytest.mark.parametrize(
    "answer",
    [
        Reply(200, b"no msgpack", None),
        reply(outcome(ONE, "certified")),
        Reply(500, b"<html>", None),
    ],
)
def test_what_cannot_be_read_is_no_success(answer: Reply) -> None:
    assert Play([answer]).run(ONE, TWO) == (UNREADABLE, UNREADABLE)


def test_the_answer_of_another_transaction_is_no_success() -> None:
    assert Play([reply(outcome(TWO, "certified"), outcome(TWO, "certified"))]).run(ONE, TWO) == (
        UNREADABLE,
        0,
    )
