"""Transactions in through the real server: one and many, both encodings, waits, refusals."""

import httpx2
import pytest
import trio

from consensus import decode, encode
from node.api.backend import Busy
from node.api.limits import ApiLimits
from node.api.shapes import from_value
from node.api.views import Outcome
from node.ledger.codes import Code
from node.ledger.receipts import Receipt
from tests.node.api.fake_backend import FakeBackend, make_genesis, put_record
from tests.node.api.live import serving

MSGPACK = {"content-type": "application/msgpack", "accept": "application/msgpack"}


async def test_a_transaction_in_msgpack_comes_back_as_its_certified_receipt() -> None:
    backend = FakeBackend()
    transaction = put_record(backend.genesis, "docs/a", 1)
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        answer = await http.post("/v1/tx", content=transaction.encoded, headers=MSGPACK)
    outcome = from_value(Outcome, decode(answer.content))
    assert answer.status_code == 200
    assert (outcome.state, outcome.tx_id, outcome.height, outcome.index) == (
        "certified",
        transaction.id,
        1,
        0,
    )


async def test_the_same_transaction_in_json_says_the_same_to_people() -> None:
    backend = FakeBackend()
    transaction = put_record(backend.genesis, "docs/a", 1)
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        answer = await http.post("/v1/tx", json={"transaction": transaction.encoded.hex()})
    assert answer.status_code == 200
    assert answer.json()["tx_id"] == transaction.id.hex()
    assert answer.json()["decoded_receipt"]["name"] == "ok"


async def test_a_wait_that_ends_early_says_that_nothing_is_lost() -> None:
    backend = FakeBackend()
    backend.hold = True
    transaction = put_record(backend.genesis, "docs/a", 1)
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        answer = await http.post(
            "/v1/tx?timeout_ms=20", content=transaction.encoded, headers={"content-type": MSGPACK["accept"]}
        )
        assert answer.status_code == 202
        assert answer.json()["state"] == "admitted"
        assert "not certified within 20 ms" in answer.json()["message"]
        assert "Nothing is lost" in answer.json()["message"]
        backend.commit()
        later = await http.get(f"/v1/receipts/{transaction.id.hex()}")
    assert later.json()["decoded_receipt"]["status"] == 0


