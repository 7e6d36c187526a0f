"""One request and its answer as the application has them: ASGI's scope, receive and send.

Beneath is the connection's h11 machine, which knows HTTP/1.1; what it makes of an answer's head, body and
end leaves in one write where they come together. The reader of the connection hands over a body piece by
piece, and reads no more while a piece was not taken. So an application that waits for something else takes
the body first: behind one that nobody takes, nobody is seen to go away either.

Source: ASGI 3.0 with the HTTP connection scope 2.3; RFC 9110 and 9112.
"""

import re
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

import h11
import trio
from starlette.types import Message, Scope

NO_GUESSING = ("x-content-type-options", "nosniff")
"""Sent with every answer: what members wrote is never run as a page or a script (WHATWG Fetch, nosniff)."""
_NO_GUESSING = (NO_GUESSING[0].encode(), NO_GUESSING[1].encode())
_BAD_ESCAPE = re.compile(rb"%(?![0-9a-fA-F]{2})")
_BODYLESS = (204, 304)
_Address = tuple[str, int] | None


class BadTarget(Exception):
    """What stands in a request's first line is no path; `str()` says why not."""


def scope_of(request: h11.Request, client: _Address, server: _Address) -> Scope:
    """The connection scope of a request. Raises BadTarget: two different paths are never made one."""
    path, _, query = request.target.partition(b"?")
    if b"%" in path and _BAD_ESCAPE.search(path):
        raise BadTarget("The path has an incomplete percent escape.")
    try:
        decoded = unquote_to_bytes(path).decode() if b"%" in path else path.decode("ascii")
    except UnicodeDecodeError as error:
        raise BadTarget("The path is no UTF-8 text.") from error
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": request.http_version.decode("ascii"),
        "method": request.method.decode("ascii"),
        "scheme": "http",
        "path": decoded,
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": list(request.headers),
        "client": client,
        "server": server,
    }


class Exchange:
    """One turn of a connection's machine, from the head of a request to the end of its answer."""

    __slots__ = (
        "_arrived",
        "_came_bytes",
        "_head",
        "_is_asking",
        "_is_last",
        "_machine",
        "_on_answered",
        "_pieces",
        "_taken",
        "_write",
        "cut",
        "has_begun",
        "is_answered",
        "is_whole",
        "scope",
        "takes_no_body",
    )

    def __init__(
        self,
        scope: Scope,
        machine: h11.Connection,
        write: Callable[[bytes], Awaitable[None]],
        on_answered: Callable[[], Awaitable[None]],
        is_last: Callable[[], bool],
    ) -> None:
        """`write` takes what is to leave, `on_answered` hears when all of an answer was handed to it;
        `is_last` says, when an answer begins, whether the connection ends behind it."""
        self.scope = scope
        self._machine = machine
        self._write = write
        self._on_answered = on_answered
        self._is_last = is_last
        self._pieces: list[bytes | bytearray] = []
        self._arrived = trio.Event()
        self._taken = trio.Event()
        self._head: h11.Response | None = None
        self._is_asking = False
        self._came_bytes = 0
        self.cut = trio.CancelScope()
        """Ends the application's work: its answer is of no use any more."""
        self.is_whole = False
        """Whether all of the body is here."""
        self.has_begun = False
        """Whether something of an answer has left."""
        self.is_answered = False
        self.takes_no_body = scope["method"] == "HEAD"

    # What the reader of the connection does

    def feed(self, piece: bytes | bytearray) -> None:
        """The next piece of the body. What comes behind the answer is thrown away."""
        if self.is_answered:
            return
        self._came_bytes += len(piece)
        self._pieces.append(piece)
        self._arrived.set()
        self._taken = trio.Event()

    def asked_bytes(self) -> int:
        """How much of the body the application waits for; none where its length is not known before its end:
        what is read beyond that is of another request, and nobody has counted it."""
        if not self._is_asking:
            return 0
        lengths = (int(value) for name, value in self.scope["headers"] if name == b"content-length")
        return max(0, sum(lengths) - self._came_bytes)

    async def has_room(self) -> None:
        """Returns once what was fed of a body that goes on is taken, or nobody takes anything any more."""
        if self._pieces and not self.is_whole and not self.is_answered:
            await self._taken.wait()

    def end(self) -> None:
        """The body is whole."""
        self.is_whole = True
        self._arrived.set()

    # What the application does

    async def receive(self) -> Message:
        """What came of the body since the last call, and nothing behind its end. Who goes away cancels the
        application: it need not listen for that."""
        if self._machine.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            await self._write(self._machine.send(go_on) or b"")
        while not self._pieces and not self.is_whole:
            self._arrived = trio.Event()
            self._is_asking = True
            await self._arrived.wait()
        self._is_asking = False
        body = b"".join(self._pieces)
        self._pieces.clear()
        self._taken.set()
        return {"type": "http.request", "body": body, "more_body": not self.is_whole}

    async def send(self, message: Message) -> None:
        """A head, which waits for its body where its length is known, or a piece of a body."""
        if message["type"] == "http.response.start":
            self._head = self._response(message)
            if not any(name == b"content-length" for name, _ in self._head.headers):
                await self._write(self._take_head())
            return
        if message["type"] != "http.response.body" or self.is_answered:
            raise RuntimeError(f"{message['type']} is no part of an answer, or comes behind its end")
        data = self._take_head()
        body: bytes = message.get("body", b"")
        if body and not self.takes_no_body:
            data += self._machine.send(h11.Data(data=body)) or b""
        more: bool = message.get("more_body", False)
        if not more:
            data += self._machine.send(h11.EndOfMessage()) or b""
            self._end()
        if data:
            await self._write(data)
        if not more:
            await self._on_answered()

    async def give_up(self) -> None:
        """The application ended in the middle of its answer, perhaps before it: a head whose body never came
        leaves, and nobody waits any more for what came of the request to be taken."""
        self._end()
        if self._head is not None:
            await self._write(self._take_head())

    def _end(self) -> None:
        self.is_answered = True
        self._taken.set()

    def _response(self, message: Message) -> h11.Response:
        status: int = message["status"]
        self.takes_no_body |= status in _BODYLESS
        headers: list[Any] = [*message.get("headers", ()), _NO_GUESSING, (b"date", _date(int(time.time())))]
        # Of a body that nobody waited for the rest may still come. The application may have said it already.
        if (self._is_last() or not self.is_whole) and not any(name == b"connection" for name, _ in headers):
            headers.append((b"connection", b"close"))
        return h11.Response(status_code=status, headers=headers)

    def _take_head(self) -> bytes:
        head, self._head = self._head, None
        if head is None:
            return b""
        self.has_begun = True
        return self._machine.send(head) or b""


@lru_cache(maxsize=2)
def _date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode("ascii")
