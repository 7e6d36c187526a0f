"""Reading a request's body: never more than its limit, never longer than its time, never all of them at
once beyond one budget.

The bytes are counted as they arrive and refused at the first one too many, so a body without end costs
its limit and a `Content-Length` beyond the limit costs nothing.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from node.api.call import Door
from node.api.faults import Fault, fault
from node.api.gauges import Gauges
from node.api.limits import ApiLimits

_ANNOUNCING = {b"content-length", b"transfer-encoding"}


@asynccontextmanager
async def body_of(door: Door, request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """The whole body, held against the budget until the block ends.

    Raises ApiFault: BODY_TOO_LARGE, BODY_TOO_SLOW, BUSY, SHUTTING_DOWN.
    """
    limits, gauges = door.limits, door.gauges
    _check_announced(request, max_bytes, gauges)
    body = _Body(request, max_bytes, limits, gauges)
    try:
        with door.departure.until(limits.body_timeout_ms / 1000) as scope:
            while not body.is_whole:
                await body.receive()
        if scope.cancelled_caught:
            gauges.refuse("too-slow")
            raise fault(
                Fault.BODY_TOO_SLOW,
                f"The body did not arrive within {limits.body_timeout_ms} ms; {body.held} bytes came.",
            )
        yield b"".join(body.parts)
    finally:
        gauges.bodies_bytes -= body.held


def announces_body(request: Request) -> bool:
    """Whether something comes behind the request's header."""
    return any(name in _ANNOUNCING and value != b"0" for name, value in request.scope["headers"])


async def skip_body(door: Door, request: Request) -> None:
    """Take and forget the body of a request that should have none: behind one that nobody takes, nobody is
    seen to go away, and the connection cannot be used again. Raises ApiFault like `body_of`."""
    async with body_of(door, request, door.limits.body_slack_bytes):
        pass


class _Body:
    """The parts that came so far, counted as they come."""

    def __init__(self, request: Request, max_bytes: int, limits: ApiLimits, gauges: Gauges) -> None:
        self._request = request
        self._max_bytes = max_bytes
        self._limits = limits
        self._gauges = gauges
        self.parts: list[bytes] = []
        self.held = 0
        self.is_whole = False

    async def receive(self) -> None:
        """The next part; straight from the server, because Starlette's stream is an asynchronous
        generator, which Trio cannot close when a refusal leaves it half read. Raises ApiFault."""
        message = await self._request.receive()
        if message["type"] == "http.disconnect":
            raise fault(Fault.MALFORMED_BODY, "The connection ended inside the body.")
        part: bytes = message.get("body", b"")
        most = self._limits.bodies_bytes_max
        if self._gauges.bodies_bytes + len(part) > most:
            self._gauges.refuse("busy")
            raise fault(
                Fault.BUSY,
                f"Request bodies fill the {most} bytes this node keeps for them.",
                retry_after_ms=self._limits.retry_after_ms,
            )
        self.held += len(part)
        self._gauges.bodies_bytes += len(part)
        if self.held > self._max_bytes:
            raise _too_large(f"more than {self._max_bytes} bytes", self._max_bytes, self._gauges)
        self.parts.append(part)
        self.is_whole = not message.get("more_body", False)


def _check_announced(request: Request, max_bytes: int, gauges: Gauges) -> None:
    announced = request.headers.get("content-length")
    if announced is not None and announced.isascii() and announced.isdigit() and len(announced) < 20:
        size = int(announced)
        if size > max_bytes:
            raise _too_large(f"{size} bytes", max_bytes, gauges)


def _too_large(size: str, max_bytes: int, gauges: Gauges) -> Exception:
    gauges.refuse("too-large")
    return fault(Fault.BODY_TOO_LARGE, f"The body has {size}; this route takes at most {max_bytes} bytes.")
