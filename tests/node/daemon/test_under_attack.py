"""One real node with all its sockets, attacked from all sides: it goes on and says what it did."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import trio

from consensus import SigningKey
from node import wire
from node.api.live import HttpService
from node.client import AsyncClient, Wallet
from node.config import NodeConfig
from node.daemon.daemon import Node, run_daemon
from node.daemon.metrics import render_metrics
from node.home import read_key
from node.ledger.apps.records import Content
from node.local.testnet import Testnet
from p2p import NodeIdentity
from p2p.connection import GOODBYE, exchange_hello
from p2p.frames import encode
from p2p.hello import Hello
from p2p.tls import TlsContexts, handshake
from p2p.tlsstream import TlsStream
from tests.node.daemon.running import PATIENCE_SECONDS, Capture, config_of, written
from tests.p2p.strangers import read_frames, wait_closed

EVIL = NodeIdentity.from_seed(b"\x66" * 32)
SLOW, STRANGERS = 20, 30


@asynccontextmanager
async def whole_node(config: NodeConfig) -> AsyncIterator[Node]:
    """A node with its HTTP door."""
    capture = Capture()

    async def run() -> None:
        await run_daemon(config, ready=lambda: None, services=(HttpService(config), capture))

    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            yield await capture.arrived.receive()
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def evil_peer(config: NodeConfig, testnet: Testnet) -> AsyncIterator[TlsStream]:
    """A link of a key that the node allows, as far as the node lets it come."""
    node_key = NodeIdentity.from_seed(read_key(config.home.node_key_file)).peer_id
    async with await trio.open_tcp_stream(config.p2p.host, config.p2p.port) as transport:
        stream = TlsContexts(EVIL, [node_key]).wrap(transport, server_side=False)
        await handshake(stream, "node")
        yield stream


def hello_of(testnet: Testnet, instance: bytes) -> Hello:
    return Hello(wire.PROTOCOL_VERSION, wire.PROTOCOL_OLDEST, testnet.cluster_id, "evil", "evil/1", instance)


async def floods_with_garbage(config: NodeConfig, testnet: Testnet) -> None:
    """Gossip that is no transaction, again and again, until the node has had enough; then tries once more."""
    async with evil_peer(config, testnet) as stream:
        await exchange_hello(stream, hello_of(testnet, b"evil-001"), "node", speaks_first=False)
        with suppress(trio.BrokenResourceError):  # it may have had enough before the last
            for number in range(10):
                body = b"\0no transaction %d" % number
                await stream.send_all(encode(wire.Code.TRANSACTIONS, body)[0])
        await wait_closed(stream)
    async with evil_peer(config, testnet) as stream:
        frames = [frame async for frame in read_frames(stream)]
    assert frames[0].body[0] == GOODBYE
    assert b"you are banned for another" in frames[0].body


async def hold(port: int, data: bytes, opened: list[trio.SocketStream]) -> None:
    """Opens a connection, says something, and leaves it open."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    opened.append(stream)
    with suppress(trio.BrokenResourceError):  # turned away at once
        await stream.send_all(data)


async def test_a_node_that_is_attacked_from_all_sides_goes_on_and_tells_of_it(tmp_path: Path) -> None:
    testnet = written(tmp_path / "net")
    plain = config_of(testnet)
    config = replace(plain, p2p=replace(plain.p2p, allowed=(bytes(EVIL.peer_id),)))
    wallet = Wallet(SigningKey(read_key(testnet.client_key_file)), testnet.cluster_id)
    opened: list[trio.SocketStream] = []
    async with whole_node(config) as node, AsyncClient([testnet.nodes[0].url]) as client:
        try:
            await client.wait_ready()
            await floods_with_garbage(config, testnet)
            async with trio.open_nursery() as attackers:
                for _ in range(SLOW):
                    attackers.start_soon(hold, config.api.port, b"GET / HTTP/1.1\r\nx: ", opened)
                for _ in range(STRANGERS):
                    attackers.start_soon(hold, config.p2p.port, b"\x16\x03\x01\x02", opened)
                for number in range(5):
                    content = Content(number.to_bytes(32, "big"), number, "", "", (), ())
                    receipt = await client.submit(wallet.put(f"attack/{number}", content))
                    assert receipt.ok
                    version = await client.record(f"attack/{number}")
                    assert version.height >= receipt.height
            text = render_metrics(node).decode()
            limits, counters = node.network.limits(), node.network.counters()
        finally:
            for stream in opened:
                await trio.aclose_forcefully(stream)
    (evil,) = [line for line in text.splitlines() if line.startswith("isthmus_p2p_peer_banned_ms{")]
    assert float(evil.rpartition(" ")[2]) > 0, "whom it banned, and for how long, is exported"
    pending, most = limits["pending_connections"]
    assert pending <= 16 < most, "one address holds its share of unfinished handshakes"
    assert counters["refused_connections"] >= STRANGERS - 16
    assert counters["internal_faults"] == 0
