"""The client's conversation without sockets: each request and each pause, in order."""

from collections.abc import Sequence
from typing import TypeVar

import pytest

from consensus import encode
from node.api.backend import Readiness
from node.api.checking import Ground, check_header
from node.api.conversation import Conversation
from node.api.exchange import (
    Answer,
    ApiError,
    Ask,
    Cluster,
    Flow,
    NoReply,
    NotReachable,
    NotTrusted,
    Pause,
    Reply,
    Send,
    StillPending,
    UnexpectedAnswer,
    options,
    read_view,
    record_path,
)
from node.api.faults import Fault
from node.api.shapes import to_value
from node.api.subscription import Subscription
from node.api.views import GenesisAnswer, Outcome, ProvenHeader, ReceiptAnswer
from node.ledger.codes import Code
from node.ledger.receipts import NO_WRITES, Receipt
from node.proofs import ProofError
from tests.node.api.fake_backend import make_genesis, put_record

T = TypeVar("T")
ASK = Ask("GET", "/v1/status")
GOOD = Reply(200, encode((1, ())), None)


def busy(retry_after: str | None = None) -> Reply:
    body = b'{"code": 9014, "name": "busy", "message": "Full.", "hint": "Wait."}'
    return Reply(429, body, retry_after)


def refused(code: int, name: str) -> Reply:
    body = f'{{"code": {code}, "name": "{name}", "message": "No.", "hint": ""}}'
    return Reply(409, body.encode(), None)


def drive(flow: Flow[T], answers: Sequence[Reply | NoReply]) -> tuple[T, list[str]]:
    """The result, and what was done: a URL for a request, a number for a pause."""
    left = list(answers)
    done: list[str] = []
    answer: Answer = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as end:
            assert not left
            return end.value, done
        if isinstance(step, Pause):
            done.append(str(step.pause_ms))
            answer = None
        else:
            done.append(step.url)
            answer = left.pop(0)


def cluster_of(*names: str) -> Cluster:
    return Cluster([f"http://{name}" for name in names], clock=lambda: 0)


def test_a_silent_node_is_passed_over_at_once_and_the_next_one_is_kept() -> None:
    cluster = cluster_of("a", "b")
    reply, done = drive(cluster.ask(ASK), [NoReply("refused"), GOOD])
    assert reply is GOOD
    assert done == ["http://a/v1/status", "http://b/v1/status"]
    assert drive(cluster.ask(ASK), [GOOD])[1] == ["http://b/v1/status"]


def test_requests_that_fail_together_at_one_node_all_go_to_the_next() -> None:
    """If each moved on from where the one before had come to, the last would be back at the first node."""
    cluster = cluster_of("a", "b", "c")
    flows = [cluster.ask(ASK) for _ in range(3)]
    first = [next(flow) for flow in flows]
    second = [flow.send(NoReply("gone")) for flow in flows]
    third = [flow.send(busy("1")) for flow in flows]
    hosts = [[step.url[7] for step in steps if isinstance(step, Send)] for steps in (first, second, third)]
    assert hosts == [["a"] * 3, ["b"] * 3, ["c"] * 3]


def test_all_nodes_are_tried_before_a_pause_and_pauses_grow() -> None:
    answers: list[Reply | NoReply] = [*[NoReply("x")] * 6, GOOD]
    _, done = drive(cluster_of("a", "b").ask(ASK), answers)
    assert [step for step in done if step.isdigit()] == ["50", "100", "200"]
    assert len(done) == 10


def test_the_pause_is_what_the_node_advised_when_that_is_longer() -> None:
    _, done = drive(cluster_of("a").ask(ASK), [busy("3"), busy("9999"), busy("0"), busy("soon"), GOOD])
    assert [step for step in done if step.isdigit()] == ["3000", "10000", "200", "400"]


