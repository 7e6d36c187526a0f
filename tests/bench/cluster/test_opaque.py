"""Opaque mode: what counts as an answer, what a sample stands for, and that it is taken for nothing else."""

import io
import json
import os
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import islice
from pathlib import Path

import httpx2
import pytest

from bench.cluster.command import command
from bench.cluster.delivery import Refusals
from bench.cluster.figures import CERTIFIED, PENDING, UNREACHABLE, UNREADABLE, Samples, Window, traffic_of
from bench.cluster.ground import GroundError, open_attached, open_local
from bench.cluster.loader import LoadPlan
from bench.cluster.opaque import bodies, deliver_opaque
from bench.cluster.options import scenario_of
from bench.cluster.scenarios import BY_NAME, Mode, Promise
from bench.cluster.screen import show_one, show_rates
from bench.cluster.shapes import ClosedLoop, NoLoad, OpenLoop, Share
from consensus import Digest, encode
from node.api.exchange import Answer, Cluster, NoReply, Pause, Reply, Send
from node.api.opaque import PIECES_MAX, OpaqueOutcome
from node.api.shapes import to_value
from node.client import AsyncClient
from node.genesis import Genesis
from node.ledger.receipts import NO_WRITES, Receipt
from node.local.ports import NodePorts
from node.local.testnet import write_testnet
from tests.bench.cluster.made_up import outcome_of, trial_at

SECOND = 1_000_000
NAME = Digest(bytes(range(32)))
RECEIPT = Receipt.make(NAME, 3, 0, 0, (4, 2_048), NO_WRITES)
BODY = bytes(2_048)
CERTIFIED_ANSWER = OpaqueOutcome(NAME, "certified", 0, 4, 3, 0, RECEIPT.encoded)
TAKEN = OpaqueOutcome(NAME, "admitted", 0, 4, None, None, None)


def told(*outcomes: OpaqueOutcome, status: int = 200) -> Reply:
    return Reply(status, encode(to_value(outcomes)), None)


def refused(status: int, code: int) -> Reply:
    return Reply(status, json.dumps({"code": code, "name": "n", "message": "m", "hint": "h"}).encode(), None)


def outcome_after(
    *answers: Answer, timeout_ms: int = 1_000, promise: Promise = Promise.CERTIFIED
) -> tuple[int, list[Send], Refusals]:
    """What became of a body that nodes answered like this; every look at the clock takes 10 ms."""
    now = [0]

    def clock() -> int:
        now[0] += 10
        return now[0]

    refusals, sent, queue = Refusals(), list[Send](), list(answers)
    flow = deliver_opaque(Cluster(["http://a"], clock=clock), BODY, 512, timeout_ms, refusals, promise)
    answer: Answer = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as end:
            return end.value, sent, refusals
        if isinstance(step, Pause):
            now[0] += step.pause_ms
            answer = None
        else:
            sent.append(step)
            answer = queue.pop(0) if len(queue) > 1 else queue[0]


def test_the_certified_receipt_of_the_batch_is_what_counts() -> None:
    code, sent, _ = outcome_after(told(CERTIFIED_ANSWER))
    assert code == CERTIFIED
    assert [(send.method, send.content) for send in sent] == [("POST", BODY)]
    assert sent[0].url.startswith("http://a/v1/opaque?transaction_bytes=512&wait=certified&timeout_ms=")


def test_what_is_only_committed_counts_for_who_asked_for_that_and_for_nobody_else() -> None:
    early = replace(CERTIFIED_ANSWER, state="committed")
    assert outcome_after(told(early))[0] == UNREADABLE
    for answer in (early, CERTIFIED_ANSWER):
        code, sent, _ = outcome_after(told(answer), promise=Promise.COMMITTED)
        assert code == CERTIFIED
        assert "&wait=committed&" in sent[0].url
    assert outcome_after(told(TAKEN, status=202), promise=Promise.COMMITTED)[0] == PENDING


def test_what_was_taken_and_not_certified_is_not_sent_again() -> None:
    code, sent, _ = outcome_after(told(TAKEN, status=202))
    assert (code, len(sent)) == (PENDING, 1)


