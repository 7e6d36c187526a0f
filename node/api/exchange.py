"""One conversation with a cluster, without IO: what to send where, how to read the answer, when to retry.

Every operation of the client is a generator. It yields `Send` and gets a `Reply` or a `NoReply`, it yields
`Pause` and goes on afterwards; whoever drives it owns sockets and sleep. So the asynchronous and the
blocking client (`node/client.py`) share all that can go wrong. Everything is safe to send again: reads by
nature, submissions because a transaction is executed once by its id (F17).
"""

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from consensus import CodecError, decode, encode_trusted
from node.api.shapes import from_value

T = TypeVar("T")
MSGPACK = "application/msgpack"
_ANSWER_BYTES_MAX = 512 * 1024 * 1024
_BACK_OFF_MS = (50, 100, 200, 400, 800, 1_600, 2_000)
TRY_LATER = (429, 502, 503, 504)
"""Statuses with which a node, or what stands before it, says that another time or node may do."""
UNLINKED = "cluster-silent"
"""The refusal of a node that no node of another cluster answers: not all nodes have a link to it."""
_SILENT_ROUNDS_MAX = 4
_REASONS_CHARACTERS_MAX = 1_000
"""A node that says busy is asked for longer than one that says nothing: people wait for the sentence."""


class ClientError(Exception):
    """Anything that kept the client from its answer; `str()` is a sentence for people."""


class NotReachable(ClientError):
    """No node answered at any of `urls`."""

    def __init__(self, urls: Sequence[str], reason: str) -> None:
        places = ", ".join(urls)
        super().__init__(
            f"No node answers at {places} ({reason}): start one with `isthmus start` or "
            "`isthmus testnet --start`, or name another with --url."
        )
        self.urls = tuple(urls)
        self.reason = reason


class ApiError(ClientError):
    """A node refused: `code` and `name` are stable, `hint` is the way out, `status` HTTP's."""

    def __init__(self, status: int, code: int, name: str, message: str, hint: str) -> None:
        apart = " " if message.endswith(".") else ": "
        super().__init__(message if not hint or hint in message else f"{message}{apart}{hint}")
        self.status = status
        self.code = code
        self.name = name
        self.message = message
        self.hint = hint


class StillPending(ClientError):
    """A node took the transaction, but its receipt was not certified in time. Nothing is lost."""

    def __init__(self, tx_id: bytes, waited_ms: int) -> None:
        super().__init__(
            f"Transaction {tx_id.hex()} was taken but not certified within {waited_ms} ms: ask for its "
            "receipt later, or submit the same bytes again."
        )
        self.tx_id = tx_id


class NotTrusted(ClientError):
    """A proof was asked for and there is no genesis hash to check it against, or it does not hold."""


class UnexpectedAnswer(ClientError):
    """What answered is not an Isthmus node of a version this client understands."""


@dataclass(frozen=True, slots=True)
class Send:
    """Make this request and come back with a Reply or a NoReply within `timeout_ms`."""

    method: str
    url: str
    content: bytes | None
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Come back after `pause_ms`."""

    pause_ms: int


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response."""

    status: int
    content: bytes
    retry_after: str | None


@dataclass(frozen=True, slots=True)
class NoReply:
    """The connection failed or the time was over; `reason` in a few words."""

    reason: str


Step: TypeAlias = Send | Pause
Answer: TypeAlias = Reply | NoReply | None
Flow: TypeAlias = Generator[Step, Answer, T]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, before a node is chosen. `wait_ms` is how long the node itself may wait."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    content: bytes | None = None
    wait_ms: int = 0


