"""A hostile cluster at the real sockets of a real node: local commits go on, and its nodes are scored."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from hashlib import sha256
from pathlib import Path

import trio

from consensus import SigningKey
from node import wire
from node.anchoring.exchange import (
    EXCHANGE_BYTES_MAX,
    BundleAsked,
    BundleSent,
    Exchanged,
    OfferAsked,
    Offered,
)
from node.anchoring.lanes.courier import BundleRequest, Offer
from node.api.live import LiveBackend
from node.config import NodeConfig
from node.home import read_key
from node.ledger.apps.records import Content
from node.ledger.federation.changes import federation_change_of
from node.local.testnet import Testnet
from node.wallet import Wallet
from p2p import NodeIdentity, PeerId
from p2p.connection import exchange_hello
from p2p.errors import P2PError
from p2p.frames import FrameParser, FrameRule, encode, encode_header
from p2p.hello import Hello
from p2p.tls import TlsContexts, handshake
from p2p.tlsstream import TlsStream
from tests.node.daemon.running import config_of, running_node, written
from tests.node.ledger.federation.cluster import Cluster

RULES = {
    0: FrameRule("control", 64 * 1024, 0),
    wire.Code.FEDERATION: FrameRule("federation", EXCHANGE_BYTES_MAX + 1, 0),
}
BOAST = Offer(0, 10**9, 10**9)
REQUEST = BundleRequest(0, 0, (), (), 64, 512 * 1024)
RECORDS = 5


class HostileNode:
    """One node of the other cluster: it links as an honest one would, and goes on as `behave` does."""

    def __init__(self, config: NodeConfig, them: Cluster, number: int) -> None:
        self.identity = NodeIdentity.from_seed(sha256(f"{them.name}/node {number}".encode()).digest())
        assert bytes(self.identity.peer_id) == bytes(them.key("node", number).public_key)
        self._config = config
        self._cluster_id = them.id
        self.stream: TlsStream

    async def run(self, behave: Callable[["HostileNode"], Awaitable[None]]) -> None:
        """Link again and again, as long as it is let in."""
        while True:
            with suppress(OSError, trio.BrokenResourceError, P2PError):
                async with await trio.open_tcp_stream("127.0.0.1", self._config.p2p.port) as transport:
                    await self._link(transport)
                    await behave(self)
            await trio.sleep(0.2)

    async def _link(self, transport: trio.SocketStream) -> None:
        node_key = NodeIdentity.from_seed(read_key(self._config.home.node_key_file)).peer_id
        self.stream = TlsContexts(self.identity, [node_key]).wrap(transport, server_side=False)
        await handshake(self.stream, "node")
        version = (wire.PROTOCOL_VERSION, wire.PROTOCOL_OLDEST)
        hello = Hello(*version, self._cluster_id, "hostile", "hostile/1", b"hostile1")
        await exchange_hello(self.stream, hello, "node", speaks_first=False)

    async def say(self, message: Exchanged | bytes) -> None:
        body = message if isinstance(message, bytes) else wire.frame_of_exchange(message)[1]
        for part in encode(wire.Code.FEDERATION, body):
            await self.stream.send_all(part)

    async def heard(self) -> AsyncGenerator[Exchanged, None]:
        parser = FrameParser(RULES)
        while data := await self.stream.receive_some():
            for frame in parser.feed(bytes(data)):
                if frame.topic == wire.Code.FEDERATION:
                    yield wire.exchanged_message(frame.body)


async def boasts_and_sends_garbage(node: HostileNode) -> None:
    """It offers all there is, and what it brings is as large as can be and nothing."""
    async with aclosing(node.heard()) as questions:
        async for asked in questions:
            if isinstance(asked, OfferAsked):
                await node.say(Offered(asked.ticket, BOAST))
            elif isinstance(asked, BundleAsked):
                await node.say(BundleSent(asked.ticket, bytes(512 * 1024)))


async def never_answers(node: HostileNode) -> None:
    async with aclosing(node.heard()) as questions:
        async for _ in questions:
            pass


async def begins_a_gigabyte(node: HostileNode) -> None:
    """A frame of the greatest length that can be said, and a stream of zeros."""
    await node.stream.send_all(encode_header(0x7FFF_FFFF, wire.Code.FEDERATION))
    while True:
        await node.stream.send_all(bytes(64 * 1024))


async def floods(node: HostileNode) -> None:
    """Thousands of offers to nobody, and questions between them, whose answers it does not read."""
    for ticket in range(3_000):
        await node.say(Offered(ticket, BOAST))
        await node.say(OfferAsked(ticket, 0, 0, 0, 20_000))
        await node.say(BundleAsked(ticket, REQUEST))
    await trio.sleep_forever()


LIARS = (boasts_and_sends_garbage, begins_a_gigabyte, floods)


async def admit(backend: LiveBackend, testnet: Testnet, them: Cluster) -> None:
    operator = SigningKey(read_key(testnet.directory / "keys" / "operator-node0.key"))
    change = federation_change_of(8, (8, them.genesis.body, ()))
    transaction = Wallet(operator, testnet.cluster_id).sign(
        "governance", "propose", ((change.to_value(),), 0)
    )
    await submit(backend, transaction.encoded, transaction.id)


async def submit(backend: LiveBackend, encoded: bytes, tx_id: bytes) -> None:
    await backend.submit([encoded])
    (place,) = await backend.wait_certified([tx_id], 30_000)
    assert place is not None


async def put(backend: LiveBackend, wallet: Wallet, number: int) -> None:
    content = Content(number.to_bytes(32, "big"), number, "", "", (), ())
    transaction = wallet.put(f"record/{number}", content)
    await submit(backend, transaction.encoded, transaction.id)


async def test_a_hostile_cluster_stops_no_commit_and_its_nodes_are_scored(tmp_path: Path) -> None:
    testnet, them = written(tmp_path / "net"), Cluster("ports.hostile")
    config = config_of(testnet)
    wallet = Wallet(SigningKey(read_key(testnet.client_key_file)), testnet.cluster_id)
    nodes = sorted(
        (HostileNode(config, them, number) for number in range(4)),
        key=lambda each: each.identity.peer_id,
    )
    liars = {each.identity.peer_id for each in nodes[:-1]}
    scored: set[PeerId] = set()
    async with running_node(config) as node, trio.open_nursery() as attack:
        backend = LiveBackend(node)
        await admit(backend, testnet, them)
        for each, behave in zip(nodes, LIARS, strict=False):
            attack.start_soon(each.run, behave)
        number = 0
        while number < RECORDS or scored != liars:
            await put(backend, wallet, number)
            number += 1
            status = node.network.foreign.status()
            scored |= {peer.peer for peer in status if peer.score or peer.banned_for_ms}
            await trio.sleep(0.05)
        attack.start_soon(nodes[-1].run, never_answers)
        for last in range(number, number + RECORDS):
            await put(backend, wallet, last)
        attack.cancel_scope.cancel()
        assert all(current <= bound for _, current, bound in node.federation.limits())
        assert all(current <= bound for current, bound in node.network.limits().values())
    (courier,) = node.federation.couriers.values()
    assert courier.counts.submitted == 0
    assert courier.counts.errors
    assert node.federation.internal_faults == 0
    assert node.network.counters()["internal_faults"] == 0
