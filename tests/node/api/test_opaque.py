"""POST /v1/opaque: there on benchmark clusters only, and answered when the batch is certified."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx2
import pytest
import trio

from consensus import SigningKey, decode
from node.anchoring import verify
from node.api.backend import Busy
from node.api.limits import ApiLimits
from node.api.opaque import OpaqueOutcome
from node.api.routes import OPERATIONS, operations_of
from node.api.shapes import from_value
from node.genesis import Genesis
from node.ledger.params import Benchmark
from node.ledger.receipts import Receipt
from node.pool.signedchunks import signed_transaction
from node.proofs import ProofError
from tests.node.api.fake_backend import FakeBackend, make_genesis
from tests.node.api.live import serving

OCTETS = {"content-type": "application/octet-stream", "accept": "application/msgpack"}
PATH = "/v1/opaque?transaction_bytes=512"


def opaque_backend(kind: Benchmark = Benchmark.OPAQUE) -> FakeBackend:
    plain = make_genesis()
    params = replace(plain.params, apps=(kind.value,))
    return FakeBackend(Genesis.new(plain.name, params, plain.validators, plain.members))


@asynccontextmanager
async def client_of(
    backend: FakeBackend, limits: ApiLimits | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(backend, limits) as live, httpx2.AsyncClient(base_url=live.url) as http:
        yield http


async def test_the_route_is_not_there_on_other_clusters() -> None:
    backend = FakeBackend()
    async with client_of(backend) as http:
        answer = await http.post(PATH, content=bytes(1_024), headers=OCTETS)
        listed = (await http.get("/openapi.json")).json()["paths"]
        assert (await http.get("/v1/status")).json()["benchmark"] == ""
    assert answer.status_code == 404
    assert answer.json()["name"] == "unknown-route"
    assert "/v1/opaque" not in listed
    assert operations_of(backend.genesis.params) == OPERATIONS


async def test_a_body_is_answered_with_the_certified_receipt_of_its_batch() -> None:
    async with client_of(opaque_backend()) as http:
        answer = await http.post(PATH, content=bytes(262_144), headers=OCTETS)
        assert "/v1/opaque" in (await http.get("/openapi.json")).json()["paths"]
    assert answer.status_code == 200
    (outcome,) = from_value(tuple[OpaqueOutcome, ...], decode(answer.content))
    assert (outcome.state, outcome.transactions, outcome.height, outcome.index) == ("certified", 512, 1, 0)
    assert outcome.receipt is not None
    receipt = Receipt.decode(outcome.receipt)
    assert receipt.ok
    assert (receipt.tx_id, receipt.result) == (outcome.batch_id, (512, 262_144))


async def test_everything_that_reads_leaves_lives_with_opaque_ones() -> None:
    backend = opaque_backend()
    async with client_of(backend) as http:
        await http.post(PATH, content=bytes(1_024), headers=OCTETS)
        block = (await http.get("/v1/blocks/1")).json()
        name = block["transactions"][0]
        found = (await http.get(f"/v1/tx/{name}?proof=1")).json()
        receipt = (await http.get(f"/v1/receipts/{name}")).json()
        bundle = await http.get(f"/v1/prove/tx/{name}")
        assert (await http.get("/v1/status")).json()["benchmark"] == "opaque"
        assert (await http.get("/readyz")).json() == {"ready": True, "reasons": [], "benchmark": "opaque"}
    assert found["transaction"] == name, "the leaf of a batch is its name"
    assert found["decoded_transaction"] is None
    assert receipt["decoded_receipt"]["result"] == [2, 1_024]
    assert bundle.status_code == 200
    with pytest.raises(ProofError, match="transaction"):
        verify(bundle.content, trust=backend.genesis.cluster_id)


async def test_a_body_of_several_batches_is_answered_piece_by_piece() -> None:
    """Pieces end where a transaction does; one that is refused does not touch the others."""
    backend = opaque_backend()
    path = "/v1/opaque?transaction_bytes=1000"
    async with client_of(backend) as http:
        answer = await http.post(path, content=bytes(600_000), headers=OCTETS)
        other = await http.post(path, content=bytes(262_500), headers=OCTETS)
    outcomes = from_value(tuple[OpaqueOutcome, ...], decode(answer.content))
    assert [(item.state, item.transactions) for item in outcomes] == [
        ("certified", 262),
        ("certified", 262),
        ("certified", 76),
    ]
    assert len({item.batch_id for item in outcomes}) == 3
    first, rest = from_value(tuple[OpaqueOutcome, ...], decode(other.content))
    assert (first.state, first.transactions) == ("certified", 262)
    assert (rest.state, rest.code, rest.batch_id) == ("rejected", 1, None)


async def test_where_transactions_are_signed_a_forged_one_is_refused_under_the_ledgers_code() -> None:
    backend = opaque_backend(Benchmark.SIGNED)
    key = SigningKey(bytes(32))
    good = signed_transaction(key, backend.genesis.cluster_id, bytes(416))
    async with client_of(backend) as http:
        taken = await http.post(PATH, content=good * 2, headers=OCTETS)
        forged = await http.post(PATH, content=good[:-1] + b"\1", headers=OCTETS)
        small = await http.post("/v1/opaque?transaction_bytes=96", content=bytes(96), headers=OCTETS)
        pieces = await http.post(PATH, content=good * 512 + good[:-1] + b"\1", headers=OCTETS)
        assert (await http.get("/v1/status")).json()["benchmark"] == "signed"
        assert (await http.get("/readyz")).json() == {"ready": True, "reasons": [], "benchmark": "signed"}
    assert taken.status_code == 200
    assert [(answer.status_code, answer.json()["name"]) for answer in (forged, small)] == [
        (400, "bad-signature"),
        (400, "malformed"),
    ]
    outcomes = from_value(tuple[OpaqueOutcome, ...], decode(pieces.content))
    assert [(item.state, item.code) for item in outcomes] == [("certified", 0), ("rejected", 7)]


async def test_a_wait_that_ends_early_says_that_the_bytes_were_taken() -> None:
    backend = opaque_backend()
    backend.hold = True
    async with client_of(backend) as http:
        answer = await http.post(PATH + "&timeout_ms=10", content=bytes(512), headers=OCTETS)
    assert answer.status_code == 202
    (outcome,) = from_value(tuple[OpaqueOutcome, ...], decode(answer.content))
    assert (outcome.state, outcome.height, outcome.receipt) == ("admitted", None, None)


async def test_who_asks_for_the_commit_is_told_before_the_certificate_and_in_words_of_its_own() -> None:
    backend = opaque_backend()
    backend.hold = True
    path = PATH + "&wait=committed"
    answers: list[httpx2.Response] = []
    async with client_of(backend) as http, trio.open_nursery() as nursery:

        async def submit() -> None:
            answers.append(await http.post(path, content=bytes(1_024), headers=OCTETS))

        nursery.start_soon(submit)
        with trio.fail_after(10):
            await backend.wait_submission()
        backend.commit(certified=False)
    assert answers[0].status_code == 200
    (outcome,) = from_value(tuple[OpaqueOutcome, ...], decode(answers[0].content))
    assert (outcome.state, outcome.transactions, outcome.height, outcome.index) == ("committed", 2, 1, 0)
    assert outcome.receipt is not None
    assert Receipt.decode(outcome.receipt).tx_id == outcome.batch_id


@pytest.mark.parametrize(
    ("path", "body", "content_type", "status", "name"),
    [
        (PATH + "&wait=admitted", bytes(512), "application/octet-stream", 400, "bad-parameter"),
        (PATH, bytes(513), "application/octet-stream", 400, "malformed"),
        (PATH, bytes(16 * 262_144 + 1), "application/octet-stream", 413, "body-too-large"),
        (PATH, bytes(512), "application/json", 415, "media-type"),
        ("/v1/opaque", bytes(512), "application/octet-stream", 400, "bad-parameter"),
        ("/v1/opaque?transaction_bytes=0", bytes(512), "application/octet-stream", 400, "bad-parameter"),
        ("/v1/opaque?size=512", bytes(512), "application/octet-stream", 400, "bad-parameter"),
    ],
)
async def test_bad_requests_are_refused_by_name(
    path: str, body: bytes, content_type: str, status: int, name: str
) -> None:
    async with client_of(opaque_backend()) as http:
        answer = await http.post(path, content=body, headers={"content-type": content_type})
    assert (answer.status_code, answer.json()["name"]) == (status, name)


async def test_back_pressure_is_told_as_such() -> None:
    backend = opaque_backend()
    backend.busy = Busy("full", 1_000)
    async with client_of(backend) as http:
        answer = await http.post(PATH, content=bytes(512), headers=OCTETS)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


async def test_the_next_request_may_come_behind_a_large_body_before_its_answer() -> None:
    """Pieces of a body are read in large strides, which a pipelined request must survive."""
    body = bytes(262_144)
    head = b"POST /v1/opaque?transaction_bytes=512 HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    head += b"content-type: application/octet-stream\r\ncontent-length: 262144\r\n"
    async with serving(opaque_backend()) as live, await trio.open_tcp_stream("127.0.0.1", live.port) as wire:

        async def send() -> None:
            last = head + b"connection: close\r\n\r\n" + body
            await wire.send_all((head + b"\r\n" + body) * 3 + last)

        heard = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            while part := await wire.receive_some():
                heard += part
    assert heard.count(b"HTTP/1.1 200") == 4, heard[:300]