async def test_a_waiting_submission_is_answered_when_the_block_comes() -> None:
    backend = FakeBackend()
    backend.hold = True
    transaction = put_record(backend.genesis, "docs/a", 1)
    outcomes: list[Outcome] = []

    async def submit() -> None:
        answer = await http.post("/v1/tx", content=transaction.encoded, headers=MSGPACK)
        outcomes.append(from_value(Outcome, decode(answer.content)))

    async with (
        serving(backend) as live,
        httpx2.AsyncClient(base_url=live.url) as http,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(submit)
        await backend.wait_submission()
        backend.commit()
    assert [outcome.state for outcome in outcomes] == ["certified"]


async def test_who_asks_for_the_commit_is_not_told_that_anything_is_certified() -> None:
    backend = FakeBackend()
    backend.hold = True
    first, second = (put_record(backend.genesis, "docs/a", number) for number in (1, 2))
    answers: dict[str, httpx2.Response] = {}

    async def submit(path: str, body: bytes) -> None:
        answers[path] = await http.post(path, content=body, headers=MSGPACK)

    one, many = "/v1/tx?wait=committed", "/v1/txs?wait=committed"
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        for path, body in ((one, first.encoded), (many, encode([second.encoded, b"junk"]))):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(submit, path, body)
                await backend.wait_submission()
                backend.commit(certified=False)
        late = await http.post(one + "&timeout_ms=1", content=first.encoded, headers=MSGPACK)
        early = put_record(backend.genesis, "docs/b", 3)
        unseen = await http.post(one + "&timeout_ms=1", content=early.encoded, headers=MSGPACK)
    assert answers[one].status_code == 200
    found = from_value(Outcome, decode(answers[one].content))
    assert (found.state, found.code, found.height, found.index) == ("committed", 0, 1, 0)
    assert found.receipt is not None
    assert Receipt.decode(found.receipt).tx_id == first.id
    again, junk = from_value(tuple[Outcome, ...], decode(answers[many].content))
    assert (again.state, again.name, junk.state) == ("committed", "record-exists", "rejected")
    assert from_value(Outcome, decode(late.content)).state == "committed"
    assert unseen.status_code == 202
    assert "not committed within 1 ms" in from_value(Outcome, decode(unseen.content)).message


async def test_wait_admitted_answers_at_once() -> None:
    backend = FakeBackend()
    backend.hold = True
    transaction = put_record(backend.genesis, "docs/a", 1)
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        answer = await http.post("/v1/tx?wait=admitted", content=transaction.encoded, headers=MSGPACK)
    assert answer.status_code == 200
    assert from_value(Outcome, decode(answer.content)).state == "admitted"


async def test_one_refused_transaction_of_many_does_not_touch_the_others() -> None:
    backend = FakeBackend()
    good = [put_record(backend.genesis, f"docs/{number}", number) for number in range(1, 4)]
    foreign = put_record(make_genesis("elsewhere"), "docs/x", 9)
    body = encode([good[0].encoded, b"junk", good[1].encoded, foreign.encoded, good[2].encoded])
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        answer = await http.post("/v1/txs", content=body, headers=MSGPACK)
    outcomes = from_value(tuple[Outcome, ...], decode(answer.content))
    assert [outcome.state for outcome in outcomes] == [
        "certified",
        "rejected",
        "certified",
        "rejected",
        "certified",
    ]
    assert (outcomes[1].code, outcomes[1].tx_id) == (Code.MALFORMED, None)
    assert outcomes[3].name == "wrong-cluster"
    assert [outcome.index for outcome in outcomes if outcome.state == "certified"] == [0, 1, 2]


async def test_many_in_json_have_the_same_outcomes() -> None:
    backend = FakeBackend()
    transactions = [put_record(backend.genesis, f"docs/{n}", n).encoded.hex() for n in (1, 2)]
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        answer = await http.post("/v1/txs", json={"transactions": [*transactions, "00"]})
    assert [outcome["state"] for outcome in answer.json()] == ["certified", "certified", "rejected"]


async def test_a_transaction_that_fails_is_certified_with_its_reason() -> None:
    backend = FakeBackend()
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        for number in (1, 2):
            transaction = put_record(backend.genesis, "docs/a", number)
            answer = await http.post("/v1/tx", json={"transaction": transaction.encoded.hex()})
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["name"]) == ("certified", "record-exists")
    assert "supersede it" in answer.json()["message"]


async def test_a_single_refusal_carries_the_ledgers_code_and_its_way_out() -> None:
    backend = FakeBackend()
    foreign = put_record(make_genesis("elsewhere"), "docs/x", 9)
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        answer = await http.post("/v1/tx", json={"transaction": foreign.encoded.hex()})
    assert answer.status_code == 400
    assert answer.json()["code"] == Code.WRONG_CLUSTER
    assert "this cluster's id" in answer.json()["hint"]
    assert answer.json()["hint"] not in answer.json()["message"]


