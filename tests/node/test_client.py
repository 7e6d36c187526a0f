"""The client against the real server: receipts, fail-over, back-off, refused proofs, resumed streams."""

import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from consensus import decode, digest, encode
from node.anchoring import verify
from node.api.backend import Busy
from node.api.exchange import NotTrusted, Reply, reasons_of
from node.api.limits import ApiLimits
from node.api.server import bind_listener
from node.api.transport import batches_of, trust_for
from node.api.views import Outcome
from node.client import (
    ApiError,
    AsyncClient,
    Client,
    NotReachable,
    RecordVersion,
    StillPending,
    UnexpectedAnswer,
)
from node.ledger.apps.records import Content
from node.ledger.codes import Code
from node.storage import ChainTable, StateTable, Write
from node.wallet import Wallet
from tests.node.api.fake_backend import MEMBER_KEY, START_MS, FakeBackend, make_genesis, put_record
from tests.node.api.live import Live, serving


def content_of(text: str) -> Content:
    return Content(digest("test/text", text.encode()), len(text), "text/plain", "", (), ())


def wallet_of(backend: FakeBackend) -> Wallet:
    numbers = iter(range(1, 10_000))
    return Wallet(
        MEMBER_KEY,
        backend.genesis.cluster_id,
        random=lambda size: next(numbers).to_bytes(size, "big"),
        now_ms=lambda: START_MS,
    )


@asynccontextmanager
async def talking(
    backend: FakeBackend, *, limits: ApiLimits | None = None, trusting: bool = True
) -> AsyncIterator[tuple[AsyncClient, Live]]:
    trust = backend.genesis.cluster_id if trusting else None
    async with serving(backend, limits) as live, AsyncClient([live.url], trust=trust) as client:
        yield client, live


async def test_what_a_client_was_told_of_it_reads_from_any_node() -> None:
    ahead, behind = FakeBackend(), FakeBackend()
    transaction = wallet_of(ahead).put("docs/a", content_of("one"))
    async with (
        serving(ahead) as first,
        serving(behind) as second,
        AsyncClient([first.url, second.url]) as client,
        trio.open_nursery() as nursery,
    ):
        receipt = await client.submit(transaction)
        client._talk.cluster.move_on()
        found: list[RecordVersion] = []

        async def read() -> None:
            found.append(await client.record("docs/a"))

        nursery.start_soon(read)
        while not second.api.gauges.waits:  # noqa: ASYNC110  # a gauge has no event to wait for
            await trio.sleep(0.005)
        assert not found, "the other node is behind: the client waits for the height it knows"
        await behind.submit([transaction.encoded])
    assert (found[0].height, receipt.height) == (1, 1)
    assert found[0].entry is not None


async def test_a_put_and_a_supersede_come_back_as_receipts_and_verified_versions() -> None:
    backend = FakeBackend()
    wallet = wallet_of(backend)
    async with talking(backend) as (client, _):
        first = await client.submit(wallet.put("docs/a", content_of("one")))
        second = await client.submit(wallet.supersede("docs/a", 1, content_of("two")))
        version = await client.record("docs/a", min_height=second.height, verify=True)
        history = await client.history("docs/a", verify=True)
    assert (first.ok, first.result, second.result) == (True, 1, 2)
    assert version.is_verified
    assert version.entry is not None
    assert version.entry.content == content_of("two")
    assert [item.entry.number for item in history if item.entry] == [2, 1]


async def test_the_absence_of_a_record_is_verified_or_an_error() -> None:
    backend = FakeBackend()
    async with talking(backend) as (client, _):
        await client.submit(put_record(backend.genesis, "docs/a", 1))
        absent = await client.record("docs/b", verify=True)
        with pytest.raises(ApiError, match="no record 'docs/b'") as caught:
            await client.record("docs/b")
    assert absent.entry is None
    assert caught.value.name == "not-found"


