"""The coins of `app.py` as an application of the shipped ledger: a method that sends, and a port.

It stands in the place of `records` and tells its watcher what ran. What an application cannot do there (say
a leaf by itself, take its own message again) it does not do here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bench.sim.federation import app
from bench.sim.federation.transactions import Handled, Happened, Told
from consensus import Value, as_bytes, as_int, as_tuple
from node.anchoring.lanes import Acknowledgement, HandlerFailed, Lane, LaneState, Message, Mode, Result
from node.ledger.apps import App, Context, Method
from node.ledger.messaging import MessageContext, Port, Sent
from node.ledger.policy import Policy

NAME, SEND = "records", "share"
"""What a genesis knows policies of."""
_Args = tuple[bytes, Mode, bytes, int]


def coins(own_id: bytes, tell: Callable[[Happened], None]) -> App:
    """The application of one cluster."""
    desk = _Desk(own_id, tell)
    return App(
        NAME,
        (Method(SEND, _parse, desk.send, lambda context, call: None, Policy("ANY")),),
        (Port(app.PORT, desk.handle, desk.hear),),
    )


def _parse(args: tuple[Value, ...]) -> _Args:
    destination, mode, payload, lasting_ms = as_tuple(args, 4, "send")
    return (
        as_bytes(destination, "destination"),
        Mode(as_int(mode, "mode")),
        as_bytes(payload, "payload"),
        as_int(lasting_ms, "lasting"),
    )


@dataclass(frozen=True, slots=True)
class _Books:
    """An application's state as `app` reads and writes it."""

    context: Context | MessageContext

    def get(self, key: bytes) -> bytes | None:
        return self.context.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.context.put(key, value)

    def delete(self, key: bytes) -> None:
        self.context.delete(key)

    def say(self, destination: bytes, leaf: bytes) -> None:
        """An application has no such power."""


@dataclass(frozen=True, slots=True)
class _Desk:
    own_id: bytes
    tell: Callable[[Happened], None]

    def send(self, context: Context, call: _Args) -> Value:
        destination, mode, payload, lasting_ms = call
        return self._send(context, destination, mode, payload, lasting_ms)

    def _send(
        self,
        context: Context | MessageContext,
        destination: bytes,
        mode: Mode,
        payload: bytes,
        lasting_ms: int,
    ) -> int:
        sequence = context.send(destination, app.PORT, mode, context.time_ms + lasting_ms, payload)
        lane = Lane(self.own_id, destination, app.PORT, mode)
        app.escrow(_Books(context), lane, payload)
        context.put(_payload_key(lane, sequence), payload)
        return sequence

    def handle(self, context: MessageContext, message: Message) -> bytes:
        def forward(state: LaneState, destination: bytes, mode: Mode, payload: bytes, lasting_ms: int) -> int:
            return self._send(context, destination, mode, payload, lasting_ms)

        self.tell(Handled(message))
        return app.handle(_Books(context), message, forward, _never)

    def hear(self, context: MessageContext, sent: Sent, result: Result, answer: bytes) -> None:
        heard = Acknowledgement.about(sent.lane, sent.sequence, sent.message_hash, result, answer)
        self.tell(Told(heard))
        key = _payload_key(sent.lane, sent.sequence)
        payload = context.get(key)
        if payload is None:
            raise HandlerFailed(b"nothing was sent")
        app.on_result(_Books(context), heard, payload)
        context.delete(key)


def _payload_key(lane: Lane, sequence: int) -> bytes:
    return b"payload/%s/%d/%d" % (lane.destination.hex().encode(), lane.mode, sequence)


def _never(state: LaneState) -> None:
    return
