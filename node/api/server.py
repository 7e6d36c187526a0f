"""The listening side of the HTTP door.

Sockets are bound first, so that a busy port is one sentence before anything else is started. They listen
once there is somebody to answer: a node that still recovers refuses its clients, who then ask another one,
and does not keep them waiting. Accepting, the bound on connections and the shutdown are Trio's; HTTP/1.1 is
h11's (`connection.py`).
"""

import errno
import logging
import socket
from collections.abc import Sequence

import trio
from starlette.types import ASGIApp

from node.api.connection import Connection, refusal_bytes
from node.api.departure import Departure
from node.api.faults import Fault, PortInUse
from node.api.gauges import Gauges
from node.api.limits import ApiLimits
from node.api.visitors import Visitors
from node.config import ConfigError

_BACKLOG = 128
_REFUSED_AT_ONCE_MAX = 64
_log = logging.getLogger("isthmus.api")


def bind_listener(host: str, port: int) -> socket.socket:
    """A bound TCP socket that refuses connections until it is served; port 0 lets the system choose.

    Raises PortInUse, or ConfigError for an address that is none or not this machine's.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise _unusable(host, port, error) from error
    family, _, _, _, address = found[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise _taken(host, port) from error
        raise _unusable(host, port, error) from error
    listener.setblocking(False)
    return listener


def _unusable(host: str, port: int, error: OSError) -> ConfigError:
    return ConfigError(
        (f"the API cannot listen on {host}:{port}: {error.strerror}; correct api.host, api.port",)
    )


def _listen(listeners: Sequence[socket.socket]) -> None:
    """Let clients in. Raises PortInUse, and closes all sockets: of two programs that bound a port before
    either listened (Linux lets them), the second learns it only now."""
    for listener in listeners:
        host, port = listener.getsockname()[:2]
        try:
            listener.listen(_BACKLOG)
        except OSError as error:
            for one in listeners:
                one.close()
            if error.errno == errno.EADDRINUSE:
                raise _taken(host, port) from error
            raise


def _taken(host: str, port: int) -> PortInUse:
    return PortInUse(
        f"Port {port} on {host} is taken by another program: stop it, or choose another port with api.port."
    )


async def serve_api(
    app: ASGIApp,
    listeners: Sequence[socket.socket],
    *,
    departure: Departure,
    limits: ApiLimits,
    gauges: Gauges,
    visitors: Visitors,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listen on bound sockets and serve `app` until the departure, then finish within the grace period.

    Takes the sockets over; `task_status` hears when they listen. Waits and event streams end at the
    departure, requests that are not whole are refused; what is still open after `limits.shutdown_grace_ms`
    is cut. Nothing a peer sends ends this call. Raises PortInUse.
    """
    _listen(listeners)
    door = _Door(app, departure, limits, gauges, visitors)
    async with trio.open_nursery() as connections:
        async with trio.open_nursery() as accepting:
            streams = [trio.SocketListener(trio.socket.from_stdlib_socket(item)) for item in listeners]
            for stream in streams:
                accepting.start_soon(_accept, stream, door, connections)
            task_status.started()
            await departure.shutdown.wait()
            accepting.cancel_scope.cancel()
        connections.cancel_scope.deadline = trio.current_time() + limits.shutdown_grace_ms / 1000
        departure.begin()
        for connection in tuple(door.open):
            connection.retire()


async def _accept(listener: trio.SocketListener, door: "_Door", connections: trio.Nursery) -> None:
    """Accept for ever; running out of file descriptors is waited out, as Trio's own server does."""
    async with listener:
        await trio.serve_listeners(door.admit, [listener], handler_nursery=connections)


class _Door:
    """The bound on connections, and the edge that no connection's failure passes."""

    def __init__(
        self,
        app: ASGIApp,
        departure: Departure,
        limits: ApiLimits,
        gauges: Gauges,
        visitors: Visitors,
    ) -> None:
        self._app = app
        self._departure = departure
        self._visitors = visitors
        self._limits = limits
        self._gauges = gauges
        self._refusing = 0
        self.open: dict[Connection, None] = {}

    async def admit(self, stream: trio.SocketStream) -> None:
        """Serve one connection, or say that there are too many."""
        if len(self.open) >= self._limits.connections_max:
            self._gauges.refuse("connections")
            await self._turn_away(stream, f"All {self._limits.connections_max} connections are in use.")
            return
        host = _host(stream)
        if not self._visitors.enter(host):
            await self._turn_away(
                stream,
                f"One address may hold {self._limits.connections_per_address} connections, and all from "
                f"elsewhere {self._visitors.from_elsewhere_max}; they do.",
            )
            return
        try:
            await self._serve(stream)
        finally:
            self._visitors.leave(host)

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            connection = Connection(stream, self._app, self._departure, self._limits, self._gauges)
        except OSError as error:  # who has reset it already has no address any more
            _log.debug("a connection was gone before it was served: %s", error)
            return
        self.open[connection] = None
        self._gauges.connections = len(self.open)
        try:
            await connection.run()
        except OSError as error:
            _log.debug("a connection ended: %s", error)
        except Exception:
            self._gauges.refuse("crash")
            _log.exception("a connection failed inside this node")
        finally:
            del self.open[connection]
            self._gauges.connections = len(self.open)

    async def _turn_away(self, stream: trio.SocketStream, why: str) -> None:
        if self._refusing >= _REFUSED_AT_ONCE_MAX:
            return
        self._refusing += 1
        try:
            with trio.move_on_after(self._limits.linger_ms / 1000):
                await stream.send_all(refusal_bytes(Fault.TOO_MANY_CONNECTIONS, why))
                await stream.send_eof()
                while await stream.receive_some(4096):
                    pass
        except trio.BrokenResourceError:
            _log.debug("a refused connection went away")
        finally:
            self._refusing -= 1


def _host(stream: trio.SocketStream) -> str:
    """Where a connection comes from; empty when it has gone already."""
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return ""
