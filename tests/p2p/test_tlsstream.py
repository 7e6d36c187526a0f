"""What a TLS stream gives its reader: every byte, in order, whoever else is read beside it."""

import os
from contextlib import AsyncExitStack

import trio

from p2p.tls import TlsContexts
from p2p.tlsstream import RECEIVE_BYTES, TlsStream
from tests.p2p.nodes import PATIENCE, make_identities

SERVER, CLIENT = make_identities(2)


async def connected(server: TlsContexts, client: TlsContexts) -> tuple[TlsStream, TlsStream]:
    """Both ends of a new connection over TCP."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        near = await trio.open_tcp_stream(*listener.socket.getsockname())
        far = await listener.accept()
    ends = client.wrap(near, server_side=False), server.wrap(far, server_side=True)
    async with trio.open_nursery() as nursery:
        for end in ends:
            nursery.start_soon(end.do_handshake)
    return ends


async def read_all(stream: TlsStream, size: int, most: int | None = None) -> bytes:
    data = b""
    while len(data) < size:
        piece = await stream.receive_some(most)
        assert 0 < len(piece) <= (most or RECEIVE_BYTES)
        data += piece
    return data


async def test_streams_that_share_the_room_of_a_read_keep_their_bytes_apart() -> None:
    server, client = TlsContexts(SERVER, [CLIENT.peer_id]), TlsContexts(CLIENT, [SERVER.peer_id])
    sent = [os.urandom(size) for size in (1, 300, 16_384, 16_385, 400_000, 1_500_000)]
    got: dict[int, bytes] = {}

    async def receive(number: int, stream: TlsStream) -> None:
        got[number] = await read_all(stream, len(sent[number]), 100_000 if number % 2 else None)

    with trio.fail_after(PATIENCE):
        async with AsyncExitStack() as opened, trio.open_nursery() as nursery:
            for number, data in enumerate(sent):
                near, far = await connected(server, client)
                await opened.enter_async_context(near)
                await opened.enter_async_context(far)
                nursery.start_soon(receive, number, far)
                nursery.start_soon(near.send_all, data)
    assert [got[number] for number in range(len(sent))] == sent


async def test_what_came_before_an_end_is_read_first() -> None:
    contexts = TlsContexts(SERVER, [CLIENT.peer_id]), TlsContexts(CLIENT, [SERVER.peer_id])
    with trio.fail_after(PATIENCE):
        near, far = await connected(*contexts)
        async with near, far:
            await near.send_all(b"the last words")
            await near.aclose()
            assert await read_all(far, 14) == b"the last words"
            assert await far.receive_some() == b""
