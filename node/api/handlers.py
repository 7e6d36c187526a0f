"""Queries and health: one small function a route. What they answer is made in `queries.py`."""

from starlette.responses import PlainTextResponse, Response

from node.anchoring import Bundle
from node.api import bundles, queries, record_queries
from node.api.backend import Busy
from node.api.call import Call, json_response
from node.api.faults import Fault, fault
from node.api.levels import answer_at_level, is_committed
from node.api.parameters import (
    Parameter,
    Place,
    hexadecimal,
    integer,
    path_hash,
    query_flag,
    query_integer,
)
from node.api.shapes import to_json
from node.api.submitting import TIMEOUT, busy, wait_ms
from node.api.views import BlockAnswer, GenesisAnswer
from node.ledger.apps.records import check_record_id
from node.ledger.codes import RejectedTransaction
from node.storage import Snapshot

_HEIGHT_MAX = 2**63 - 1
_STATE_KEY_BYTES_MAX = 400
_EVIDENCE_ID_BYTES_MAX = 64


def _height_or_latest(text: str) -> int | None:
    if text == "latest":
        return None
    try:
        return integer(text, 0, _HEIGHT_MAX)
    except ValueError:
        raise ValueError("must be a height or latest") from None


def _height_or_id(text: str) -> int | bytes | None:
    if len(text) == 64:
        return hexadecimal(text, length=32)
    return _height_or_latest(text)


def _record_id(text: str) -> str:
    try:
        return check_record_id(text)
    except RejectedTransaction as error:
        raise ValueError(
            "must be namespace/name of letters, digits and ._@+=:~%- (percent-encoded in the path)"
        ) from error


TX_ID = path_hash("tx_id", "The transaction's id, 64 hexadecimal digits.")
PROOF = query_flag("proof", "1 adds what is needed to verify the answer offline.")
MIN_HEIGHT = query_integer(
    "min_height",
    "Answer from this height or a later one; waits for it, at the level asked for, up to timeout_ms.",
    _HEIGHT_MAX,
)
BEFORE = query_integer("before", "Only versions with smaller numbers (for the next page).", 2**32)
CHECKPOINT = query_integer(
    "checkpoint", "A height whose header the reader has pinned: the bundle connects to it.", _HEIGHT_MAX
)
LIMIT = query_integer("limit", "Entries of the answer; the node has its own maximum.", 10_000)
RECORD_ID = Parameter(
    "record_id", Place.PATH, "The record's id, slashes included.", (("type", "string"),), _record_id
)
HEADER_HEIGHT = Parameter(
    "height", Place.PATH, "A height, or `latest`.", (("type", "string"),), _height_or_latest
)
BLOCK = Parameter(
    "block", Place.PATH, "A height, `latest`, or a block id.", (("type", "string"),), _height_or_id
)
STATE_KEY = Parameter(
    "key",
    Place.PATH,
    "The state key in hexadecimal digits.",
    (("type", "string"), ("pattern", "^([0-9a-f]{2})+$")),
    lambda text: hexadecimal(text, max_length=_STATE_KEY_BYTES_MAX),
)
AFTER = Parameter(
    "after",
    Place.QUERY,
    "The last evidence id of the page before.",
    (("type", "string"),),
    lambda text: hexadecimal(text, max_length=_EVIDENCE_ID_BYTES_MAX),
    b"",
)


async def get_transaction(call: Call) -> Response:
    """GET /v1/tx/{tx_id}."""
    tx_id, with_proof = call.need(TX_ID), call.need(PROOF)
    await reach_min_height(call)
    return await answer_at_level(
        call, lambda view: queries.transaction(view, tx_id, with_proof=with_proof), with_proof=with_proof
    )


async def get_receipt(call: Call) -> Response:
    """GET /v1/receipts/{tx_id}: waits for it, at the level asked for, when `timeout_ms` is given."""
    tx_id, backend = call.need(TX_ID), call.door.backend
    if call.get(TIMEOUT) is not None:
        with call.door.waiting():
            try:
                if is_committed(call):
                    await backend.wait_committed((tx_id,), wait_ms(call))
                else:
                    await backend.wait_certified((tx_id,), wait_ms(call))
            except Busy as error:
                raise busy(call, error) from error
    return await answer_at_level(call, lambda view: queries.receipt(view, tx_id))


async def get_header(call: Call) -> Response:
    """GET /v1/headers/{height}."""
    height, uncertified = call.get(HEADER_HEIGHT), is_committed(call)
    await reach_min_height(call)
    return await answer_at_level(
        call,
        lambda view: queries.proven_header(
            view, queries.stored_height(view) if height is None else height, uncertified=uncertified
        ),
    )


async def get_block(call: Call) -> Response:
    """GET /v1/blocks/{block}."""
    wanted, uncertified = call.get(BLOCK), is_committed(call)
    await reach_min_height(call)

    def find(view: Snapshot) -> BlockAnswer:
        height = queries.stored_height(view) if wanted is None else wanted
        if isinstance(height, bytes):
            height = queries.height_of_block(view, height)
        return queries.block(view, height, uncertified=uncertified)

    return await answer_at_level(call, find)


