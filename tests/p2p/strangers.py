"""The other side of the socket, in the hands of the test: plain TCP, or TLS with any key."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import trio

from p2p import NodeIdentity, PeerId
from p2p.connection import exchange_hello
from p2p.frames import Frame, FrameParser, FrameRule
from p2p.hello import Hello
from p2p.tls import TlsContexts, handshake
from p2p.tlsstream import TlsStream
from tests.p2p.nodes import CLUSTER, TOPICS, Place, port_of

RULES = {topic.code: FrameRule(topic.name, topic.max_bytes + 1, topic.priority) for topic in TOPICS}
RULES[0] = FrameRule("control", 64 * 1024, 0)


def make_hello(**changes: object) -> Hello:
    fields: dict[str, object] = {
        "protocol_version": 1,
        "protocol_oldest": 1,
        "network_id": CLUSTER,
        "node_name": "stranger",
        "software": "stranger/1",
        "instance": b"stranger",
    }
    return Hello(**{**fields, **changes})  # type: ignore[arg-type]  # each test names real fields


@asynccontextmanager
async def plain(place: Place, local_address: str | None = None) -> AsyncIterator[trio.SocketStream]:
    port = port_of(place.listener)
    stream = await trio.open_tcp_stream("127.0.0.1", port, local_address=local_address)
    try:
        yield stream
    finally:
        await trio.aclose_forcefully(stream)


@asynccontextmanager
async def authenticated(
    place: Place, identity: NodeIdentity, trusts: Iterable[PeerId] = (), local_address: str | None = None
) -> AsyncIterator[TlsStream]:
    """TLS done with `identity`, nothing said yet."""
    async with plain(place, local_address) as transport:
        stream = TlsContexts(identity, [place.peer_id, *trusts]).wrap(transport, server_side=False)
        await handshake(stream, place.name)
        yield stream


@asynccontextmanager
async def admitted(
    place: Place, identity: NodeIdentity, local_address: str | None = None, **hello: object
) -> AsyncIterator[TlsStream]:
    """TLS and hello done: an admitted peer that does what the test wants."""
    async with authenticated(place, identity, local_address=local_address) as stream:
        await exchange_hello(stream, make_hello(**hello), place.name, speaks_first=False)
        yield stream


async def read_frames(stream: TlsStream) -> AsyncIterator[Frame]:
    """Frames until the other side closes."""
    parser = FrameParser(RULES)
    while True:
        try:
            data = await stream.receive_some()
        except trio.BrokenResourceError:
            return
        if not data:
            return
        for frame in parser.feed(bytes(data)):
            yield frame


async def wait_closed(stream: trio.abc.ReceiveStream) -> None:
    """Reads until the other side closes or resets."""
    try:
        while await stream.receive_some():
            pass
    except trio.BrokenResourceError:
        return
