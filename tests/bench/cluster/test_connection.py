"""The little HTTP that a load generator speaks, against a server that says what it is told."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from bench.cluster.connection import BadAnswer, Connections
from node.api.exchange import NoReply, Reply, Send

GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nRetry-After: 7\r\n\r\nbody"


class FakeNode:
    """Reads a request, sends the next answer; an empty answer closes the connection."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        async with stream:
            while self.answers:
                request = b""
                while b"\r\n\r\n" not in request:
                    chunk = await stream.receive_some()
                    if not chunk:
                        return
                    request += chunk
                self.requests.append(request)
                answer = self.answers.pop(0)
                if not answer:
                    return
                await stream.send_all(answer)


@asynccontextmanager
async def talking_to(node: FakeNode) -> AsyncIterator[Callable[[], Send]]:
    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(
            partial(trio.serve_tcp, node.serve, 0, host="127.0.0.1")
        )
        port = listeners[0].socket.getsockname()[1]
        yield lambda: Send("POST", f"http://127.0.0.1:{port}/v1/txs?wait=certified", b"ab", 5_000)
        nursery.cancel_scope.cancel()


async def test_a_connection_is_used_again() -> None:
    node, connections = FakeNode(GOOD, GOOD), Connections()
    async with talking_to(node) as send:
        assert await connections.send(send()) == Reply(200, b"body", "7")
        assert await connections.send(send()) == Reply(200, b"body", "7")
        await connections.aclose()
    assert node.connections == 1
    assert node.requests[0].startswith(b"POST /v1/txs?wait=certified HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"content-length: 2\r\n" in node.requests[0]
    assert node.requests[0].endswith(b"\r\n\r\nab")


async def test_a_kept_connection_that_the_node_closed_is_replaced() -> None:
    node, connections = FakeNode(GOOD, b"", GOOD), Connections()
    async with talking_to(node) as send:
        await connections.send(send())
        assert await connections.send(send()) == Reply(200, b"body", "7")
        await connections.aclose()
    assert node.connections == 2


async def test_a_fresh_connection_that_ends_is_no_reply() -> None:
    async with talking_to(FakeNode(b"")) as send:
        assert isinstance(await Connections().send(send()), NoReply)


async def test_a_port_that_nobody_listens_on_is_no_reply() -> None:
    node = FakeNode()
    async with talking_to(node) as send:
        nowhere = send()
    assert isinstance(await Connections().send(nowhere), NoReply)


async def test_silence_ends_with_the_time(autojump_clock: object) -> None:
    class Silent(FakeNode):
        async def serve(self, stream: trio.SocketStream) -> None:
            await trio.sleep_forever()

    async with talking_to(Silent()) as send:
        assert await Connections().send(send()) == NoReply("no answer within 5000 ms")


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        b"HTTP/1.1 twohundred OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 5_000,
    ],
)
async def test_what_no_node_says_is_a_bad_answer(answer: bytes) -> None:
    async with talking_to(FakeNode(answer)) as send:
        with pytest.raises(BadAnswer):
            await Connections().send(send())


async def test_a_connection_that_is_to_be_closed_is_not_kept() -> None:
    closing = GOOD.replace(b"Retry-After: 7", b"connection: close")
    node, connections = FakeNode(closing, GOOD), Connections()
    async with talking_to(node) as send:
        assert await connections.send(send()) == Reply(200, b"body", None)
        assert await connections.send(send()) == Reply(200, b"body", "7")
        await connections.aclose()
    assert node.connections == 2
