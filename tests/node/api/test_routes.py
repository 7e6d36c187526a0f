"""Every route answers what the document says it does, in both forms; what is not there is said so."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from consensus import decode
from node.api.asking import OPERATIONS as ASKING_OPERATIONS
from node.api.call import Media, Operation
from node.api.faults import Fault
from node.api.openapi import document, document_path
from node.api.routes import OPERATIONS
from node.api.shapes import from_value
from node.ledger.codes import Code
from tests.node.api.fake_backend import (
    OPERATOR_KEYS,
    PROPOSE_WEIGHT,
    FakeBackend,
    govern,
    put_record,
    weight_proposal_id,
)
from tests.node.api.live import serving

EVIDENCE_ID = bytes(32)


@asynccontextmanager
async def people(backend: FakeBackend) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        yield http


async def filled() -> FakeBackend:
    """Three heights with two transactions each, and one piece of evidence."""
    backend = FakeBackend()
    for number in (1, 3, 5):
        pair = [put_record(backend.genesis, f"docs/{n}", n).encoded for n in (number, number + 1)]
        await backend.submit(pair)
    await backend.submit([put_record(backend.genesis, "docs/1", 2, method="supersede").encoded])
    backend.put_evidence(EVIDENCE_ID, b"two votes")
    return backend


def path_of(operation: Any, backend: FakeBackend) -> str:
    """A path of this operation that finds something."""
    tx_id = put_record(backend.genesis, "docs/1", 1).id.hex()
    values = {
        "tx_id": tx_id,
        "proposal_id": weight_proposal_id(backend.genesis).hex(),
        "cluster_id": "cd" * 32,
        "sequence": "1",
        "block": "2",
        "height": "latest",
        "record_id": "docs/1",
        "key": b"records/current/docs/1".hex(),
    }
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], document_path(operation))


QUERIES = [
    item
    for item in OPERATIONS
    if item.method == "GET" and item.media is Media.VIEW and item not in ASKING_OPERATIONS
]
"""What this node answers from what it has; what other clusters answer: `tests/node/cli/test_abroad.py`."""


@pytest.mark.parametrize("operation", QUERIES, ids=lambda item: item.name)
async def test_a_query_answers_the_same_in_both_forms(operation: Any) -> None:
    backend = await filled()
    await backend.submit([govern(backend.genesis, OPERATOR_KEYS[0], "propose", PROPOSE_WEIGHT).encoded])
    path = path_of(operation, backend)
    if any(item.name == "proof" for item in operation.parameters):
        path += "?proof=1"
    async with people(backend) as http:
        text = await http.get(path)
        packed = await http.get(path, headers={"accept": "application/msgpack"})
    assert (text.status_code, packed.status_code) == (200, 200), text.text
    assert packed.headers["content-type"] == "application/msgpack"
    from_value(operation.answer, decode(packed.content))
    check_schema(text.json(), schemas_of([operation]), operation)


@pytest.mark.parametrize("operation", ASKING_OPERATIONS, ids=lambda item: item.name)
async def test_what_asks_another_cluster_says_that_it_is_not_reached(operation: Any) -> None:
    async with people(FakeBackend()) as http:
        answer = await http.get(path_of(operation, FakeBackend()) + "?timeout_ms=1")
        asked = await http.get(path_of(operation, FakeBackend()), params={"question": "90"})
    if operation.name == "proveMessage":
        assert (answer.status_code, answer.json()["name"]) == (424, "cluster-silent")
    else:
        assert (answer.status_code, answer.json()["name"]) == (400, "bad-parameter")
        assert (asked.status_code, asked.json()["name"]) == (424, "cluster-silent")


def schemas_of(operations: Sequence[Operation]) -> Any:
    """The answer types that the document defines."""
    content: Any = document(operations, "0.1.0")
    return content["components"]["schemas"]


def check_schema(content: Any, schemas: Any, operation: Any) -> None:
    """Every field that the document requires is there."""
    if isinstance(content, list):
        return
    named = schemas[operation.answer.__name__]
    missing = [name for name in named["required"] if name not in content]
    assert not missing
    if not named["additionalProperties"]:
        assert set(content) == set(named["properties"])


async def test_the_document_and_the_router_have_the_same_routes() -> None:
    async with people(FakeBackend()) as http:
        content = (await http.get("/openapi.json")).json()
        for path, methods in content["paths"].items():
            concrete = re.sub(r"\{\w+\}", "x", path)
            for method in ("GET", "POST", "PUT", "DELETE"):
                if path == "/v1/events" and method == "GET":
                    continue
                answer = await http.request(method, concrete)
                refused = answer.status_code == 405 or (
                    answer.status_code == 404 and answer.json()["name"] == "unknown-route"
                )
                assert refused == (method.lower() not in methods), f"{method} {path}"
    assert content["openapi"] == "3.1.0"
    assert len(content["paths"]) == len({document_path(item) for item in OPERATIONS})


async def test_every_reference_in_the_document_has_its_definition() -> None:
    async with people(FakeBackend()) as http:
        text = (await http.get("/openapi.json")).text
    schemas = schemas_of(OPERATIONS)
    for name in set(re.findall(r"#/components/schemas/(\w+)", text)):
        assert name in schemas


def test_operation_names_and_codes_are_unique_and_apart_from_the_ledgers() -> None:
    assert len({item.name for item in OPERATIONS}) == len(OPERATIONS)
    codes = [kind.value.code for kind in Fault]
    assert len(set(codes)) == len(codes)
    assert min(codes) > max(Code)


@pytest.mark.parametrize(
    ("path", "status", "name", "words"),
    [
        ("/v2/status", 404, "unknown-route", "/v2/status"),
        ("/v1/status/", 404, "unknown-route", "/v1/status/"),
        (f"/v1/tx/{'00' * 32}", 404, "not-found", "(yet)"),
        ("/v1/tx/zz", 400, "bad-parameter", "tx_id must be 64 hexadecimal digits"),
        ("/v1/tx/" + "0" * 65, 400, "bad-parameter", "64 hexadecimal digits"),
        (f"/v1/receipts/{'00' * 32}", 404, "not-found", "(yet)"),
        ("/v1/headers/99", 404, "not-found", "the last one is 4"),
        ("/v1/headers/-1", 400, "bad-parameter", "a height or latest"),
        ("/v1/headers/" + "9" * 30, 400, "bad-parameter", "a height or latest"),
        ("/v1/headers/¹", 400, "bad-parameter", "a height or latest"),
        (f"/v1/blocks/{'00' * 32}", 404, "not-found", "No executed block"),
        ("/v1/blocks/99", 404, "not-found", "the last one is 4"),
        ("/v1/records/docs/99", 404, "not-found", "no record 'docs/99'"),
        ("/v1/records/docs", 400, "bad-parameter", "namespace/name"),
        ("/v1/records/docs/a%20b", 400, "bad-parameter", "namespace/name"),
        ("/v1/history/docs/99", 404, "not-found", "no record 'docs/99'"),
        ("/v1/history/docs/1?limit=x", 400, "bad-parameter", "limit must be a whole number"),
        ("/v1/state/0", 400, "bad-parameter", "hexadecimal"),
        ("/v1/records/docs/1?prof=1", 400, "bad-parameter", "did you mean proof?"),
        ("/v1/records/docs/1?proof=yes", 400, "bad-parameter", "must be 0 or 1"),
        ("/v1/records/docs/1?proof=1&proof=1", 400, "bad-parameter", "more than once"),
        ("/v1/records/docs/1?min_height=99&timeout_ms=10", 503, "height-not-reached", "shows up to 4"),
        ("/v1/events?from=1", 400, "bad-parameter", "height:index"),
        ("/v1/events?from=1:2:3", 400, "bad-parameter", "height:index"),
        (f"/v1/prove/tx/{'00' * 32}", 404, "not-found", "(yet)"),
    ],
)
async def test_what_is_not_there_or_not_understood_is_said_in_words(
    path: str, status: int, name: str, words: str
) -> None:
    async with people(await filled()) as http:
        answer = await http.get(path)
    assert (answer.status_code, answer.json()["name"]) == (status, name)
    assert words in answer.json()["message"]
    assert answer.json()["hint"]


async def test_another_method_names_those_that_are_allowed() -> None:
    async with people(FakeBackend()) as http:
        answer = await http.delete("/v1/tx")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.json()["message"] == "/v1/tx takes POST, not DELETE."


async def test_a_form_we_do_not_have_is_refused() -> None:
    async with people(FakeBackend()) as http:
        answer = await http.get("/v1/status", headers={"accept": "application/xml"})
        browser = await http.get(
            "/v1/status", headers={"accept": "text/html,application/xml;q=0.9,*/*;q=0.8"}
        )
    assert (answer.status_code, answer.json()["name"]) == (406, "not-acceptable")
    assert browser.status_code == 200


async def test_people_read_decoded_fields() -> None:
    backend = await filled()
    tx_id = put_record(backend.genesis, "docs/1", 1).id.hex()
    async with people(backend) as http:
        transaction = (await http.get(f"/v1/tx/{tx_id}")).json()
        record = (await http.get("/v1/records/docs/1")).json()
        history = (await http.get("/v1/history/docs/1")).json()
        header = (await http.get("/v1/headers/2")).json()
        block = (await http.get("/v1/blocks/2")).json()
    assert transaction["decoded_transaction"]["args"][0] == "docs/1"
    assert transaction["decoded_receipt"]["name"] == "ok"
    assert (record["decoded"]["version"], record["decoded"]["owner"]) == (2, "port")
    assert [version["version"] for version in history["decoded"]] == [2, 1]
    assert header["decoded"]["height"] == 2
    assert header["signers"] == 4
    assert len(block["decoded_receipts"]) == 2


async def test_history_comes_in_pages() -> None:
    backend = await filled()
    for number in range(3, 8):
        await backend.submit([put_record(backend.genesis, "docs/1", number, method="supersede").encoded])
    async with people(backend) as http:
        first = (await http.get("/v1/history/docs/1?limit=3")).json()
        second = (await http.get("/v1/history/docs/1?limit=3&before=5")).json()
        last = (await http.get("/v1/history/docs/1?before=2")).json()
        none = (await http.get("/v1/history/docs/1?before=1")).json()
    assert [item["version"] for item in first["decoded"]] == [7, 6, 5]
    assert [item["version"] for item in second["decoded"]] == [4, 3, 2]
    assert ([item["version"] for item in last["decoded"]], last["more"]) == ([1], False)
    assert (none["decoded"], none["more"], first["more"]) == ([], False, True)


async def test_a_read_waits_for_the_height_it_needs() -> None:
    backend = await filled()
    backend.hold = True
    await backend.submit([put_record(backend.genesis, "docs/9", 9).encoded])
    async with people(backend) as http:
        early = await http.get("/v1/records/docs/9?min_height=5&timeout_ms=10")
        backend.commit()
        late = await http.get("/v1/records/docs/9?min_height=5")
    assert early.status_code == 503
    assert late.json()["height"] == 5


async def test_readiness_is_503_with_its_reasons() -> None:
    backend = FakeBackend()
    backend.not_ready = ("The journal is being replayed.", "1 of 3 peers is connected.")
    async with people(backend) as http:
        answer = await http.get("/readyz")
        alive = await http.get("/livez")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "reasons": list(backend.not_ready), "benchmark": ""}
    assert alive.status_code == 200


async def test_metrics_have_the_nodes_lines_and_every_bound_of_the_door() -> None:
    async with people(FakeBackend()) as http:
        text = (await http.get("/metrics")).text
    assert "isthmus_consensus_height 1" in text
    for name in ("connections", "bodies_bytes", "waits", "streams", "reads"):
        assert re.search(rf"^isthmus_api_{name} \d+$", text, re.MULTILINE)
        assert re.search(rf"^isthmus_api_{name}_max \d+$", text, re.MULTILINE)
    assert 'isthmus_api_refused_total{reason="slow-reader"} 0' in text


async def test_evidence_comes_in_pages() -> None:
    backend = await filled()
    for number in range(1, 4):
        backend.put_evidence(number.to_bytes(32, "big"), b"proof")
    async with people(backend) as http:
        first = (await http.get("/v1/evidence?limit=3")).json()
        last = (await http.get(f"/v1/evidence?limit=3&after={first['items'][-1]['evidence_id']}")).json()
    assert (first["total"], len(first["items"]), first["more"]) == (4, 3, True)
    assert (len(last["items"]), last["more"]) == (1, False)


async def test_a_fault_of_ours_is_500_without_details_and_with_a_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backend = await filled()
    async with people(backend) as http:
        del backend.genesis
        answer = await http.get("/v1/genesis")
        after = await http.get("/livez")
    assert (answer.status_code, answer.json()["name"]) == (500, "internal")
    assert "AttributeError" not in answer.text
    assert "getGenesis failed" in caplog.text
    assert after.status_code == 200


async def test_a_busy_database_is_429_for_a_query() -> None:
    backend = await filled()
    backend.snapshots_refused = 1
    async with people(backend) as http:
        answer = await http.get("/v1/headers/latest")
        again = await http.get("/v1/headers/latest")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert "64 queries" in answer.json()["message"]
    assert again.status_code == 200
