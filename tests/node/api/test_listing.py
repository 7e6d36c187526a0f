"""Pages of blocks and of records: complete, in order, bounded, and honest about what is missing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from consensus import LocalError, encode
from node.api.listing import BLOCKS_MAX, blocks, list_records
from node.api.queries import height_key
from node.storage import ChainTable, Write
from tests.node.api.fake_backend import FakeBackend, put_record
from tests.node.api.live import serving


@asynccontextmanager
async def people(backend: FakeBackend) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        yield http


async def filled(*blocks_of: int, certify_every: int = 1) -> FakeBackend:
    """One height for each number, with as many records."""
    backend = FakeBackend(certify_every=certify_every)
    for height, count in enumerate(blocks_of, 1):
        names = [f"docs/{height:02}-{index:02}" for index in range(count)]
        await backend.submit([put_record(backend.genesis, name, height).encoded for name in names])
    return backend


async def asked(http: httpx2.AsyncClient, path: str) -> Any:
    answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_blocks_are_listed_downwards_with_their_numbers_of_transactions() -> None:
    async with people(await filled(1, 3, 20, certify_every=2)) as http:
        page = await asked(http, "/v1/blocks")
    assert page["stored_height"] == 3
    assert [(row["height"], row["transactions"]) for row in page["blocks"]] == [
        (3, 20),
        (2, 3),
        (1, 1),
        (0, 0),
    ]
    assert [row["has_certificate"] for row in page["blocks"]] == [False, True, False, False]
    assert [row["decoded"]["height"] for row in page["blocks"]] == [3, 2, 1, 0]
    assert page["more"] is False


async def test_pages_of_blocks_follow_each_other_without_a_gap() -> None:
    async with people(await filled(1, 1, 1, 1)) as http:
        heights, before = [], ""
        for _ in range(3):
            page = await asked(http, f"/v1/blocks?limit=2{before}")
            heights += [row["height"] for row in page["blocks"]]
            before = f"&before={heights[-1]}"
        assert heights == [4, 3, 2, 1, 0]
        assert page["more"] is False
        assert (await asked(http, "/v1/blocks?before=0"))["blocks"] == []
        assert len((await asked(http, "/v1/blocks?before=9999"))["blocks"]) == 5


async def test_a_pruned_body_has_no_number_and_the_page_is_bounded() -> None:
    backend = await filled(2, 2)
    backend.prune_body(1)
    with backend.store.snapshot() as snapshot:
        assert [row.transactions for row in blocks(snapshot, None, BLOCKS_MAX).blocks] == [2, None, 0]
    async with people(backend) as http:
        assert len((await asked(http, "/v1/blocks?limit=10000"))["blocks"]) == 3
        assert (await http.get("/v1/blocks?limit=10001")).status_code == 400


@pytest.mark.parametrize("count", [0, 1, 15, 16, 300, 65_535, 65_536])
def test_the_number_of_transactions_is_read_from_the_bodys_first_bytes(count: int) -> None:
    backend = FakeBackend()
    backend.store.apply([Write(ChainTable.BODIES, height_key(0), encode(([b"x"] * count, [])))], [])
    with backend.store.snapshot() as snapshot:
        (genesis,) = blocks(snapshot, None, 1).blocks
    assert genesis.transactions == count


@pytest.mark.parametrize("body", [b"", b"\x92", b"\x92\xc4\x01x", b"\x91\x90"])
def test_a_body_that_is_none_is_this_nodes_own_fault(body: bytes) -> None:
    backend = FakeBackend()
    backend.store.apply([Write(ChainTable.BODIES, height_key(0), body)], [])
    with backend.store.snapshot() as snapshot, pytest.raises(LocalError, match="does not begin"):
        blocks(snapshot, None, 1)


async def test_records_are_listed_in_order_page_by_page() -> None:
    async with people(await filled(3, 2)) as http:
        names, after = [], ""
        for _ in range(3):
            page = await asked(http, f"/v1/records?limit=2{after}")
            names += [row["record_id"] for row in page["records"]]
            after = f"&after={names[-1]}"
        assert names == ["docs/01-00", "docs/01-01", "docs/01-02", "docs/02-00", "docs/02-01"]
        assert page["more"] is False
        assert page["height"] == 2
        assert page["records"][0]["decoded"]["version"] == 1
        assert (await asked(http, "/v1/records?after=zzz"))["records"] == []


async def test_a_prefix_narrows_the_list_and_its_end_is_told() -> None:
    backend = await filled(3, 2)
    with backend.store.snapshot() as snapshot:
        found = list_records(snapshot, "docs/01", "", 2)
        assert [row.record_id for row in found.records] == ["docs/01-00", "docs/01-01"]
        assert found.more
        rest = list_records(snapshot, "docs/01", "docs/01-01", 2)
        assert [row.record_id for row in rest.records] == ["docs/01-02"]
        assert not rest.more
        exact = list_records(snapshot, "docs/01", "docs/01-01", 1)
        assert (len(exact.records), exact.more) == (1, False)
        assert list_records(snapshot, "nothing", "", 10).records == ()
        before_it = list_records(snapshot, "docs/02", "docs/01-00", 10)
        assert [row.record_id for row in before_it.records] == ["docs/02-00", "docs/02-01"]


@pytest.mark.parametrize(
    "query", ["prefix=%C3%A9", "after=%00", "prefix=" + "x" * 241, "limit=x", "before=1"]
)
async def test_what_can_be_no_part_of_an_id_is_the_callers_mistake(query: str) -> None:
    async with people(FakeBackend()) as http:
        answer = await http.get(f"/v1/records?{query}")
    assert (answer.status_code, answer.json()["name"]) == (400, "bad-parameter")


async def test_a_height_can_be_waited_for_and_is_refused_when_it_does_not_come() -> None:
    async with people(await filled(1)) as http:
        assert (await http.get("/v1/blocks?min_height=1&timeout_ms=1000")).status_code == 200
        assert (await http.get("/v1/records?min_height=9&timeout_ms=1")).status_code == 503
