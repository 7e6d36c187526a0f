"""HTTP to a node for a load generator: keep-alive connections on Trio, nothing that the nodes do not say.

The shipped client's HTTP library costs more CPU a request than the node does, on the same cores; a load
generator would then measure itself. What is spoken is the little of HTTP/1.1 that a node answers: a status, a
content-length, a body. Anything else is an error with a sentence.
"""

from dataclasses import dataclass
from typing import TypeVar

import trio

from node.api.exchange import MSGPACK, Answer, Flow, NoReply, Pause, Reply, Send

T = TypeVar("T")

_HEAD_BYTES_MAX = 16 * 1024
_BODY_BYTES_MAX = 64 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
"""Objects of 128 KiB and more are made and taken back by the system itself, however little is read."""
_HEAD_END = b"\r\n\r\n"
_JOINED_BYTES_MAX = 32 * 1024
"""A smaller body goes with its head; to copy a larger one costs more than a second call."""


class BadAnswer(Exception):
    """What answered does not speak as a node does."""


@dataclass(frozen=True, slots=True)
class _Head:
    status: int
    length: int
    retry_after: str | None
    closes: bool


class Connection:
    """One connection to one address. After any exception it is of no more use."""

    def __init__(self, stream: trio.abc.Stream, place: str, content_type: str = MSGPACK) -> None:
        self._stream = stream
        self._head = (
            f"host: {place}\r\naccept: {MSGPACK}\r\ncontent-type: {content_type}\r\n"
            "user-agent: isthmus-bench\r\n"
        )
        self._buffer = bytearray()
        self.is_usable = True
        self.is_fresh = True

    async def exchange(self, method: str, path: str, content: bytes | None) -> Reply:
        """Send a request and read its answer. Raises BadAnswer, trio.BrokenResourceError."""
        body = content or b""
        request = f"{method} /{path} HTTP/1.1\r\n{self._head}content-length: {len(body)}\r\n\r\n"
        if len(body) < _JOINED_BYTES_MAX:
            await self._stream.send_all(request.encode("ascii") + body)
        else:
            await self._stream.send_all(request.encode("ascii"))
            await self._stream.send_all(body)
        head = await self._read_head()
        await self._fill(head.length)
        answer = bytes(self._buffer[: head.length])
        del self._buffer[: head.length]
        self.is_fresh = False
        self.is_usable = not head.closes
        return Reply(head.status, answer, head.retry_after)

    async def _read_head(self) -> _Head:
        while (end := self._buffer.find(_HEAD_END)) < 0:
            if len(self._buffer) > _HEAD_BYTES_MAX:
                raise BadAnswer("the head of the answer does not end")
            await self._read()
        head = _parse(bytes(self._buffer[:end]))
        del self._buffer[: end + len(_HEAD_END)]
        return head

    async def _fill(self, length: int) -> None:
        while len(self._buffer) < length:
            await self._read()

    async def _read(self) -> None:
        chunk = await self._stream.receive_some(_CHUNK_BYTES)
        if not chunk:
            raise trio.BrokenResourceError("the node closed the connection")
        self._buffer += chunk

    async def aclose(self) -> None:
        """Close."""
        await trio.aclose_forcefully(self._stream)


def _parse(head: bytes) -> _Head:
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or words[0] != "HTTP/1.1" or not words[1].isdecimal():
        raise BadAnswer(f"this is no answer of a node: {first!a:.80}")
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    length = fields.get("content-length", "")
    if not length.isdecimal() or int(length) > _BODY_BYTES_MAX:
        raise BadAnswer(f"the answer's content-length is {length!a:.40}")
    closes = fields.get("connection", "").lower() == "close"
    return _Head(int(words[1]), int(length), fields.get("retry-after"), closes)


class Connections:
    """All connections of a load process; as many to an address as there are requests under way."""

    def __init__(self, content_type: str = MSGPACK) -> None:
        self._content_type = content_type
        self._idle: dict[str, list[Connection]] = {}

    async def send(self, send: Send) -> Reply | NoReply:
        """What came back within the request's time. Raises BadAnswer.

        A connection that was kept open may have been closed by the node meanwhile: then another one is used.
        """
        place, _, path = send.url.partition("//")[2].partition("/")
        with trio.move_on_after(send.timeout_ms / 1000):
            while True:
                connection: Connection | None = None
                try:
                    connection = await self._take(place)
                    was_fresh = connection.is_fresh
                    reply = await connection.exchange(send.method, path, send.content)
                except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                    if connection is None or was_fresh:
                        return NoReply(str(error) or type(error).__name__)
                    continue
                finally:
                    if connection is not None:
                        await self._give_back(place, connection)
                return reply
        return NoReply(f"no answer within {send.timeout_ms} ms")

    async def drive(self, flow: Flow[T]) -> T:
        """Carry out a conversation; its result. Raises BadAnswer, and what the conversation raises."""
        answer: Answer = None
        while True:
            try:
                step = flow.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Pause):
                await trio.sleep(step.pause_ms / 1000)
                answer = None
            else:
                answer = await self.send(step)

    async def _take(self, place: str) -> Connection:
        idle = self._idle.setdefault(place, [])
        if idle:
            connection = idle.pop()
            connection.is_usable = False
            return connection
        host, _, port = place.rpartition(":")
        stream = await trio.open_tcp_stream(host.strip("[]"), int(port))
        connection = Connection(stream, place, self._content_type)
        connection.is_usable = False
        return connection

    async def _give_back(self, place: str, connection: Connection) -> None:
        if connection.is_usable:
            self._idle[place].append(connection)
        else:
            await connection.aclose()

    async def aclose(self) -> None:
        """Close all that are idle."""
        for connections in self._idle.values():
            for connection in connections:
                await connection.aclose()
            connections.clear()
