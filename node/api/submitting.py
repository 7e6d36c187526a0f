"""Transactions in: one or many, waiting for the certificate, for the commit, or not at all.

Success for a client is a certified receipt (C26), so that is what a submission waits for unless told
otherwise. Committed is weaker: the block is ordered for good and this node has executed it, but nobody else
has said what came of it, so a client believes this node alone. A wait that ends early loses nothing: the
answer says `admitted` and where to ask.
"""

import json
from collections.abc import Sequence
from enum import Enum
from typing import Any

import trio
from starlette.responses import Response

from consensus import CodecError, as_array, as_bytes, decode
from node.api.backend import Busy, Location, Rejected, Submitted
from node.api.bodies import body_of
from node.api.call import JSON, MSGPACK, Call, Door
from node.api.faults import ApiFault, Fault, FaultKind, fault
from node.api.parameters import Parameter, Place, query_integer
from node.api.queries import receipts_at
from node.api.views import Outcome, status_name
from node.ledger.codes import Code
from node.ledger.receipts import Receipt

_WAIT_HOURS_MS = 3_600_000
_STATUS_OF = {
    Code.POOL_FULL: 429,
    Code.QUOTA_EXCEEDED: 429,
    Code.RATE_LIMITED: 429,
    Code.NOT_READY: 503,
    Code.OVERSIZED: 413,
    Code.REPLAYED: 409,
}


class Wait(Enum):
    """What a submission waits for; the states of outcomes have the same names."""

    CERTIFIED = "certified"
    COMMITTED = "committed"
    ADMITTED = "admitted"


_MEANING = {
    Wait.CERTIFIED: "final, the default",
    Wait.COMMITTED: "ordered for good and executed by this node, whose word alone it is",
    Wait.ADMITTED: "taken by this node",
}


def wait_parameter(*choices: Wait) -> Parameter[Wait]:
    """`wait` of a route that knows these; certified is the default everywhere."""
    names = tuple(choice.value for choice in choices)

    def chosen(text: str) -> Wait:
        if text not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return Wait(text)

    meanings = "; ".join(f"`{choice.value}` ({_MEANING[choice]})" for choice in choices)
    schema = (("type", "string"), ("enum", names))
    return Parameter("wait", Place.QUERY, f"What to wait for: {meanings}.", schema, chosen, Wait.CERTIFIED)


WAIT = wait_parameter(*Wait)
TIMEOUT = query_integer(
    "timeout_ms", "How long to wait at most; the node has its own maximum.", _WAIT_HOURS_MS
)


async def submit_one(call: Call) -> Response:
    """POST /v1/tx: the transaction's own bytes, or {"transaction": hex}."""
    limits = call.door.limits
    max_bytes = 2 * call.door.backend.genesis.params.max_transaction_bytes + limits.body_slack_bytes
    async with body_of(call.door, call.request, max_bytes) as body:
        transaction = body if _is_msgpack(call) else _hex(_json_field(body, "transaction"))
        (outcome,) = await _submit(call, (transaction,))
    if outcome.state == "rejected":
        raise refusal(outcome, limits.retry_after_ms)
    is_late = outcome.state == "admitted" and call.need(WAIT) is not Wait.ADMITTED
    return call.answer(outcome, status=202 if is_late else 200)


async def submit_many(call: Call) -> Response:
    """POST /v1/txs: an array of transactions; one outcome each, in order."""
    limits = call.door.limits
    async with body_of(call.door, call.request, limits.bulk_bytes_max) as body:
        transactions = _array(body, limits.bulk_transactions_max) if _is_msgpack(call) else _hexes(call, body)
        outcomes = await _submit(call, transactions)
    return call.answer(outcomes)


async def _submit(call: Call, transactions: Sequence[bytes]) -> tuple[Outcome, ...]:
    door = call.door
    door.departure.require_stay()
    awaited = call.need(WAIT)
    if awaited is Wait.ADMITTED:
        return tuple(_outcome(item, None, None, "") for item in await _admit(call, transactions))
    timeout_ms = wait_ms(call)
    with door.place_to_wait():
        taken = await _admit(call, transactions)
        ids = tuple(item.tx_id for item in taken if isinstance(item, Submitted))
        places: tuple[Location | None, ...] = (None,) * len(ids)
        late = f"Taken, but not {awaited.value} within {timeout_ms} ms"
        try:
            with door.departure.cut() as scope:
                places = await wait_for(door, awaited, ids, timeout_ms) if ids else ()
            if scope.cancelled_caught:
                late = "Taken, but not waited for: this node is stopping. Ask another node"
        except Busy as error:
            late = f"Taken, but not waited for: {error.sentence}"
    known = dict(zip(ids, places, strict=True))
    found = [known.get(item.tx_id) if isinstance(item, Submitted) else None for item in taken]
    receipts = await receipts_of(door, found)
    late += ". Nothing is lost: ask /v1/receipts/ID for it."
    return tuple(
        _outcome(item, place, receipt, late)
        for item, place, receipt in zip(taken, found, receipts, strict=True)
    )


