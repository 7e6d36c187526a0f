"""Answers of later epochs: the links that lead to them are served, carried by bundles, and checked."""

import httpx2
import pytest
import trio

from node.anchoring import Bundle, verify
from node.anchoring.cluster.epochs import LinksFile
from node.client import AsyncClient, NotTrusted
from tests.node.api.fake_backend import (
    OPERATOR_KEYS,
    PROPOSE_WEIGHT,
    FakeBackend,
    govern,
    put_record,
    weight_proposal_id,
)
from tests.node.api.live import serving


async def second_epoch() -> FakeBackend:
    """A record of epoch 0 at height 1, the end of the epoch at height 4, a record of epoch 1 at height 5."""
    backend = FakeBackend()
    await backend.submit([put_record(backend.genesis, "docs/old", 1).encoded])
    await backend.submit([govern(backend.genesis, OPERATOR_KEYS[0], "propose", PROPOSE_WEIGHT).encoded])
    for number in (1, 2):
        proposal_id = weight_proposal_id(backend.genesis)
        approving = govern(backend.genesis, OPERATOR_KEYS[number], "approve", (proposal_id,))
        await backend.submit([approving.encoded])
    await backend.submit([put_record(backend.genesis, "docs/new", 2).encoded])
    return backend


async def test_a_client_verifies_answers_of_later_epochs() -> None:
    backend = await second_epoch()
    old, new = (put_record(backend.genesis, name, n).id for name, n in (("docs/old", 1), ("docs/new", 2)))
    async with (
        serving(backend) as live,
        AsyncClient([live.url], trust=backend.genesis.cluster_id) as client,
    ):
        assert (await client.header(verify=True)).epoch == 1
        assert (await client.header(1, verify=True)).epoch == 0
        for name in ("docs/old", "docs/new"):
            assert (await client.record(name, verify=True)).is_verified
        for tx_id in (old, new):
            assert (await client.transaction(tx_id, verify=True)).tx_id == tx_id


async def test_a_bundle_carries_the_links_that_it_needs_and_no_more() -> None:
    backend = await second_epoch()
    async with serving(backend) as live, AsyncClient([live.url]) as client:
        bundles = [
            await client.prove_transaction(put_record(backend.genesis, name, number).id)
            for name, number in (("docs/old", 1), ("docs/new", 2))
        ]
    assert [len(Bundle.decode(data).links) for data in bundles] == [0, 1]
    assert [verify(data, trust=backend.genesis.cluster_id).epoch for data in bundles] == [0, 1]


async def test_the_links_are_one_file() -> None:
    backend = await second_epoch()
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        answer = await http.get("/v1/links")
    file = LinksFile.decode(answer.content)
    assert file.cluster_id == backend.genesis.cluster_id
    assert [link.ending.header.height for link in file.links] == [4]
    assert [v.weight for v in file.links[0].validators] == [1, 1, 1, 2]


async def test_false_links_are_not_believed_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = await second_epoch()
    true_links = LinksFile.decode(await fetch_links(backend))
    false = LinksFile(true_links.cluster_id, ())
    async with (
        serving(backend) as live,
        AsyncClient([live.url], trust=backend.genesis.cluster_id) as client,
    ):
        with monkeypatch.context() as lying:
            lying.setattr("node.api.links.epoch_links", lambda snapshot, epoch=0: false.links)
            with pytest.raises(NotTrusted, match="links"):
                await client.header(verify=True)
        assert (await client.header(verify=True)).epoch == 1


async def fetch_links(backend: FakeBackend) -> bytes:
    async with serving(backend) as live, httpx2.AsyncClient(base_url=live.url) as http:
        with trio.fail_after(10):
            return (await http.get("/v1/links")).content