class Cluster:
    """Several nodes taken for one: the URLs, which of them answered last, and how often to try.

    `clock` gives monotonic milliseconds. `timeout_ms` is for a request beside the time a node may wait.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        clock: Callable[[], int],
        timeout_ms: int = 10_000,
        rounds_max: int = 8,
    ) -> None:
        """`rounds_max`: how often each node is tried. Raises ValueError without any URL."""
        if not urls:
            raise ValueError("a client needs the URL of at least one node")
        self.urls = tuple(url.rstrip("/") for url in urls)
        self.clock = clock
        self.timeout_ms = timeout_ms
        self.attempts_max = rounds_max * len(urls)
        self._current = 0

    @property
    def url(self) -> str:
        """The node to ask next."""
        return self.urls[self._current]

    def move_on(self) -> None:
        """Ask the next node from now on."""
        self._current = (self._current + 1) % len(self.urls)

    def ask(self, ask: Ask) -> "Flow[Reply]":
        """The first useful reply of any node: not busy, not stopping, not silent; of a node without a link to
        the cluster that is asked only where no other has one.

        Raises NotReachable, or the last refusal as it came once all attempts are used.
        """
        failure: Reply | NoReply = NoReply("not tried")
        silent = unlinked = 0
        for attempt in range(self.attempts_max):
            asked = self._current
            url = self.url + ask.path + (f"?{urlencode(ask.query)}" if ask.query else "")
            answer = yield Send(ask.method, url, ask.content, self.timeout_ms + ask.wait_ms)
            if isinstance(answer, Reply) and answer.status not in TRY_LATER:
                unlinked = unlinked + 1 if _is_unlinked(answer) else len(self.urls)
                if unlinked >= len(self.urls):
                    return answer
            failure = answer or NoReply("no answer")
            silent = silent + 1 if isinstance(failure, NoReply) else 0
            if silent >= _SILENT_ROUNDS_MAX * len(self.urls):
                break
            if self._current == asked:  # else another request that failed there has moved on already
                self.move_on()
            if (attempt + 1) % len(self.urls) == 0 and attempt + 1 < self.attempts_max:
                yield Pause(_pause_ms(failure, attempt // len(self.urls)))
        if isinstance(failure, Reply):
            return failure
        raise NotReachable(self.urls, failure.reason)

    def get(self, kind: type[T], ask: Ask) -> "Flow[T]":
        """The reply's view. Raises ApiError, NotReachable, UnexpectedAnswer."""
        reply = yield from self.ask(ask)
        return read_view(kind, reply)


def _is_unlinked(reply: Reply) -> bool:
    if reply.status < 300:
        return False
    error = read_error(reply)
    return isinstance(error, ApiError) and error.name == UNLINKED


def read_view(kind: type[T], reply: Reply) -> T:
    """The view in a reply. Raises ApiError for a refusal, UnexpectedAnswer for anything else."""
    if reply.status >= 300:
        raise read_error(reply)
    try:
        return from_value(kind, decode(reply.content, max_bytes=_ANSWER_BYTES_MAX))
    except CodecError as error:
        raise UnexpectedAnswer(
            f"The answer is not one of this client's version ({error}): use the client of the node's version."
        ) from error


def read_file(reply: Reply) -> bytes:
    """The bytes of a reply. Raises ApiError."""
    if reply.status >= 300:
        raise read_error(reply)
    return reply.content


def read_error(reply: Reply) -> ClientError:
    """The refusal in a reply, as the exception to raise."""
    try:
        content = json.loads(reply.content)
        return ApiError(
            reply.status,
            int(content["code"]),
            str(content["name"]),
            str(content["message"]),
            str(content["hint"]),
        )
    except (ValueError, KeyError, TypeError):
        return UnexpectedAnswer(
            f"Something that is no Isthmus node answered with HTTP status {reply.status}: check the URL."
        )


def hash_path(prefix: str, value: bytes) -> str:
    """The path of something that is named by bytes."""
    return f"{prefix}/{value.hex()}"


def record_path(prefix: str, record_id: str) -> str:
    """The path of a record; slashes stay, what a path cannot hold is escaped."""
    return f"{prefix}/{quote(record_id, safe='/@+=:~')}"


def submission(transactions: Sequence[bytes], *, single: bool, certified: bool, wait_ms: int) -> Ask:
    """The request that submits one transaction, or many."""
    query = (("wait", "certified" if certified else "admitted"), ("timeout_ms", str(wait_ms)))
    content = transactions[0] if single else encode_trusted(tuple(transactions))
    return Ask("POST", "/v1/tx" if single else "/v1/txs", query, content, wait_ms if certified else 0)


def options(**given: int | bool | None) -> tuple[tuple[str, str], ...]:
    """Query parameters of those that are given: None and False are left out."""
    return tuple(
        (name, str(int(value))) for name, value in given.items() if value is not None and value is not False
    )


def _pause_ms(failure: Reply | NoReply, rounds: int) -> int:
    """The longer of our back-off and what the node advised, never more than ten seconds."""
    back_off = _BACK_OFF_MS[min(rounds, len(_BACK_OFF_MS) - 1)]
    if isinstance(failure, Reply) and failure.retry_after is not None and failure.retry_after.isdigit():
        return min(max(back_off, 1_000 * int(failure.retry_after[:4])), 10_000)
    return back_off


def reasons_of(reply: Reply) -> str:
    """The sentences in an answer of /readyz; its beginning as it came where there are none."""
    text = reply.content.decode("utf-8", "replace").strip()
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    reasons = content.get("reasons") if isinstance(content, dict) else None
    if isinstance(reasons, list) and reasons and all(isinstance(reason, str) for reason in reasons):
        text = "; ".join(reasons)
    return text[:_REASONS_CHARACTERS_MAX]