async def test_proofs_pass_through_the_history_of_a_later_certified_header() -> None:
    backend = FakeBackend(certify_every=4)
    transactions = [put_record(backend.genesis, f"docs/{n}", n) for n in range(1, 9)]
    async with talking(backend) as (client, _):
        for transaction in transactions:
            await client.submit(transaction)
        for transaction in transactions:
            answer = await client.transaction(transaction.id, verify=True)
            assert answer.transaction == transaction.encoded
        for height in range(9):
            assert (await client.header(height, verify=True)).height == height
        assert (await client.header(verify=True)).height == 8


async def test_bundles_verify_offline_against_the_pinned_hash() -> None:
    backend = FakeBackend(certify_every=3)
    async with talking(backend) as (client, _):
        for number in range(1, 7):
            await client.submit(put_record(backend.genesis, f"docs/{number}", number))
        tx_id = put_record(backend.genesis, "docs/2", 2).id
        bundles = [
            await client.prove_transaction(tx_id),
            await client.prove_record("docs/4"),
            await client.prove_record("docs/none"),
        ]
        pinned = await client.header(5)
        connected = await client.prove_transaction(tx_id, checkpoint=5)
    for bundle in bundles:
        assert verify(bundle, trust=backend.genesis.cluster_id).cluster_name == "harbour"
    verify(connected, trust=backend.genesis.cluster_id, checkpoint=(5, pinned.hash))


async def test_a_node_of_another_cluster_is_not_believed() -> None:
    backend = FakeBackend(make_genesis("impostor"))
    pinned = make_genesis().cluster_id
    async with serving(backend) as live, AsyncClient([live.url], trust=pinned) as client:
        await client.submit(put_record(backend.genesis, "docs/a", 1))
        with pytest.raises(NotTrusted, match="belongs to cluster"):
            await client.record("docs/a", verify=True)


async def test_a_node_that_changes_a_value_is_not_believed() -> None:
    backend = FakeBackend()
    async with talking(backend) as (client, _):
        await client.submit(put_record(backend.genesis, "docs/a", 1))
        await client.submit(put_record(backend.genesis, "docs/b", 2))
        key, other = b"records/current/docs/a", b"records/current/docs/b"
        with backend.snapshot() as snapshot:
            forged = snapshot.get(StateTable.STATE, other)
        backend.store.apply([], [Write(StateTable.STATE, key, forged)])
        with pytest.raises(NotTrusted, match="does not prove what it says"):
            await client.record("docs/a", verify=True)
        assert not (await client.record("docs/a")).is_verified


async def test_a_certificate_of_too_few_validators_is_not_believed() -> None:
    backend = FakeBackend()
    async with talking(backend) as (client, _):
        await client.submit(put_record(backend.genesis, "docs/a", 1))
        key = (1).to_bytes(8, "big")
        with backend.snapshot() as snapshot:
            stored = decode(snapshot.get(ChainTable.CERTIFICATES, key) or b"")
        assert isinstance(stored, tuple)
        weak = (*stored[:5], b"\x01", stored[6][:64])  # type: ignore[index]  # bytes, as stored
        backend.store.apply([Write(ChainTable.CERTIFICATES, key, encode(weak))], [])
        with pytest.raises(NotTrusted, match="no quorum"):
            await client.header(1, verify=True)


async def test_verifying_without_a_pinned_hash_is_refused() -> None:
    backend = FakeBackend()
    async with talking(backend, trusting=False) as (client, _):
        await client.submit(put_record(backend.genesis, "docs/a", 1))
        with pytest.raises(NotTrusted, match="cluster id to trust"):
            await client.record("docs/a", verify=True)


async def test_many_transactions_keep_their_order_over_batches_and_connections() -> None:
    backend = FakeBackend()
    heard = []
    transactions = [put_record(backend.genesis, f"docs/{n}", n) for n in range(1, 101)]
    async with talking(backend) as (client, _):
        outcomes = await client.submit_many(
            iter(transactions), batch=7, concurrency=3, on_outcomes=lambda batch: heard.append(len(batch))
        )
    assert [outcome.tx_id for outcome in outcomes] == [transaction.id for transaction in transactions]
    assert {outcome.state for outcome in outcomes} == {"certified"}
    assert sum(heard) == 100