def test_an_answer_about_other_bytes_is_a_wrong_answer() -> None:
    assert outcome_after(told(replace(CERTIFIED_ANSWER, transactions=5)))[0] == UNREADABLE
    assert outcome_after(told(replace(CERTIFIED_ANSWER, batch_id=bytes(32))))[0] == UNREADABLE
    assert outcome_after(Reply(200, b"\xc1", None))[0] == UNREADABLE
    for state in ("certified", "committed", "something"):
        without = replace(CERTIFIED_ANSWER, state=state, receipt=None)
        assert outcome_after(told(without))[0] == UNREADABLE, "nothing was shown for it"
    failed = Receipt.make(NAME, 3, 0, 203, None, NO_WRITES).encoded
    assert outcome_after(told(replace(CERTIFIED_ANSWER, receipt=failed)))[0] == UNREADABLE


def test_a_full_node_is_asked_again_and_counted_by_transactions() -> None:
    full = [refused(429, 9014)] * 8
    code, _, refusals = outcome_after(*full, told(CERTIFIED_ANSWER), timeout_ms=60_000)
    assert (code, refusals.by_code) == (CERTIFIED, {9014: 4})
    assert outcome_after(refused(429, 9014))[0] == 9014
    assert outcome_after(refused(404, 9011))[0] == 9011
    assert outcome_after(NoReply("gone"))[0] == UNREACHABLE


def test_only_the_pieces_that_were_refused_are_sent_again() -> None:
    half = replace(CERTIFIED_ANSWER, transactions=2)
    full = OpaqueOutcome(None, "rejected", 10, 2, None, None, None)
    code, sent, refusals = outcome_after(told(full, half), told(half), timeout_ms=60_000)
    assert (code, refusals.by_code) == (CERTIFIED, {10: 2})
    assert [len(send.content or b"") for send in sent] == [2_048, 1_024]
    assert outcome_after(told(half, replace(TAKEN, transactions=2), full))[0] == UNREADABLE
    assert outcome_after(told(half, replace(TAKEN, transactions=2)))[0] == PENDING
    assert outcome_after(told(half, replace(full, code=1)))[0] == 1


def test_a_sample_stands_for_all_transactions_of_its_request() -> None:
    samples = Samples()
    for number in range(10):
        position = samples.plan(number * 100_000)
        samples.send(position, number * 100_000 + (200_000 if number == 9 else 0))
        samples.answer(position, number * 100_000 + 5_000 * (number + 1), CERTIFIED if number else 9014)
    one = traffic_of(samples, Window(0, SECOND))
    many = traffic_of(samples, Window(0, SECOND), weight=256)
    assert one.latency_ms is not None
    assert many.latency_ms == replace(one.latency_ms, count=9 * 256)
    assert (many.planned, many.failed) == (10 * 256, {9014: 256})
    assert (many.sent_tps, many.throughput_tps) == (9 * 256, 9 * 256)
    assert [(s.sent, s.certified, s.p50_ms) for s in many.series] == [
        (s.sent * 256, s.certified * 256, s.p50_ms) for s in one.series
    ]


def test_bodies_are_made_once_and_go_round() -> None:
    made = list(islice(bodies(1, 1_024), 40))
    assert {len(body) for body in made} == {1_024}
    assert len(set(made)) == 16
    assert made[16] is made[0]


@pytest.mark.parametrize("mode", [Mode.OPAQUE, Mode.SIGNED])
@pytest.mark.parametrize("shape", [OpenLoop(60_000, 256, 512), ClosedLoop(8_192, 512)])
def test_a_plan_survives_its_way_to_the_load_process(shape: OpenLoop | ClosedLoop, mode: Mode) -> None:
    plan = LoadPlan(("http://a",), shape, Share(0, 1), 1.0, 1_000, "", "samples", mode, 512)
    assert LoadPlan.from_json(plan.to_json()) == plan
    hasty = replace(plan, promise=Promise.COMMITTED)
    assert LoadPlan.from_json(hasty.to_json()) == hasty
    assert plan.has_bodies
    assert plan.body_bytes == 512 * shape.per_request
    assert not replace(plan, mode=Mode.HONEST, chunk_transaction_bytes=0).has_bodies


