"""Bad input from clients and strangers: refused in words, one by one, and nobody else notices."""

import os
import ssl
import time
from dataclasses import replace

import httpx2
import pytest
import trio

from consensus import SigningKey
from node.api.views import Outcome
from node.client import ApiError, Wallet
from node.genesis import Genesis
from node.ledger.codes import Code
from node.ledger.transactions import Transaction
from node.local.ports import LOOPBACK
from tests.endtoend.running import RunningCluster
from tests.endtoend.talk import (
    PATIENCE_SECONDS,
    Acknowledged,
    all_agree,
    all_ready,
    client_of,
    new_record,
    put_one,
    status_where,
    wallet_of,
    writing,
)

OPEN_CONNECTIONS = 24


def oversized(cluster: RunningCluster) -> tuple[Transaction, int]:
    """A well-signed transaction over the cluster's limit, and the limit."""
    limit = Genesis.from_json(cluster.testnet.genesis_file.read_text()).params.max_transaction_bytes
    wallet = wallet_of(cluster.testnet)
    expires = time.time_ns() // 1_000_000 + 60_000
    arguments = ("x" * (limit // 2),) * 2
    signed = Transaction.sign(
        wallet.key, wallet.cluster_id, os.urandom(16), expires, "records", "put", arguments, 4 * limit
    )
    return signed, limit


async def test_of_many_transactions_the_good_ones_go_through_and_each_other_is_told_why(
    cluster: RunningCluster,
) -> None:
    await all_ready(cluster)
    wallet = wallet_of(cluster.testnet)
    good = [new_record(wallet)[1] for _ in range(3)]
    expired = new_record(replace(wallet, lifetime_ms=-60_000))[1]
    too_far = new_record(replace(wallet, lifetime_ms=3_600_000))[1]
    elsewhere = new_record(replace(wallet, cluster_id=bytes(32)))[1]
    stranger = new_record(Wallet(SigningKey(os.urandom(32)), wallet.cluster_id))[1]
    taken = wallet.sign("records", "no-such-method", ())
    batch = [good[0], expired, elsewhere, good[1], stranger, too_far, taken, good[2]]
    async with client_of(cluster, "node0") as client:
        outcomes = await client.submit_many(batch, timeout_ms=PATIENCE_SECONDS * 1000)

    def told(position: int, code: Code) -> Outcome:
        assert outcomes[position].code == code, outcomes[position]
        assert outcomes[position].message
        return outcomes[position]

    for position in (0, 3, 7):
        assert told(position, Code.OK).state == "certified"
    assert told(1, Code.EXPIRED).state == "rejected"
    assert told(2, Code.WRONG_CLUSTER).state == "rejected"
    told(4, Code.UNKNOWN_SENDER)
    told(5, Code.EXPIRY_TOO_FAR)
    told(6, Code.UNKNOWN_METHOD)


async def test_an_oversized_transaction_is_refused_with_the_limit_in_the_sentence(
    cluster: RunningCluster,
) -> None:
    await all_ready(cluster)
    transaction, limit = oversized(cluster)
    async with client_of(cluster, "node1") as client:
        with pytest.raises(ApiError) as refusal:
            await client.submit(transaction)
    assert refusal.value.status == 413
    assert refusal.value.code == Code.OVERSIZED
    assert str(limit) in str(refusal.value)


async def test_the_same_id_with_other_content_is_a_replay_and_the_same_bytes_are_not(
    cluster: RunningCluster,
) -> None:
    await all_ready(cluster)
    wallet = wallet_of(cluster.testnet)
    fixed = replace(wallet, random=lambda size: b"\x07" * size)
    first, other = new_record(fixed)[1], new_record(fixed)[1]
    async with client_of(cluster, "node0") as client:
        receipt = await client.submit(first)
        assert receipt.ok
        assert await client.submit(first) == receipt
        await status_where(cluster, "node0", lambda status: status.stored_height >= receipt.height)
        with pytest.raises(ApiError) as refusal:
            await client.submit(other)
        receipt = await client.receipt(first.id)
    assert refusal.value.code == Code.REPLAYED
    assert refusal.value.status == 409
    assert "fresh id" in str(refusal.value)
    await status_where(cluster, "node2", lambda status: status.stored_height >= receipt.height)
    async with client_of(cluster, "node2") as client:
        assert await client.submit(first) == receipt, "the same bytes through another node"


async def test_bytes_that_are_no_transaction_are_refused(cluster: RunningCluster) -> None:
    await all_ready(cluster)
    good = new_record(wallet_of(cluster.testnet))[1].encoded
    forged = good[:-1] + bytes((good[-1] ^ 1,))
    async with httpx2.AsyncClient(
        trust_env=False, headers={"content-type": "application/msgpack", "accept": "application/json"}
    ) as http:
        for body, code in (
            (b"", None),
            (b"\xff" * 100, Code.MALFORMED),
            (good + b"\x00", None),
            (b"\x91" * 5_000, None),
            (forged, Code.BAD_SIGNATURE),
        ):
            answer = await http.post(f"{cluster.node('node2').url}/v1/tx", content=body)
            assert 400 <= answer.status_code < 500, body[:10]
            told = answer.json()
            assert told["message"], body[:10]
            assert code is None or told["code"] == code, told


async def until_hung_up(stream: trio.SSLStream[trio.SocketStream]) -> None:
    """Talk to a node without a certificate until it has had enough."""
    try:
        await stream.do_handshake()
        while await stream.receive_some():
            await stream.send_all(os.urandom(64))
    except trio.BrokenResourceError:
        pass
    finally:
        await trio.aclose_forcefully(stream)


async def test_garbage_and_half_open_links_on_the_peers_port_hurt_nobody(cluster: RunningCluster) -> None:
    await all_ready(cluster)
    acknowledged = Acknowledged()
    port = cluster.node("node0").ports.p2p
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    streams = [await trio.open_tcp_stream(LOOPBACK, port) for _ in range(OPEN_CONNECTIONS)]
    try:
        async with writing(cluster, acknowledged):
            for number, stream in enumerate(streams):
                if number % 3 == 0:
                    await stream.send_all(os.urandom(4_000))
                elif number % 3 == 1:
                    await stream.send_all(b"\x16\x03\x01\x02\x00")  # a handshake that never goes on
            anonymous = trio.SSLStream(await trio.open_tcp_stream(LOOPBACK, port), context)
            with trio.fail_after(PATIENCE_SECONDS):
                await until_hung_up(anonymous)
            await acknowledged.grow_by(6)
            await all_ready(cluster)
    finally:
        for stream in streams:
            await trio.aclose_forcefully(stream)
    await put_one(cluster, acknowledged, "node0")
    await all_agree(cluster, acknowledged)


async def test_bodies_without_end_do_not_keep_others_from_being_served(
    cluster: RunningCluster,
) -> None:
    await all_ready(cluster)
    acknowledged = Acknowledged()
    port = cluster.node("node1").ports.api
    streams = [await trio.open_tcp_stream(LOOPBACK, port) for _ in range(OPEN_CONNECTIONS)]
    head = b"POST /v1/tx HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/msgpack\r\n"
    try:
        for number, stream in enumerate(streams):
            framing = b"content-length: 4000\r\n" if number % 2 else b"transfer-encoding: chunked\r\n"
            await stream.send_all(head + framing + b"\r\n" + (b"" if number % 2 else b"5\r\nhello\r\n"))
        await put_one(cluster, acknowledged, "node1")
    finally:
        for stream in streams:
            await trio.aclose_forcefully(stream)
    await put_one(cluster, acknowledged, "node1")
    await all_agree(cluster, acknowledged)


async def test_events_go_on_where_they_were_across_a_restart_of_the_node(cluster: RunningCluster) -> None:
    await all_ready(cluster)
    acknowledged = Acknowledged()
    await put_one(cluster, acknowledged, "node3")
    start = f"{acknowledged.height}:0"
    seen: list[tuple[int, int]] = []
    transactions: set[str] = set()
    with trio.fail_after(PATIENCE_SECONDS):
        async with client_of(cluster, "node3") as client, client.events(start) as events:
            stopped = False
            async for event in events:
                assert event.kind not in ("gap", "end") or stopped, event
                if event.cursor is not None:
                    height, index = event.cursor.split(":")
                    seen.append((int(height), int(index)))
                    transactions.add(str(event.fields.get("tx_id")))
                if not stopped:
                    stopped = True
                    assert await trio.to_thread.run_sync(cluster.stop, "node3") == 0
                    for _ in range(3):
                        await put_one(cluster, acknowledged, "node0")
                    cluster.start("node3")
                    await all_ready(cluster)
                    last = await put_one(cluster, acknowledged, "node3")
                if stopped and acknowledged.receipts[last].tx_id.hex() in transactions:
                    break
    assert seen == sorted(set(seen)), "an event came twice or out of order"
    assert {receipt.tx_id.hex() for receipt in acknowledged.receipts.values()} <= transactions