async def test_what_ends_many_transactions_is_a_client_error_by_itself() -> None:
    backend = FakeBackend()
    transactions = [put_record(backend.genesis, f"docs/{n}", n) for n in range(1, 9)]
    with bind_listener("127.0.0.1", 0) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with AsyncClient([url]) as client:
        with pytest.raises(NotReachable):
            await client.submit_many(transactions, batch=2)


async def test_one_bad_transaction_of_many_is_named_and_the_others_are_certified() -> None:
    backend = FakeBackend()
    foreign = put_record(make_genesis("elsewhere"), "docs/x", 50)
    transactions = [
        put_record(backend.genesis, "docs/1", 1),
        foreign,
        put_record(backend.genesis, "docs/2", 2),
    ]
    async with talking(backend) as (client, _):
        outcomes = await client.submit_many(transactions)
    assert [outcome.state for outcome in outcomes] == ["certified", "rejected", "certified"]
    assert outcomes[1].code == Code.WRONG_CLUSTER


def test_batches_are_bounded_in_count_and_bytes() -> None:
    genesis = make_genesis()
    transactions = [put_record(genesis, f"docs/{n}", n) for n in range(10)]
    assert [len(batch) for batch in batches_of(transactions, 4)] == [4, 4, 2]


async def test_a_dead_node_is_passed_over() -> None:
    backend = FakeBackend()
    with bind_listener("127.0.0.1", 0) as taken:
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with serving(backend) as live, AsyncClient([dead, live.url]) as client:
        receipt = await client.submit(put_record(backend.genesis, "docs/a", 1))
    assert receipt.ok


async def test_nobody_there_is_one_sentence_with_the_way_out() -> None:
    with bind_listener("127.0.0.1", 0) as taken:
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with AsyncClient([dead]) as client:
        with pytest.raises(NotReachable, match=r"No node answers at http://127.0.0.1:.*isthmus start"):
            await client.status()


async def test_a_busy_node_is_asked_again_until_it_takes_the_transaction() -> None:
    backend = FakeBackend()
    backend.busy = Busy("The pool is full.", 0)

    async def make_room() -> None:
        while backend.submissions < 3:
            await backend.wait_submission()
        backend.busy = None

    async with talking(backend) as (client, _), trio.open_nursery() as nursery:
        nursery.start_soon(make_room)
        receipt = await client.submit(put_record(backend.genesis, "docs/a", 1))
    assert receipt.ok
    assert backend.submissions == 4


async def test_a_receipt_that_does_not_come_is_still_pending_not_lost() -> None:
    backend = FakeBackend()
    backend.hold = True
    transaction = put_record(backend.genesis, "docs/a", 1)
    async with talking(backend) as (client, _):
        with pytest.raises(StillPending, match="was taken but not certified within 30 ms") as caught:
            await client.submit(transaction, timeout_ms=30)
        assert caught.value.tx_id == transaction.id
        backend.commit()
        assert (await client.receipt(transaction.id)).ok


async def test_waiting_for_readiness_ends_with_the_reasons() -> None:
    backend = FakeBackend()
    backend.not_ready = ("2 of 3 peers are missing, so no quorum can be reached.",)
    async with talking(backend) as (client, _):
        with pytest.raises(ApiError, match="is not ready: 2 of 3 peers are missing") as refused:
            await client.wait_ready(timeout_ms=0)
        assert "{" not in refused.value.message
        backend.not_ready = ()
        await client.wait_ready()


