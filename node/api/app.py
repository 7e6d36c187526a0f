"""The HTTP application of one node: the route table on Starlette, behind a guard at the door.

The guard refuses what no route should see: another HTTP version, more requests of one address than it may
make, and requests whose Host or Origin is not this node's. A page from elsewhere can point its own name at
the loopback address (DNS rebinding) and would otherwise read and write here with the user's browser. Every
error of every layer leaves in one JSON shape, and no browser may take an answer for anything but its type.
"""

import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.api.backend import Backend
from node.api.call import Call, Door, Operation, fault_response
from node.api.connection import NO_GUESSING
from node.api.departure import Departure
from node.api.faults import ApiFault, Fault, fault
from node.api.gauges import Gauges
from node.api.limits import ApiLimits
from node.api.routes import operations_of
from node.api.visitors import Visitors
from node.knobs import plain_host
from node.storage import SnapshotExpired, SnapshotLimit

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_NO_GUESSING = (NO_GUESSING[0].encode(), NO_GUESSING[1].encode())
_log = logging.getLogger("isthmus.api")


@dataclass(frozen=True, slots=True)
class Api:
    """The application, with what the server shares with it."""

    app: ASGIApp
    gauges: Gauges
    visitors: Visitors
    departure: Departure


def build_api(
    backend: Backend,
    *,
    shutdown: trio.Event,
    limits: ApiLimits | None = None,
    allowed_hosts: tuple[str, ...] = (),
) -> Api:
    """The application in front of `backend`.

    `allowed_hosts` are names (without port) besides the loopback ones under which this node may be
    addressed. Event streams end themselves once `shutdown` is set, waits when the server begins to leave.
    """
    limits = limits or ApiLimits()
    gauges = Gauges()
    visitors = Visitors(limits, gauges)
    departure = Departure(shutdown, limits.retry_after_ms)
    door = Door(backend, limits, gauges, departure, trio.CapacityLimiter(limits.reads_max), visitors)
    operations = operations_of(backend.genesis.params)
    routes = [
        Route(item.path, _endpoint(door, item), methods=[item.method], name=item.name) for item in operations
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _on_http_exception})
    app.router.redirect_slashes = False
    app.state.operations = operations
    guard = Guard(app, (*LOOPBACK_HOSTS, *allowed_hosts), gauges, visitors)
    return Api(guard, gauges, visitors, departure)


def _endpoint(door: Door, operation: Operation) -> Callable[[Request], Coroutine[Any, Any, ASGIApp]]:
    async def endpoint(request: Request) -> ASGIApp:
        call = Call(door, operation, request)
        door.gauges.requests_total += 1
        answer = await _answer_to(call)
        if call.found_no_room:
            await door.rest()  # here nothing of the request is held any more, its body least of all
        return answer

    return endpoint


async def _answer_to(call: Call) -> ASGIApp:
    name = call.operation.name
    try:
        call.check_query()
        return await call.operation.handler(call)
    except ApiFault as error:
        return fault_response(error)
    except (SnapshotLimit, SnapshotExpired) as error:
        return fault_response(call.door.busy(error))
    except Exception:
        _log.exception("%s failed", name)
        return fault_response(fault(Fault.INTERNAL, f"{name} failed inside this node."))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """What the router itself refuses, without a look at the request's body: the connection is not used again
    where one comes, and its client is told so instead of finding it closed under its next request."""
    path = request.url.path[:200]
    headers: tuple[tuple[str, str], ...] = ()
    if {"content-length", "transfer-encoding"} & set(request.headers):
        headers = (("connection", "close"),)
    if isinstance(error, HTTPException) and error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        message = f"{path} takes {allowed}, not {request.method}."
        return fault_response(ApiFault(Fault.METHOD.value, message, headers=(("allow", allowed), *headers)))
    return fault_response(ApiFault(Fault.UNKNOWN_ROUTE.value, f"There is no route {path}.", headers=headers))


def _never_guessed(send: Send) -> Send:
    async def send_typed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), _NO_GUESSING]
        await send(message)

    return send_typed


class Guard:
    """Everything that is refused before a route is chosen."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...], gauges: Gauges, visitors: Visitors) -> None:
        self._app = app
        self._visitors = visitors
        self._hosts = frozenset(map(plain_host, hosts))
        self._gauges = gauges

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass HTTP/1.1 requests for this node on; refuse all others."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http":
            send = _never_guessed(send)
            request = Request(scope)
            refusal = self._refusal(request)
            if refusal is not None:
                self._gauges.refuse("host")
            else:
                host = "" if request.client is None else request.client.host
                refusal = self._visitors.refusal(host, int(trio.current_time() * 1000))
            if refusal is not None:
                answer = fault_response(refusal)
                answer.headers["connection"] = "close"
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, request: Request) -> ApiFault | None:
        if request.scope["http_version"] not in ("1.0", "1.1"):
            return fault(
                Fault.HTTP_VERSION, f"This node does not speak HTTP/{request.scope['http_version']}."
            )
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(f"http://{hosts[0]}"):
            return fault(Fault.HOST, f"Host {', '.join(hosts)[:120]!r} is not a name of this node.")
        for origin in request.headers.getlist("origin"):
            if not self._is_ours(origin):
                return fault(Fault.ORIGIN, f"Pages of {origin[:120]!r} may not use this node.")
        return None

    def _is_ours(self, url: str) -> bool:
        try:
            name = urlsplit(url).hostname or ""
        except ValueError:
            return False
        return plain_host(name) in self._hosts
