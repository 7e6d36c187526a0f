"""The HTTP application of one node: the route table behind a guard at the door.

The guard refuses what no route should see: more requests of one address than it may make, and requests whose
Host or Origin is not this node's. A page from elsewhere can point its own name at the loopback address (DNS
rebinding) and would otherwise read and write here with the user's browser. Every error of every layer leaves
in one JSON shape.
"""

import logging
from dataclasses import dataclass
from urllib.parse import urlsplit

import trio
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from node.api.backend import Backend
from node.api.bodies import announces_body, skip_body
from node.api.call import Call, Door, fault_response
from node.api.departure import Departure
from node.api.faults import ApiFault, Fault, fault
from node.api.gauges import Gauges
from node.api.limits import ApiLimits
from node.api.routes import operations_of
from node.api.routing import Routes
from node.api.visitors import Visitors
from node.knobs import plain_host
from node.storage import SnapshotExpired, SnapshotLimit

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
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
    operations = operations_of(backend.genesis.params)
    reading = trio.CapacityLimiter(limits.reads_max)
    door = Door(backend, limits, gauges, departure, reading, visitors, operations)
    guard = Guard(Switch(door), (*LOOPBACK_HOSTS, *allowed_hosts), gauges, visitors)
    return Api(guard, gauges, visitors, departure)


class Switch:
    """From a request that was let in to the operation that it is about, and its answer."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._routes = Routes(door.operations)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. What no operation takes is refused without a look at the request's body: the connection is
        not used again where one comes, and its client is told so instead of finding it closed under its next
        request."""
        request = Request(scope, receive)
        try:
            operation, scope["path_params"] = self._routes.find(request.method, request.scope["path"])
        except ApiFault as error:
            answer: ASGIApp = fault_response(error)
            if announces_body(request):
                answer = fault_response(error.closing())
        else:
            call = Call(self._door, operation, request)
            self._door.gauges.requests_total += 1
            answer = await _answer_to(call)
            if call.found_no_room:
                await self._door.rest()  # nothing of the request is held any more, its body least of all
        await answer(scope, receive, send)


async def _answer_to(call: Call) -> ASGIApp:
    name = call.operation.name
    try:
        if not call.operation.takes_body and announces_body(call.request):
            await skip_body(call.door, call.request)
        call.check_query()
        return await call.operation.handler(call)
    except ApiFault as error:
        return fault_response(error)
    except (SnapshotLimit, SnapshotExpired) as error:
        return fault_response(call.door.busy(error))
    except Exception:
        _log.exception("%s failed", name)
        return fault_response(fault(Fault.INTERNAL, f"{name} failed inside this node."))


class Guard:
    """Everything that is refused before a route is chosen."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...], gauges: Gauges, visitors: Visitors) -> None:
        self._app = app
        self._visitors = visitors
        self._hosts = frozenset(map(plain_host, hosts))
        self._gauges = gauges

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass requests for this node on; refuse all others."""
        request = Request(scope)
        refusal = self._refusal(request)
        if refusal is not None:
            self._gauges.refuse("host")
        else:
            host = "" if request.client is None else request.client.host
            refusal = self._visitors.refusal(host, int(trio.current_time() * 1000))
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await fault_response(refusal.closing())(scope, receive, send)

    def _refusal(self, request: Request) -> ApiFault | None:
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
