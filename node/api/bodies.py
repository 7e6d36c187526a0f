"""Reading a request's body: never more than its limit, never longer than its time, never all of them at
once beyond one budget.

The bytes are counted as they arrive and refused at the first one too many, so a body without end costs
its limit and a `Content-Length` beyond the limit costs nothing.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from starlette.requests import ClientDisconnect, Request

from node.api.faults import Fault, fault
from node.api.gauges import Gauges
from node.api.limits import ApiLimits


@asynccontextmanager
async def body_of(
    request: Request, max_bytes: int, limits: ApiLimits, gauges: Gauges
) -> AsyncIterator[bytes]:
    """The whole body, held against the budget until the block ends.

    Raises ApiFault: BODY_TOO_LARGE, BODY_TOO_SLOW, BUSY.
    """
    _check_announced(request, max_bytes, gauges)
    parts: list[bytes] = []
    held = 0
    try:
        with trio.move_on_after(limits.body_timeout_ms / 1000) as scope:
            async for part in request.stream():
                if gauges.bodies_bytes + len(part) > limits.bodies_bytes_max:
                    gauges.refuse("busy")
                    raise fault(
                        Fault.BUSY,
                        f"Request bodies fill the {limits.bodies_bytes_max} bytes this node keeps for them.",
                        retry_after_ms=limits.retry_after_ms,
                    )
                held += len(part)
                gauges.bodies_bytes += len(part)
                if held > max_bytes:
                    raise _too_large(f"more than {max_bytes} bytes", max_bytes, gauges)
                parts.append(part)
        if scope.cancelled_caught:
            gauges.refuse("too-slow")
            raise fault(
                Fault.BODY_TOO_SLOW,
                f"The body did not arrive within {limits.body_timeout_ms} ms; {held} bytes came.",
            )
        yield b"".join(parts)
    except ClientDisconnect:
        raise fault(Fault.MALFORMED_BODY, "The connection ended inside the body.") from None
    finally:
        gauges.bodies_bytes -= held


def _check_announced(request: Request, max_bytes: int, gauges: Gauges) -> None:
    announced = request.headers.get("content-length")
    if announced is not None and announced.isascii() and announced.isdigit() and len(announced) < 20:
        size = int(announced)
        if size > max_bytes:
            raise _too_large(f"{size} bytes", max_bytes, gauges)


def _too_large(size: str, max_bytes: int, gauges: Gauges) -> Exception:
    gauges.refuse("too-large")
    return fault(Fault.BODY_TOO_LARGE, f"The body has {size}; this route takes at most {max_bytes} bytes.")
