"""What an application is: a name and a few pure functions a method.

`parse` turns canonical arguments into a type, at admission and again at execution, and refuses in words;
`run` reads and writes the state below the application's own prefix through a `Context`. A method that
raises RejectedTransaction leaves no writes and becomes a failure receipt; any other exception is a bug of
the application and stops the process. Nothing here may read clocks, randomness, sets or floats.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeAlias, TypeVar

from consensus import Digest, Value
from node.anchoring.lanes.messages import Mode
from node.anchoring.lanes.refusals import LaneRefused
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.federation.refused import by_lane
from node.ledger.members import Member
from node.ledger.messaging import Port, Post
from node.ledger.policy import Policy
from node.ledger.state import BlockState

WRITES_MAX = 64
"""Most state leaves one transaction may write."""
STATE_KEY_BYTES_MAX = 400
"""Longest state key; the database takes 511 bytes."""
STATE_VALUE_BYTES_MAX = 256 * 1024


class Context:
    """What a running method may know and do: its sender, its block, its application's state, and sending to
    other clusters. `said` is what it sent, for the outbox; None until there is something."""

    __slots__ = ("_block", "_post", "_prefix", "height", "said", "sender", "time_ms", "tx_id", "writes")

    def __init__(
        self,
        block: BlockState,
        app: str,
        sender: Member,
        tx_id: Digest,
        height: int,
        time_ms: int,
        post: Post,
    ) -> None:
        self._block = block
        self._prefix = app_prefix(app)
        self.sender = sender
        self.tx_id = tx_id
        self.height = height
        self.time_ms = time_ms
        self.writes: dict[bytes, bytes | None] = {}
        self.said: list[tuple[bytes, bytes]] | None = None
        self._post = post

    def get(self, key: bytes) -> bytes | None:
        """The value under `key` below the application's prefix, own writes included."""
        full = self._prefix + key
        if full in self.writes:
            return self.writes[full]
        return self._block.get_state(full)

    def put(self, key: bytes, value: bytes) -> None:
        """Write a non-empty value. Raises RejectedTransaction when the transaction writes too much."""
        full = self._prefix + key
        if len(full) > STATE_KEY_BYTES_MAX or not 0 < len(value) <= STATE_VALUE_BYTES_MAX:
            raise RejectedTransaction(
                Code.TOO_MANY_WRITES, f"a key of {len(full)} and a value of {len(value)} bytes"
            )
        self._write(full, value)

    def delete(self, key: bytes) -> None:
        """Remove `key`; removing what is absent changes nothing."""
        self._write(self._prefix + key, None)

    def send(self, destination: bytes, port: str, mode: Mode, deadline_ms: int, payload: bytes) -> int:
        """Send a message to a port of cluster `destination`, to be handled before `deadline_ms` of its time;
        answers with its sequence on that lane. What becomes of it, `on_result` of our own port of that name
        hears. Raises RejectedTransaction with the lane's reason."""
        try:
            return self._post.send(_Whole(self), destination, port, mode, deadline_ms, payload)
        except LaneRefused as refused:
            raise by_lane(refused) from refused

    def get_whole(self, full: bytes) -> bytes | None:
        """The value under a full key, own writes included."""
        return self.writes[full] if full in self.writes else self._block.get_state(full)

    def write_whole(self, full: bytes, value: bytes | None) -> None:
        """Write under a full key."""
        self._write(full, value)

    def _write(self, full: bytes, value: bytes | None) -> None:
        self.writes[full] = value
        if len(self.writes) > WRITES_MAX:
            raise RejectedTransaction(Code.TOO_MANY_WRITES, f"more than {WRITES_MAX} writes")


class _Whole:
    """The state of a running method as lanes see it: all keys, counted among the method's writes."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`."""
        return self._context.get_whole(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Write."""
        self._context.write_whole(key, value)

    def delete(self, key: bytes) -> None:
        """Remove."""
        self._context.write_whole(key, None)

    def say(self, destination: bytes, leaf: bytes) -> None:
        """Append to the outbox."""
        if self._context.said is None:
            self._context.said = []
        self._context.said.append((destination, leaf))


Arguments: TypeAlias = tuple[Value, ...]
"""The canonical `args` of a transaction."""
Parsed = TypeVar("Parsed")
"""The type a method's arguments become."""


@dataclass(frozen=True, slots=True)
class Method(Generic[Parsed]):
    """One callable of an application.

    `parse(args)` raises RejectedTransaction(INVALID_ARGUMENTS) and is pure in its argument; `run(context,
    parsed)` answers with the receipt's result; `owner_of(context, parsed)` names the organisation that
    owns what the call is about, asked only under rule SELF; `policy` is written into a new genesis.
    """

    name: str
    parse: Callable[[Arguments], Parsed]
    run: Callable[[Context, Parsed], Value]
    owner_of: Callable[[Context, Parsed], str | None]
    policy: Policy


@dataclass(frozen=True, slots=True)
class App:
    """An application: its name is the first part of its state keys and of its policies; `ports` are where
    messages of other clusters arrive."""

    name: str
    methods: tuple[Method[Any], ...]
    ports: tuple[Port, ...] = ()


@lru_cache(maxsize=64)
def app_prefix(app: str) -> bytes:
    """The prefix of an application's state keys. Names have no slash, so no two share one."""
    return f"{app}/".encode()
