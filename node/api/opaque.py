"""POST /v1/opaque: bytes for a benchmark cluster, answered when the batch that holds them is certified.

There only where the genesis enables it; elsewhere the path is as unknown as any other. The body is a whole
number of transactions of `transaction_bytes` each; nobody signs, checks or looks at them.
"""

from dataclasses import dataclass

from starlette.responses import Response

from node.api.backend import Busy, Rejected
from node.api.bodies import body_of
from node.api.call import Call, Operation
from node.api.faults import BODY_FAULTS, Fault, fault
from node.api.parameters import Parameter, Place, integer
from node.api.queries import receipts_at
from node.api.submitting import TIMEOUT, busy, refusal, wait_ms

OCTETS = "application/octet-stream"
_SIZE_MAX = 4 * 1024 * 1024
TRANSACTION_BYTES = Parameter(
    "transaction_bytes",
    Place.QUERY,
    "The size of each transaction in the body.",
    (("type", "integer"), ("minimum", 1), ("maximum", _SIZE_MAX)),
    lambda text: integer(text, 1, _SIZE_MAX),
)


@dataclass(frozen=True, slots=True)
class OpaqueOutcome:
    """What became of a request's bytes.

    `state` is `certified` (with the batch's certified receipt) or `admitted` (sealed in the batch `batch_id`,
    not certified when the wait ended).
    """

    batch_id: bytes
    state: str
    transactions: int
    height: int | None
    index: int | None
    receipt: bytes | None


async def submit_opaque(call: Call) -> Response:
    """Take the body into a batch; 200 once that is certified, 202 when it is not within the wait."""
    door = call.door
    if door.shutdown.is_set():
        raise fault(Fault.SHUTTING_DOWN, "This node is stopping and takes nothing more.")
    size, timeout_ms = call.need(TRANSACTION_BYTES), wait_ms(call)
    kind = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != OCTETS:
        raise fault(Fault.MEDIA_TYPE, f"Content-Type {kind[:80]!r} is not understood here; send {OCTETS}.")
    most = door.backend.genesis.params.batch_bytes_max
    with door.waiting():
        async with body_of(call.request, most, door.limits, door.gauges) as body:
            try:
                taken = await door.backend.submit_chunk(body, size, timeout_ms)
            except Busy as error:
                raise busy(call, error) from error
            count = len(body) // size
        if isinstance(taken, Rejected):
            raise refusal(taken, door.limits.retry_after_ms)
        try:
            (place,) = await door.backend.wait_certified((taken.tx_id,), timeout_ms)
        except Busy as error:
            raise busy(call, error) from error
    if place is None:
        return call.answer(OpaqueOutcome(taken.tx_id, "admitted", count, None, None, None), status=202)
    (receipt,) = await door.read(lambda snapshot: receipts_at(snapshot, (place,)))
    return call.answer(OpaqueOutcome(taken.tx_id, "certified", count, place.height, place.index, receipt))


OPERATION = Operation(
    "POST",
    "/v1/opaque",
    "submitOpaque",
    "Benchmark clusters only: store opaque bytes and wait until their batch is certified.",
    submit_opaque,
    (TRANSACTION_BYTES, TIMEOUT),
    OpaqueOutcome,
    statuses=((200, "Certified."), (202, "Taken, but not certified within the wait.")),
    takes_body=True,
    faults=(*BODY_FAULTS, Fault.BAD_PARAMETER, Fault.SHUTTING_DOWN),
)