def test_every_table_is_marked() -> None:
    mark = "OPAQUE MODE: nothing is signed, verified or executed"
    opaque = outcome_of(BY_NAME["opaque-60k"], trial_at(50))
    honest = outcome_of(BY_NAME["steady-800"], trial_at(50))
    for outcome, is_marked in ((opaque, True), (honest, False)):
        with redirect_stdout(io.StringIO()) as shown:
            show_one(outcome)
            show_rates([outcome], [50])
        assert shown.getvalue().count(mark) == 2 * is_marked
    assert (opaque.to_json()["mode"], honest.to_json()["mode"]) == ("opaque", "honest")


def test_figures_of_the_commit_alone_say_so_and_have_a_name_of_their_own() -> None:
    early = outcome_of(BY_NAME["opaque-60k-committed"], trial_at(50, failing=3))
    with redirect_stdout(io.StringIO()) as shown:
        show_one(early)
        show_rates([early], [50])
    assert shown.getvalue().count("COMMITTED, not certified") == 2
    assert " certified" not in shown.getvalue().replace("COMMITTED, not certified", "")
    assert all(" certified" not in problem for problem in early.problems)
    assert early.to_json()["promise"] == "committed"
    assert outcome_of(BY_NAME["opaque-60k"], trial_at(50)).to_json()["promise"] == "certified"


async def test_a_benchmark_cluster_says_what_it_is_and_is_not_measured_as_anything_else(
    tmp_path: Path,
) -> None:
    scenario = replace(BY_NAME["opaque-saturate"], nodes=1)
    async with open_local(scenario, tmp_path / "net") as ground:
        (url,) = ground.urls.values()
        async with AsyncClient((url,)) as client, httpx2.AsyncClient(trust_env=False) as http:
            assert (await client.status()).benchmark == "opaque"
            assert (await http.get(f"{url}/readyz")).json()["benchmark"] == "opaque"
        async with open_attached((url,), (), Mode.OPAQUE) as attached:
            assert attached.cluster_id == ground.cluster_id
        with pytest.raises(
            GroundError, match=r"belongs to a benchmark cluster \(opaque\); it cannot be measured in honest"
        ):
            async with open_attached((url,), (), Mode.HONEST):
                raise AssertionError("it was opened")
        with pytest.raises(GroundError, match="it cannot be measured in signed mode"):
            async with open_attached((url,), (), Mode.SIGNED):
                raise AssertionError("it was opened")


def test_a_testnet_is_never_a_benchmark_cluster(tmp_path: Path) -> None:
    testnet = write_testnet(tmp_path / "net", "plain", (NodePorts(1, 2),), 1, lambda size: os.urandom(size))
    assert Genesis.from_json(testnet.genesis_file.read_text()).params.benchmark is None


@pytest.mark.parametrize(
    ("arguments", "label"),
    [
        (("--mode", "opaque"), "opaque-saturate"),
        (("--scenario", "opaque-60k"), "opaque-60k"),
        (("--mode", "opaque", "--rate", "60000"), "opaque-60k"),
        (("--mode", "opaque", "--rate", "1500"), "opaque-1500"),
        (("--scenario", "opaque-60k-committed", "--rate", "60000"), "opaque-60k-committed"),
        (("--scenario", "opaque-60k-committed", "--rate", "800"), "opaque-60k-committed rate=800"),
        (("--mode", "opaque", "--outstanding", "4096"), "opaque-outstanding-4096"),
        (("--mode", "honest"), "saturate"),
        ((), "saturate"),
    ],
)
def test_a_mode_has_its_own_scenarios(arguments: tuple[str, ...], label: str) -> None:
    scenario = scenario_of(command.make_context("cluster", list(arguments)).params)
    assert scenario.label == label
    assert scenario.mode is (Mode.OPAQUE if "opaque" in label else Mode.HONEST)
    if scenario.mode is Mode.OPAQUE and not isinstance(scenario.shape, NoLoad):
        body_bytes = scenario.payload_bytes * scenario.shape.per_request
        assert body_bytes <= PIECES_MAX * 262_144, "the door takes such a body"
