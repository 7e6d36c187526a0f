"""Events read from storage by cursor: nothing is lost, and a slow reader costs nothing.

An event's id is its place, `height:index`: the transactions of a height have its leaf indices, and the
header that closes the height has the index behind them. A stream holds no queue: it reads the next events
from a snapshot whenever its reader took the last ones, so a reader may be hours behind. One that takes too
long for a batch of events is ended with a reason and a code, because it keeps a place from others; one that
takes nothing at all is dropped (by the connection). Both resume by the id of the last event seen.
Source: WHATWG HTML, server-sent events.
"""

import json
from dataclasses import dataclass

import trio
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from node.api.call import Call, Door
from node.api.faults import ApiFault, Fault, fault
from node.api.parameters import Parameter, Place
from node.api.queries import height_key, leaves_stored, stored_height
from node.api.shapes import to_json
from node.api.views import header_fields, receipt_fields, transaction_fields
from node.proofs.header import Header
from node.storage import PRUNED_KEY, ChainTable, Snapshot

_RETRY_MS = 2_000
_MEDIA_TYPE = "text/event-stream"
_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
_DIGITS_MAX = 19


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place in the cluster's history; also the first place of what has not been read."""

    height: int
    index: int

    def __str__(self) -> str:
        return f"{self.height}:{self.index}"

    @staticmethod
    def parse(text: str) -> "Cursor":
        """The cursor written `height:index`; raises ValueError."""
        parts = text.split(":")
        if len(parts) != 2 or not all(
            part.isascii() and part.isdigit() and len(part) <= _DIGITS_MAX for part in parts
        ):
            raise ValueError("must be height:index, two whole numbers")
        return Cursor(int(parts[0]), int(parts[1]))


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event: its place (None for a notice that has none), its kind, and its JSON fields."""

    cursor: Cursor | None
    kind: str
    fields: dict[str, object]

    def encode(self) -> bytes:
        """The lines of the event stream format."""
        place = f"id: {self.cursor}\n" if self.cursor else ""
        text = json.dumps(to_json(self.fields), ensure_ascii=False, separators=(",", ":"))
        return f"{place}event: {self.kind}\ndata: {text}\n\n".encode()


_CURSOR_SCHEMA: tuple[tuple[str, object], ...] = (("type", "string"), ("pattern", "^[0-9]+:[0-9]+$"))
FROM = Parameter(
    "from",
    Place.QUERY,
    "The first place wanted, `height:index`; without it only what is new from now on.",
    _CURSOR_SCHEMA,
    Cursor.parse,
)
LAST_EVENT_ID = Parameter(
    "last-event-id",
    Place.HEADER,
    "The id of the last event seen; the stream goes on behind it. Stands over `from`.",
    _CURSOR_SCHEMA,
    Cursor.parse,
)


def read_events(snapshot: Snapshot, start: Cursor, limit: int) -> tuple[list[StreamEvent], Cursor]:
    """Up to `limit` events from `start` on, and the place to go on from.

    Heights whose bodies are no longer stored give a `gap` notice instead of silence: one for all that were
    pruned together.
    """
    events: list[StreamEvent] = []
    at = start
    while len(events) < limit:
        found = snapshot.scan(ChainTable.HEADERS, height_key(at.height), limit=1)
        if not found:
            break
        header = Header.decode(found[0][1])
        leaves = leaves_stored(snapshot, header.height)
        if header.height > at.height or leaves is None:
            last = (
                header.height - 1 if leaves is not None else max(header.height, _pruned_below(snapshot) - 1)
            )
            missing: dict[str, object] = {"from_height": at.height, "to_height": last}
            events.append(StreamEvent(None, "gap", missing))
            at = Cursor(last + 1, 0)
            continue
        transactions, receipts = leaves
        for index in range(at.index, min(len(transactions), at.index + limit - len(events))):
            events.append(_transaction_event(header, index, transactions[index], receipts[index]))
            at = Cursor(header.height, index + 1)
        if len(events) < limit:
            if at.index <= len(transactions):
                events.append(_header_event(header, len(transactions)))
            at = Cursor(header.height + 1, 0)
    return events, at


def _pruned_below(snapshot: Snapshot) -> int:
    return int.from_bytes(snapshot.get(ChainTable.META, PRUNED_KEY) or b"", "big")


def _transaction_event(header: Header, index: int, transaction: bytes, receipt: bytes) -> StreamEvent:
    called = transaction_fields(transaction) or {}
    outcome = receipt_fields(receipt) or {}
    fields: dict[str, object] = {"height": header.height, "index": index, "time_ms": header.time_ms}
    fields["tx_id"] = called.get("id")
    fields.update({name: called.get(name) for name in ("sender", "app", "method", "args")})
    fields.update({name: outcome.get(name) for name in ("status", "name", "result")})
    return StreamEvent(Cursor(header.height, index), "transaction", fields)


def _header_event(header: Header, count: int) -> StreamEvent:
    fields = header_fields(header) | {"transactions": count}
    return StreamEvent(Cursor(header.height, count), "header", fields)


async def stream_events(call: Call) -> ASGIApp:
    """GET /v1/events."""
    door = call.door
    last_seen = call.get(LAST_EVENT_ID)
    start = call.get(FROM)
    if last_seen is not None:
        start = Cursor(last_seen.height, last_seen.index + 1)
    if call.request.method == "HEAD":
        return Response(media_type=_MEDIA_TYPE)
    if door.gauges.streams >= door.limits.streams_max:
        door.gauges.refuse("streams")
        raise fault(
            Fault.TOO_MANY_STREAMS,
            f"All {door.limits.streams_max} event streams of this node are in use.",
            retry_after_ms=door.limits.retry_after_ms,
        )
    door.departure.require_stay()
    if start is None:
        start = Cursor(await door.read(stored_height) + 1, 0)
    return EventStream(door, start)


class EventStream:
    """Writes events until the reader or the node ends; an answer like any other to the router."""

    def __init__(self, door: Door, start: Cursor) -> None:
        self._door = door
        self._at = start

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One slot of the bounded streams is held from here to the end."""
        gauges = self._door.gauges
        gauges.streams += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await _write(send, f": events from {self._at}\nretry: {_RETRY_MS}\n\n".encode())
            end = Fault.SHUTTING_DOWN
            while not self._door.departure.has_begun:
                if not await self._write_next(send):
                    self._door.gauges.refuse(Fault.SLOW_SUBSCRIBER.value.name)
                    end = Fault.SLOW_SUBSCRIBER
                    break
            await _write(send, self._ending(end).encode(), more=False)
        finally:
            gauges.streams -= 1

    async def _write_next(self, send: Send) -> bool:
        """What is stored by now, or the next keep-alive comment; False when the subscriber took too long. A
        busy database is asked again later: nothing is lost, because the place is kept."""
        limits = self._door.limits
        try:
            events, beyond = await self._door.read(
                lambda snapshot: read_events(snapshot, self._at, limits.stream_batch_events)
            )
        except ApiFault:
            with trio.move_on_after(limits.retry_after_ms / 1000):
                await self._door.departure.shutdown.wait()
            return True
        if events:
            return await self._write_batch(send, events, beyond)
        self._at = beyond
        if not await self._wait_for_more():
            await _write(send, b": keep-alive\n\n")
        return True

    async def _write_batch(self, send: Send, events: list[StreamEvent], beyond: Cursor) -> bool:
        """Whether the subscriber took all of them in time; the place is behind those that it took."""
        limits = self._door.limits
        give_up = trio.current_time() + limits.stream_batch_ms / 1000
        waiting = b""
        for event in events:
            waiting += event.encode()
            if len(waiting) >= limits.write_piece_bytes:
                await _write(send, waiting)
                waiting = b""
                if event.cursor is not None:
                    self._at = Cursor(event.cursor.height, event.cursor.index + 1)
                if trio.current_time() > give_up:
                    return False
        if waiting:
            await _write(send, waiting)
        self._at = beyond
        return trio.current_time() <= give_up

    def _ending(self, why: Fault) -> StreamEvent:
        """The last event of a stream: its code, the sentence, and the place to resume from."""
        reasons = {
            Fault.SHUTTING_DOWN: "this node is stopping; resume on another one",
            Fault.SLOW_SUBSCRIBER: f"the events of one batch were not taken within "
            f"{self._door.limits.stream_batch_ms} ms",
        }
        fields: dict[str, object] = {"code": why.value.code, "name": why.value.name, "reason": reasons[why]}
        return StreamEvent(None, "end", fields | {"hint": why.value.hint, "resume_from": str(self._at)})

    async def _wait_for_more(self) -> bool:
        """Whether a new height or the end came before a keep-alive is due."""
        with trio.move_on_after(self._door.limits.keep_alive_ms / 1000):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_when, self._door.departure.shutdown, nursery.cancel_scope)
                await self._door.backend.wait_new_height(self._at.height - 1)
                nursery.cancel_scope.cancel()
            return True
        return False


async def _cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def _write(send: Send, data: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})