async def get_record(call: Call) -> Response:
    """GET /v1/records/{record_id}."""
    record_id, with_proof = call.need(RECORD_ID), call.need(PROOF)
    await reach_min_height(call)
    return await answer_at_level(
        call,
        lambda view: record_queries.record(view, record_id, with_proof=with_proof),
        with_proof=with_proof,
    )


async def get_history(call: Call) -> Response:
    """GET /v1/history/{record_id}."""
    record_id, with_proof, before = call.need(RECORD_ID), call.need(PROOF), call.get(BEFORE)
    limit = _page(call)
    await reach_min_height(call)
    return await answer_at_level(
        call,
        lambda view: record_queries.history(
            view, record_id, before=before, limit=limit, with_proof=with_proof
        ),
        with_proof=with_proof,
    )


async def get_state(call: Call) -> Response:
    """GET /v1/state/{key}."""
    key, with_proof = call.need(STATE_KEY), call.need(PROOF)
    await reach_min_height(call)
    return await answer_at_level(
        call, lambda view: queries.state(view, key, with_proof=with_proof), with_proof=with_proof
    )


async def prove_transaction(call: Call) -> Response:
    """GET /v1/prove/tx/{tx_id}."""
    tx_id, checkpoint = call.need(TX_ID), call.get(CHECKPOINT)
    genesis = call.door.backend.genesis
    await reach_min_height(call)
    return _file(
        await call.door.read(
            lambda view: bundles.transaction_bundle(view, genesis, tx_id, checkpoint=checkpoint)
        )
    )


async def prove_record(call: Call) -> Response:
    """GET /v1/prove/record/{record_id}: its newest version, or that there is no such record."""
    record_id, checkpoint = call.need(RECORD_ID), call.get(CHECKPOINT)
    genesis = call.door.backend.genesis
    await reach_min_height(call)

    def prove(view: Snapshot) -> Bundle:
        key = record_queries.record_state_key(view, record_id)
        return bundles.state_bundle(view, genesis, key, checkpoint=checkpoint)

    return _file(await call.door.read(prove))


async def prove_header(call: Call) -> Response:
    """GET /v1/prove/header/{height}."""
    height, checkpoint = call.get(HEADER_HEIGHT), call.get(CHECKPOINT)
    genesis = call.door.backend.genesis
    await reach_min_height(call)

    def prove(view: Snapshot) -> Bundle:
        at = queries.stored_height(view) if height is None else height
        return bundles.header_bundle(view, genesis, at, checkpoint=checkpoint)

    return _file(await call.door.read(prove))


async def get_evidence(call: Call) -> Response:
    """GET /v1/evidence."""
    after, limit = call.need(AFTER), _page(call)
    return call.answer(await call.door.read(lambda view: queries.evidence(view, after, limit)))


async def get_genesis(call: Call) -> Response:
    """GET /v1/genesis."""
    genesis = call.door.backend.genesis
    return call.answer(GenesisAnswer(genesis.cluster_id, genesis.body, genesis.to_json()))


async def get_status(call: Call) -> Response:
    """GET /v1/status."""
    return call.answer(call.door.backend.status())


async def get_livez(call: Call) -> Response:
    """GET /livez: answering at all is the statement, the event loop turns."""
    return PlainTextResponse("alive\n")


async def get_readyz(call: Call) -> Response:
    """GET /readyz: 200 when this node can commit, else 503 with every reason."""
    readiness = call.door.backend.readiness()
    return json_response(to_json(readiness), 200 if readiness.ready else 503)


async def get_metrics(call: Call) -> Response:
    """GET /metrics: the node's metrics and the door's own."""
    text = call.door.backend.metrics_text()
    own = call.door.gauges.exposition(call.door.limits)
    return Response(text + own, media_type="text/plain; version=0.0.4")


async def reach_min_height(call: Call) -> None:
    """Wait for the height that the call asks for, if any, at the level that it asks for. Raises ApiFault
    HEIGHT_NOT_REACHED when it is not readable in time."""
    wanted = call.get(MIN_HEIGHT)
    if wanted is None:
        return
    backend, timeout_ms = call.door.backend, wait_ms(call)
    wait = backend.wait_committed_height if is_committed(call) else backend.wait_height
    with call.door.waiting():
        try:
            reached = await wait(wanted, timeout_ms)
        except Busy as error:
            raise busy(call, error) from error
    if not reached:
        view = backend.committed()
        at = view.committed_height if is_committed(call) else view.certified_height
        raise fault(
            Fault.HEIGHT_NOT_REACHED,
            f"Height {wanted} was not reached within {timeout_ms} ms; this node shows up to {at}.",
            retry_after_ms=call.door.limits.retry_after_ms,
        )


def _file(bundle: Bundle) -> Response:
    return Response(bundle.encode(), media_type="application/octet-stream")


def _page(call: Call) -> int:
    asked = call.get(LIMIT)
    most = call.door.limits.page_max
    return most if asked is None else max(1, min(asked, most))
