"""POST /v1/opaque: bytes for a benchmark cluster, answered when the batches that hold them are certified, or,
for who asks for that, committed and executed here: what the classic HotStuff benchmarks measure.

There only where the genesis enables it; elsewhere the path is as unknown as any other. The body is a whole
number of transactions of `transaction_bytes` each; nobody signs, checks or looks at them. On a cluster of
signed transactions (`node/pool/signedchunks.py`) the signatures are checked first: a piece with a forged one
is refused as a ledger refuses a transaction, under the code `bad-signature`. A body larger than a batch is
cut into pieces, each for a batch of its own, because a request costs as much as the rest of a batch's way
through a node.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from node.api.backend import Busy, Location, Rejected, Submitted
from node.api.bodies import body_of
from node.api.call import Call, Operation
from node.api.faults import BODY_FAULTS, Fault, fault
from node.api.parameters import Parameter, Place, integer
from node.api.submitting import (
    TIMEOUT,
    Wait,
    busy,
    holds_no_room,
    receipts_of,
    refusal,
    state_of,
    wait_for,
    wait_ms,
    wait_parameter,
)
from node.ledger.receipts import Receipt

OCTETS = "application/octet-stream"
PIECES_MAX = 16
"""Batches that one body may fill."""
_SIZE_MAX = 4 * 1024 * 1024
TRANSACTION_BYTES = Parameter(
    "transaction_bytes",
    Place.QUERY,
    "The size of each transaction in the body.",
    (("type", "integer"), ("minimum", 1), ("maximum", _SIZE_MAX)),
    lambda text: integer(text, 1, _SIZE_MAX),
)
WAIT = wait_parameter(Wait.CERTIFIED, Wait.COMMITTED)


@dataclass(frozen=True, slots=True)
class OpaqueOutcome:
    """What became of one piece of a body, the first `transactions` that no piece before it has.

    `state` is `certified` (with the certified receipt of the batch `batch_id`), `committed` (with its
    receipt, which is this node's word alone; only for who asked for it), `admitted` (sealed in it, not that
    far when the wait ended) or `rejected` (not taken, with the ledger's `code`; all others have 0).
    """

    batch_id: bytes | None
    state: str
    code: int
    transactions: int
    height: int | None
    index: int | None
    receipt: bytes | None


async def submit_opaque(call: Call) -> Response:
    """Take the body into batches; 200 once they are certified, or committed if that was asked for, 202 when
    one is not within the wait."""
    door = call.door
    door.departure.require_stay()
    size, timeout_ms = call.need(TRANSACTION_BYTES), wait_ms(call)
    kind = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != OCTETS:
        raise fault(Fault.MEDIA_TYPE, f"Content-Type {kind[:80]!r} is not understood here; send {OCTETS}.")
    batch_bytes = door.backend.genesis.params.batch_bytes_max
    with door.place_to_wait():
        async with body_of(door, call.request, PIECES_MAX * batch_bytes) as body:
            pieces = pieces_of(body, max(size, batch_bytes - batch_bytes % size))
            counts = [len(piece) // size for piece in pieces]
            try:
                taken = await door.backend.submit_chunks(pieces, size, timeout_ms)
            except Busy as error:
                call.found_no_room = True
                raise busy(call, error) from error
        call.found_no_room = holds_no_room(taken)
        if isinstance(taken[0], Rejected) and len(taken) == 1:
            raise refusal(taken[0], door.limits.retry_after_ms)
        names = tuple(item.tx_id for item in taken if isinstance(item, Submitted))
        places: tuple[Location | None, ...] = (None,) * len(names)
        try:
            with door.departure.cut():
                places = await wait_for(door, call.need(WAIT), names, timeout_ms)
        except Busy as error:
            raise busy(call, error) from error
    known = dict(zip(names, places, strict=True))
    found = [known[item.tx_id] if isinstance(item, Submitted) else None for item in taken]
    receipts = await receipts_of(door, found)
    rows = zip(taken, counts, found, receipts, strict=True)
    outcomes = tuple(_outcome(*row) for row in rows)
    return call.answer(outcomes, status=202 if any(item.state == "admitted" for item in outcomes) else 200)


def pieces_of(body: bytes, piece_bytes: int) -> Sequence[bytes]:
    """The body itself, or as many pieces of this size as it has, and the rest."""
    if len(body) <= piece_bytes:
        return (body,)
    return tuple(body[start : start + piece_bytes] for start in range(0, len(body), piece_bytes))


def _outcome(
    taken: Submitted | Rejected, count: int, place: Location | None, receipt: Receipt | None
) -> OpaqueOutcome:
    if isinstance(taken, Rejected):
        return OpaqueOutcome(None, "rejected", taken.code, count, None, None, None)
    if place is None or receipt is None:
        return OpaqueOutcome(taken.tx_id, "admitted", 0, count, None, None, None)
    state = state_of(place)
    return OpaqueOutcome(taken.tx_id, state, 0, count, place.height, place.index, receipt.encoded)


OPERATION = Operation(
    "POST",
    "/v1/opaque",
    "submitOpaque",
    "Benchmark clusters only: store bytes and wait until their batches are certified, or committed.",
    submit_opaque,
    (TRANSACTION_BYTES, WAIT, TIMEOUT),
    tuple[OpaqueOutcome, ...],
    statuses=(
        (200, "Certified, or committed if that was asked for, or refused."),
        (202, "One is taken, but not that far within the wait."),
    ),
    takes_body=True,
    faults=(*BODY_FAULTS, Fault.BAD_PARAMETER),
)