@pytest.mark.parametrize("content", [b"busy", b"[]", b"{}", b'{"reasons": 3}', b'{"reasons": [1]}', b"\xff"])
def test_a_refusal_of_readiness_by_something_else_is_shown_as_it_came(content: bytes) -> None:
    assert reasons_of(Reply(503, content, None)) == content.decode("utf-8", "replace")


async def test_something_else_behind_the_url_is_said_so() -> None:
    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        async with AsyncClient([f"http://127.0.0.1:{port}"]) as client:
            with pytest.raises(UnexpectedAnswer, match="not one of this client's version"):
                await client.status()
        nursery.cancel_scope.cancel()


async def test_events_go_on_at_another_node_without_loss_or_repetition() -> None:
    backend = FakeBackend()
    for number in (1, 2):
        await backend.submit([put_record(backend.genesis, f"docs/{number}", number).encoded])
    places = []
    async with (
        serving(backend) as one,
        serving(backend) as two,
        AsyncClient([one.url, two.url]) as client,
        client.events("1:0") as events,
    ):
        async for event in events:
            if event.cursor is None:
                continue
            places.append(event.cursor)
            if event.cursor == "2:1":
                one.shutdown.set()
                await backend.submit([put_record(backend.genesis, "docs/3", 3).encoded])
            if event.cursor == "3:1":
                break
    assert places == ["1:0", "1:1", "2:0", "2:1", "3:0", "3:1"]


async def test_events_from_now_on_start_behind_what_is_stored() -> None:
    backend = FakeBackend()
    await backend.submit([put_record(backend.genesis, "docs/1", 1).encoded])
    async with talking(backend) as (client, _), client.events() as events:
        await backend.submit([put_record(backend.genesis, "docs/2", 2).encoded])
        event = await events.receive()
    assert (event.cursor, event.kind, event.fields["method"]) == ("2:0", "transaction", "put")


async def test_the_blocking_client_does_the_same() -> None:
    backend = FakeBackend()
    trust = backend.genesis.cluster_id

    def work(url: str) -> None:
        with Client([url], trust=trust) as client:
            client.wait_ready()
            wallet = wallet_of(backend)
            receipt = client.submit(wallet.put("docs/a", content_of("one")))
            outcomes = client.submit_many(
                [wallet.put(f"docs/{n}", content_of(str(n))) for n in range(5)], batch=2
            )
            assert {type(outcome) for outcome in outcomes} == {Outcome}
            assert [outcome.state for outcome in outcomes] == ["certified"] * 5
            assert client.record("docs/a", verify=True).is_verified
            assert client.transaction(receipt.tx_id, verify=True).height == 1
            assert client.status().stored_height == client.header().height
            assert client.genesis().cluster_id == trust
            assert len(client.block(1).transactions) == 1
            assert len(client.history("docs/a")) == 1
            events = client.events("1:0")
            assert [next(events).cursor, next(events).cursor] == ["1:0", "1:1"]
            events.close()  # type: ignore[attr-defined]  # a generator

    async with serving(backend) as live:
        await trio.to_thread.run_sync(work, live.url)


def test_a_client_without_urls_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one node"):
        Client([])


@pytest.mark.parametrize("urls", [["https://node"], ["http://node", "HTTPS://other:443/"]])
def test_over_https_a_node_is_believed_on_the_word_of_the_known_authorities(urls: list[str]) -> None:
    assert trust_for(urls).get_ca_certs()


@pytest.mark.parametrize("urls", [["https://node"], ["http://node", "http://https:1"]])
def test_a_certificate_is_always_checked(urls: list[str]) -> None:
    trust = trust_for(urls)
    assert (trust.verify_mode, trust.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_without_https_no_authority_is_read() -> None:
    assert trust_for(["http://127.0.0.1:27601"]).get_ca_certs() == []


def test_a_client_loads_no_daemon() -> None:
    code = "import sys, node.client; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "node.api.conversation" in loaded
    assert not loaded & {"node.daemon.daemon", "node.validator", "lmdb", "p2p", "starlette", "structlog"}
