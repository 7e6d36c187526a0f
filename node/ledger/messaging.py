"""Messages between clusters as applications see them: a port, what arrives on it, and a way to send.

An application names its ports. What is sent to a port of another cluster is handled there by the application
with that port; what became of it is heard here, once, by `on_result`. A handler works below its application's
prefix like any method and answers with at most 4 KiB; HandlerFailed undoes its writes and becomes ERROR.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from consensus import Digest
from node.anchoring.lanes.messages import Lane, Message, Mode, Result
from node.anchoring.lanes.refusals import LaneRefused
from node.anchoring.lanes.rules import HandlerFailed
from node.anchoring.lanes.state import LaneState

HANDLER_WRITES_MAX = 64
"""Most state leaves one handler may write."""
KEY_BYTES_MAX = 400
VALUE_BYTES_MAX = 256 * 1024


class Post(Protocol):
    """How messages leave: the federation's side of `send`."""

    def send(
        self, state: LaneState, destination: bytes, port: str, mode: Mode, deadline_ms: int, payload: bytes
    ) -> int:
        """The sequence that the message got. Raises LaneRefused."""
        ...


class MessageContext:
    """What a handler may know and do: its block, its application's state, and sending."""

    __slots__ = ("_post", "_prefix", "_state", "_written", "height", "time_ms")

    def __init__(self, state: LaneState, prefix: bytes, post: Post, height: int, time_ms: int) -> None:
        self._state = state
        self._prefix = prefix
        self._post = post
        self._written = 0
        self.height = height
        self.time_ms = time_ms

    def get(self, key: bytes) -> bytes | None:
        """The value under `key` below the application's prefix, own writes included."""
        return self._state.get(self._prefix + key)

    def put(self, key: bytes, value: bytes) -> None:
        """Write a non-empty value. Raises HandlerFailed when the handler writes too much."""
        full = self._prefix + key
        if len(full) > KEY_BYTES_MAX or not 0 < len(value) <= VALUE_BYTES_MAX:
            raise HandlerFailed(b"too-many-writes")
        self._count()
        self._state.put(full, value)

    def delete(self, key: bytes) -> None:
        """Remove `key`; removing what is absent changes nothing."""
        self._count()
        self._state.delete(self._prefix + key)

    def send(self, destination: bytes, port: str, mode: Mode, deadline_ms: int, payload: bytes) -> int:
        """Send a message and answer with its sequence. Raises HandlerFailed with the refusal's label."""
        try:
            return self._post.send(self._state, destination, port, mode, deadline_ms, payload)
        except LaneRefused as refused:
            raise HandlerFailed(refused.refusal.label.encode()) from refused

    def _count(self) -> None:
        self._written += 1
        if self._written > HANDLER_WRITES_MAX:
            raise HandlerFailed(b"too-many-writes")


@dataclass(frozen=True, slots=True)
class Sent:
    """Which message of ours a result is about."""

    lane: Lane
    sequence: int
    message_hash: Digest


@dataclass(frozen=True, slots=True)
class Port:
    """One port of an application. `handle(context, message)` answers; `on_result(context, sent, result,
    answer)` hears what became of a message that was sent on this port. Both may raise HandlerFailed."""

    name: str
    handle: Callable[[MessageContext, Message], bytes]
    on_result: Callable[[MessageContext, Sent, Result, bytes], None]