def test_silence_ends_in_a_sentence_sooner_than_being_busy() -> None:
    with pytest.raises(NotReachable, match="connection refused"):
        drive(cluster_of("a").ask(ASK), [NoReply("connection refused")] * 4)
    reply, done = drive(cluster_of("a").ask(ASK), [busy()] * 8)
    assert reply.status == 429
    assert len(done) == 8 + 7


def test_a_refusal_that_waiting_cannot_change_is_not_repeated() -> None:
    reply, done = drive(cluster_of("a", "b").ask(ASK), [Reply(404, b"{}", None)])
    assert (reply.status, len(done)) == (404, 1)


def unlinked() -> Reply:
    fault = Fault.CLUSTER_SILENT.value
    body = f'{{"code": {fault.code}, "name": "{fault.name}", "message": "No.", "hint": ""}}'
    return Reply(fault.status, body.encode(), None)


def test_a_question_goes_on_to_a_node_with_a_link_to_the_other_cluster() -> None:
    cluster = cluster_of("a", "b", "c")
    assert drive(cluster.ask(ASK), [unlinked(), GOOD])[0] == GOOD
    assert cluster.url == "http://b"


def test_questions_that_meet_no_link_at_one_node_together_all_go_to_the_next() -> None:
    cluster = cluster_of("a", "b")
    flows = [cluster.ask(ASK) for _ in range(2)]
    steps = [next(flow) for flow in flows]
    assert [step.url for step in steps if isinstance(step, Send)] == ["http://a/v1/status"] * 2
    steps = [flow.send(unlinked()) for flow in flows]
    assert [step.url for step in steps if isinstance(step, Send)] == ["http://b/v1/status"] * 2


def test_where_no_node_has_a_link_each_is_asked_once() -> None:
    reply, done = drive(cluster_of("a", "b").ask(ASK), [unlinked(), unlinked()])
    assert reply == unlinked()
    assert len(done) == 2


def test_the_time_a_node_may_wait_is_added_to_the_time_for_the_request() -> None:
    step = next(cluster_of("a").ask(Ask("GET", "/x", (), None, 30_000)))
    assert isinstance(step, Send)
    assert step.timeout_ms == 40_000


def test_a_lost_answer_to_a_submission_is_found_again_by_its_receipt() -> None:
    transaction = put_record(make_genesis(), "docs/a", 1)
    talk = Conversation(cluster_of("a", "b"), None)
    replayed = refused(Code.REPLAYED, "replayed")
    answers = (NoReply("the connection broke"), replayed, refused(9013, "not-found"))
    with pytest.raises(ApiError, match="No") as caught:
        drive(talk.submit(transaction, 1_000), answers)
    assert caught.value.code == Code.REPLAYED


def test_a_lost_answer_to_a_submission_is_no_lost_receipt() -> None:
    transaction = put_record(make_genesis(), "docs/a", 1)
    receipt = Receipt.make(transaction.id, 4, 2, 0, 1, NO_WRITES)
    answer = ReceiptAnswer(transaction.id, 4, 2, receipt.encoded)
    talk = Conversation(cluster_of("a", "b"), None)
    answers = (
        NoReply("the connection broke"),
        refused(Code.REPLAYED, "replayed"),
        Reply(200, encode(to_value(answer)), None),
    )
    found, done = drive(talk.submit(transaction, 1_000), answers)
    assert found == receipt
    assert done[-1].startswith(f"http://b/v1/receipts/{transaction.id.hex()}")


def test_a_receipt_of_another_transaction_is_not_taken() -> None:
    genesis = make_genesis()
    wanted, other = put_record(genesis, "docs/a", 1), put_record(genesis, "docs/b", 2)
    receipt = Receipt.make(other.id, 4, 2, 0, 1, NO_WRITES)
    outcome = Outcome(wanted.id, "certified", 0, "ok", "", 4, 2, receipt.encoded)
    talk = Conversation(cluster_of("a"), None)
    with pytest.raises(UnexpectedAnswer, match="asked was"):
        drive(talk.submit(wanted, 0), [Reply(200, encode(to_value(outcome)), None)])


