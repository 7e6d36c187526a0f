"""One request at work: its typed parameters, its reads, its waits and its answer.

An `Operation` is one row of the route table; a `Call` is one request to it. Whatever a handler may use
hangs on the `Door`, made once per node.
"""

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from consensus import encode_trusted
from node.api.backend import Backend
from node.api.departure import Departure
from node.api.faults import ApiFault, Fault, fault
from node.api.gauges import Gauges
from node.api.limits import ApiLimits
from node.api.parameters import Parameter, Place, unknown_parameter
from node.api.shapes import to_json, to_value
from node.api.visitors import Visitors
from node.storage import Snapshot, SnapshotExpired, SnapshotLimit

T = TypeVar("T")
MSGPACK = "application/msgpack"
JSON = "application/json"


class Media(Enum):
    """What an operation answers with."""

    VIEW = "view"
    """A dataclass of `views.py` and friends, as JSON or msgpack by the Accept header."""
    JSON_ONLY = "json"
    TEXT = "text"
    EVENTS = "events"
    PAGE = "page"
    """What browsers show: the explorer and its files."""
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Operation:
    """One route: what it takes, what it answers, who handles it. The document is made from this."""

    method: str
    path: str
    name: str
    summary: str
    handler: "Callable[[Call], Awaitable[ASGIApp]]"
    parameters: tuple[Parameter[Any], ...] = ()
    answer: type | None = None
    media: Media = Media.VIEW
    statuses: tuple[tuple[int, str], ...] = ((200, "The answer."),)
    takes_body: bool = False
    faults: tuple[Fault, ...] = field(default=())


@dataclass(slots=True)
class Door:
    """What all calls share: the node behind, the bounds, the sizes, and the end."""

    backend: Backend
    limits: ApiLimits
    gauges: Gauges
    departure: Departure
    reading: trio.CapacityLimiter
    visitors: Visitors
    operations: tuple[Operation, ...]

    async def read(
        self,
        query: Callable[[Snapshot], T],
        view: Callable[[], AbstractContextManager[Snapshot]] | None = None,
    ) -> T:
        """The result of `query` over one snapshot, by default a certified one, in a worker thread. Raises
        ApiFault."""
        self.gauges.reads += 1
        try:
            opening = view or self.backend.snapshot
            return await trio.to_thread.run_sync(_query, query, opening, limiter=self.reading)
        except (SnapshotLimit, SnapshotExpired) as error:
            raise self.busy(error) from error
        finally:
            self.gauges.reads -= 1

    async def rest(self) -> None:
        """What goes before the answer to a request that found no room; a node that stops does not wait."""
        with trio.move_on_after(self.limits.no_room_pause_ms / 1000):
            await self.departure.shutdown.wait()

    def busy(self, error: SnapshotLimit | SnapshotExpired) -> ApiFault:
        """The database's own limits as an answer."""
        self.gauges.refuse("busy")
        return fault(Fault.BUSY, f"{error}.", retry_after_ms=self.limits.retry_after_ms)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """One of the bounded number of waits, ended when the node stops. Raises ApiFault BUSY,
        SHUTTING_DOWN."""
        with self.place_to_wait(), self.departure.until():
            yield

    @contextmanager
    def place_to_wait(self) -> Iterator[None]:
        """One of the bounded number of waits. Raises ApiFault BUSY."""
        if self.gauges.waits >= self.limits.waits_max:
            self.gauges.refuse("busy")
            raise fault(
                Fault.BUSY,
                f"{self.limits.waits_max} requests wait already; submit with wait=admitted and ask later.",
                retry_after_ms=self.limits.retry_after_ms,
            )
        self.gauges.waits += 1
        try:
            yield
        finally:
            self.gauges.waits -= 1


@dataclass(slots=True)
class Call:
    """One request to one operation."""

    door: Door
    operation: Operation
    request: Request
    found_no_room: bool = False
    """Whether something of it was refused for want of room."""

    def get(self, parameter: Parameter[T]) -> T | None:
        """The value of a parameter, or its default. Raises ApiFault BAD_PARAMETER."""
        if parameter not in self.operation.parameters:
            raise RuntimeError(f"{self.operation.name} does not declare the parameter {parameter.name}")
        sources = {
            Place.PATH: self.request.path_params,
            Place.QUERY: self.request.query_params,
            Place.HEADER: self.request.headers,
        }
        text = sources[parameter.place].get(parameter.name)
        return parameter.default if text is None else parameter.read(text)

    def need(self, parameter: Parameter[T]) -> T:
        """The value of a parameter that is in the path or has a default."""
        value = self.get(parameter)
        if value is None:
            raise fault(Fault.BAD_PARAMETER, f"{parameter.name} is missing.")
        return value

    def check_query(self) -> None:
        """Raises ApiFault for a query parameter that the operation does not have, or has twice."""
        known = [item.name for item in self.operation.parameters if item.place is Place.QUERY]
        names = [name for name, _ in self.request.query_params.multi_items()]
        for name in names:
            if name not in known:
                raise unknown_parameter(name, known)
            if names.count(name) > 1:
                raise fault(Fault.BAD_PARAMETER, f"{name} is given more than once.")

    def answer(self, view: object, *, status: int = 200) -> Response:
        """The view in the form the caller accepts. Raises ApiFault NOT_ACCEPTABLE."""
        if self._wants_msgpack():
            response = Response(encode_trusted(to_value(view)), status_code=status, media_type=MSGPACK)
        else:
            response = json_response(to_json(view), status)
        if self.door.departure.has_begun:
            response.headers["connection"] = "close"
        return response

    def _wants_msgpack(self) -> bool:
        accepted = [
            item.partition(";")[0].strip().lower()
            for item in self.request.headers.get("accept", "*/*").split(",")
        ]
        if MSGPACK in accepted:
            return True
        if {JSON, "*/*", "application/*", "text/html", ""}.isdisjoint(accepted):
            shown = self.request.headers.get("accept", "")[:80]
            raise fault(Fault.NOT_ACCEPTABLE, f"None of {shown!r} can be given.")
        return False


def _query(query: Callable[[Snapshot], T], opening: Callable[[], AbstractContextManager[Snapshot]]) -> T:
    with opening() as snapshot:
        return query(snapshot)


def json_response(content: object, status: int = 200) -> Response:
    """JSON with one object a line for people who read it in a terminal."""
    text = json.dumps(content, ensure_ascii=False, separators=(", ", ": "))
    return Response(text.encode() + b"\n", status_code=status, media_type=JSON)


def fault_response(error: ApiFault) -> Response:
    """The one JSON shape of every error."""
    kind = error.kind
    answer = json_response(
        {"code": kind.code, "name": kind.name, "message": error.message, "hint": kind.hint}, kind.status
    )
    if error.retry_after_ms is not None:
        answer.headers["retry-after"] = str(-(-error.retry_after_ms // 1000))
    for name, value in error.headers:
        answer.headers[name] = value
    return answer