async def test_back_pressure_is_429_with_the_time_to_wait() -> None:
    backend = FakeBackend()
    backend.busy = Busy("The pool holds 4000 transactions, which is its limit.", 1_500)
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        answer = await http.post("/v1/tx", json={"transaction": "00"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    assert answer.json()["name"] == "busy"
    assert "4000" in answer.json()["message"]


async def test_the_number_of_waits_is_bounded_before_anything_is_taken() -> None:
    backend = FakeBackend()
    transaction = put_record(backend.genesis, "docs/a", 1)
    async with (
        serving(backend, ApiLimits(waits_max=0)) as live,
        httpx2.AsyncClient(base_url=live.url) as http,
    ):
        answer = await http.post("/v1/tx", json={"transaction": transaction.encoded.hex()})
        assert answer.status_code == 429
        assert backend.submissions == 0
        taken = await http.post("/v1/tx?wait=admitted", json={"transaction": transaction.encoded.hex()})
    assert taken.json()["state"] == "admitted"


async def test_a_node_without_free_waiters_still_takes_the_transaction() -> None:
    backend = FakeBackend(waiters_max=0)
    transaction = put_record(backend.genesis, "docs/a", 1)
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        answer = await http.post("/v1/tx", json={"transaction": transaction.encoded.hex()})
    assert answer.status_code == 202
    assert "Taken, but not waited for" in answer.json()["message"]


async def test_submitting_the_same_bytes_again_gives_the_same_receipt() -> None:
    backend = FakeBackend()
    transaction = put_record(backend.genesis, "docs/a", 1)
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        answers = [await http.post("/v1/tx", content=transaction.encoded, headers=MSGPACK) for _ in "12"]
    assert answers[0].content == answers[1].content


@pytest.mark.parametrize(
    ("path", "content", "kind", "name"),
    [
        ("/v1/tx", b"{", "application/json", "malformed-body"),
        ("/v1/tx", b"[" * 100_000, "application/json", "malformed-body"),
        ("/v1/tx", b'{"transaction": "00", "transaction": "01"}', "application/json", "malformed-body"),
        ("/v1/tx", b'{"transaction": "00", "extra": 1}', "application/json", "malformed-body"),
        ("/v1/tx", b'{"transaction": 7}', "application/json", "malformed-body"),
        ("/v1/tx", b'{"transaction": "0g"}', "application/json", "malformed-body"),
        ("/v1/tx", b"\xff\xfe", "application/json", "malformed-body"),
        ("/v1/tx", b"\xc1", "application/msgpack", "malformed"),
        ("/v1/tx", b"", "application/msgpack", "malformed"),
        ("/v1/tx", b"x", "text/plain", "media-type"),
        ("/v1/txs", b"\xc1", "application/msgpack", "malformed-body"),
        ("/v1/txs", b"\x91\x01", "application/msgpack", "malformed-body"),
        ("/v1/txs", b"\x91\x91\xc4\x00", "application/msgpack", "malformed-body"),
        ("/v1/txs", b"\x90\x90", "application/msgpack", "malformed-body"),
        ("/v1/txs", b"\xdd\xff\xff\xff\xff", "application/msgpack", "malformed-body"),
        ("/v1/txs", b'{"transactions": {}}', "application/json", "malformed-body"),
        ("/v1/tx?wait=forever", b"x", "application/msgpack", "bad-parameter"),
        ("/v1/tx?timeout_ms=-1", b"x", "application/msgpack", "bad-parameter"),
        ("/v1/tx?timeout_ms=1&timeout_ms=2", b"x", "application/msgpack", "bad-parameter"),
    ],
)
async def test_a_bad_body_or_parameter_is_a_named_error(
    path: str, content: bytes, kind: str, name: str
) -> None:
    async with serving(FakeBackend()) as live, httpx2.AsyncClient(base_url=live.url) as http:
        answer = await http.post(path, content=content, headers={"content-type": kind})
    assert 400 <= answer.status_code < 500
    assert answer.json()["name"] == name
    assert set(answer.json()) == {"code", "name", "message", "hint"}


async def test_too_many_transactions_in_one_request_are_refused() -> None:
    body = encode([b"a", b"b", b"c"])
    async with (
        serving(FakeBackend(), ApiLimits(bulk_transactions_max=2)) as live,
        httpx2.AsyncClient(base_url=live.url) as http,
    ):
        answer = await http.post("/v1/txs", content=body, headers=MSGPACK)
    assert answer.status_code == 400
    assert "at most 2 items" in answer.json()["message"]