def test_a_genesis_that_is_not_its_own_hash_is_not_believed() -> None:
    genesis = make_genesis()
    answer = GenesisAnswer(genesis.cluster_id, make_genesis("other").body, "")
    with pytest.raises(NotTrusted, match="hash is not its cluster id"):
        drive(Conversation(cluster_of("a"), None).genesis(), [Reply(200, encode(to_value(answer)), None)])


def test_the_genesis_header_without_a_certificate_proves_nothing() -> None:
    genesis = make_genesis()
    proven = ProvenHeader(genesis.genesis_header().encoded, None, None, ())
    with pytest.raises(ProofError, match="nothing above the genesis is certified"):
        check_header(proven, Ground(genesis.body, genesis.cluster_id))


def test_a_subscription_sees_each_place_once_and_goes_on_behind_it() -> None:
    subscription = Subscription(cluster_of("a", "b"), "3:1")
    assert subscription.take("transaction", "{}", "3:0") is None
    seen = subscription.take("transaction", '{"x": 1}', "3:1")
    assert seen is not None
    assert seen.fields == {"x": 1}
    assert subscription.take("transaction", "{}", "3:1") is None
    assert subscription.take("message", "", "") is None
    notice = subscription.take("gap", '{"from_height": 4, "to_height": 5}', "3:1")
    assert notice is not None
    assert notice.cursor is None
    assert subscription.url == "http://a/v1/events?from=3:2"
    assert subscription.pause_after(NoReply("gone")) == 0
    assert subscription.url == "http://b/v1/events?from=3:2"
    assert subscription.pause_after(NoReply("gone")) > 0


@pytest.mark.parametrize(("data", "place"), [("{", "1:1"), ("{}", "x:y"), ("{}", "1")])
def test_an_event_that_cannot_be_read_is_said_so(data: str, place: str) -> None:
    with pytest.raises(UnexpectedAnswer):
        Subscription(cluster_of("a"), "0:0").take("transaction", data, place)


def test_a_subscription_gives_up_on_a_refusal_and_on_long_silence() -> None:
    subscription = Subscription(cluster_of("a"), "0:0")
    with pytest.raises(ApiError):
        subscription.pause_after(refused(9002, "bad-parameter"))
    assert subscription.pause_after(busy()) > 0
    for _ in range(18):
        assert subscription.pause_after(NoReply("gone")) > 0
    with pytest.raises(NotReachable, match="gone"):
        subscription.pause_after(NoReply("gone"))


def test_back_pressure_for_some_of_a_batch_sends_only_those_again() -> None:
    genesis = make_genesis()
    transactions = [put_record(genesis, f"docs/{n}", n) for n in (1, 2, 3)]
    times = iter(range(0, 10_000, 100))
    talk = Conversation(Cluster(["http://a"], clock=lambda: next(times)), None)

    def outcome(position: int, state: str, code: int) -> Outcome:
        return Outcome(transactions[position].id, state, code, "", "", None, None, None)

    first = (outcome(0, "certified", 0), outcome(1, "rejected", Code.POOL_FULL), outcome(2, "rejected", 7))
    second = (outcome(1, "certified", 0),)
    answers = [Reply(200, encode(to_value(item)), None) for item in (first, second)]
    outcomes, done = drive(talk.submit_batch(transactions, True, 5_000), answers)
    assert [item.state for item in outcomes] == ["certified", "certified", "rejected"]
    assert done[1] == "150"


def unread() -> Outcome:
    """How a node refuses one of a request: it names no id."""
    return Outcome(None, "rejected", Code.POOL_FULL, "pool-full", "busy", None, None, None)


def batch_over(times: range, timeout_ms: int, *answers: Reply) -> tuple[Outcome, ...]:
    """What a batch of two comes to while each look at the clock takes a step, after these answers."""
    transactions = [put_record(make_genesis(), f"docs/{n}", n) for n in (1, 2)]
    clock = iter(times)
    talk = Conversation(Cluster(["http://a"], clock=lambda: next(clock)), None)
    return drive(talk.submit_batch(transactions, True, timeout_ms), answers)[0]


