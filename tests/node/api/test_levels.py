"""Read levels: what is certified, what is only committed, what each says of itself, waiting for a height."""

import httpx2
import pytest

from consensus import Digest
from node.api import queries, record_queries
from node.api.faults import ApiFault
from node.daemon.memory_store import MemoryStore
from node.daemon.recent import RecentHeights, executed_layer
from node.ledger.execution import BlockToExecute, Ledger
from node.ledger.state import Space
from node.storage import HEIGHT_KEY, ChainTable, StateTable, Write, height_key
from node.validator.layout import SPACE_TABLES
from node.validator.line import Settled
from tests.node.api.fake_backend import FakeBackend, make_genesis, put_record
from tests.node.api.live import serving

COMMITTED = {"level": "committed"}


async def with_an_uncertified_height() -> FakeBackend:
    """Height 1 is certified, height 2 is committed only."""
    backend = FakeBackend()
    await backend.submit([put_record(backend.genesis, "docs/1", 1).encoded])
    backend.hold = True
    await backend.submit([put_record(backend.genesis, "docs/2", 2).encoded])
    backend.commit(certified=False)
    return backend


async def test_an_answer_says_its_level_and_up_to_where_it_is_certified() -> None:
    backend = await with_an_uncertified_height()
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        certified = await http.get("/v1/headers/1")
        committed = await http.get("/v1/headers/2", params=COMMITTED)
        newest = await http.get("/v1/blocks/latest", params=COMMITTED)
        refused = await http.get("/v1/headers/2")
    assert certified.headers["isthmus-level"] == "certified"
    assert "isthmus-certified-height" not in certified.headers
    assert committed.headers["isthmus-level"] == "committed"
    assert committed.headers["isthmus-certified-height"] == "1"
    assert committed.json()["certificate"] is None
    assert newest.json()["height"] == 2
    assert (refused.status_code, refused.json()["name"]) == (404, "not-found")


@pytest.mark.parametrize("path", ["/v1/records/docs/1", "/v1/history/docs/1", "/v1/state/00"])
async def test_nothing_proves_what_is_not_certified(path: str) -> None:
    async with serving(await with_an_uncertified_height()) as live, httpx2.AsyncClient() as http:
        answer = await http.get(live.url + path, params={"proof": "1", **COMMITTED})
        wrong = await http.get(live.url + path, params={"level": "final"})
    assert (answer.status_code, answer.json()["name"]) == (400, "bad-parameter")
    assert "level=certified" in answer.json()["message"]
    assert "level must be certified or committed" in wrong.json()["message"]


async def test_a_committed_read_does_not_wait_for_the_certificate_of_its_height() -> None:
    backend = await with_an_uncertified_height()
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        certified = await http.get("/v1/records/docs/2", params={"min_height": "2", "timeout_ms": "10"})
        answer = await http.get("/v1/records/docs/2", params={"min_height": "2", **COMMITTED})
        late = await http.get(
            "/v1/records/docs/2", params={"min_height": "3", "timeout_ms": "10", **COMMITTED}
        )
    assert answer.json()["height"] == 2
    assert (late.status_code, late.json()["name"]) == (503, "height-not-reached")
    assert late.headers["retry-after"]
    assert "this node shows up to 2" in late.json()["message"]
    assert (certified.status_code, certified.json()["name"]) == (503, "height-not-reached")
    assert "this node shows up to 1" in certified.json()["message"]


@pytest.mark.parametrize(
    "path",
    ["/v1/tx/{id}", "/v1/blocks/latest", "/v1/headers/latest", "/v1/prove/tx/{id}", "/v1/prove/header/1"],
)
async def test_every_read_of_the_chain_waits_for_its_height_and_says_when_it_did_not_come(path: str) -> None:
    backend = FakeBackend()
    transaction = put_record(backend.genesis, "docs/1", 1)
    await backend.submit([transaction.encoded])
    asked = path.replace("{id}", transaction.id.hex())
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        found = await http.get(asked, params={"min_height": "1"})
        early = await http.get(asked, params={"min_height": "9", "timeout_ms": "5"})
    assert found.status_code == 200
    assert (early.status_code, early.json()["code"]) == (503, 9016)


def test_an_executed_height_is_read_over_what_is_stored() -> None:
    genesis = make_genesis()
    beginning = genesis.beginning()
    store = MemoryStore()

    class Reader:
        def get(self, space: Space, key: bytes) -> bytes | None:
            return store.reader().get(SPACE_TABLES[space], key)

    state = [Write(SPACE_TABLES[space], key, value) for space, key, value in beginning.state_writes]
    header = beginning.tip.header
    store.apply(
        [Write(ChainTable.HEADERS, height_key(0), header.encoded)],
        [*state, Write(StateTable.META, HEIGHT_KEY, height_key(0))],
    )
    ledger = Ledger(genesis.params, Reader(), beginning.tip)
    transaction = put_record(genesis, "docs/1", 1)
    block = BlockToExecute(1, Digest(bytes(32)), ledger.epoch, header.time_ms + 1_000, (transaction,))
    settled = Settled(ledger.execute(block), ledger.tip)
    recent = RecentHeights()
    with recent.over(store, (executed_layer(settled),)) as snapshot:
        assert record_queries.record(snapshot, "docs/1", with_proof=False).height == 1
        assert queries.receipt(snapshot, transaction.id).height == 1
        assert queries.block(snapshot, 1, uncertified=True).transactions == (transaction.encoded,)
        assert queries.stored_height(snapshot) == 1
        with pytest.raises(ApiFault, match="not stored here as certified"):
            queries.block(snapshot, 1)
    with recent.over(store) as snapshot, pytest.raises(ApiFault, match=r"There is no record|no record"):
        record_queries.record(snapshot, "docs/1", with_proof=False)
