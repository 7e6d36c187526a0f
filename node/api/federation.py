"""GET /v1/federation: the other clusters, the lanes with them, the evidence against them, and what waits."""

from starlette.responses import Response

from node.anchoring.lanes.messages import PORT_CHARACTERS_MAX, SEQUENCE_MAX, Mode
from node.api import federation_queries
from node.api.call import Call, Operation
from node.api.faults import Fault
from node.api.federation_queries import (
    MODES,
    ExplanationAnswer,
    FederationAnswer,
    ForksAnswer,
    LanesAnswer,
)
from node.api.handlers import MIN_HEIGHT, reach_min_height
from node.api.parameters import Parameter, Place, integer, path_hash
from node.api.submitting import TIMEOUT

CLUSTER_ID = path_hash("cluster_id", "The other cluster's id, 64 hexadecimal digits.")


def _port(text: str) -> str:
    if not 1 <= len(text) <= PORT_CHARACTERS_MAX:
        raise ValueError(f"must have 1 to {PORT_CHARACTERS_MAX} characters")
    return text


def _mode(text: str) -> Mode:
    if text not in MODES:
        raise ValueError(f"must be one of {', '.join(MODES)}")
    return MODES[text]


SEQUENCE = Parameter(
    "sequence",
    Place.PATH,
    "The message's number in its lane, from 1.",
    (("type", "integer"), ("minimum", 1)),
    lambda text: integer(text, 1, SEQUENCE_MAX),
)
PORT = Parameter("port", Place.QUERY, "The lane's port.", (("type", "string"),), _port, "records")
MODE = Parameter(
    "mode",
    Place.QUERY,
    "The lane's mode.",
    (("type", "string"), ("enum", tuple(MODES))),
    _mode,
    Mode.UNORDERED,
)


async def get_federation(call: Call) -> Response:
    """GET /v1/federation."""
    await reach_min_height(call)
    return call.answer(await call.door.read(federation_queries.federation))


async def get_lanes(call: Call) -> Response:
    """GET /v1/federation/{cluster_id}/lanes."""
    cluster_id = call.need(CLUSTER_ID)
    await reach_min_height(call)
    return call.answer(await call.door.read(lambda view: federation_queries.lanes(view, cluster_id)))


async def get_forks(call: Call) -> Response:
    """GET /v1/federation/{cluster_id}/evidence."""
    cluster_id = call.need(CLUSTER_ID)
    await reach_min_height(call)
    return call.answer(await call.door.read(lambda view: federation_queries.forks(view, cluster_id)))


async def get_explanation(call: Call) -> Response:
    """GET /v1/federation/{cluster_id}/explain/{sequence}."""
    cluster_id, sequence = call.need(CLUSTER_ID), call.need(SEQUENCE)
    port, mode = call.need(PORT), call.need(MODE)
    await reach_min_height(call)
    return call.answer(
        await call.door.read(lambda view: federation_queries.explain(view, cluster_id, port, mode, sequence))
    )


_FAULTS = (Fault.BAD_PARAMETER, Fault.NOT_ACCEPTABLE, Fault.BUSY, Fault.HEIGHT_NOT_REACHED)
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/v1/federation",
        "getFederation",
        "The other clusters as this one holds them: anchored heights, ages, status.",
        get_federation,
        (MIN_HEIGHT, TIMEOUT),
        FederationAnswer,
        faults=_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/federation/{cluster_id}/lanes",
        "getLanes",
        "The lanes with a cluster: sent, acknowledged, pending, received.",
        get_lanes,
        (CLUSTER_ID, MIN_HEIGHT, TIMEOUT),
        LanesAnswer,
        faults=_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/federation/{cluster_id}/evidence",
        "getForks",
        "The evidence that is kept against a cluster.",
        get_forks,
        (CLUSTER_ID, MIN_HEIGHT, TIMEOUT),
        ForksAnswer,
        faults=_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/federation/{cluster_id}/explain/{sequence}",
        "explainMessage",
        "Which step a message to a cluster waits for.",
        get_explanation,
        (CLUSTER_ID, SEQUENCE, PORT, MODE, MIN_HEIGHT, TIMEOUT),
        ExplanationAnswer,
        faults=_FAULTS,
    ),
)