def certified_of(number: int) -> Outcome:
    transaction = put_record(make_genesis(), f"docs/{number}", number)
    return Outcome(transaction.id, "certified", 0, "", "", None, None, None)


def of(*outcomes: Outcome) -> Reply:
    return Reply(200, encode(to_value(outcomes)), None)


def test_a_batch_of_which_nothing_is_taken_is_sent_again_until_the_time_is_over() -> None:
    both = certified_of(1), certified_of(2)
    outcomes = batch_over(range(0, 10_000, 100), 5_000, *[busy()] * 12, of(*both))
    assert outcomes == both


def test_a_batch_of_which_nothing_was_ever_taken_ends_with_what_the_node_says() -> None:
    with pytest.raises(ApiError, match="Full"):
        batch_over(range(0, 10_000, 100), 250, *[busy()] * 100)


def test_what_has_become_of_some_of_a_batch_is_told_though_the_rest_stays_refused() -> None:
    first = (certified_of(1), unread())
    outcomes = batch_over(range(0, 10_000, 100), 350, of(*first), *[busy()] * 8)
    assert outcomes == first


def one_over(timeout_ms: int, *answers: Reply) -> Receipt:
    """What one submission comes to while each look at the clock takes a tenth of a second."""
    transaction = put_record(make_genesis(), "docs/1", 1)
    clock = iter(range(0, 1_000_000, 100))
    talk = Conversation(Cluster(["http://a"], clock=lambda: next(clock)), None)
    return drive(talk.submit(transaction, timeout_ms), answers)[0]


def one_of(state: str, receipt: Receipt | None) -> Reply:
    transaction = put_record(make_genesis(), "docs/1", 1)
    encoded = None if receipt is None else receipt.encoded
    outcome = Outcome(transaction.id, state, 0, "", "", None, None, encoded)
    return Reply(200, encode(to_value(outcome)), None)


def test_one_that_busy_nodes_do_not_take_is_sent_again_until_the_time_is_over() -> None:
    receipt = Receipt.make(put_record(make_genesis(), "docs/1", 1).id, 4, 2, 0, 1, NO_WRITES)
    assert one_over(5_000, *[busy()] * 20, one_of("certified", receipt)) == receipt


def test_one_that_was_never_taken_ends_with_what_the_node_says() -> None:
    with pytest.raises(ApiError, match="Full"):
        one_over(350, *[busy()] * 16)


def test_one_that_was_taken_once_is_pending_whatever_busy_nodes_say_later() -> None:
    with pytest.raises(StillPending):
        one_over(350, one_of("admitted", None), *[busy()] * 8)


def test_too_few_outcomes_are_not_taken_for_an_answer() -> None:
    talk = Conversation(cluster_of("a"), None)
    with pytest.raises(UnexpectedAnswer, match="0 outcomes came for 1"):
        drive(
            talk.submit_batch([put_record(make_genesis(), "docs/a", 1)], True, 0), [Reply(200, b"\x90", None)]
        )


@pytest.mark.parametrize("content", [b"", b"\xc1", b"<html>", b"\x93\x01\x02\x03", b"\x92\xc0\x90"])
def test_bytes_that_are_no_answer_are_said_so(content: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        read_view(Readiness, Reply(200, content, None))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"code": "x"}', b"\xff", b"<html>502</html>"])
def test_an_error_of_somebody_else_is_said_so(content: bytes) -> None:
    with pytest.raises(UnexpectedAnswer, match="check the URL"):
        read_view(Readiness, Reply(500, content, None))


def test_paths_and_options_are_escaped() -> None:
    assert record_path("/v1/records", "a/b%2F:c") == "/v1/records/a/b%252F:c"
    assert options(proof=True, before=None, limit=0, checkpoint=0) == (
        ("proof", "1"),
        ("limit", "0"),
        ("checkpoint", "0"),
    )