async def wait_for(
    door: Door, awaited: Wait, tx_ids: Sequence[bytes], timeout_ms: int
) -> tuple[Location | None, ...]:
    """Each one's place once all are certified, or committed; None for those that are not in time. Raises
    Busy."""
    backend = door.backend
    wait = backend.wait_committed if awaited is Wait.COMMITTED else backend.wait_certified
    return await wait(tx_ids, timeout_ms)


def state_of(place: Location) -> str:
    """The state of what has a place: who waits for less may find more."""
    return "certified" if place.is_certified else "committed"


async def receipts_of(door: Door, found: Sequence[Location | None]) -> tuple[Receipt | None, ...]:
    """The receipt at each place, None for None. Raises ApiFault.

    What was certified while a request waited for it is at hand; the rest is read.
    """
    unread = [place for place in found if place is not None and place.receipt is None]
    read = iter(await door.read(lambda snapshot: receipts_at(snapshot, unread)) if unread else ())
    return tuple(None if place is None else place.receipt or Receipt.decode(next(read)) for place in found)


async def _admit(call: Call, transactions: Sequence[bytes]) -> tuple[Submitted | Rejected, ...]:
    try:
        outcomes = await call.door.backend.submit(transactions)
    except Busy as error:
        call.found_no_room = True
        raise busy(call, error) from error
    call.found_no_room = holds_no_room(outcomes)
    forged = sum(isinstance(item, Rejected) and item.code == Code.BAD_SIGNATURE for item in outcomes)
    if forged and call.request.client is not None:
        call.door.visitors.charge(call.request.client.host, forged, int(trio.current_time() * 1000))
    return outcomes


def wait_ms(call: Call) -> int:
    """How long this call may wait: what it asks for, within the node's maximum."""
    limits = call.door.limits
    asked = call.get(TIMEOUT)
    return limits.wait_default_ms if asked is None else min(asked, limits.wait_max_ms)


def busy(call: Call, error: Busy) -> ApiFault:
    """The node's back-pressure as an answer."""
    call.door.gauges.refuse("busy")
    return fault(Fault.BUSY, error.sentence, retry_after_ms=error.retry_after_ms)


def holds_no_room(outcomes: Sequence[Submitted | Rejected]) -> bool:
    """Whether one was refused for want of room."""
    return any(isinstance(item, Rejected) and item.code == Code.POOL_FULL for item in outcomes)


def _outcome(
    item: Submitted | Rejected, place: Location | None, receipt: Receipt | None, late: str
) -> Outcome:
    if isinstance(item, Rejected):
        return Outcome(item.tx_id, "rejected", item.code, item.name, item.sentence, None, None, None)
    if place is None or receipt is None:
        return Outcome(item.tx_id, "admitted", Code.OK.value, "admitted", late, None, None, None)
    name, message = status_name(receipt.status), receipt.explanation
    state = state_of(place)
    return Outcome(
        item.tx_id, state, receipt.status, name, message, place.height, place.index, receipt.encoded
    )


def refusal(outcome: Outcome | Rejected, retry_after_ms: int) -> ApiFault:
    """A rejected single submission as an error answer, under the ledger's own code."""
    try:
        code = Code(outcome.code)
        hint, status = code.sentence, _STATUS_OF.get(code, 400)
    except ValueError:
        hint, status = "", 400
    kind = FaultKind(outcome.code, outcome.name, status, hint)
    sentence = outcome.sentence if isinstance(outcome, Rejected) else outcome.message
    finding = sentence.removesuffix(f": {hint}")  # the way out travels in a field of its own
    return ApiFault(kind, finding, retry_after_ms=retry_after_ms if status in (429, 503) else None)


def _is_msgpack(call: Call) -> bool:
    kind = call.request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if kind not in (MSGPACK, JSON):
        raise fault(Fault.MEDIA_TYPE, f"Content-Type {kind[:80]!r} is not understood here.")
    return kind == MSGPACK


def _array(body: bytes, max_items: int) -> tuple[bytes, ...]:
    try:
        items = as_array(decode(body, max_bytes=len(body), max_depth=1), max_items, "the body")
        return tuple(as_bytes(item, "each transaction") for item in items)
    except CodecError as error:
        raise fault(Fault.MALFORMED_BODY, f"{error}.") from error


def _hexes(call: Call, body: bytes) -> tuple[bytes, ...]:
    items = _json_field(body, "transactions")
    most = call.door.limits.bulk_transactions_max
    if not isinstance(items, list) or len(items) > most:
        raise fault(Fault.MALFORMED_BODY, f"transactions must be a list of at most {most} hexadecimal texts.")
    return tuple(_hex(item) for item in items)


def _json_field(body: bytes, name: str) -> Any:
    """The only field of a JSON object; a repeated or unknown one is refused."""
    try:
        content = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise fault(Fault.MALFORMED_BODY, f"The body is not JSON: {str(error)[:200]}.") from error
    if not isinstance(content, dict) or list(content) != [name]:
        raise fault(Fault.MALFORMED_BODY, f'The body must be a JSON object with the one field "{name}".')
    return content[name]


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a field occurs twice")
    return content


def _hex(value: object) -> bytes:
    try:
        if isinstance(value, str):
            return bytes.fromhex(value)
    except ValueError:
        pass
    raise fault(Fault.MALFORMED_BODY, "A transaction in JSON must be a text of hexadecimal digits.")
